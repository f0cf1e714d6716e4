#!lua
--
-- A client has sent a message: the application is to be told.
--
-- KEYS: goim:life
-- ARGV: life of the connection, prefix of keys, events (lib/who.lua), mid, key
--       or '', room or '', operation, bytes, id that the client gave or '', mids
--       as a list in JSON or ''
-- Answer: 1
-- Errors: LIFE
--
-- use: life now try who

local bad = life(KEYS[1], ARGV[1])
if bad then return bad end

event(who(ARGV[3], ARGV[2], ARGV[1]), 'message',
      { mid = ARGV[4], key = ARGV[5], zone = '', session = '', room = ARGV[6] },
      '', 'operation', ARGV[7], 'bytes', ARGV[8], 'message_id', ARGV[9],
      'mids', ARGV[10])
return 1
