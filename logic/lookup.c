/*
 * Where the targets of a push are, as the store knows it.
 */

#include "push.h"
#include "store.h"
#include "token.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/goim_hash.h"

#define LOGIC_LOOKUP_KEYS   4       /* under way, of one push */
#define LOGIC_LOOKUP_MIDS   256


typedef struct {
    logic_push_t  *push;
    size_t         first;
} logic_chunk_t;


static void logic_lookup_go_keys(logic_push_t *p);
static int logic_lookup_chunk(logic_push_t *p, size_t n);
static void logic_lookup_got_keys(const store_place_t *place, size_t n,
    void *data);
static void logic_lookup_go_mids(logic_push_t *p);
static void logic_lookup_got_mid(const store_place_t *place, size_t n,
    void *data);
static int logic_lookup_cmp(const void *one, const void *two);
static int logic_lookup_add(logic_push_t *p, const char *key, size_t len,
    const store_place_t *place);
static const char *logic_lookup_server(logic_push_t *p,
    const store_place_t *place);
static void logic_lookup_end(logic_push_t *p);
static void logic_lookup_sure(int sure, void *data);
static void logic_lookup_write(logic_push_t *p);


void
logic_lookup_keys(logic_push_t *p, size_t n)
{
    size_t              i;
    const logic_arg_t  *arg;

    p->args = calloc(n, sizeof(logic_arg_t *));

    if (p->args == NULL) {
        logic_push_answer(p, LOGIC_END_MEMORY, "no memory");
        return;
    }

    for (i = 0; i < p->query->nargs; i++) {
        arg = &p->query->args[i];

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

    while (!p->broken && p->done != NULL && p->next < p->nwanted
           && p->lookups < LOGIC_LOOKUP_KEYS)
    {
        n = p->nwanted - p->next;

        if (n > STORE_KEYS) {
            n = STORE_KEYS;
        }

        if (logic_lookup_chunk(p, n) != 0) {
            p->broken = 1;
            break;
        }

        p->next += n;
    }

    logic_lookup_end(p);
}


static int
logic_lookup_chunk(logic_push_t *p, size_t n)
{
    size_t          i;
    size_t          len[STORE_KEYS];
    const char     *keys[STORE_KEYS];
    logic_chunk_t  *chunk;

    chunk = malloc(sizeof(logic_chunk_t));
    if (chunk == NULL) {
        return -1;
    }

    chunk->push = p;
    chunk->first = p->next;

    for (i = 0; i < n; i++) {
        keys[i] = p->args[p->next + i]->value;
        len[i] = p->args[p->next + i]->len;
    }

    metrics_add(logic_m.lookups, 1);

    if (store_find_keys(p->thread->store, n, keys, len,
                        logic_lookup_got_keys, chunk)
        != 0)
    {
        free(chunk);
        return -1;
    }

    p->lookups++;

    return 0;
}


static void
logic_lookup_got_keys(const store_place_t *place, size_t n, void *data)
{
    size_t          i;
    logic_push_t   *p;
    logic_chunk_t  *chunk = data;

    p = chunk->push;
    p->lookups--;

    if (place == NULL) {
        p->broken = 1;
    }

    for (i = 0; i < n && p->done != NULL && !p->broken; i++) {
        if (logic_lookup_add(p, p->args[chunk->first + i]->value,
                             p->args[chunk->first + i]->len, &place[i])
            != 0)
        {
            p->broken = 1;
        }
    }

    free(chunk);

    logic_lookup_go_keys(p);
}


void
logic_lookup_mids(logic_push_t *p, size_t n)
{
    size_t  i;

    /* a user asked for twice gets it once */

    qsort(p->mids, n, sizeof(int64_t), logic_lookup_cmp);

    for (i = 0; i < n; i++) {
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
    while (!p->broken && p->done != NULL && p->next < p->nwanted
           && p->lookups < LOGIC_LOOKUP_MIDS)
    {
        metrics_add(logic_m.lookups, 1);

        if (store_find_mid(p->thread->store, p->mids[p->next],
                           logic_lookup_got_mid, p)
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
logic_lookup_got_mid(const store_place_t *place, size_t n, void *data)
{
    size_t         i;
    logic_push_t  *p = data;

    p->lookups--;

    if (place == NULL) {
        p->broken = 1;
    }

    if (n == 0 && place != NULL) {
        metrics_add(logic_m.push_absent, 1);
        p->missing = 1;
    }

    for (i = 0; i < n && p->done != NULL && !p->broken; i++) {
        if (place[i].key_len > GOIM_KEY_MAX) {
            metrics_add(logic_m.push_offline, 1);

        } else if (logic_lookup_add(p, place[i].key, place[i].key_len,
                                    &place[i])
                   != 0)
        {
            p->broken = 1;
        }
    }

    logic_lookup_go_mids(p);
}


/* Who has no server is offline. -1: no memory, or too many. */

static int
logic_lookup_add(logic_push_t *p, const char *key, size_t len,
    const store_place_t *place)
{
    char            *copy;
    size_t           size;
    logic_target_t  *targets, *target;

    metrics_add(logic_m.push_keys, 1);

    if (place->server == NULL) {
        metrics_add(logic_m.push_offline, 1);
        p->missing = 1;
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
    target->server = logic_lookup_server(p, place);
    target->key = key;
    target->len = len;

    if (target->server == NULL) {
        return -1;
    }

    if (p->kind == LOGIC_PUSH_MIDS) {
        copy = svc_pool_alloc(&p->pool, len + 1);

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
logic_lookup_server(logic_push_t *p, const store_place_t *place)
{
    uint32_t          hash;
    logic_server_t   *s, **bucket;

    hash = goim_fnv1a(place->server, place->len);

    bucket = &p->servers[hash & (LOGIC_PUSH_SERVERS - 1)];

    for (s = *bucket; s != NULL; s = s->next) {
        if (strcmp(s->name, place->server) == 0) {
            return s->name;
        }
    }

    s = svc_pool_alloc(&p->pool, sizeof(logic_server_t) + place->len + 1);
    if (s == NULL) {
        return NULL;
    }

    memcpy(s->name, place->server, place->len);
    s->name[place->len] = '\0';
    s->next = *bucket;
    *bucket = s;

    return s->name;
}


/* Go on when the last lookup is there. */

static void
logic_lookup_end(logic_push_t *p)
{
    if (p->lookups > 0) {
        return;
    }

    if (p->done == NULL) {
        logic_push_release(p);
        return;
    }

    if (p->crowded) {
        logic_push_answer(p, LOGIC_END_CROWDED,
                          "more keys than [push] max_keys allows");
        return;
    }

    if (p->broken) {
        logic_push_answer(p, LOGIC_END_REDIS, "redis did not answer");
        return;
    }

    if (!p->missing) {
        logic_lookup_write(p);
        return;
    }

    /* who is not found is offline, if nothing has been lost */

    if (store_sure(p->thread->store, logic_lookup_sure, p) != 0) {
        logic_push_answer(p, LOGIC_END_REDIS, "redis did not answer");
        return;
    }

    p->lookups++;
}


static void
logic_lookup_sure(int sure, void *data)
{
    logic_push_t  *p = data;

    p->lookups--;

    if (p->done == NULL) {
        logic_push_release(p);

    } else if (sure < 0) {
        logic_push_answer(p, LOGIC_END_REDIS, "redis did not answer");

    } else if (sure == 0) {
        logic_push_answer(p, LOGIC_END_RESTORING, "restoring");

    } else {
        logic_lookup_write(p);
    }
}


static void
logic_lookup_write(logic_push_t *p)
{
    uint32_t  partitions;

    if (p->ntargets == 0) {
        logic_push_answer(p, LOGIC_END_OK, "");
        return;
    }

    partitions = bus_producer_partitions(p->thread->bus);

    if (partitions == 0) {
        logic_push_answer(p, LOGIC_END_BUS, "the bus is not there");
        return;
    }

    logic_group(p->targets, p->ntargets, partitions);
    logic_push_write(p);
}
