-- put(s, sweep): write the three keys of a session; whether any was lost.
--
-- s: prefix, holder, server, key, mid, ttl; `at`: the holder is written, too,
-- with class and ends, where they are known.
-- Of the same user's other keys eight are looked at, any of them when there are
-- more: those whose session is gone, or is another user's by now, are removed
-- and counted in `swept`. Where that were some, the next eight are, up to
-- `sweep`. Nothing else would, as the hash lives on with the user's other
-- sessions.

local swept = 0
local function put(s, sweep)
    local sess, lost = s.prefix .. 'sess_' .. s.key, false
    if s.at then
        try('HSET', sess, 'holder', s.holder, 'mid', s.mid,
            'at', string.format('%.0f', s.at), 'class', s.class or '',
            'ends', s.ends or '0')
    end
    redis.call('PEXPIRE', sess, s.ttl)
    if not try('SET', s.prefix .. 'key_' .. s.key, s.server, 'PX', s.ttl,
               'GET')
    then
        lost = true
    end
    if s.mid == '0' then return lost end

    local mid = s.prefix .. 'mid_' .. s.mid
    if try('HSET', mid, s.key, s.server) == 1 then lost = true end
    redis.call('PEXPIRE', mid, s.ttl)

    local n = redis.call('HLEN', mid)
    local all, gone = n <= 8, 8
    while n > 1 and sweep > 0 and gone > 2 do
        gone = 0
        for _, k in ipairs(all and redis.call('HKEYS', mid)
                           or redis.call('HRANDFIELD', mid, 8)) do
            if k ~= s.key then
                local m = try('HGET', s.prefix .. 'sess_' .. k, 'mid')
                if (m and m ~= s.mid) or (not m
                   and redis.call('EXISTS', s.prefix .. 'key_' .. k) == 0)
                then
                    redis.call('HDEL', mid, k)
                    gone = gone + 1
                end
            end
        end
        swept, n, sweep = swept + gone, n - gone, sweep - 8
    end
    return lost
end
