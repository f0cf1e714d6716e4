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
--       '': it has no signed one; the token's id or ''; class of the device,
--       or ''; how many of that class the user may have, or 0; 1: the oldest
--       of them end, 0: this one is refused; when its token ends (ms), or 0;
--       the last one: events (lib/who.lua)
-- Answer: { broken keys replaced, keys of the user swept, 1, holder before
--         or '', key and holder of a session that is to end, ... };
--         { broken, 0, 0, holder }: a newer session of the same zone
--         has the key; { broken, 0, 2, holder }: another user's has;
--         { broken, 0, 3, holder or '' }: the user has as many as it may;
--         { 0, 0, 4, '' }: the token is taken no longer; { broken, 0, 5, '' }:
--         the device was closed, and this is no newer token; nothing was
--         written then
-- Errors: LIFE, LATE <clock>; nothing was written then
--
-- use: life now late try older put list count revoked drop class kicked who

local bad = life(KEYS[1], ARGV[1]) or late(ARGV[2])
if bad then return bad end

local s = { server = ARGV[3], ttl = ARGV[5], prefix = ARGV[6], key = ARGV[7],
            mid = ARGV[8], at = now(), class = ARGV[17], ends = ARGV[20] }
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
local user, till = kicked(s.prefix, s.key)
if user == s.mid and tonumber(s.ends) <= tonumber(till) then
    return { broken, 0, 5, '' }
end
local many = {}
if s.mid ~= '0' and s.class ~= '' and ARGV[18] ~= '0' then
    many = class(s, tonumber(ARGV[18]), tonumber(ARGV[14]))
    if #many > 0 and ARGV[19] ~= '1' then
        return { broken, 0, 3, old[1] or '' }
    end
end
local answer = { broken, 0, 1, old[1] or '' }
for _, m in ipairs(many) do
    kick(s.prefix, s.mid, m[1], m[2], m[3], s.at, s.ttl)
    answer[#answer + 1] = m[1]
    answer[#answer + 1] = m[2]
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
answer[1], answer[2] = broken, swept
return answer
