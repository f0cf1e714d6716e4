#!lua flags=allow-oom
--
-- Those for whom a message has waited long enough are looked at by one logic,
-- for as long as its lease; when it is over, by another.
--
-- KEYS: goim:away, goim:away:taken, goim:away:state
-- ARGV: how long they wait, the lease, both in ms; how many are taken at most
-- Answer: { how many are due, { who, number of the last message, how many
--         messages, ... } }
-- Errors: none of its own
--
-- goim:away:taken is a sorted set: who -> until when the lease is (ms).
--
-- use: fit now offline

fit(KEYS[1], 'zset')
fit(KEYS[2], 'zset')
fit(KEYS[3], 'hash')
local delay, lease, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local t, list = now(), {}

local function take(who, s)
    if s.upto == 0 then s.upto, s.told = s.last, s.count end
    offline_set(KEYS[3], who, s)
    redis.call('ZADD', KEYS[2], t + lease, who)
    list[#list + 1] = who
    list[#list + 1] = string.format('%.0f', s.upto)
    list[#list + 1] = string.format('%.0f', s.told)
end

local function forget(who)
    redis.call('ZREM', KEYS[1], who)
    redis.call('ZREM', KEYS[2], who)
    redis.call('HDEL', KEYS[3], who)
end

local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', t, 'LIMIT', 0, most)
for _, who in ipairs(over) do
    local s = offline_get(KEYS[3], who)
    if s and s.upto > 0 then take(who, s) else forget(who) end
end

local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', t - delay,
                       'LIMIT', 0, most - #over)
for _, who in ipairs(due) do
    local s = offline_get(KEYS[3], who)
    if not s or s.count == 0 then
        forget(who)
    elseif redis.call('ZSCORE', KEYS[2], who) then
        redis.call('ZADD', KEYS[1], t - delay + 1000, who)
    elseif s.since + delay > t then
        redis.call('ZADD', KEYS[1], s.since, who)
    else
        redis.call('ZREM', KEYS[1], who)
        take(who, s)
    end
end

return { redis.call('ZCOUNT', KEYS[1], '-inf', t - delay)
         + redis.call('ZCARD', KEYS[2]), list }
