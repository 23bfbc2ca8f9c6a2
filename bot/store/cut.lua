-- Drops the pages before one, and the beginning of that one; the last entry dropped is the checkpoint of what is left.
-- KEYS: pages, head; ARGV: number with which the page ends, SHA-1 of it, what stays of it (empty: nothing), and the
-- number and the hash of the last entry dropped. Answers how many were dropped: none if the page is another one by now.
local found = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[1])
local head = redis.call('HMGET', KEYS[2], 'n', 'checkpoint')
if #found ~= 1 or redis.sha1hex(found[1]) ~= ARGV[2] then return 0 end
if tonumber(ARGV[4]) >= tonumber(head[1] or 0) then return 0 end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[1], ARGV[1], ARGV[3]) end
redis.call('HSET', KEYS[2], 'checkpoint', ARGV[4] .. ':' .. ARGV[5])
return tonumber(ARGV[4]) - tonumber(string.match(head[2] or '', '^%d+') or 0)
