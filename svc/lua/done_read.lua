#!lua flags=allow-oom
--
-- Read how far a partition is done.
--
-- KEYS: goim:life, goim:{<partition>}:done, goim:{<partition>}:done:<epoch>;
--       of versions before: goim:done:<epoch>, where the places of all
--       partitions stood in one hash, goim:done:<epoch>:<partition>
-- ARGV: life of the connection, epoch, partition, seconds that places stay
-- Answer: the place, and behind a blank what was noted of it; where there is
--         none '', and behind a blank where the partition was begun
-- Errors: LIFE
--
-- use: life fit farther

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

fit(KEYS[2], 'hash')

local done = redis.call('HGET', KEYS[2], ARGV[2])
local old = redis.pcall('HGET', KEYS[4], ARGV[3])

if farther(old, done) then
    -- what was kept began with a head of 64 bytes: a place and a note
    local kept = redis.pcall('GET', KEYS[5])
    if type(kept) == 'string'
       and string.sub(kept, 1, #old + 1) == old .. ' ' then
        redis.call('SET', KEYS[3], string.sub(kept, 65), 'EX', ARGV[4])
        old = string.match(string.sub(kept, 1, 64), '^%Z*')
    end
    redis.call('HSET', KEYS[2], ARGV[2], old)
    redis.call('EXPIRE', KEYS[2], ARGV[4])
    done = old
end

if place(done) then return done end
local since = redis.call('HGET', KEYS[2], ARGV[2] .. ' since')
return since and ' ' .. since or ''
