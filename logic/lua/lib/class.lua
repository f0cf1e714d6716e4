-- class(s, max, ttl): the sessions of the user s.mid of the class s.class besides
-- that of s.key which are too many with one more, the oldest first: lists of key,
-- holder, and when its token ends. As with count(), the dead are not counted.

local function class(s, max, ttl)
    local all, there = {}, {}

    for _, k in ipairs(try('HKEYS', s.prefix .. 'mid_' .. s.mid)) do
        local old = k ~= s.key and try('HMGET', s.prefix .. 'sess_' .. k,
                                       'holder', 'mid', 'class', 'at', 'ends')
        local zone = old and old[1] and old[2] == s.mid and old[3] == s.class
                     and string.match(old[1], '^(.*)/')

        if zone and there[zone] == nil then
            local seen = redis.pcall('ZSCORE', s.prefix .. 'goim:nodes:seen',
                                     zone)
            there[zone] = type(seen) == 'string'
                          and s.at < tonumber(seen) + ttl
        end

        if zone and there[zone] then
            all[#all + 1] = { k, old[1], old[5] or '0',
                              tonumber(old[4] or '0') or 0 }
        end
    end

    table.sort(all, function(a, b)
        return a[4] < b[4] or (a[4] == b[4] and a[1] < b[1])
    end)
    for _ = 1, math.min(max - 1, #all) do table.remove(all) end

    return all
end
