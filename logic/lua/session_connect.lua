#!lua
--
-- A session logs in: its key is its own from now on, and its room is listed.
--
-- KEYS: goim:life
-- ARGV: life of the connection, deadline (ms, Redis's clock), server, zone,
--       ms that the mapping lives, prefix of keys; key, mid or 0, session;
--       order with which its room is listed, or 0; the room; 1: the key must
--       not be another user's; how many sessions the user may have, or 0;
--       ms that a node's registration lives; when its token was issued (s),
--       '': it has no signed one; the token's id or ''; the last
--       one: events (lib/who.lua)
-- Answer: { broken keys replaced, keys of the user swept, 1, holder before
--         or '' }; { broken, 0, 0, holder }: a newer session of the same zone
--         has the key; { broken, 0, 2, holder }: another user's has;
--         { broken, 0, 3, holder or '' }: the user has as many as it may;
--         { 0, 0, 4, '' }: the token is taken no longer; nothing was written
--         then
-- Errors: LIFE, LATE <clock>; nothing was written then
--
-- use: life now late try older put list count revoked who

local bad = life(KEYS[1], ARGV[1]) or late(ARGV[2])
if bad then return bad end

local s = { server = ARGV[3], ttl = ARGV[5], prefix = ARGV[6], key = ARGV[7],
            mid = ARGV[8], at = now() }
s.holder = ARGV[3] .. '/' .. ARGV[4] .. '/' .. ARGV[9]

if ARGV[15] ~= '' and revoked(s.prefix, s.mid, ARGV[15], ARGV[16]) then
    return { 0, 0, 4, '' }
end
local old = try('HMGET', s.prefix .. 'sess_' .. s.key, 'holder', 'mid', 'worker')
if old[1] and older(s.holder, old[1]) then
    return { broken, 0, 0, old[1] }
end
if ARGV[12] == '1' and old[1] and old[2] ~= s.mid then
    return { broken, 0, 2, old[1] }
end
if ARGV[13] ~= '0' and s.mid ~= '0'
   and count(s, tonumber(ARGV[13]), tonumber(ARGV[14])) >= tonumber(ARGV[13])
then
    return { broken, 0, 3, old[1] or '' }
end
if old[2] and old[2] ~= s.mid and old[2] ~= '0' then
    try('HDEL', s.prefix .. 'mid_' .. old[2], s.key)
end

local w = who(ARGV[#ARGV], s.prefix, ARGV[1])
if w and old[1] and old[1] ~= s.holder then
    who_had(w, old[1], old[3], 'replaced')
end

put(s, 64)

if w then
    s.zone, s.session = ARGV[3] .. '/' .. ARGV[4], ARGV[9]
    s.room, s.moves = ARGV[11], 0
    who_in(w, s, s.ttl)
end

if ARGV[10] ~= '0' and list(s.prefix, ARGV[11], ARGV[3] .. '/' .. ARGV[4],
                            ARGV[10], math.floor(s.at / 1000))
then
    broken = broken + 1
end
return { broken, swept, 1, old[1] or '' }
