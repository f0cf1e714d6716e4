#!lua flags=allow-oom
--
-- Save how far partitions of the Kafka bus are done, and the sums of what
-- was; give partitions up.
--
-- KEYS: goim:life, done, the jobs' notes, then for each partition its lease
--       and its sums
-- ARGV: life of the connection, seconds that keys stay, job, then for each
--       partition: value of the lease, '1' to give it up, its number, place
--       or '', the head of its sums, and twice an index into them and sums
--       from there on
-- Answer: the partitions whose lease is another's: nothing was done for them
-- Errors: LIFE
--
-- use: life fit note

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local fenced, gone = {}, false
fit(KEYS[2], 'hash')

for i = 4, #KEYS, 2 do
    local a = 4 + (i - 4) / 2 * 9
    if redis.pcall('GET', KEYS[i]) ~= ARGV[a] then
        fenced[#fenced + 1] = ARGV[a + 2]
    else
        if ARGV[a + 3] ~= '' then
            redis.call('HSET', KEYS[2], ARGV[a + 2], ARGV[a + 3])
            fit(KEYS[i + 1], 'string')
            redis.call('SETRANGE', KEYS[i + 1], 0, ARGV[a + 4])
            redis.call('SETRANGE', KEYS[i + 1], ARGV[a + 5], ARGV[a + 6])
            redis.call('SETRANGE', KEYS[i + 1], ARGV[a + 7], ARGV[a + 8])
            redis.call('EXPIRE', KEYS[i + 1], ARGV[2])
        end
        if ARGV[a + 1] == '1' then
            redis.call('DEL', KEYS[i])
            gone = true
        end
    end
end

redis.call('EXPIRE', KEYS[2], ARGV[2])
if gone then note(KEYS[3], ARGV[3]) end

return fenced
