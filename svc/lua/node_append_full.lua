#!lua flags=allow-oom
--
-- Append a delivery to a node's stream although Redis is full: only so is the
-- bus emptied that filled it. Who has been refused with OOM asks for this.
--
-- KEYS: the stream, goim:life
-- ARGV: life of the connection, maxlen, packed goim.Delivery,
--       seconds that the stream stays when nobody registers
-- Answer: the id; or { id, 'replaced' } when the key was no stream
-- Errors: LIFE (connect again and repeat), OOM when Redis is more than 10 %
--         above its maxmemory; nothing was written then
--
-- use: memory node_append

local used, max = memory()
if max > 0 and used > max * 1.1 then
    return redis.error_reply('OOM more than 10 % above maxmemory')
end

return node_append()
