-- changed(key, ms): the set of nodes is another one, which its version says.
-- One that was lost must not come back to a number known already.

local function changed(key, ms)
    if redis.call('EXISTS', key) == 0
       or type(redis.pcall('INCR', key)) ~= 'number' then
        redis.call('SET', key, string.format('%.0f', ms))
    end
end
