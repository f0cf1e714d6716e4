#!lua flags=allow-oom
--
-- Messages were stored for users who have no session: logic is to look after
-- them. One of a user and a conversation waits, with a count.
--
-- KEYS: goim:away, goim:away:state
-- ARGV: how many may be known; then, again and again, who it is, number of the
--       message
-- Answer: how many were left out
-- Errors: none of its own
--
-- goim:away is a sorted set: who -> since when it waits (ms), or, where the
-- application was told, until when it is left alone. goim:away:state is a
-- hash: who -> "<last> <count> <upto> <told> <since>": the last message, how
-- many; of them, up to which and how many the application is being told of
-- (0 0: it is not); since when the others wait. Numbers that came before change
-- nothing.
--
-- use: fit now offline

fit(KEYS[1], 'zset')
fit(KEYS[2], 'hash')
local t, max = now(), tonumber(ARGV[1])
local n, out = redis.call('HLEN', KEYS[2]), 0

for i = 2, #ARGV, 2 do
    local who, seq = ARGV[i], tonumber(ARGV[i + 1])
    local s = offline_get(KEYS[2], who)
    if not s and n >= max then
        out = out + 1
    else
        if not s then
            n = n + 1
            s = { last = 0, count = 0, upto = 0, told = 0, since = t }
        end
        if seq > s.last then
            if s.count == s.told then s.since = t end
            s.last, s.count = seq, s.count + 1
            offline_set(KEYS[2], who, s)
            redis.call('ZADD', KEYS[1], 'NX', t, who)
        end
    end
end

return out
