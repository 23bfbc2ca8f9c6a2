-- Puts requests into the lists in which people find them again, and takes them out of others. KEYS: the lists; ARGV[1]:
-- the plan (JSON, indexes point into KEYS). Doing it again changes nothing.
local plan = cjson.decode(ARGV[1])
for _, entry in ipairs(plan.add) do
  redis.call('ZADD', KEYS[entry.key], entry.score, entry.member)
  if entry.most then redis.call('ZREMRANGEBYRANK', KEYS[entry.key], 0, -entry.most - 1) end
  if entry.ttl then redis.call('PEXPIRE', KEYS[entry.key], entry.ttl) end
end
for _, entry in ipairs(plan.remove) do redis.call('ZREM', KEYS[entry.key], entry.member) end
return 1
