#!lua flags=no-writes
--
-- Epochs and newest numbers of rooms.
--
-- KEYS: goim:life, goim:history, then goim:{<n>}:done and
--       goim:{<n>}:meta:<room> of each
-- ARGV: life of the connection, what goim:history has as `of`
-- Answer: for each room its epoch and newest number, '' and 0 where it has
--         none or one that belongs to something else; or 'HISTORY' when
--         goim:history has another `of`
-- Errors: LIFE
--
-- use: life belongs since

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end
local of = belongs(KEYS[2], ARGV[2], ARGV[1])
if not of then return 'HISTORY' end

local out = {}

for i = 3, #KEYS, 2 do
    local m = redis.pcall('HMGET', KEYS[i + 1], 'epoch', 'seq', 'of')
    local seq = tonumber(m[2] or '')
    local good = not m.err and m[3] == since(KEYS[i], of) and m[1] and seq
    out[#out + 1] = good and m[1] or ''
    out[#out + 1] = good and seq or 0
end

return out
