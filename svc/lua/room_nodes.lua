#!lua flags=no-writes
--
-- The zones of nodes for which rooms are listed.
--
-- KEYS: goim:life
-- ARGV: life of the connection, prefix of keys, the most zones of a room that
--       are told; rooms
-- Answer: for each room a list of <server>/<zone>, or 1: any
-- Errors: LIFE
--
-- use: life

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local max, answer = tonumber(ARGV[3]), {}

for i = 4, #ARGV do
    local key = ARGV[2] .. 'goim:rooms:' .. ARGV[i]
    local n = redis.pcall('HLEN', key)
    if type(n) ~= 'number' or n > max then
        answer[i - 3] = 1
    elseif n == 0 then
        answer[i - 3] = {}
    else
        answer[i - 3] = redis.call('HKEYS', key)
    end
end

return answer
