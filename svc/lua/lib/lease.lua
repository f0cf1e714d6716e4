-- lease(key, name): whether the lease in the string `key` is `name`,
-- "<holder> <fence>", whatever its last turn.

local function lease(key, name)
    local value = redis.pcall('GET', key)
    return type(value) == 'string'
           and string.match(value, '^(.*) %d+$') == name
end
