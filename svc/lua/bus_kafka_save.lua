#!lua flags=allow-oom
--
-- Save how far partitions of the Kafka bus are done. Whoever has a partition
-- saves: a place only grows.
--
-- KEYS: goim:life, goim:bus:kafka, done
-- ARGV: life of the connection, base of the epoch, its random part, seconds
--       that `done` stays, then partition, offset of each
-- Answer: 'OK', or 'EPOCH' when that one is over: nothing was done
-- Errors: LIFE
--
-- use: life fit

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local random = redis.pcall('HGET', KEYS[2], ARGV[2])
if (type(random) == 'string' and random or '') ~= ARGV[3] then
    return 'EPOCH'
end

fit(KEYS[3], 'hash')
for i = 5, #ARGV, 2 do
    local old = tonumber(redis.call('HGET', KEYS[3], ARGV[i]) or '')
    if not old or old < tonumber(ARGV[i + 1]) then
        redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
    end
end
if #ARGV > 4 then redis.call('EXPIRE', KEYS[3], ARGV[4]) end

return 'OK'
