#!lua flags=allow-oom
--
-- Take counts of a zone that is gone out of the sums of the cluster, some at
-- a time.
--
-- KEYS: goim:online:<name>, goim:online, goim:online:zones
-- ARGV: name, how many rooms
-- Answer: rooms that are left
-- Errors: none of its own
--
-- use: fit now sums

fit(KEYS[1], 'hash')
fit(KEYS[2], 'zset')
fit(KEYS[3], 'set')

local epoch = sums(KEYS[2], now())
local left = 0

if redis.call('HGET', KEYS[1], '') == epoch then
    local rooms = redis.call('HRANDFIELD', KEYS[1], ARGV[2], 'WITHVALUES')
    for i = 1, #rooms, 2 do
        local room = rooms[i]
        if room ~= '' then
            redis.call('HDEL', KEYS[1], room)
            if tonumber(redis.call('ZINCRBY', KEYS[2], rooms[i + 1], room))
               >= 0 then
                redis.call('ZREM', KEYS[2], room)
            end
        end
    end
    left = redis.call('HLEN', KEYS[1]) - 1
end

if left == 0 then
    redis.call('UNLINK', KEYS[1])
    redis.call('SREM', KEYS[3], ARGV[1])
end

return left
