#!lua
--
-- Append records to the Redis bus.
--
-- KEYS: goim:life, done, the stream of each record
-- ARGV: life of the connection, then partition, key, value of each record
-- Answer: for each record its id, or an error
-- Errors: LIFE, OOM and any other for all of them: nothing was written
--
-- A stream whose first id in this life is not above what is done has been
-- lost behind the consumer's back: ids that it would never read are not
-- given, the life is lifted instead.
--
-- use: life append

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local out = {}

for i = 3, #KEYS do
    local a = 3 * i - 7
    local id, extra = append(KEYS[1], KEYS[i], 'XADD', KEYS[i],
                             ARGV[1] .. '-*', 'k', ARGV[a + 1],
                             'v', ARGV[a + 2])

    if id and string.sub(id, -2) == '-0' then
        local done = redis.pcall('HGET', KEYS[2], ARGV[a])
        local ms = type(done) == 'string'
                   and tonumber(string.match(done, '^(%d+)-'))
        if extra or (ms and ms >= tonumber(ARGV[1])) then
            local n = math.max(ms or 0, tonumber(ARGV[1])) + 1
            redis.call('DEL', KEYS[i])
            redis.call('HSET', KEYS[1], 'n', string.format('%.0f', n))
            id = nil
            extra = redis.error_reply('LIFE lifted, as the stream '
                                      .. KEYS[i] .. ' was lost')
        end
    end

    out[#out + 1] = id or extra
end

return out
