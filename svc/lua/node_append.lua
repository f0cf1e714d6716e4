#!lua
--
-- Append a delivery to a node's stream.
--
-- KEYS: the stream, goim:life
-- ARGV: life of the connection, maxlen, packed goim.Delivery,
--       seconds that the stream stays when nobody registers
-- Answer: the id; or { id, 'replaced' } when the key was no stream
-- Errors: LIFE (connect again and repeat), OOM; nothing was written then
--
-- use: node_append

return node_append()
