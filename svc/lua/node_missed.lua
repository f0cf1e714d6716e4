#!lua flags=allow-oom
--
-- Count what is not appended for a node that has lapsed.
--
-- KEYS: goim:nodes:missed
-- ARGV: server, records
-- Answer: the sum
-- Errors: none of its own
--
-- use: fit

fit(KEYS[1], 'hash')
return redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
