-- count(s, max, ttl): how many sessions of the user s.mid there are besides
-- that of s.key, up to max. Those whose node has not registered for ttl ms
-- died with it. One that only goim's own keys tell of is nobody's here.

local function count(s, max, ttl)
    local n, there = 0, {}

    for _, k in ipairs(try('HKEYS', s.prefix .. 'mid_' .. s.mid)) do
        local old = k ~= s.key
                    and try('HMGET', s.prefix .. 'sess_' .. k, 'holder', 'mid')
        local zone = old and old[1] and old[2] == s.mid
                     and string.match(old[1], '^(.*)/')

        if zone and there[zone] == nil then
            local seen = redis.pcall('ZSCORE', s.prefix .. 'goim:nodes:seen',
                                     zone)
            there[zone] = type(seen) == 'string'
                          and s.at < tonumber(seen) + ttl
        end

        if zone and there[zone] then n = n + 1 end
        if n >= max then break end
    end

    return n
end
