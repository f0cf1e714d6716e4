#!lua
--
-- Append records to the Redis bus.
--
-- KEYS: goim:life, then for each record the stream of its partition and
--       goim:{<partition>}:done
-- ARGV: life of the connection, epoch, then key, value of each record
-- Answer: for each record its id, or an error
-- Errors: LIFE, OOM and any other for all of them: nothing was written
--
-- A stream whose first id in this life is not above what is done has been
-- lost behind the consumer's back: ids that it would never read are not
-- given, the life is lifted instead.
--
-- use: life append place

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local out = {}

for i = 2, #KEYS, 2 do
    local id, extra = append(KEYS[1], KEYS[i], 'XADD', KEYS[i],
                             ARGV[1] .. '-*', 'k', ARGV[i + 1],
                             'v', ARGV[i + 2])

    if id and string.sub(id, -2) == '-0' then
        local ms = place(redis.pcall('HGET', KEYS[i + 1], ARGV[2]))
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
