#!lua flags=allow-oom
--
-- Save how far a partition of the Redis bus is done, trim its stream behind
-- that place, give the partition up.
--
-- KEYS: goim:life, lease, done, the partition's stream, goim:bus:notes
-- ARGV: life of the connection, value of the lease, partition, place or '',
--       first id to keep, seconds that `done` stays, '1' to give it up, job
-- Answer: 'OK', or 'FENCED' when the lease is another's: nothing was done
-- Errors: LIFE
--
-- use: life fit note

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end
if redis.pcall('GET', KEYS[2]) ~= ARGV[2] then return 'FENCED' end

if ARGV[4] ~= '' then
    fit(KEYS[3], 'hash')
    redis.call('HSET', KEYS[3], ARGV[3], ARGV[4])
    redis.call('EXPIRE', KEYS[3], ARGV[6])
    redis.pcall('XTRIM', KEYS[4], 'MINID', ARGV[5])
end

if ARGV[7] == '1' then
    redis.call('DEL', KEYS[2])
    note(KEYS[5], ARGV[8])
end

return 'OK'
