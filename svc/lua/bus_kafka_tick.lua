#!lua flags=allow-oom
--
-- A job's turn on the Redis bus: announce it, renew its leases, take what is
-- free up to its share. In a full Redis too: only a consumer can empty it.
--
-- KEYS: goim:life, goim:bus:jobs, done, goim:bus:notes
-- ARGV: life of the connection, what the keys of partitions begin with, job,
--       time of a lease in ms, number of partitions
-- Answer: { share, then partition, fence, place or '', length of the stream
--         of each lease }
-- Errors: LIFE
--
-- The shares of all jobs add up to the number of partitions, so nobody waits
-- for what nobody gives up.
--
-- use: life now fit note

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local base, me, n = ARGV[2], ARGV[3], tonumber(ARGV[5])

fit(KEYS[2], 'zset')
fit(KEYS[3], 'hash')
fit(KEYS[4], 'stream')

local ms = now()
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ms)
local new = not redis.call('ZSCORE', KEYS[2], me)
redis.call('ZADD', KEYS[2], string.format('%.0f', ms + tonumber(ARGV[4])), me)
redis.call('EXPIRE', KEYS[2], 3600)
if new then note(KEYS[4], me) end

local jobs = redis.call('ZRANGE', KEYS[2], 0, -1)
table.sort(jobs)
local share = math.floor(n / #jobs)
for i, job in ipairs(jobs) do
    if job == me and i <= n % #jobs then share = share + 1 end
end

local mine, free = {}, {}
for p = 0, n - 1 do
    local key = base .. p .. ':lease'
    fit(key, 'string')
    local job, fence = string.match(redis.call('GET', key) or '',
                                    '^(.*) (%d+)$')
    if not job then
        free[#free + 1] = p
    elseif job == me then
        redis.call('PEXPIRE', key, ARGV[4])
        mine[#mine + 1] = { p, fence }
    end
end

for _, p in ipairs(free) do
    if #mine >= share then break end
    local key = base .. p .. ':fence'
    local fence = redis.pcall('INCR', key)
    if type(fence) ~= 'number' then
        fence = ms
        redis.call('SET', key, string.format('%.0f', ms))
    end
    fence = string.format('%.0f', fence)
    redis.call('SET', base .. p .. ':lease', me .. ' ' .. fence,
               'PX', ARGV[4])
    mine[#mine + 1] = { p, fence }
end

local out = { share }
for _, lease in ipairs(mine) do
    local len = redis.pcall('XLEN', base .. lease[1])
    out[#out + 1] = lease[1]
    out[#out + 1] = lease[2]
    out[#out + 1] = redis.call('HGET', KEYS[3], lease[1]) or ''
    out[#out + 1] = type(len) == 'number' and len or 0
end
return out
