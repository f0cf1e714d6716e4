-- memory(): bytes that Redis uses, and maxmemory, 0 for none. Some 8 us.

local function memory()
    local info = redis.call('INFO', 'memory')
    return tonumber(string.match(info, 'used_memory:(%d+)')),
           tonumber(string.match(info, 'maxmemory:(%d+)'))
end
