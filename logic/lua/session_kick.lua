#!lua
--
-- A user's device is closed, and does not come back with the token that it has.
--
-- KEYS: none
-- ARGV: prefix of keys, mid, key, ms that it is remembered where the token has no
--       end
-- Answer: { broken keys replaced, 1, holder }, or { broken, 0, '' }: the user has
--         no such session
-- Errors: none
--
-- use: now try drop kicked

local key = ARGV[1] .. 'sess_' .. ARGV[3]
local old = try('HMGET', key, 'holder', 'mid', 'ends')

if not old[1] or old[2] ~= ARGV[2] then return { broken, 0, '' } end

kick(ARGV[1], ARGV[2], ARGV[3], old[1], old[3] or '0', now(), ARGV[4])

return { broken, 1, old[1] }
