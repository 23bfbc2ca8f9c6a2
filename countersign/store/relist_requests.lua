-- Puts requests into the lists in which people find them again, and takes them out of others. KEYS: the lists, and the
-- number of their changes, by which open pages see that there is something new; ARGV[1]: the plan (JSON, indexes point
-- into KEYS). Doing it again changes nothing else.
cjson.decode_max_depth(1000)  -- any user's script may have set it otherwise, for all scripts
local plan = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, entry in ipairs(plan.add) do
  -- Of the newest: a worker says when it took a question back, and what comes after everything would stay for ever.
  local score = entry.most and math.min(tonumber(entry.score), now) or entry.score
  redis.call('ZADD', KEYS[entry.key], score, entry.member)
  if entry.most then redis.call('ZREMRANGEBYRANK', KEYS[entry.key], 0, -entry.most - 1) end
  if entry.ttl then redis.call('PEXPIRE', KEYS[entry.key], entry.ttl) end
end
for _, entry in ipairs(plan.remove) do redis.call('ZREM', KEYS[entry.key], entry.member) end
redis.call('INCR', KEYS[#KEYS])
return 1
