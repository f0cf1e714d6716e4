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
    "local id, extra = goim_append(KEYS[2], ARGV[1], KEYS[1],\n"
    "    'XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], ARGV[1] .. '-*',\n"
    "    'd', ARGV[3])\n"
    "if not id then return extra end\n"
    /* A stream that is new always begins with 0. One that does so twice in
       a life was deleted in between: its ids would come again, so the life
       is lifted and everybody connects anew. */
    "if string.sub(id, -2) == '-0' then\n"
    "    local begun = 'begun ' .. KEYS[1]\n"
    "    if redis.call('HGET', KEYS[2], begun) == ARGV[1] then\n"
    "        redis.call('DEL', KEYS[1])\n"
    "        redis.call('HINCRBY', KEYS[2], 'n', 1)\n"
    "        return redis.error_reply('LIFE lifted, a stream is gone')\n"
    "    end\n"
    "    redis.call('HSET', KEYS[2], begun, ARGV[1])\n"
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
