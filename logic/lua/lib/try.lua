-- try(cmd, key, ...): call it; a key of a wrong type is replaced first, and
-- counted in `broken`. Any other error ends the script.

local broken = 0
local function try(cmd, key, ...)
    local r = redis.pcall(cmd, key, ...)
    if type(r) == 'table' and r.err then
        if string.find(r.err, 'WRONGTYPE', 1, true) then
            redis.call('DEL', key)
            broken = broken + 1
        end
        r = redis.call(cmd, key, ...)
    end
    return r
end
