#!lua flags=allow-oom
--
-- Read how far a partition is done.
--
-- KEYS: goim:{<partition>}:done, goim:done:<epoch> of versions before, where
--       the places of all partitions stood in one hash
-- ARGV: epoch, partition, seconds that places stay
-- Answer: the place, or '' for none
-- Errors: none of its own
--
-- use: fit farther

fit(KEYS[1], 'hash')

local done = redis.call('HGET', KEYS[1], ARGV[1])
local old = redis.pcall('HGET', KEYS[2], ARGV[2])

if farther(old, done) then
    redis.call('HSET', KEYS[1], ARGV[1], old)
    redis.call('EXPIRE', KEYS[1], ARGV[3])
    done = old
end

return place(done) and done or ''
