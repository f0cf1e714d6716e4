/*
 * Where the targets of a push are: key_<key> and mid_<mid> in Redis.
 */

#include "push.h"
#include "token.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIC_LOOKUP_CHUNK  500     /* keys of an MGET */
#define LOGIC_LOOKUP_KEYS   4       /* MGETs under way, of one push */
#define LOGIC_LOOKUP_MIDS   256     /* HGETALLs */


typedef struct {
    logic_push_t  *push;
    size_t         first;
    size_t         n;
} logic_chunk_t;


static void logic_lookup_go_keys(logic_push_t *p);
static int logic_lookup_mget(logic_push_t *p, size_t n);
static void logic_lookup_got_keys(svc_redis_t *r, redisReply *reply,
    void *data);
static void logic_lookup_go_mids(logic_push_t *p);
static void logic_lookup_got_mid(svc_redis_t *r, redisReply *reply,
    void *data);
static int logic_lookup_cmp(const void *one, const void *two);
static int logic_lookup_add(logic_push_t *p, const char *key, size_t len,
    const redisReply *server);
static const char *logic_lookup_server(logic_push_t *p,
    const redisReply *server);
static void logic_lookup_end(logic_push_t *p);


void
logic_lookup_keys(logic_push_t *p, size_t n)
{
    size_t              i;
    const logic_arg_t  *arg;

    p->args = calloc(n, sizeof(logic_arg_t *));

    if (p->args == NULL) {
        logic_push_answer(p, -500, "no memory");
        return;
    }

    for (i = 0; i < p->query.nargs; i++) {
        arg = &p->query.args[i];

        /* what nobody can have as key is on no node */

        if (strcmp(arg->name, "keys") == 0 && arg->len > 0
            && arg->len <= GOIM_KEY_MAX)
        {
            p->args[p->nwanted++] = arg;
        }
    }

    metrics_add(logic_m.push_offline, (int64_t) (n - p->nwanted));

    logic_lookup_go_keys(p);
}


static void
logic_lookup_go_keys(logic_push_t *p)
{
    size_t  n;

    while (!p->broken && p->req != NULL && p->next < p->nwanted
           && p->lookups < LOGIC_LOOKUP_KEYS)
    {
        n = p->nwanted - p->next;

        if (n > LOGIC_LOOKUP_CHUNK) {
            n = LOGIC_LOOKUP_CHUNK;
        }

        if (logic_lookup_mget(p, n) != 0) {
            p->broken = 1;
            break;
        }

        p->next += n;
    }

    logic_lookup_end(p);
}


static int
logic_lookup_mget(logic_push_t *p, size_t n)
{
    int              rc;
    char            *keys, *k;
    size_t           i, size;
    size_t           len[LOGIC_LOOKUP_CHUNK + 1];
    const char      *argv[LOGIC_LOOKUP_CHUNK + 1];
    logic_chunk_t   *chunk;
    logic_thread_t  *t;

    t = p->thread;
    size = 0;

    for (i = 0; i < n; i++) {
        size += t->prefix_len + 4 + p->args[p->next + i]->len;
    }

    chunk = malloc(sizeof(logic_chunk_t));
    keys = malloc(size);

    if (chunk == NULL || keys == NULL) {
        free(chunk);
        free(keys);
        return -1;
    }

    chunk->push = p;
    chunk->first = p->next;
    chunk->n = n;

    argv[0] = "MGET";
    len[0] = 4;

    for (i = 0, k = keys; i < n; i++) {
        argv[i + 1] = k;
        len[i + 1] = logic_redis_key(t, k, "key_", p->args[p->next + i]->value,
                                     p->args[p->next + i]->len);
        k += len[i + 1];
    }

    metrics_add(logic_m.lookups, 1);

    rc = svc_redis_call(t->redis, logic_lookup_got_keys, chunk, (int) n + 1,
                        argv, len);
    free(keys);

    if (rc != 0) {
        free(chunk);
        return -1;
    }

    p->lookups++;

    return 0;
}


static void
logic_lookup_got_keys(svc_redis_t *r, redisReply *reply, void *data)
{
    size_t          i;
    logic_push_t   *p;
    logic_chunk_t  *chunk = data;

    (void) r;

    p = chunk->push;
    p->lookups--;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != chunk->n)
    {
        logic_redis_said("push: MGET", reply);
        p->broken = 1;

    } else if (p->req != NULL) {

        for (i = 0; i < chunk->n && !p->broken; i++) {
            if (logic_lookup_add(p, p->args[chunk->first + i]->value,
                                 p->args[chunk->first + i]->len,
                                 reply->element[i])
                != 0)
            {
                p->broken = 1;
            }
        }
    }

    free(chunk);

    logic_lookup_go_keys(p);
}


void
logic_lookup_mids(logic_push_t *p, size_t n)
{
    size_t   i, used;
    int64_t  mid;

    p->mids = calloc(n + 1, sizeof(int64_t));

    if (p->mids == NULL) {
        logic_push_answer(p, -500, "no memory");
        return;
    }

    used = 0;

    for (i = 0; i < p->query.nargs; i++) {

        if (strcmp(p->query.args[i].name, "mids") == 0
            && logic_query_number(&p->query.args[i], 1, INT64_MAX, &mid)
               == 0)
        {
            p->mids[used++] = mid;
        }
    }

    /* a user asked for twice gets it once */

    qsort(p->mids, used, sizeof(int64_t), logic_lookup_cmp);

    for (i = 0; i < used; i++) {
        if (i == 0 || p->mids[i] != p->mids[i - 1]) {
            p->mids[p->nwanted++] = p->mids[i];
        }
    }

    logic_lookup_go_mids(p);
}


