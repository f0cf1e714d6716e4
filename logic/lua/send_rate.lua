#!lua
--
-- A user sends: is it too often? A bucket of tokens, as the one number when it
-- will be full again.
--
-- KEYS: sent_<mid>
-- ARGV: us in which a token comes, tokens that fit
-- Answer: 0, and a token has been taken; else ms until there is one
-- Errors: none

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local each, fit = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = redis.pcall('GET', KEYS[1])

full = type(full) == 'string' and tonumber(full) or now

-- of before the clock was set, or the limits

if full < now then full = now end
if full > now + each * fit then full = now + each * fit end

local wait = full + each - now - each * fit

if wait > 0 then return math.ceil(wait / 1000) end

redis.call('SET', KEYS[1], string.format('%.0f', full + each),
    'PX', math.ceil((full + each - now) / 1000))

return 0
