#!lua
--
-- Sessions live on: their mappings too, those that were lost are restored.
-- Nothing is taken from another session, but from an older one of the zone:
-- what that wrote came late.
--
-- KEYS: goim:life
-- ARGV: life of the connection, deadline (ms, Redis's clock), server, zone,
--       ms that a mapping lives, prefix of keys; key, mid or 0, session, how
--       often it has moved, ms since it came, its room, and so on; the last
--       one: events (lib/who.lua)
-- Answer: { broken keys replaced, keys of users swept, mappings restored,
--         which of the sessions (from 0) have been replaced, ... }
-- Errors: LIFE, LATE <clock>; nothing was written then
--
-- use: life now late try older put drop kicked who

local bad = life(KEYS[1], ARGV[1]) or late(ARGV[2])
if bad then return bad end

local ms, restored, replaced = now(), 0, {}
local w = who(ARGV[#ARGV], ARGV[6], ARGV[1])

for i = 7, #ARGV - 1, 6 do
    local s = { server = ARGV[3], ttl = ARGV[5], prefix = ARGV[6],
                key = ARGV[i], mid = ARGV[i + 1] }
    s.holder = ARGV[3] .. '/' .. ARGV[4] .. '/' .. ARGV[i + 2]

    local old = try('HMGET', s.prefix .. 'sess_' .. s.key, 'holder', 'worker')
    local holder = old[1]
    local mine = holder == s.holder

    if not holder then
        local server = try('GET', s.prefix .. 'key_' .. s.key)
        local _, _, was = kicked(s.prefix, s.key)

        -- it was closed, and may not have been told

        if was == s.holder then
            holder = was
        else
            mine = not server or server == s.server
        end
    elseif not mine then
        mine = older(holder, s.holder)
    end

    if mine then
        if holder ~= s.holder then s.at = ms - tonumber(ARGV[i + 4]) end
        if w and holder and holder ~= s.holder then
            who_had(w, holder, old[2], 'replaced')
        end
        if put(s, 8) or s.at then restored = restored + 1 end
        if w then
            s.zone, s.session = ARGV[3] .. '/' .. ARGV[4], ARGV[i + 2]
            s.moves, s.room, s.restored = tonumber(ARGV[i + 3]), ARGV[i + 5],
                                          true
            who_in(w, s, s.ttl)
        end
    elseif holder then
        replaced[#replaced + 1] = (i - 7) / 6
    end
end

return { broken, swept, restored, unpack(replaced) }
