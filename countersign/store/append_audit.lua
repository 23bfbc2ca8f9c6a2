-- Appends to the record: only after the head that the entries were made for, and only what follows it in the events.
-- KEYS: record, head, events; ARGV: n, hash and event of that head, the hash of the next one, then for each event its
-- id and entry (empty if it is none for the record).
local head = redis.call('HMGET', KEYS[2], 'n', 'hash', 'event')
for i = 1, 3 do
  if (head[i] or '') ~= ARGV[i] then return 'moved' end
end
local count = (#ARGV - 4) / 2
local from = ARGV[3] == '' and '-' or '(' .. ARGV[3]
local following = redis.call('XRANGE', KEYS[3], from, '+', 'COUNT', count)
if #following ~= count then return 'gap' end
for i, event in ipairs(following) do
  if event[1] ~= ARGV[i * 2 + 3] then return 'gap' end
end

local n = tonumber(head[1] or 0)
for i = 1, count do
  if ARGV[i * 2 + 4] ~= '' then
    n = n + 1
    redis.call('XADD', KEYS[1], string.format('%.0f-0', n), 'entry', ARGV[i * 2 + 4])
  end
end
redis.call('HSET', KEYS[2], 'n', string.format('%.0f', n), 'hash', ARGV[4], 'event', following[count][1])
return 'done'
