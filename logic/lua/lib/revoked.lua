-- revoked(prefix, mid, iat, jti): whether the user's token is taken no longer,
-- which was issued then (s), and has that id ('': none).

local function revoked(prefix, mid, iat, jti)
    local r = redis.pcall('HMGET', prefix .. 'goim:revoked', 'm' .. mid,
                          'j' .. jti)
    local till = r[1] and tonumber(string.match(r[1], '^%d+'))
    if till and tonumber(iat) <= till then return true end
    return jti ~= '' and r[2] and true or false
end
