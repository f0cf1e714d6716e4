#!lua flags=no-writes
--
-- Who is in a room, by their keys.
--
-- KEYS: goim:life
-- ARGV: life of the connection, prefix of keys, room, behind which key or '',
--       how many
-- Answer: { how many there are in all, the last key looked at or '' when that
--         was the last of all, then key, holder, since when (ms), mid, ... }
-- Errors: LIFE, WRONGTYPE
--
-- use: life

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local room = ARGV[2] .. 'goim:members:' .. ARGV[3]
local n = tonumber(ARGV[5])
local all = redis.call('ZCARD', room)

-- no name of a node begins with a byte 255
local list = redis.call('ZRANGE', room,
    ARGV[4] == '' and '-' or '(' .. ARGV[4] .. '\0\255', '+', 'BYLEX',
    'LIMIT', 0, n)
local answer = { all, '' }

for _, member in ipairs(list) do
    local key, zone, session = string.match(member, '^(.*)%z(.*)/([^/]*)$')
    local s = key and redis.pcall('HMGET', ARGV[2] .. 'sess_' .. key,
                                  'holder', 'at', 'mid', 'worker')

    -- of this life, and there
    if s and s[1] == zone .. '/' .. session and s[3] and s[4]
       and redis.pcall('HMGET', ARGV[2] .. 'goim:sessions:' .. zone .. '/'
                       .. s[4], '')[1] == ARGV[1]
    then
        for _, v in ipairs({ key, s[1], s[2] or '0', s[3] }) do
            answer[#answer + 1] = v
        end
    end
    if key and #list == n then answer[2] = key end
end

return answer
