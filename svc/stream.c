/*
 * Appending to a node's stream.
 */

#include "stream.h"

#include "append_lua.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


/* KEYS: stream, life; ARGV: life, maxlen, delivery, expiry */
static svc_script_t  svc_stream_script = {
    .body =
    "#!lua\n"
    SVC_APPEND_LUA
    "local bad = goim_life(KEYS[2], ARGV[1])\n"
    "if bad then return bad end\n"
    /* Ids go on in the life, or above it where the stream began anew. */
    "local begun = 'begun ' .. KEYS[1]\n"
    "local was = redis.call('HGET', KEYS[2], begun)\n"
    "local ms = ARGV[1]\n"
    "if was and tonumber(was) > tonumber(ms) then ms = was end\n"
    "local function add()\n"
    "    return goim_append(KEYS[2], ARGV[1], KEYS[1], 'XADD', KEYS[1],\n"
    "        'MAXLEN', '~', ARGV[2], ms .. '-*', 'd', ARGV[3])\n"
    "end\n"
    "local id, extra = add()\n"
    "if not id then return extra end\n"
    /* A stream that is new always begins with 0. One that does so a second
       time was deleted in between, and its ids would come twice. */
    "if string.sub(id, -2) == '-0' then\n"
    "    if was == ms then\n"
    "        local t = redis.call('TIME')\n"
    "        local now = tonumber(t[1]) * 1000 + math.floor(t[2] / 1000)\n"
    "        redis.call('DEL', KEYS[1])\n"
    "        ms = string.format('%.0f', math.max(now, tonumber(ms) + 1))\n"
    "        id = add()\n"
    "    end\n"
    "    redis.call('HSET', KEYS[2], begun, ms)\n"
    "    redis.call('EXPIRE', KEYS[1], ARGV[4], 'NX')\n"
    "end\n"
    "if extra then return { id, 'replaced' } end\n"
    "return id\n"
};


#define SVC_STREAM_KEY  1024


int
svc_stream_append(svc_redis_t *r, const char *server, size_t maxlen,
    const void *delivery, size_t len, svc_redis_pt cb, void *data)
{
    int          n;
    char         stream[SVC_STREAM_KEY], life_key[SVC_STREAM_KEY];
    char         life[24], max[24], expire[24];
    size_t       argvlen[6];
    const char  *argv[6];

    if (!svc_redis_is_up(r)) {
        return -1;
    }

    n = snprintf(stream, sizeof(stream), "%sgoim:node:%s",
                 svc_redis_prefix(r), server);

    if (n < 0 || (size_t) n >= sizeof(stream)) {
        return -1;
    }

    snprintf(life_key, sizeof(life_key), "%sgoim:life", svc_redis_prefix(r));
    snprintf(life, sizeof(life), "%llu",
             (unsigned long long) svc_redis_life(r));
    snprintf(max, sizeof(max), "%zu", maxlen);
    snprintf(expire, sizeof(expire), "%d", SVC_STREAM_EXPIRE);

    argv[0] = stream;
    argv[1] = life_key;
    argv[2] = life;
    argv[3] = max;
    argv[4] = delivery;
    argv[5] = expire;

    for (n = 0; n < 6; n++) {
        argvlen[n] = (n == 4) ? len : strlen(argv[n]);
    }

    return svc_redis_eval(r, &svc_stream_script, cb, data, 2, 6, argv,
                          argvlen);
}
