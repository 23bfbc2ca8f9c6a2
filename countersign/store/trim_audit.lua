-- Drops what nobody needs any more. KEYS: record, head, events; ARGV: what, and up to where.
-- 'events', id: events before it ('+': of any age), but only those that are drawn and chained; answers how many are left.
--   What follows one that is in somebody's hand leaves some at a time: one that can never be drawn keeps no other.
-- 'record', n, hash: entries up to it; that is written down as the checkpoint, from which the rest can be verified;
-- answers how many were dropped.
local PAGE = 500
local head = redis.call('HMGET', KEYS[2], 'n', 'event', 'checkpoint')
local function before(a, b)
  local a1, a2 = string.match(a, '^(%d+)-(%d+)$')
  local b1, b2 = string.match(b, '^(%d+)-(%d+)$')
  if a1 ~= b1 then return tonumber(a1) < tonumber(b1) end
  return tonumber(a2) < tonumber(b2)
end
local function after(id)
  local at, count = string.match(id, '^(%d+)-(%d+)$')
  return string.format('%s-%.0f', at, count + 1)
end
if ARGV[1] == 'events' then
  local groups = redis.call('EXISTS', KEYS[3]) == 1 and redis.call('XINFO', 'GROUPS', KEYS[3]) or {}
  if head[2] and #groups > 0 then
    local least, held = after(head[2]), {}
    if ARGV[2] ~= '+' and before(ARGV[2], least) then least = ARGV[2] end
    for i, group in ipairs(groups) do
      local field = {}
      for at = 1, #group, 2 do field[group[at]] = group[at + 1] end
      local first = after(field['last-delivered-id'])
      if before(first, least) then least = first end
      groups[i] = field['name']
    end
    for _, name in ipairs(groups) do
      local from, some = '-', nil
      repeat
        some = redis.call('XPENDING', KEYS[3], name, from, '(' .. least, PAGE)
        for _, one in ipairs(some) do held[#held + 1] = one[1] end
        if #some > 0 then from = '(' .. some[#some][1] end
      until #some < PAGE
    end
    table.sort(held, before)
    redis.call('XTRIM', KEYS[3], 'MINID', '=', held[1] or least)
    local room = PAGE
    for i, one in ipairs(held) do
      for _, entry in ipairs(redis.call('XRANGE', KEYS[3], '(' .. one, '(' .. (held[i + 1] or least), 'COUNT', room)) do
        redis.call('XDEL', KEYS[3], entry[1])
        room = room - 1
      end
      if room == 0 then break end
    end
  end
  return redis.call('XLEN', KEYS[3])
end
local n = tonumber(ARGV[2])
local id = string.format('%.0f-0', n)
if #redis.call('XRANGE', KEYS[1], id, id) == 0 then return 0 end
redis.call('HSET', KEYS[2], 'checkpoint', string.format('%.0f:', n) .. ARGV[3])
redis.call('XTRIM', KEYS[1], 'MINID', '=', string.format('%.0f-0', n + 1))
return n - tonumber(string.match(head[3] or '', '^%d+') or 0)
