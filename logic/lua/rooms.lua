#!lua flags=allow-oom
--
-- Rooms get their first member in a zone, or have had none for a while.
-- Possible in a full Redis too: a zone bounds how many rooms it has.
--
-- KEYS: goim:life
-- ARGV: life of the connection, <server>/<zone>, prefix of keys, order, order
--       of those to be taken off, how many are to be listed; these, then those
--       to be taken off unless they were listed later
-- Answer: how many keys of another type were replaced
-- Errors: LIFE
--
-- use: life now list

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local s, replaced = math.floor(now() / 1000), 0
local n = 6 + tonumber(ARGV[6])

for i = 7, n do
    if list(ARGV[3], ARGV[i], ARGV[2], ARGV[4], s) then
        replaced = replaced + 1
    end
end

for i = n + 1, #ARGV do
    local key = ARGV[3] .. 'goim:rooms:' .. ARGV[i]
    local was = redis.pcall('HGET', key, ARGV[2])
    local order = type(was) == 'string' and string.match(was, '^(%d+) ')
    if order and tonumber(order) <= tonumber(ARGV[5]) then
        redis.call('HDEL', key, ARGV[2])
    end
end

return replaced
