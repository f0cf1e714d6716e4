-- note(key, who): tell those that wait on the stream `key` to look at who
-- has which partition.

local function note(key, who)
    redis.pcall('XADD', key, 'MAXLEN', 16, '*', 'j', who)
    redis.call('EXPIRE', key, 3600)
end
