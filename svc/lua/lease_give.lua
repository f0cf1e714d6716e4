#!lua flags=allow-oom
--
-- Give a lease back.
--
-- KEYS: goim:{<partition>}:lease, notes
-- ARGV: the lease: "<holder> <fence>", holder
-- Answer: 'OK', or 'FENCED' when it is another's: nothing was done
-- Errors: none of its own
--
-- use: note

local lease = redis.pcall('GET', KEYS[1])
if type(lease) ~= 'string' or string.match(lease, '^(.*) %d+$') ~= ARGV[1] then
    return 'FENCED'
end

redis.call('DEL', KEYS[1])
note(KEYS[2], ARGV[2])
return 'OK'
