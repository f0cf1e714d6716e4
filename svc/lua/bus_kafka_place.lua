#!lua flags=no-writes
--
-- How far partitions of the Kafka bus are done, and a sum of the record that
-- was the last one.
--
-- KEYS: done, then the sums of each partition
-- ARGV: how many sums a partition has, the length of the head before them,
--       then each partition
-- Answer: place, head and sum of each; '' for what is not there
-- Errors: none of its own

local function text(value)
    return type(value) == 'string' and value or ''
end

local n, head = tonumber(ARGV[1]), tonumber(ARGV[2])
local out = {}

for i = 3, #ARGV do
    local key = KEYS[i - 1]
    local place = text(redis.pcall('HGET', KEYS[1], ARGV[i]))
    local offset = tonumber(string.match(place, '^%d+%-(%d+)$') or '')
    local at = head + (offset or 0) % n * 4
    out[#out + 1] = place
    out[#out + 1] = text(redis.pcall('GETRANGE', key, 0, head - 1))
    out[#out + 1] = text(redis.pcall('GETRANGE', key, at, at + 3))
end

return out
