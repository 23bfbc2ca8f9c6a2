-- Leases by the server's clock. KEYS[1]: the lease; ARGV: verb, owner, fence, ms.
-- A fence of -1 stands for whichever the owner has. claim -> the new fence, or 0 if somebody else holds it; renew, release -> 1, or 0 if it is not ours any more.
local verb, owner, mine, ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'fence', 'owner', 'until')
local last = tonumber(held[1] or 0)
if verb == 'claim' then
  if held[2] and tonumber(held[3]) > now and held[2] ~= owner then return 0 end
  -- By the clock too: after a failover that lost the last claim, counting alone would give its fence to another owner.
  local fence = math.max(last + 1, now)
  redis.call('HSET', KEYS[1], 'fence', fence, 'owner', owner, 'until', now + ms)
  return fence
end
if held[2] ~= owner or (mine >= 0 and last ~= mine) then return 0 end
redis.call('HSET', KEYS[1], 'until', now + (verb == 'renew' and ms or 0))
return 1
