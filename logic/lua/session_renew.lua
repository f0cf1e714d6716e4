#!lua
--
-- Sessions live on: their mappings too, those that were lost are restored.
-- Nothing is taken from another session, but from an older one of the zone:
-- what that wrote came late.
--
-- KEYS: goim:life
-- ARGV: life of the connection, deadline (ms, Redis's clock), server, zone,
--       ms that a mapping lives, prefix of keys; key, mid or 0, session, and
--       so on
-- Answer: { broken keys replaced, keys of users swept, mappings restored,
--         which of the sessions (from 0) have been replaced, ... }
-- Errors: LIFE, LATE <clock>; nothing was written then
--
-- use: life now late try older put

local bad = life(KEYS[1], ARGV[1]) or late(ARGV[2])
if bad then return bad end

local ms, restored, replaced = now(), 0, {}

for i = 7, #ARGV, 3 do
    local s = { server = ARGV[3], ttl = ARGV[5], prefix = ARGV[6],
                key = ARGV[i], mid = ARGV[i + 1] }
    s.holder = ARGV[3] .. '/' .. ARGV[4] .. '/' .. ARGV[i + 2]

    local holder = try('HGET', s.prefix .. 'sess_' .. s.key, 'holder')
    local mine = holder == s.holder

    if not holder then
        local server = try('GET', s.prefix .. 'key_' .. s.key)
        mine = not server or server == s.server
    elseif not mine then
        mine = older(holder, s.holder)
    end

    if mine then
        if holder ~= s.holder then s.at = ms end
        if put(s, 8) or s.at then restored = restored + 1 end
    elseif holder then
        replaced[#replaced + 1] = (i - 7) / 3
    end
end

return { broken, swept, restored, unpack(replaced) }
