#!lua flags=allow-oom
--
-- How many are in the rooms of a zone: what changed goes into the sums of the
-- cluster, which are kept by count.
--
-- KEYS: goim:online:<server>/<zone>, goim:online, goim:online:zones
-- ARGV: <server>/<zone>, 1 to begin anew, the number of rooms that the zone
--       has told if this is the end of all of them, else '', then room and
--       count, ...
-- Answer: { 1 when the zone is to tell all of its rooms, the name under which
--       counts wait to be taken out of the sums, or '' }
-- Errors: none of its own
--
-- goim:online holds -count, so that the largest come first, and equals by
-- name. The field '' of a zone says which sums have its counts.
--
-- use: fit now sums

fit(KEYS[1], 'hash')
fit(KEYS[2], 'zset')
fit(KEYS[3], 'set')

local ms = now()
local epoch = sums(KEYS[2], ms)
local all, gone = 0, ''
local own = redis.call('HGET', KEYS[1], '')

-- somebody took the counts away, and nobody knows which: begin anew
if not own and redis.call('SISMEMBER', KEYS[3], ARGV[1]) == 1 then
    redis.call('UNLINK', KEYS[2])
    epoch = sums(KEYS[2], math.max(ms, tonumber(epoch) + 1))
end

local function begin()
    redis.call('HSET', KEYS[1], '', epoch)
    redis.call('SADD', KEYS[3], ARGV[1])
    all = 1
end

-- the counts stay in the sums, until somebody takes them out bit by bit
local function retire()
    local n = ms
    repeat
        gone = ARGV[1] .. ':' .. string.format('%.0f', n)
        n = n + 1
    until redis.call('SISMEMBER', KEYS[3], gone) == 0
    redis.call('RENAME', KEYS[1],
               string.sub(KEYS[1], 1, -#ARGV[1] - 1) .. gone)
    redis.call('SADD', KEYS[3], gone)
end

if own and own ~= epoch then
    redis.call('UNLINK', KEYS[1])
    own = false
elseif own and ARGV[2] == '1' then
    retire()
    own = false
elseif not own then
    redis.call('UNLINK', KEYS[1])
end
if not own then begin() end

local rooms = {}
for i = 4, #ARGV, 2 do rooms[#rooms + 1] = ARGV[i] end

if #rooms > 0 then
    local was = redis.call('HMGET', KEYS[1], unpack(rooms))
    for i, room in ipairs(rooms) do
        local count = tonumber(ARGV[3 + 2 * i])
        local before = tonumber(was[i] or '') or 0
        if count ~= before then
            if count == 0 then
                redis.call('HDEL', KEYS[1], room)
            else
                redis.call('HSET', KEYS[1], room, ARGV[3 + 2 * i])
            end
            if tonumber(redis.call('ZINCRBY', KEYS[2], before - count, room))
               >= 0 then
                redis.call('ZREM', KEYS[2], room)
            end
        end
    end
end

-- rooms that the zone does not know any more
if ARGV[3] ~= '' and redis.call('HLEN', KEYS[1]) - 1 ~= tonumber(ARGV[3]) then
    retire()
    begin()
end

return { all, gone }
