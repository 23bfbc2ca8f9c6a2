-- Moves the oldest entries of the record into a page, if they are the ones that it was made of.
-- KEYS: record, pages; ARGV: how many entries, SHA-1 of what they were, number of the last, the page.
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[1])
local ids, parts = {}, {}
local function said(part) parts[#parts + 1] = #part .. ':' .. part end
for i, entry in ipairs(oldest) do
  ids[i] = entry[1]
  said(entry[1])
  for _, part in ipairs(entry[2]) do said(part) end
end
if redis.sha1hex(table.concat(parts)) ~= ARGV[2] then return 0 end
local newest = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if newest[2] and tonumber(newest[2]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[4])
redis.call('XDEL', KEYS[1], unpack(ids))
return 1
