-- note(key, job): tell the jobs that wait on the stream `key` to look at who
-- has which partition.

local function note(key, job)
    redis.pcall('XADD', key, 'MAXLEN', 16, '*', 'j', job)
    redis.call('EXPIRE', key, 3600)
end
