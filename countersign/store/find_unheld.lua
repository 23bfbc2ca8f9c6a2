-- Which runs nobody holds. KEYS: the index of runs that are not parked, then their leases; ARGV: ms, then the runs.
-- Answers the places of those whose lease ended that long ago, or that were made that long ago and never had one.
local time = redis.call('TIME')
local before = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1]
local found = {}
for place = 1, #KEYS - 1 do
  local held = redis.pcall('HGET', KEYS[place + 1], 'until')
  if type(held) == 'table' then held = false end  -- no lease, whatever else somebody put there
  local since = held or redis.call('ZSCORE', KEYS[1], ARGV[place + 1])
  if since and tonumber(since) <= before then found[#found + 1] = place end
end
return found
