-- list(prefix, room, zone, order, s): the room is listed for the zone,
-- <server>/<zone>, at s, Redis's clock in seconds; whether a key of another
-- type was replaced. One that comes late takes nothing from a newer one.
--
-- What was replaced may have had other zones: '*' stands for all, as long as
-- the key lives. What is older than a day is a zone's that is gone: with each
-- new one up to four are looked at.

local function list(prefix, room, zone, order, s)
    local key = prefix .. 'goim:rooms:' .. room
    local was = redis.pcall('HGET', key, zone)
    local replaced = type(was) == 'table'
    if replaced then
        redis.call('DEL', key)
        redis.call('HSET', key, '*', '')
        was = false
    end
    local n = was and tonumber(string.match(was, '^(%d+) ') or '') or 0
    redis.call('HSET', key, zone,
               string.format('%.0f %.0f', math.max(n, tonumber(order)), s))
    redis.call('EXPIRE', key, 86400)

    if was or redis.call('HLEN', key) == 1 then return replaced end
    local some = redis.call('HRANDFIELD', key, 4, 'WITHVALUES')
    for i = 1, #some, 2 do
        local at = tonumber(string.match(some[i + 1], ' (%d+)$') or '')
        if at and at + 86400 < s then redis.call('HDEL', key, some[i]) end
    end
    return replaced
end
