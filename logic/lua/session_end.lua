#!lua
--
-- Sessions have ended: what they had is removed, with what an older session
-- of the zone wrote late.
--
-- KEYS: goim:life
-- ARGV: life of the connection, deadline (ms, Redis's clock), server, zone,
--       0, prefix of keys; key, mid or 0, session, and so on;
--       the last one: events (lib/who.lua)
-- Answer: { broken keys replaced, 0, how many had their key }
-- Errors: LIFE, LATE <clock>; nothing was written then
--
-- use: life now late try older drop who

local bad = life(KEYS[1], ARGV[1]) or late(ARGV[2])
if bad then return bad end

local w, had = who(ARGV[#ARGV], ARGV[6], ARGV[1]), 0

for i = 7, #ARGV - 1, 3 do
    local key, holder = ARGV[i], ARGV[3] .. '/' .. ARGV[4] .. '/' .. ARGV[i + 2]
    local old = try('HMGET', ARGV[6] .. 'sess_' .. key, 'holder', 'mid')

    if old[1] and (old[1] == holder or older(old[1], holder)) then
        drop(ARGV[6], key, ARGV[3], old[2])
        had = had + 1
    end
    if w then
        who_out(w, ARGV[3] .. '/' .. ARGV[4], w.worker, ARGV[i + 2], 'ended')
    end
end

return { broken, 0, had }
