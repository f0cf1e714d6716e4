#!lua flags=no-writes
--
-- Is a token taken no longer?
--
-- KEYS: none
-- ARGV: prefix of keys; its mid, when it was issued (s), its id or ''
-- Answer: 1 or 0
-- Errors: none
--
-- use: revoked

return revoked(ARGV[1], ARGV[2], ARGV[3], ARGV[4]) and 1 or 0
