#!lua flags=allow-oom
--
-- What the Redis bus was made with. The first one to come fixes the number
-- of partitions, and with it the way from keys to partitions.
--
-- KEYS: goim:bus
-- ARGV: a new random epoch, number of partitions as configured
-- Answer: { epoch, number of partitions }
-- Errors: none of its own
--
-- use: fit

fit(KEYS[1], 'hash')
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1])
redis.call('HSETNX', KEYS[1], 'partitions', ARGV[2])
return redis.call('HMGET', KEYS[1], 'epoch', 'partitions')
