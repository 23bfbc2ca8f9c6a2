-- One step: checks everything, then changes everything. Nothing is written unless all checks pass.
-- KEYS: all keys that it may write, which the server checks; ARGV[1]: the plan (JSON, indexes point into KEYS; what is
-- only read, or only added to, goes by name); ARGV[2..]: the values, in the plan's order.
cjson.decode_max_depth(1000)  -- any user's script may have set it otherwise, for all scripts
local plan = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if plan.once and redis.call('EXISTS', KEYS[plan.once]) == 1 then return 'repeated' end
if plan.fence and tonumber(redis.call('HGET', KEYS[plan.lease], 'fence') or 0) ~= plan.fence then return 'fenced' end
for _, list in ipairs({plan.records, plan.unchanged}) do
  for _, record in ipairs(list) do
    local version = 0  -- the greatest one, where two sides have a record each
    local function seen(raw) version = math.max(version, tonumber(string.match(raw, '^(%d+) ') or 0)) end
    for _, name in ipairs(record.names) do
      local raw = redis.pcall('GETRANGE', name, 0, 15)
      seen(type(raw) == 'string' and raw or '')  -- what is no text has no version
    end
    if record.field then seen(redis.call('HGET', KEYS[record.key], record.field) or '') end
    if version ~= record.version then return 'stale' end
  end
end
if plan.before and now >= plan.before then return 'late' end
-- What goes by name may have moved to another node of a Cluster. That is found out before anything is written: by the
-- length of the reports, by an id that adds nothing to the log, and by taking the reports first.
local reports = {}
if plan.reporting then
  local answer = redis.pcall('LLEN', plan.log)
  if type(answer) == 'table' then return answer end
else
  reports = redis.call('LRANGE', plan.reports, 0, 499)
end
if not plan.reporting and plan.events + #reports > 0 then
  local answer = redis.pcall('XADD', plan.log, '0-0', 'event', '')
  if not string.find(answer.err, 'greater than 0-0', 1, true) then return answer end
end

-- An index that somebody made something else of is begun anew: half of a change would be written else.
local function begin_anew(name, kind)
  local is = redis.call('TYPE', name).ok
  if is ~= kind and is ~= 'none' then redis.call('DEL', name) end
end
for _, entry in ipairs(plan.add) do begin_anew(KEYS[entry.key], 'zset') end
for _, entry in ipairs(plan.remove) do begin_anew(KEYS[entry.key], 'zset') end
for _, request in ipairs(plan.settled) do begin_anew(KEYS[request.index], 'set') end
if plan.parked then begin_anew(KEYS[plan.parked.key], 'zset') end

local value = 1
local function next_value()
  value = value + 1
  return ARGV[value]
end
for _, record in ipairs(plan.records) do
  if record.field then
    redis.call('HSET', KEYS[record.key], record.field, next_value())
    redis.call('PEXPIRE', KEYS[record.key], record.ttl)
  elseif record.keeps_ttl then
    redis.call('SET', KEYS[record.key], next_value(), 'KEEPTTL')
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
  -- The run goes on, and may be rebuilt after a longer wait than anything is kept.
  if left == -1 or request.always then redis.call('SADD', KEYS[request.index], request.id) end
  if left ~= -1 then
    local ttl = left > 0 and left or request.ttl
    redis.call('PEXPIRE', KEYS[request.key], ttl)
    if request.always then redis.call('PEXPIRE', KEYS[request.index], ttl) end
  end
end
if plan.release then
  redis.call('HSET', KEYS[plan.lease], 'fence', plan.fence + 1, 'until', 0)
  redis.call('PEXPIREAT', KEYS[plan.lease], math.max(now, plan.fence + 1) + plan.stays)
end
if plan.once then redis.call('SET', KEYS[plan.once], '1', 'PX', plan.once_ttl) end
-- What workers reported before this comes before it.
for _, told in ipairs(reports) do
  if #told > 1048576 then told = '' end  -- no report is so large; this one counts as one that nobody can read
  redis.call('XADD', plan.log, '*', 'event', told, 'by', 'agents')
end
if #reports > 0 then redis.call('LTRIM', plan.reports, #reports, -1) end
for _ = 1, plan.events do
  if plan.reporting then
    redis.call('RPUSH', plan.log, next_value())
  else
    redis.call('XADD', plan.log, '*', 'event', next_value())
  end
end
for _, hint in ipairs(plan.wake) do
  redis.call('PUBLISH', plan.channel, hint.value and hint.name .. '\n' .. ARGV[hint.value] or hint.name)
end
if plan.parked and redis.call('ZSCORE', KEYS[plan.parked.key], plan.parked.member) then return 'done, parked' end
return 'done'
