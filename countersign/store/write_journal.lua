-- One journal entry, written once, only by the holder of the lease.
-- KEYS: lease, journal; ARGV: fence, field, value, replace (0 or 1), and the key of the run, which is only read.
-- Answers what stands there then, or nil if fenced.
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return nil end
local left = redis.call('PTTL', ARGV[5])  -- set at the end of the run; before the first write, for its slot may move
if ARGV[4] == '1' then
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
else
  redis.call('HSETNX', KEYS[2], ARGV[2], ARGV[3])
end
if left > 0 then redis.call('PEXPIRE', KEYS[2], left) end
return redis.call('HGET', KEYS[2], ARGV[2])
