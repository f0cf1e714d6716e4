#!lua flags=allow-oom
--
-- Give a lease back.
--
-- KEYS: the lease, notes
-- ARGV: the lease: "<holder> <fence>", holder
-- Answer: 'OK', or 'FENCED' when it is another's: nothing was done
-- Errors: none of its own
--
-- use: lease note

if not lease(KEYS[1], ARGV[1]) then return 'FENCED' end

redis.call('DEL', KEYS[1])
note(KEYS[2], ARGV[2])
return 'OK'
