#!lua flags=allow-oom
--
-- A job leaves the Redis bus.
--
-- KEYS: goim:bus:jobs, goim:bus:notes
-- ARGV: job
-- Answer: 'OK'
-- Errors: none of its own
--
-- use: note

redis.pcall('ZREM', KEYS[1], ARGV[1])
note(KEYS[2], ARGV[1])
return 'OK'
