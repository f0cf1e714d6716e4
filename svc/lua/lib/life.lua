-- life(key, want): an error reply, or nil when the life in the hash `key` is
-- `want`, that of the caller's connection.

local function life(key, want)
    if redis.pcall('HGET', key, 'n') == want then return nil end
    return redis.error_reply('LIFE this is another run of Redis')
end
