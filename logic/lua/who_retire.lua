#!lua flags=allow-oom
--
-- A worker is gone, perhaps with its node: its sessions have ended, so many at
-- a time.
--
-- KEYS: goim:life
-- ARGV: life of the connection, prefix of keys, server, zone, worker, how many,
--       1: the node lives on, so their mappings go, too; events
-- Answer: how many are left
-- Errors: LIFE
--
-- use: life now try drop who

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local w, left = who(ARGV[8], ARGV[2], ARGV[1]), 0
local zone, worker = ARGV[3] .. '/' .. ARGV[4], ARGV[5]
local set, known = who_set(w, zone, worker)

if known then
    for _, session in ipairs(redis.call('HRANDFIELD', set, ARGV[6])) do
        local s = session ~= '' and who_get(set, zone, session)
        if s then who_out(w, zone, worker, session, 'died') end
        if s and ARGV[7] == '1'
           and try('HGET', w.prefix .. 'sess_' .. s.key, 'holder')
               == zone .. '/' .. session
        then
            drop(w.prefix, s.key, ARGV[3], s.mid)
        end
        if session ~= '' and not s then redis.call('HDEL', set, session) end
    end
    left = redis.call('HLEN', set) - 1
end

if left <= 0 then
    left = 0
    redis.call('UNLINK', set)
    try('SREM', w.prefix .. 'goim:sessions:' .. zone, worker)
    if redis.call('EXISTS', w.prefix .. 'goim:sessions:' .. zone) == 0 then
        try('SREM', w.prefix .. 'goim:sessions', zone)
    end
end

return left
