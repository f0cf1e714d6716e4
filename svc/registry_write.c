/*
 * The registry of nodes: what logic writes for the comets.
 */

#include "registry_int.h"

#include "clock.h"
#include "log.h"
#include "stream.h"

#include "svc/lua/node_leave.lua.h"
#include "svc/lua/node_missed.lua.h"
#include "svc/lua/node_register.lua.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define REGISTRY_KEY  1024


static svc_script_t  registry_register_script = { .body = node_register_lua };
static svc_script_t  registry_leave_script = { .body = node_leave_lua };
static svc_script_t  registry_missed_script = { .body = node_missed_lua };


typedef struct {
    registry_pt   cb;
    void         *data;
    char          server[256];
} registry_call_t;


static uint64_t
registry_number(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? strtoull(reply->str, NULL, 10)
                                             : 0;
}


/* { 'OK', replaced, seen, missed, lapsed }, of 'OK' perhaps the first two */
static void
registry_accepted(const redisReply *reply, registry_answer_t *a)
{
    a->result = REGISTRY_OK;

    if (reply->element[1]->type == REDIS_REPLY_INTEGER
        && reply->element[1]->integer != 0)
    {
        log_write(LOG_ERROR, "registry: a key was of another type and has "
                  "been replaced");
    }

    if (reply->elements == 5) {
        a->seen = registry_number(reply->element[2]);
        a->missed = registry_number(reply->element[3]);
        a->lapsed = reply->element[4]->type == REDIS_REPLY_INTEGER
                    && reply->element[4]->integer != 0;
    }
}


static void
registry_answered(svc_redis_t *r, redisReply *reply, void *data)
{
    log_text_t          t;
    registry_call_t    *call;
    registry_answer_t   a;

    static log_once_t  errors;

    call = data;

    memset(&a, 0, sizeof(registry_answer_t));
    a.result = REGISTRY_AGAIN;
    a.holder = "";

    if (svc_redis_class(reply) != SVC_REDIS_OK) {

        if (reply != NULL) {
            log_seldom(&errors, LOG_ERROR, "registry: server \"%s\": %s",
                       log_text(&t, call->server), reply->str);

            /* the next one goes by what its clock is */

            if (strncmp(reply->str, "LATE ", 5) == 0) {
                svc_redis_clock_set(r, strtoll(reply->str + 5, NULL, 10));
            }
        }

    } else if (reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2
               && reply->element[0]->type == REDIS_REPLY_STRING)
    {
        if (strcmp(reply->element[0]->str, "OK") == 0) {
            registry_accepted(reply, &a);

        } else {
            a.result = REGISTRY_REFUSED;

            if (reply->element[1]->type == REDIS_REPLY_STRING) {
                a.holder = reply->element[1]->str;
            }
        }
    }

    call->cb(&a, call->data);
    free(call);
}


static int
registry_eval(svc_redis_t *r, svc_script_t *script, const char *server,
    int nkeys, int nargs, const char **args, const size_t *lens,
    registry_pt cb, void *data)
{
    int               i, rc;
    char              keys[6][REGISTRY_KEY];
    size_t            len[20];
    const char       *argv[20], *prefix;
    registry_call_t  *call;

    if (!svc_redis_is_up(r)) {
        return -1;
    }

    prefix = svc_redis_prefix(r);

    if (strlen(prefix) + strlen(server) + 64 > REGISTRY_KEY) {
        return -1;
    }

    snprintf(keys[0], REGISTRY_KEY, "%sgoim:nodes", prefix);
    snprintf(keys[1], REGISTRY_KEY, "%sgoim:nodes:version", prefix);
    snprintf(keys[2], REGISTRY_KEY, "%sgoim:nodes:seen", prefix);
    snprintf(keys[3], REGISTRY_KEY, "%sgoim:nodes:zones:%s", prefix, server);
    snprintf(keys[4], REGISTRY_KEY, "%sgoim:node:%s", prefix, server);
    snprintf(keys[5], REGISTRY_KEY, "%sgoim:nodes:missed", prefix);

    for (i = 0; i < nkeys; i++) {
        argv[i] = keys[i];
        len[i] = strlen(keys[i]);
    }

    for (i = 0; i < nargs; i++) {
        argv[nkeys + i] = args[i];
        len[nkeys + i] = lens[i];
    }

    call = malloc(sizeof(registry_call_t));
    if (call == NULL) {
        abort();
    }

    call->cb = cb;
    call->data = data;
    snprintf(call->server, sizeof(call->server), "%s", server);

    rc = svc_redis_eval(r, script, registry_answered, call, nkeys,
                        nkeys + nargs, argv, len);
    if (rc != 0) {
        free(call);
    }

    return rc;
}


