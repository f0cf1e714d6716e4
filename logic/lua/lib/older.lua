-- older(a, b): whether the holder `a`, <server>/<zone>/<session>, is an older
-- session of the zone of `b`. Sessions of two zones can't be compared.

local function older(a, b)
    local zone, n = string.match(a, '^(.*/)(%d+)$')
    if not zone or string.sub(b, 1, #zone) ~= zone then return false end
    local m = string.sub(b, #zone + 1)
    if not string.match(m, '^%d+$') then return false end
    if #n ~= #m then return #n < #m end
    return n < m
end
