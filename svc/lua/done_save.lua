#!lua flags=allow-oom
--
-- Save how far a partition is done. A place only grows.
--
-- KEYS: goim:life, goim:{<partition>}:done, the partition's lease
-- ARGV: life of the connection, epoch, place, seconds that places stay, the
--       lease: "<holder> <fence>"
-- Answer: 'OK', or 'FENCED' when the lease is another's: nothing was done
-- Errors: LIFE
--
-- use: life fit lease farther

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

if not lease(KEYS[3], ARGV[5]) then return 'FENCED' end

fit(KEYS[2], 'hash')
if farther(ARGV[3], redis.call('HGET', KEYS[2], ARGV[2])) then
    redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
    redis.call('EXPIRE', KEYS[2], ARGV[4])
end
return 'OK'
