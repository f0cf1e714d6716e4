/*
 * Appending to a node's stream.
 */

#include "stream.h"

#include "svc/lua/node_append.lua.h"
#include "svc/lua/node_append_full.lua.h"
#include "svc/lua/node_read.lua.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static svc_script_t  svc_stream_script = { .body = node_append_lua };
static svc_script_t  svc_stream_full_script = { .body = node_append_full_lua };
static svc_script_t  svc_stream_read_script = { .body = node_read_lua };


#define SVC_STREAM_KEY  1024
#define SVC_STREAM_ID   41          /* two numbers */


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


void
svc_stream_read(svc_redis_t *r, const char *server, const char *zone,
    const char *id)
{
    int          i;
    char         keys[3][SVC_STREAM_KEY];
    const char  *argv[5];

    static const char *const  names[] = {
        "goim:node", "goim:nodes:read", "goim:nodes:zones"
    };

    if (id[0] == '\0' || strlen(id) > SVC_STREAM_ID || !svc_redis_is_up(r)
        || strlen(svc_redis_prefix(r)) + strlen(server) + 32
           > SVC_STREAM_KEY)
    {
        return;
    }

    for (i = 0; i < 3; i++) {
        snprintf(keys[i], SVC_STREAM_KEY, "%s%s:%s", svc_redis_prefix(r),
                 names[i], server);
        argv[i] = keys[i];
    }

    argv[3] = zone;
    argv[4] = id;

    (void) svc_redis_eval(r, &svc_stream_read_script, NULL, NULL, 3, 5, argv,
                          NULL);
}
