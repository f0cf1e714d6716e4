#!lua
--
-- Tokens are taken no longer, or: those revocations are known. Of one that is
-- there the wider is kept. Of those whose tokens have all ended some are removed.
--
-- KEYS: goim:life
-- ARGV: life of the connection, prefix of keys, how many there may be; what (m
--       and a mid, j and a token's id), up to when issued (s), until when it
--       counts (ms; 0: always), and so on
-- Answer: how many say something new
-- Errors: LIFE; FULL: none of them was written
--
-- use: life now try

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local p = ARGV[2] .. 'goim:revoked'
local over = try('ZRANGE', p .. ':ends', '-inf', string.format('%.0f', now()),
                 'BYSCORE', 'LIMIT', 0, 64)
for _, f in ipairs(over) do
    try('HDEL', p, f)
    try('ZREM', p .. ':ends', f)
    try('ZREM', p .. ':log', f)
end

local more = 0
for i = 4, #ARGV, 3 do
    if try('HEXISTS', p, ARGV[i]) == 0 then more = more + 1 end
end
if more > 0 and try('HLEN', p) + more > tonumber(ARGV[3]) then
    return redis.error_reply('FULL of revocations')
end

local new = 0
for i = 4, #ARGV, 3 do
    local f, till, ends = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local t, e = string.match(try('HGET', p, f) or '', '^(%d+) (%d+)$')
    if t and tonumber(t) > tonumber(till) then till = t end
    if e == '0' or (e and ends ~= '0' and tonumber(e) > tonumber(ends)) then
        ends = e
    end
    if t ~= till or e ~= ends then
        new = new + 1
        try('HSET', p, f, till .. ' ' .. ends)
        try('ZADD', p .. ':log', try('HINCRBY', p, 'n', 1), f)
        if ends == '0' then
            try('ZREM', p .. ':ends', f)
        else
            try('ZADD', p .. ':ends', ends, f)
        end
    end
end
return new
