#!lua flags=allow-oom
--
-- A zone of a node tells how far it has read its stream. What all zones of
-- the node have read is thrown away once Redis is three quarters full: else
-- it would stay so for as long as the streams are.
--
-- KEYS: goim:node:<server>, goim:nodes:read:<server>,
--       goim:nodes:zones:<server>
-- ARGV: zone, id of the last entry that it has, "<ms>-<n>"
-- Answer: how many entries were thrown away
-- Errors: none of its own
--
-- use: fit memory now farther

fit(KEYS[2], 'hash')
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], 3600)

local used, max = memory()
if max == 0 or used < max * 0.75 then return 0 end

-- A zone that does not say has read nothing; one that has said nothing at
-- all for ten minutes is not waited for.

local least
local zones = redis.pcall('HGETALL', KEYS[3])
if zones.err then return 0 end

for i = 1, #zones, 2 do
    local seen = tonumber(string.match(zones[i + 1], '^(%d+) ') or '')
    if seen and now() < seen + 600000 then
        local read = redis.call('HGET', KEYS[2], zones[i])
        if not place(read) then return 0 end
        if not least or farther(least, read) then least = read end
    end
end

if not least then return 0 end

-- the entry itself stays: it tells where the stream is
local n = redis.pcall('XTRIM', KEYS[1], 'MINID', least)
return type(n) == 'number' and n or 0
