#!lua flags=allow-oom
--
-- Number and store although Redis is full: only so is the bus emptied that
-- filled it. Who has been refused with OOM asks for this.
--
-- KEYS: as number.lua
-- ARGV: as number.lua
-- Answer: as number.lua
-- Errors: LIFE, OOM when Redis is more than 10 % above its maxmemory: nothing
--         was done
--
-- use: memory number

local used, max = memory()
if max > 0 and used > max * 1.1 then
    return redis.error_reply('OOM more than 10 % above maxmemory')
end

return number()
