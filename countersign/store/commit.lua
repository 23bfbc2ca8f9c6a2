-- One step: checks everything, then changes everything. Nothing is written unless all checks pass.
-- KEYS: all keys that it reads or writes; ARGV[1]: the plan (JSON, indexes point into KEYS; the log is only added to and
-- goes by name); ARGV[2..]: the values, in the plan's order.
local plan = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if plan.once and redis.call('EXISTS', KEYS[plan.once]) == 1 then return 'repeated' end
for _, list in ipairs({plan.records, plan.unchanged}) do
  for _, record in ipairs(list) do
    local raw
    if record.field then
      raw = redis.call('HGET', KEYS[record.key], record.field) or ''
    else
      raw = redis.call('GETRANGE', KEYS[record.key], 0, 15)
    end
    if tonumber(string.match(raw, '^(%d+) ') or 0) ~= record.version then return 'stale' end
  end
end
if plan.before and now >= plan.before then return 'late' end
-- The log goes by name, so on a Cluster it may have moved to another node. That is found out before anything is
-- written, by an id that adds nothing.
if plan.events > 0 then
  local answer = redis.pcall('XADD', plan.log, '0-0', 'event', '')
  if not string.find(answer.err, 'greater than 0-0', 1, true) then return answer end
end

local value = 1
local function next_value()
  value = value + 1
  return ARGV[value]
end
for _, record in ipairs(plan.records) do
  if record.field then
    redis.call('HSET', KEYS[record.key], record.field, next_value())
    redis.call('PEXPIRE', KEYS[record.key], record.ttl)
  elseif record.ttl then
    redis.call('SET', KEYS[record.key], next_value(), 'PX', record.ttl)
  else
    redis.call('SET', KEYS[record.key], next_value())
  end
end
for _, text in ipairs(plan.texts) do
  redis.call('HSET', KEYS[text.key], text.field, text.value)
  redis.call('PEXPIRE', KEYS[text.key], text.ttl)
end
for _, entry in ipairs(plan.add) do redis.call('ZADD', KEYS[entry.key], entry.score, entry.member) end
for _, entry in ipairs(plan.remove) do redis.call('ZREM', KEYS[entry.key], entry.member) end
for _, entry in ipairs(plan.expire) do redis.call('PEXPIRE', KEYS[entry.key], entry.ttl) end
for _, request in ipairs(plan.settled) do
  local left = redis.call('PTTL', KEYS[request.run])
  if left == -1 then  -- the run continues, and may be rebuilt after a longer wait than anything is kept
    redis.call('SADD', KEYS[request.index], request.id)
  else
    redis.call('PEXPIRE', KEYS[request.key], left > 0 and left or request.ttl)
  end
end
if plan.once then redis.call('SET', KEYS[plan.once], '1', 'PX', plan.once_ttl) end
for _ = 1, plan.events do redis.call('XADD', plan.log, '*', 'event', next_value()) end
for _, hint in ipairs(plan.wake) do
  redis.call('PUBLISH', plan.channel, hint.value and hint.name .. '\n' .. ARGV[hint.value] or hint.name)
end
if plan.parked and redis.call('ZSCORE', KEYS[plan.parked.key], plan.parked.member) then return 'done, parked' end
return 'done'
