#!lua flags=allow-oom
--
-- A service says that it is here, and looks for the other one. Possible in a
-- full Redis too: nobody is gone because that is full.
--
-- KEYS: goim:here:<service>:<bus>, the same of the other
-- ARGV: ms that it is to be believed
-- Answer: 1: the other is here, else 0
-- Errors: none of its own

redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return redis.call('EXISTS', KEYS[2])
