#!lua flags=allow-oom
--
-- Begin a new epoch of the Kafka bus. The first one to find out decides;
-- places that still hold are taken along.
--
-- KEYS: goim:bus:kafka, done of the epoch that is over, done of the new one
-- ARGV: base of the epoch, random part that is over, the new one, seconds
--       that `done` stays, then the partitions that begin anew
-- Answer: 'NEW', or 'ANOTHER' when it was over already: nothing was done
-- Errors: none of its own
--
-- use: fit

fit(KEYS[1], 'hash')
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then
    return 'ANOTHER'
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])

local lost = {}
for i = 5, #ARGV do lost[ARGV[i]] = true end

local done = redis.pcall('HGETALL', KEYS[2])
for i = 1, #done, 2 do
    if not lost[done[i]] then
        redis.call('HSET', KEYS[3], done[i], done[i + 1])
    end
end
redis.call('EXPIRE', KEYS[3], ARGV[4])

return 'NEW'
