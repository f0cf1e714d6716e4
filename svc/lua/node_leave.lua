#!lua flags=allow-oom
--
-- A zone of a node leaves the registry.
--
-- KEYS: goim:nodes, goim:nodes:version, goim:nodes:seen,
--       goim:nodes:zones:<server>
-- ARGV: server, zone, packed goim.Node with no more than these
-- Answer: { 'OK', 1 when a key of another type was replaced }
-- Errors: none of its own
--
-- use: fit now left changed

local replaced = 0
for i, want in ipairs({ 'hash', 'string', 'zset', 'hash' }) do
    if fit(KEYS[i], want) then replaced = 1 end
end

local ms = now()
redis.call('HDEL', KEYS[4], ARGV[2])

-- an entry that was swept is not gone for who has read it
redis.call('HSETNX', KEYS[1], ARGV[1] .. '/' .. ARGV[2], ARGV[3])
if left(KEYS[1], KEYS[3], ARGV[1] .. '/' .. ARGV[2], ms) then
    changed(KEYS[2], ms)
end

return { 'OK', replaced }
