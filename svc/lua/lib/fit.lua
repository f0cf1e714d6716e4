-- fit(key, want): a key of another type than `want` is deleted; whether it
-- was.

local function fit(key, want)
    local t = redis.call('TYPE', key).ok
    if t == want or t == 'none' then return false end
    redis.call('DEL', key)
    return true
end
