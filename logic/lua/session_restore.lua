#!lua flags=allow-oom
--
-- A new life of Redis may lack sessions: it is whole once each zone that was
-- registered has announced its sessions, or had the time of a registration
-- to do so.
--
-- KEYS: goim:life, goim:restoring, goim:nodes, goim:nodes:seen
-- ARGV: life of the connection, ms that a registration lives, '' or a zone
--       that has announced all, 1 when the caller knows that there was a life
--       before this one, else 0; zones that are awaited, <server>/<zone>
-- Answer: 1: whole, else 0
-- Errors: LIFE
--
-- use: life now fit

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

local ms = now()
local last = string.format('%.0f', ms + tonumber(ARGV[2]))

fit(KEYS[2], 'hash')

-- the first one to come also waits for those that Redis itself still knows
if redis.call('HGET', KEYS[2], '') ~= ARGV[1] then
    redis.call('DEL', KEYS[2])
    redis.call('HSET', KEYS[2], '', ARGV[1])
    redis.call('EXPIRE', KEYS[2], 86400)
    local seen = redis.pcall('ZRANGE', KEYS[4], 0, -1)
    for _, zone in ipairs(seen) do
        local node = redis.pcall('HGET', KEYS[3], zone)
        -- those that have left say so at their end (svc/lua/lib/left.lua)
        if type(node) == 'string' and string.sub(node, -2) ~= '\24\1' then
            redis.call('HSET', KEYS[2], zone, last)
        end
    end
end

-- A registry that was lost with the sessions, and is not there or has just begun:
-- nodes may have been in it of which nobody has heard yet.
if ARGV[4] == '1' then
    local created = redis.pcall('HGET', KEYS[3], 'created')
    created = type(created) == 'string'
              and tonumber(string.match(created, '^%d+')) or ms
    if ms < created + tonumber(ARGV[2]) then
        redis.call('HSETNX', KEYS[2], '?',
                   string.format('%.0f', created + tonumber(ARGV[2])))
    end
end

for i = 5, #ARGV do redis.call('HSETNX', KEYS[2], ARGV[i], last) end
if ARGV[3] ~= '' then redis.call('HSET', KEYS[2], ARGV[3], 'done') end

local all = redis.call('HGETALL', KEYS[2])
local whole = '1'

for i = 1, #all, 2 do
    if all[i] ~= '' and all[i + 1] ~= 'done' and ms < tonumber(all[i + 1]) then
        whole = '0'
    end
end

redis.call('HSET', KEYS[1], 'whole', whole)
return tonumber(whole)
