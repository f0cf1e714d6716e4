-- kicked(prefix, key): mid, end of its token, and holder of a device that was
-- closed, so that its program does not come back by itself; nothing, if it was not.
--
-- kick(prefix, mid, key, holder, ends, at, ms): remember that, in goim:kicked:<key>,
-- until that end, or for `ms`, when it has none; and drop its session.

local function kick(prefix, mid, key, holder, ends, at, ms)
    local left = tonumber(ends) > 0 and tonumber(ends) - at or tonumber(ms)

    redis.call('SET', prefix .. 'goim:kicked:' .. key,
        mid .. ' ' .. ends .. ' ' .. holder, 'PX',
        string.format('%.0f', math.max(left, 1)))
    drop(prefix, key, string.match(holder, '^(.*)/[^/]*/'), mid)
end

local function kicked(prefix, key)
    local mark = try('GET', prefix .. 'goim:kicked:' .. key)
    if mark then return string.match(mark, '^(%d+) (%d+) (.*)$') end
end
