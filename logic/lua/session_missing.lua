#!lua
--
-- A zone does not have these keys, though it was pushed to them: their
-- mappings are removed if they name the zone and are old enough for their
-- logins not to be under way.
--
-- KEYS: goim:life
-- ARGV: life of the connection, deadline (ms, Redis's clock), server, zone,
--       ms that is old enough, prefix of keys; keys; the
--       last one: events (lib/who.lua)
-- Answer: { broken keys replaced, 0, how many were removed }
-- Errors: LIFE, LATE <clock>; nothing was written then
--
-- use: life now late try drop who

local bad = life(KEYS[1], ARGV[1]) or late(ARGV[2])
if bad then return bad end

local zone, ms, removed = ARGV[3] .. '/' .. ARGV[4] .. '/', now(), 0
local w = who(ARGV[#ARGV], ARGV[6], ARGV[1])

for i = 7, #ARGV - 1 do
    local s = try('HMGET', ARGV[6] .. 'sess_' .. ARGV[i], 'holder', 'mid',
                  'at', 'worker')
    if s[1] and string.sub(s[1], 1, #zone) == zone
       and ms - (tonumber(s[3]) or 0) > tonumber(ARGV[5])
    then
        drop(ARGV[6], ARGV[i], ARGV[3], s[2])
        if w then who_had(w, s[1], s[4], 'lost') end
        removed = removed + 1
    end
end

return { broken, 0, removed }
