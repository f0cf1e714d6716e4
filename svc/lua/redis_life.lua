#!lua flags=allow-oom
--
-- The life: a number for each run of Redis, as run_id tells them apart. It
-- never repeats, even when the hash is lost, as long as Redis's clock does
-- not run backwards over a loss. Possible in a full Redis too: who empties
-- it connects first.
--
-- KEYS: goim:life
-- ARGV: run_id
-- Answer: the life, as text
-- Errors: none of its own
--
-- use: fit now

fit(KEYS[1], 'hash')

local h = redis.call('HMGET', KEYS[1], 'n', 'run_id')
local n = tonumber(h[1] or '')
if n and h[2] == ARGV[1] then return string.format('%.0f', n) end

local ms = now()
n = math.max((n or 0) + 1, ms)
if n > 9007199254740992 then n = ms end
n = string.format('%.0f', n)

-- what else stands there is about streams in the life that is over
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'n', n, 'run_id', ARGV[1])
return n
