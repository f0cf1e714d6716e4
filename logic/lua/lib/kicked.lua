-- What is remembered of a device that was closed, so that its program does not come
-- back by itself: goim:kicked:<key> = "<mid> <end of its token> <holder>", until
-- that end, or for `ms`, when it has none.
--
-- kick(prefix, mid, key, holder, ends, at, ms): remember, and drop its session.
-- kicked(prefix, key): mid, end, holder; nothing, if it was not.

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
