#!lua flags=allow-oom
--
-- Register a zone of a node, or renew it.
--
-- KEYS: goim:nodes, goim:nodes:version, goim:nodes:seen,
--       goim:nodes:zones:<server>, goim:node:<server>, goim:nodes:missed
-- ARGV: server, zone, instance, the dead instance that it replaces (or ''),
--       ttl (ms), packed goim.Node without `seen`, seconds that the stream
--       stays, `seen` of the zone's last registration (0: none), 1 when the
--       caller knows nodes, ms that readers wait for a registry that was lost,
--       1 when readers are to look at once, deadline (ms, Redis's clock)
-- Answer: { 'OK', 1 when a key of another type was replaced, seen, missed,
--       1 when nobody knew the zone any more }, or { 'REFUSED', the instance
--       that holds the server_id }
-- Errors: LATE <clock>; nothing was written then
--
-- The zones of a server stand beside the packed nodes in a form that Lua can
-- read: zone -> "<seen> <instance>". Possible in a full Redis too, or the
-- nodes would seem to die just when they are needed to empty it.
--
-- use: fit now late left changed

local bad = late(ARGV[12])
if bad then return bad end

local replaced = 0
local types = { 'hash', 'string', 'zset', 'hash', false, 'hash' }
for _, i in ipairs({ 1, 2, 3, 4, 6 }) do
    if fit(KEYS[i], types[i]) then replaced = 1 end
end

local server, zone, instance = ARGV[1], ARGV[2], ARGV[3]
local field = server .. '/' .. zone
local ttl = tonumber(ARGV[5])
local ms = now()
local text = string.format('%.0f', ms)
local news = ARGV[11] == '1'

-- the last part tells instances apart
local function id(name)
    return string.match(name, '[^/]*$')
end

-- who else has this server_id

local holder, mine
local zones = redis.call('HGETALL', KEYS[4])
for i = 1, #zones, 2 do
    local seen, other = string.match(zones[i + 1], '^(%d+) (.*)$')
    seen = tonumber(seen or '')
    if zones[i] == zone then
        mine = seen
    elseif seen and id(other) == id(instance) then
        -- another zone of the same one
    elseif seen and other ~= ARGV[4] and ms < seen + ttl then
        holder = other
        -- the clock was put back
        if seen > ms then
            redis.call('HSET', KEYS[4], zones[i], text .. ' ' .. other)
        end
    else
        redis.call('HDEL', KEYS[4], zones[i])
        if left(KEYS[1], KEYS[3], server .. '/' .. zones[i], ms) then
            news = true
        end
    end
end

-- Entries that nobody renewed for an hour take no more room. That is no
-- goodbye, and no news: who knows them goes by its own clock.

local old = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ms - 3600000,
                       'LIMIT', 0, 100)
for _, name in ipairs(old) do
    if name ~= field then
        redis.call('HDEL', KEYS[1], name)
        redis.call('ZREM', KEYS[3], name)
        redis.call('HDEL', KEYS[6], string.match(name, '^(.*)/') or name)
    end
end

local lapsed = 0
if not holder then
    local node = redis.call('HGET', KEYS[1], field)
    local known = node and string.sub(node, -2) ~= '\24\1'
    local before = tonumber(ARGV[8])

    -- A registry that begins while somebody was registered already was lost,
    -- and the others are waited for. Who comes later was not.

    local created = redis.call('HGET', KEYS[1], 'created')
    if not created then
        local lost = before > 0 or ARGV[9] == '1'
        redis.call('HSET', KEYS[1], 'created',
                   lost and text .. ' lost' or text)
    elseif not known and before > 0 then
        local since, lost = string.match(created, '^(%d+)( ?)')
        if lost ~= ' ' or ms >= tonumber(since) + tonumber(ARGV[10]) then
            lapsed = 1
        end
    end

    -- whoever may have taken it for gone is to look again
    if not known or not mine or mine > ms or ms >= mine + ttl / 2 then
        news = true
    end

    -- the field `seen` of goim.Node: a varint behind its tag
    local seen, n = '\16', ms
    while n >= 128 do
        seen = seen .. string.char(n % 128 + 128)
        n = math.floor(n / 128)
    end
    seen = seen .. string.char(n)

    redis.call('HSET', KEYS[1], field, ARGV[6] .. seen)
    redis.call('HSET', KEYS[4], zone, text .. ' ' .. instance)
    redis.call('EXPIRE', KEYS[4], 3600)
    redis.call('ZADD', KEYS[3], text, field)
    redis.call('EXPIRE', KEYS[5], ARGV[7])
end

if news then changed(KEYS[2], ms) end

if holder then return { 'REFUSED', holder } end

local missed = tonumber(redis.call('HGET', KEYS[6], server) or '') or 0
return { 'OK', replaced, text, string.format('%.0f', missed), lapsed }
