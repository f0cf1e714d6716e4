#!lua flags=allow-oom
--
-- A holder's turn: say that it is there, renew its leases, take what is free
-- up to its share. In a full Redis too: only a consumer can empty it.
--
-- No clock of Redis's is in it, but that all stays for 30 days. A lease is
-- "<holder> <fence> <turn>", a member has the number of its last turn; whoever
-- has seen one of them unchanged for a lease's time, by his own clock, may say
-- so: it is over if it still is what he saw.
--
-- KEYS: goim:life, members, notes
-- ARGV: life of the connection, what the keys of partitions begin with, what
--       they end with, what leases of versions before begin with or '',
--       1: one holder has all, holder, its turn, number of partitions, number
--       of members that are over, then holder and turn of each, then partition and value of each
--       lease that is over
-- Answer: { share, { holder, turn of each member }, { partition, fence of
--         each lease it has }, { partition, value of each that another has } }
-- Errors: LIFE
--
-- The shares of all add up to the number of partitions, so nobody waits for
-- what nobody gives up. With one holder it is who has the first partition.
--
-- use: life fit note

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local base, scope, before, whole, me, turn = unpack(ARGV, 2, 7)
local n, nover = tonumber(ARGV[8]), tonumber(ARGV[9])
local stay = 2592000

fit(KEYS[2], 'hash')
fit(KEYS[3], 'stream')

for i = 10, 8 + 2 * nover, 2 do
    if redis.call('HGET', KEYS[2], ARGV[i]) == ARGV[i + 1] then
        redis.call('HDEL', KEYS[2], ARGV[i])
    end
end

local over = {}
for i = 10 + 2 * nover, #ARGV, 2 do over[ARGV[i]] = ARGV[i + 1] end

if redis.call('HSET', KEYS[2], me, turn) == 1 then note(KEYS[3], me) end
redis.call('EXPIRE', KEYS[2], stay)

local members = redis.call('HKEYS', KEYS[2])
table.sort(members)
local share = math.floor(n / #members)
for i, member in ipairs(members) do
    if member == me and i <= n % #members then share = share + 1 end
end

local mine, others, free = {}, {}, {}

local function take(p, fence)
    redis.call('SET', base .. p .. '}:lease' .. scope,
               me .. ' ' .. fence .. ' ' .. turn, 'EX', stay)
    mine[#mine + 1] = p
    mine[#mine + 1] = fence
end

for p = 0, n - 1 do
    local key = base .. p .. '}:lease' .. scope
    fit(key, 'string')
    local value = redis.call('GET', key)
    local holder, fence = string.match(value or '', '^(.*) (%d+) %d+$')
    if holder == me then
        take(p, fence)
    elseif holder and over[tostring(p)] ~= value then
        others[#others + 1] = p
        others[#others + 1] = value
    elseif before == ''
           or redis.call('PTTL', before .. p .. ':lease') <= 0 then
        free[#free + 1] = p
    end
end

if whole == '1' then
    share = (mine[1] == 0 or free[1] == 0) and n or 0
end

for _, p in ipairs(free) do
    if #mine >= 2 * share then break end
    local key = base .. p .. '}:fence' .. scope
    local fence = redis.pcall('INCR', key)
    if type(fence) ~= 'number' then
        redis.call('DEL', key)
        fence = redis.call('INCR', key)
    end
    redis.call('EXPIRE', key, stay)
    take(p, string.format('%.0f', fence))
end

return { share, redis.call('HGETALL', KEYS[2]), mine, others }
