-- Leases by the server's clock. KEYS[1]: the lease; ARGV: verb, owner, fence, ms, ms that the key stays after it.
-- A fence of -1 stands for whichever the owner has. claim -> the new fence, or 0 if somebody else holds it; renew, release -> 1, or 0 if it is not ours any more.
local verb, owner, mine, ms, stays = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'fence', 'owner', 'until')
local last = tonumber(held[1] or 0)
if verb == 'claim' then
  if held[2] and tonumber(held[3]) > now and held[2] ~= owner then return 0 end
  -- By the clock too: the fence grows where the last claim is not known, because a failover lost it, or the key is gone.
  last = math.max(last + 1, now)
  redis.call('HSET', KEYS[1], 'fence', last, 'owner', owner)
elseif held[2] ~= owner or (mine >= 0 and last ~= mine) then
  return 0
end
local ends = now + (verb == 'release' and 0 or ms)
redis.call('HSET', KEYS[1], 'until', ends)
redis.call('PEXPIREAT', KEYS[1], math.max(ends, last) + stays)
return verb == 'claim' and last or 1
