-- sums(key, ms): what tells the counts that are in the zset `key` from those
-- that went with an older one: the score of its member '', made here when
-- there is none.

local function sums(key, ms)
    local epoch = redis.call('ZSCORE', key, '')
    if not epoch then
        epoch = ms
        redis.call('ZADD', key, string.format('%.0f', epoch), '')
    end
    return string.format('%.0f', tonumber(epoch))
end
