#!lua flags=allow-oom
--
-- One logic at a time sends what the application is to be told: it holds a
-- lease that it renews with each turn. One that others have seen unchanged
-- for long is theirs.
--
-- KEYS: goim:life
-- ARGV: life of the connection, prefix of keys, events (lib/who.lua), who asks,
--       the lease that is over or '', the last event that the application has
--       or '', how many given up it has been told of, how many to read or -1:
--       the lease is given back
-- Answer: { 0, the lease } or { 1, the lease, events given up, events that
--         wait, events, [id, [field, value, ...]] }
-- Errors: LIFE
--
-- use: life now try who

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local w, me, n = who(ARGV[3], ARGV[2], ARGV[1]), ARGV[4], tonumber(ARGV[8])
local stream, state = w.prefix .. 'goim:events', w.prefix .. 'goim:events:state'
local lease = try('HGET', state, 'lease') or ''
local holder, turn = string.match(lease, '^(.*) (%d+)$')

if holder and holder ~= me and lease ~= ARGV[5] then return { 0, lease } end

event_begin(w)
if n < 0 then
    redis.call('HDEL', state, 'lease')
else
    lease = string.format('%s %.0f', me, (tonumber(turn) or 0) + 1)
    redis.call('HSET', state, 'lease', lease)
end

local ms, seq = string.match(ARGV[6], '^(%d+)%-(%d+)$')
if ms then
    try('XTRIM', stream, 'MINID', ms .. '-'
        .. string.format('%.0f', tonumber(seq) + 1))
end

local dropped = tonumber(try('HGET', state, 'dropped') or 0) or 0
if ARGV[7] ~= '0' then
    dropped = math.max(dropped - tonumber(ARGV[7]), 0)
    redis.call('HSET', state, 'dropped', string.format('%.0f', dropped))
end

return { 1, lease, dropped, try('XLEN', stream),
         n > 0 and redis.call('XRANGE', stream, '-', '+', 'COUNT', n) or {} }
