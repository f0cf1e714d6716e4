-- left(nodes, seen, field, ms): the entry of a node says from now on that it
-- has left, for the ten minutes in which a reader will see it; whether that
-- is news. `left` is field 3 of goim.Node.

local function left(nodes, seen, field, ms)
    local node = redis.call('HGET', nodes, field)
    if not node or string.sub(node, -2) == '\24\1' then return false end
    redis.call('HSET', nodes, field, node .. '\24\1')
    redis.call('ZADD', seen, string.format('%.0f', ms - 3000000), field)
    return true
end
