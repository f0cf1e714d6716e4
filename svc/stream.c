/*
 * Appending to a node's stream.
 */

#include "stream.h"

#include "svc/lua/node_append.lua.h"
#include "svc/lua/node_append_full.lua.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static svc_script_t  svc_stream_script = { .body = node_append_lua };
static svc_script_t  svc_stream_full_script = { .body = node_append_full_lua };


#define SVC_STREAM_KEY  1024


int
svc_stream_append(svc_redis_t *r, const char *server, size_t maxlen,
    const void *delivery, size_t len, svc_redis_pt cb, void *data)
{
    int            n;
    char           stream[SVC_STREAM_KEY], life_key[SVC_STREAM_KEY];
    char           life[24], max[24], expire[24];
    size_t         argvlen[6];
    const char    *argv[6];
    svc_script_t  *script;

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

    script = svc_redis_is_full(r) ? &svc_stream_full_script
                                  : &svc_stream_script;

    return svc_redis_eval(r, script, cb, data, 2, 6, argv, argvlen);
}
