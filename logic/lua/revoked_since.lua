#!lua flags=no-writes
--
-- What has been revoked since.
--
-- KEYS: none
-- ARGV: prefix of keys, the version that is known, how many at most
-- Answer: { version, what, up to when issued and until when it counts, its
--         version, ... }
-- Errors: none of its own

local p = ARGV[1] .. 'goim:revoked'
local n = redis.pcall('HGET', p, 'n')
local answer = { type(n) == 'string' and n or '0' }
local list = redis.pcall('ZRANGE', p .. ':log', '(' .. ARGV[2], '+inf',
                         'BYSCORE', 'LIMIT', 0, ARGV[3], 'WITHSCORES')
for i = 1, list.err and 0 or #list, 2 do
    local says = redis.pcall('HGET', p, list[i])
    if type(says) == 'string' then
        answer[#answer + 1] = list[i]
        answer[#answer + 1] = says
        answer[#answer + 1] = list[i + 1]
    end
end
return answer
