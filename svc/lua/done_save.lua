#!lua flags=allow-oom
--
-- Save how far a partition is done, and what is kept with that. A place only
-- grows.
--
-- KEYS: goim:life, goim:{<partition>}:done, the partition's lease,
--       goim:{<partition>}:done:<epoch>
-- ARGV: life of the connection, epoch, place and perhaps a blank and a note,
--       seconds that places stay, the lease: "<holder> <fence>", then for
--       each piece to keep its index and the bytes
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

    if ARGV[6] then fit(KEYS[4], 'string') end
    for i = 6, #ARGV, 2 do
        redis.call('SETRANGE', KEYS[4], ARGV[i], ARGV[i + 1])
        redis.call('EXPIRE', KEYS[4], ARGV[4])
    end
end
return 'OK'
