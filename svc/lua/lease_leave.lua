#!lua flags=allow-oom
--
-- A holder leaves.
--
-- KEYS: members, notes
-- ARGV: holder
-- Answer: 'OK'
-- Errors: none of its own
--
-- use: note

redis.pcall('HDEL', KEYS[1], ARGV[1])
note(KEYS[2], ARGV[1])
return 'OK'
