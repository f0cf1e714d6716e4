#!lua flags=allow-oom
--
-- What came of those who were taken (offline_take.lua).
--
-- KEYS: goim:away, goim:away:taken, goim:away:state
-- ARGV: for how long a score of goim:away leaves one alone who was told, in
--       how long those not told are tried again, both in ms; then, again and
--       again, who, number of the last message, `told`, `no` or `again`
-- Answer: 1
-- Errors: none of its own
--
-- use: now offline

local quiet, rest, t = tonumber(ARGV[1]), tonumber(ARGV[2]), now()

for i = 3, #ARGV, 3 do
    local who, what = ARGV[i], ARGV[i + 2]
    local s = offline_get(KEYS[3], who)

    -- else another one had it meanwhile, and is done
    if s and s.upto > 0 and s.upto == tonumber(ARGV[i + 1]) then
        if what == 'again' then
            redis.call('ZADD', KEYS[2], 'XX', t + rest, who)
        else
            redis.call('ZREM', KEYS[2], who)
            s.count, s.upto, s.told = math.max(s.count - s.told, 0), 0, 0
            if what == 'told' or s.count > 0 then
                offline_set(KEYS[3], who, s)
                if what == 'told' then
                    redis.call('ZADD', KEYS[1], t + quiet, who)
                end
            else
                redis.call('ZREM', KEYS[1], who)
                redis.call('HDEL', KEYS[3], who)
            end
        end
    end
end

return 1
