/*
 * Lua shared by all that append to a stream with ids <life>-*: node streams
 * (stream.c) and the Redis bus (bus_redis_*.c).
 *
 *     goim_life(key, life)             an error reply, or nil: the life is
 *                                      that of this connection
 *     goim_append(life_key, life, stream, command...)
 *                                      id, replaced; or nil, error reply
 *
 * A stream that is no stream is deleted and begun again. One whose last id
 * lies above the life can only come from a lost goim:life or a stranger: the
 * life is lifted above it, and everybody connects again; where that cannot
 * be expressed, the stream is replaced too.
 */

#ifndef SVC_APPEND_LUA_H
#define SVC_APPEND_LUA_H

#define SVC_APPEND_LUA                                                       \
    "local function goim_life(key, life)\n"                                  \
    "    local n = redis.pcall('HGET', key, 'n')\n"                          \
    "    if n == life then return nil end\n"                                 \
    "    return redis.error_reply('LIFE this is another run of Redis')\n"    \
    "end\n"                                                                  \
    "local function goim_append(life_key, life, stream, ...)\n"              \
    "    local id = redis.pcall(...)\n"                                      \
    "    if type(id) == 'string' then return id end\n"                       \
    "    local err = id.err or ''\n"                                         \
    "    if string.find(err, 'equal or smaller', 1, true) then\n"            \
    "        local last = redis.pcall('XREVRANGE', stream, '+', '-',\n"      \
    "                                 'COUNT', 1)\n"                         \
    "        local ms = last[1] and string.match(last[1][1], '^(%d+)-')\n"   \
    "        if ms and #ms < 16 then\n"                                      \
    "            redis.call('HSET', life_key, 'n',\n"                        \
    "                       string.format('%.0f', tonumber(ms) + 1))\n"      \
    "            return nil, redis.error_reply('LIFE lifted above a "        \
                     "stream')\n"                                            \
    "        end\n"                                                          \
    "    elseif string.find(err, 'WRONGTYPE', 1, true) ~= 1 then\n"          \
    "        return nil, id\n"                                               \
    "    end\n"                                                              \
    "    redis.call('DEL', stream)\n"                                        \
    "    id = redis.pcall(...)\n"                                            \
    "    if type(id) == 'string' then return id, true end\n"                 \
    "    return nil, id\n"                                                   \
    "end\n"

#endif
