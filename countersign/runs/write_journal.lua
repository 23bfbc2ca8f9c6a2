-- One journal entry, written once, only by the holder of the lease.
-- KEYS: lease, journal; ARGV: fence, field, value, replace (0 or 1), ms that the journal stays after its last entry.
-- Answers what stands there then, or nil if fenced.
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return nil end
if ARGV[4] == '1' then
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
else
  redis.call('HSETNX', KEYS[2], ARGV[2], ARGV[3])
end
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return redis.call('HGET', KEYS[2], ARGV[2])
