#!lua flags=no-writes
--
-- The sessions of users.
--
-- KEYS: none
-- ARGV: prefix of keys, how many of a user at most; users
-- Answer: for each user { key, holder, since when (ms), ... }, by their keys
-- Errors: none of its own

local max, answer = tonumber(ARGV[2]), {}

for i = 3, #ARGV do
    local mid, list = ARGV[1] .. 'mid_' .. ARGV[i], {}
    local n = redis.pcall('HLEN', mid)
    local keys = {}
    if type(n) == 'number' and n > max then
        keys = redis.call('HRANDFIELD', mid, max)
    elseif type(n) == 'number' then
        keys = redis.call('HKEYS', mid)
    end
    table.sort(keys)
    for _, key in ipairs(keys) do
        local s = redis.pcall('HMGET', ARGV[1] .. 'sess_' .. key, 'holder',
                              'mid', 'at')
        if s[1] and s[2] == ARGV[i] then
            list[#list + 1] = key
            list[#list + 1] = s[1]
            list[#list + 1] = s[3] or '0'
        end
    end
    answer[#answer + 1] = list
end

return answer