/* The entry of a node, without `seen`; to be freed. */
static uint8_t *
registry_pack(const Goim__Register *info, size_t *len)
{
    uint8_t     *packed;
    Goim__Node   node = GOIM__NODE__INIT;

    node.info = (Goim__Register *) info;
    *len = goim__node__get_packed_size(&node);

    packed = malloc(*len + 1);
    if (packed == NULL) {
        abort();
    }

    goim__node__pack(&node, packed);

    return packed;
}


int
registry_register(registry_t *g, const Goim__Register *info,
    int64_t deadline, registry_pt cb, void *data)
{
    int             i, rc;
    char            ttl[24], expire[24], seen[24], wait[24], until[24];
    size_t          len, lens[12];
    uint8_t        *packed;
    const char     *args[12];
    Goim__Register  kept;

    /* what is not for others to read */

    kept = *info;
    kept.seen = 0;
    kept.redis_run_id = (char *) "";
    kept.redis_db = 0;
    kept.redis_prefix = (char *) "";
    kept.read = (char *) "";
    kept.news = 0;
    kept.n_workers = 0;
    kept.worker = 0;

    packed = registry_pack(&kept, &len);

    snprintf(ttl, sizeof(ttl), "%lld", (long long) g->ttl);
    snprintf(expire, sizeof(expire), "%d", SVC_STREAM_EXPIRE);
    snprintf(seen, sizeof(seen), "%llu", (unsigned long long) info->seen);
    snprintf(wait, sizeof(wait), "%lld", (long long) (2 * g->renew));
    snprintf(until, sizeof(until), "%lld",
             (long long) (svc_redis_clock(g->r) + deadline - svc_now()));

    args[0] = info->server;
    args[1] = info->zone;
    args[2] = info->instance;
    args[3] = info->replaces;
    args[4] = ttl;
    args[5] = (char *) packed;
    args[6] = expire;
    args[7] = seen;
    args[8] = g->nnodes > 0 ? "1" : "0";
    args[9] = wait;
    args[10] = info->news ? "1" : "0";
    args[11] = until;

    for (i = 0; i < 12; i++) {
        lens[i] = (i == 5) ? len : strlen(args[i]);
    }

    rc = registry_eval(g->r, &registry_register_script, info->server, 6, 12,
                       args, lens, cb, data);

    free(packed);

    return rc;
}


int
registry_deregister(registry_t *g, const char *server, const char *zone,
    registry_pt cb, void *data)
{
    int             rc;
    size_t          lens[3];
    uint8_t        *packed;
    const char     *args[3];
    Goim__Register  info = GOIM__REGISTER__INIT;

    info.server = (char *) server;
    info.zone = (char *) zone;
    packed = registry_pack(&info, &lens[2]);

    args[0] = server;
    args[1] = zone;
    args[2] = (char *) packed;
    lens[0] = strlen(server);
    lens[1] = strlen(zone);

    rc = registry_eval(g->r, &registry_leave_script, server, 4, 3, args, lens,
                       cb, data);

    free(packed);

    return rc;
}


int
registry_missed(registry_t *g, const char *server, size_t n, svc_redis_pt cb,
    void *data)
{
    char         key[REGISTRY_KEY], number[24];
    const char  *args[3];

    if (strlen(svc_redis_prefix(g->r)) + 64 > REGISTRY_KEY) {
        return -1;
    }

    snprintf(key, sizeof(key), "%sgoim:nodes:missed",
             svc_redis_prefix(g->r));
    snprintf(number, sizeof(number), "%zu", n);

    args[0] = key;
    args[1] = server;
    args[2] = number;

    return svc_redis_eval(g->r, &registry_missed_script, cb, data, 1, 3, args,
                          NULL);
}
