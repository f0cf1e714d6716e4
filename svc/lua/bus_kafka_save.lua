#!lua flags=allow-oom
--
-- Save how far partitions of the Kafka bus are done, and the sums of what
-- was.
--
-- KEYS: goim:life, done, then for each partition its lease and its sums
-- ARGV: life of the connection, seconds that keys stay, then for each
--       partition: the lease, "<holder> <fence>", its number, place, the head
--       of its sums, and twice an index into them and sums from there on
-- Answer: the partitions whose lease is another's: nothing was done for them
-- Errors: LIFE
--
-- use: life fit lease

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local fenced = {}
fit(KEYS[2], 'hash')

for i = 3, #KEYS, 2 do
    local a = 3 + (i - 3) / 2 * 8
    if not lease(KEYS[i], ARGV[a]) then
        fenced[#fenced + 1] = ARGV[a + 1]
    else
        redis.call('HSET', KEYS[2], ARGV[a + 1], ARGV[a + 2])
        fit(KEYS[i + 1], 'string')
        redis.call('SETRANGE', KEYS[i + 1], 0, ARGV[a + 3])
        redis.call('SETRANGE', KEYS[i + 1], ARGV[a + 4], ARGV[a + 5])
        redis.call('SETRANGE', KEYS[i + 1], ARGV[a + 6], ARGV[a + 7])
        redis.call('EXPIRE', KEYS[i + 1], ARGV[2])
    end
end

redis.call('EXPIRE', KEYS[2], ARGV[2])

return fenced
