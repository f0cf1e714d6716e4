#!lua
--
-- Append records to the Redis bus.
--
-- KEYS: goim:life, then for each record the stream of its partition and
--       goim:{<partition>}:done
-- ARGV: life of the connection, epoch, then key, value of each record
-- Answer: the number of records when each was appended, else for each its id
--         or an error
-- Errors: LIFE, OOM and any other for all of them: nothing was written
--
-- A stream whose first id in this life is not above what is done has been
-- lost behind the consumer's back: ids that it would never read are not
-- given, the life is lifted instead.
--
-- use: life append place

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

-- a first id, or none
local function odd(i, id)
    local extra
    if type(id) ~= 'string' then
        id, extra = append(KEYS[1], KEYS[i], 'XADD', KEYS[i],
                           ARGV[1] .. '-*', 'k', ARGV[i + 1],
                           'v', ARGV[i + 2])
    end

    if id and string.sub(id, -2) == '-0' then
        local ms = place(redis.pcall('HGET', KEYS[i + 1], ARGV[2]))
        if extra or (ms and ms >= tonumber(ARGV[1])) then
            local n = math.max(ms or 0, tonumber(ARGV[1])) + 1
            redis.call('DEL', KEYS[i])
            redis.call('HSET', KEYS[1], 'n', string.format('%.0f', n))
            return redis.error_reply('LIFE lifted, as the stream '
                                     .. KEYS[i] .. ' was lost')
        end
    end

    return id or extra
end

-- most records take nothing but this loop
local out, good, n = {}, 0, 0
local xadd, new = redis.pcall, ARGV[1] .. '-*'
local sub = string.sub

for i = 2, #KEYS, 2 do
    local id = xadd('XADD', KEYS[i], new, 'k', ARGV[i + 1],
                    'v', ARGV[i + 2])

    if type(id) ~= 'string' or sub(id, -2) == '-0' then
        id = odd(i, id)
    end

    if type(id) == 'string' then
        good = good + 1
    end

    n = n + 1
    out[n] = id
end

return good == n and n or out