static int
logic_lookup_cmp(const void *one, const void *two)
{
    const int64_t  *a = one, *b = two;

    return (*a > *b) - (*a < *b);
}


static void
logic_lookup_go_mids(logic_push_t *p)
{
    int     n;
    char    key[LOGIC_KEY_BUF], mid[24];
    size_t  len;

    while (!p->broken && p->req != NULL && p->next < p->nwanted
           && p->lookups < LOGIC_LOOKUP_MIDS)
    {
        n = snprintf(mid, sizeof(mid), "%" PRId64, p->mids[p->next]);
        len = logic_redis_key(p->thread, key, "mid_", mid, (size_t) n);

        metrics_add(logic_m.lookups, 1);

        if (svc_redis_callf(p->thread->redis, logic_lookup_got_mid, p,
                            "HGETALL %b", key, len)
            != 0)
        {
            p->broken = 1;
            break;
        }

        p->lookups++;
        p->next++;
    }

    logic_lookup_end(p);
}


static void
logic_lookup_got_mid(svc_redis_t *r, redisReply *reply, void *data)
{
    size_t         i;
    redisReply    *key;
    logic_push_t  *p = data;

    (void) r;

    p->lookups--;

    if (svc_redis_class(reply) == SVC_REDIS_TYPE) {
        /* the next login of that user puts it right */
        logic_redis_said("push: HGETALL of a mid", reply);
        metrics_add(logic_m.broken, 1);

    } else if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        logic_redis_said("push: HGETALL", reply);
        p->broken = 1;

    } else if (p->req != NULL) {

        for (i = 0; i + 1 < reply->elements && !p->broken; i += 2) {
            key = reply->element[i];

            if (key->type != REDIS_REPLY_STRING || key->len == 0
                || key->len > GOIM_KEY_MAX
                || memchr(key->str, '\0', key->len) != NULL)
            {
                continue;
            }

            if (logic_lookup_add(p, key->str, key->len,
                                 reply->element[i + 1])
                != 0)
            {
                p->broken = 1;
            }
        }
    }

    logic_lookup_go_mids(p);
}


/* Who has no server is offline. -1: no memory, or too many. */

static int
logic_lookup_add(logic_push_t *p, const char *key, size_t len,
    const redisReply *server)
{
    char            *copy;
    size_t           size;
    logic_target_t  *targets, *target;

    metrics_add(logic_m.push_keys, 1);

    if (server->type != REDIS_REPLY_STRING || server->len == 0
        || server->len > GOIM_SERVER_MAX
        || memchr(server->str, '\0', server->len) != NULL)
    {
        metrics_add(logic_m.push_offline, 1);
        return 0;
    }

    if (p->ntargets == (size_t) p->thread->conf->max_keys) {
        p->crowded = 1;
        return -1;
    }

    if (p->ntargets == p->size) {
        size = p->size == 0 ? 8 : p->size * 2;

        targets = realloc(p->targets, size * sizeof(logic_target_t));
        if (targets == NULL) {
            return -1;
        }

        p->targets = targets;
        p->size = size;
    }

    target = &p->targets[p->ntargets];
    target->server = logic_lookup_server(p, server);
    target->key = key;
    target->len = len;

    if (target->server == NULL) {
        return -1;
    }

    if (p->kind == LOGIC_PUSH_MIDS) {
        copy = logic_push_alloc(p, len + 1);

        if (copy == NULL) {
            return -1;
        }

        memcpy(copy, key, len);
        copy[len] = '\0';
        target->key = copy;
    }

    p->ntargets++;

    return 0;
}


/* The name, kept once for all targets of this push. */

static const char *
logic_lookup_server(logic_push_t *p, const redisReply *server)
{
    size_t            i;
    uint32_t          hash;
    logic_server_t   *s, **bucket;

    hash = 2166136261u;

    for (i = 0; i < server->len; i++) {
        hash = (hash ^ (uint8_t) server->str[i]) * 16777619u;
    }

    bucket = &p->servers[hash & (LOGIC_PUSH_SERVERS - 1)];

    for (s = *bucket; s != NULL; s = s->next) {
        if (strcmp(s->name, server->str) == 0) {
            return s->name;
        }
    }

    s = logic_push_alloc(p, sizeof(logic_server_t) + server->len + 1);
    if (s == NULL) {
        return NULL;
    }

    memcpy(s->name, server->str, server->len);
    s->name[server->len] = '\0';
    s->next = *bucket;
    *bucket = s;

    return s->name;
}


/* Go on when the last lookup is there. */

static void
logic_lookup_end(logic_push_t *p)
{
    uint32_t  partitions;

    if (p->lookups > 0) {
        return;
    }

    if (p->req == NULL) {
        logic_push_release(p);
        return;
    }

    if (p->crowded) {
        logic_push_answer(p, -500, "more keys than [push] max_keys allows");
        return;
    }

    if (p->broken) {
        logic_push_answer(p, -500, "redis did not answer");
        return;
    }

    if (p->ntargets == 0) {
        logic_push_answer(p, 0, "");
        return;
    }

    partitions = bus_producer_partitions(p->thread->bus);

    if (partitions == 0) {
        logic_push_answer(p, -500, "the bus is not there");
        return;
    }

    logic_group(p->targets, p->ntargets, partitions);
    logic_push_write(p);
}
