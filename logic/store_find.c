/*
 * Who is found in Redis, and whether who is not found is nowhere: after a new
 * life of Redis its data may be older or gone, and every node is awaited that
 * was registered (goim:restoring). How that stands is `whole` of goim:life.
 */

#include "store_redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/log.h"

#include "logic/lua/session_restore.lua.h"

#define STORE_TICK   1000       /* ms */
#define STORE_NAMES  1000       /* zones of a script */


typedef struct {
    store_t         *store;
    store_found_pt   cb;
    void            *data;
    size_t           n;
} store_find_t;

struct store_doubt_s {
    store_doubt_t  *next;
    store_sure_pt   cb;
    void           *data;
};

typedef struct {
    store_t      *store;
    store_ask_t   ask;
    uint64_t      life;
} store_restore_t;


static void store_found_keys(svc_redis_t *r, redisReply *reply, void *data);
static void store_found_mid(svc_redis_t *r, redisReply *reply, void *data);
static int store_ask_sure(store_t *st);
static void store_told_sure(svc_redis_t *r, redisReply *reply, void *data);
static void store_tick(evutil_socket_t fd, short what, void *data);
static void store_told_life(svc_redis_t *r, redisReply *reply, void *data);
static void store_names_free(char **names, size_t *n);
static int store_restore(store_t *st, const char *done, int before,
    char *const *names, size_t n, svc_redis_pt cb, void *data);
static void store_told_restore(svc_redis_t *r, redisReply *reply,
    void *data);
static void store_told_announced(svc_redis_t *r, redisReply *reply,
    void *data);


static svc_script_t  store_restore_script = { .body = session_restore_lua };


store_t *
store_new(logic_thread_t *t)
{
    size_t    len;
    store_t  *st;

    st = calloc(1, sizeof(store_t));
    if (st == NULL) {
        return NULL;
    }

    st->thread = t;
    st->redis = t->redis;
    len = logic_redis_key(t, st->life_key, "goim:", "life", 4);
    st->life_key[len] = '\0';

    st->tick = evtimer_new(t->base, store_tick, st);
    if (st->tick == NULL) {
        free(st);
        return NULL;
    }

    svc_timer(st->tick, STORE_TICK);

    return st;
}


/* Redis is gone, so nothing is outstanding. */

void
store_free(store_t *st)
{
    event_free(st->tick);
    free(st);
}


/* ---- who is found ------------------------------------------------------ */

static store_find_t *
store_find_new(store_t *st, store_found_pt cb, void *data, size_t n)
{
    store_find_t  *f;

    f = malloc(sizeof(store_find_t));
    if (f != NULL) {
        f->store = st;
        f->cb = cb;
        f->data = data;
        f->n = n;
    }

    return f;
}


int
store_find_keys(store_t *st, size_t n, const char *const *keys,
    const size_t *len, store_found_pt cb, void *data)
{
    char          *text, *p;
    size_t         i, size;
    size_t         lens[STORE_KEYS + 1];
    const char    *argv[STORE_KEYS + 1];
    store_find_t  *f;

    if (!svc_redis_is_up(st->redis)) {
        return -1;
    }

    for (i = 0, size = 0; i < n; i++) {
        size += st->thread->prefix_len + 4 + len[i];
    }

    text = malloc(size);
    f = store_find_new(st, cb, data, n);

    if (text == NULL || f == NULL) {
        free(text);
        free(f);
        return -1;
    }

    argv[0] = "MGET";
    lens[0] = 4;

    for (i = 0, p = text; i < n; i++) {
        argv[i + 1] = p;
        lens[i + 1] = logic_redis_key(st->thread, p, "key_", keys[i], len[i]);
        p += lens[i + 1];
    }

    if (svc_redis_call(st->redis, store_found_keys, f, (int) n + 1, argv,
                       lens)
        != 0)
    {
        free(text);
        free(f);
        return -1;
    }

    free(text);

    return 0;
}


static void
store_place(store_place_t *place, const redisReply *server)
{
    place->server = NULL;

    if (server->type == REDIS_REPLY_STRING && server->len > 0
        && server->len <= GOIM_SERVER_MAX
        && memchr(server->str, '\0', server->len) == NULL)
    {
        place->server = server->str;
        place->len = server->len;
    }
}


static void
store_found_keys(svc_redis_t *r, redisReply *reply, void *data)
{
    size_t          i;
    store_find_t   *f = data;
    store_place_t   place[STORE_KEYS];

    (void) r;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != f->n)
    {
        logic_redis_said("push: MGET", reply);
        f->cb(NULL, 0, f->data);
        free(f);
        return;
    }

    for (i = 0; i < f->n; i++) {
        store_place(&place[i], reply->element[i]);
    }

    f->cb(place, f->n, f->data);
    free(f);
}


int
store_find_mid(store_t *st, int64_t mid, store_found_pt cb, void *data)
{
    int            n;
    char           key[LOGIC_KEY_BUF], text[24];
    size_t         len;
    store_find_t  *f;

    f = store_find_new(st, cb, data, 0);
    if (f == NULL) {
        return -1;
    }

    n = snprintf(text, sizeof(text), "%" PRId64, mid);
    len = logic_redis_key(st->thread, key, "mid_", text, (size_t) n);

    if (svc_redis_callf(st->redis, store_found_mid, f, "HGETALL %b", key, len)
        != 0)
    {
        free(f);
        return -1;
    }

    return 0;
}


static void
store_found_mid(svc_redis_t *r, redisReply *reply, void *data)
{
    size_t          i, n;
    redisReply     *key;
    store_find_t   *f = data;
    store_place_t  *place, none;

    (void) r;

    place = NULL;
    n = 0;

    if (svc_redis_class(reply) == SVC_REDIS_TYPE) {
        /* the next login of that user puts it right */
        logic_redis_said("push: HGETALL of a mid", reply);
        metrics_add(logic_m.broken, 1);
        f->cb(&none, 0, f->data);
        free(f);
        return;
    }

    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY) {
        place = malloc((reply->elements / 2 + 1) * sizeof(store_place_t));

    } else {
        logic_redis_said("push: HGETALL", reply);
    }

    for (i = 0; place != NULL && i + 1 < reply->elements; i += 2) {
        key = reply->element[i];

        if (key->type == REDIS_REPLY_STRING && key->len > 0
            && memchr(key->str, '\0', key->len) == NULL)
        {
            place[n].key = key->str;
            place[n].key_len = key->len;
            store_place(&place[n++], reply->element[i + 1]);
        }
    }

    f->cb(place, n, f->data);

    free(place);
    free(f);
}


/* ---- whether that is all ----------------------------------------------- */

/*
 * The answer to one question is good for all lookups that were answered
 * before it was asked: data that was there then was not lost in between.
 */

int
store_sure(store_t *st, store_sure_pt cb, void *data)
{
    store_doubt_t  *d;

    d = malloc(sizeof(store_doubt_t));
    if (d == NULL) {
        return -1;
    }

    d->cb = cb;
    d->data = data;
    d->next = st->doubts;
    st->doubts = d;

    if (st->asking == NULL && store_ask_sure(st) != 0) {
        st->doubts = d->next;
        free(d);
        return -1;
    }

    return 0;
}


static int
store_ask_sure(store_t *st)
{
    if (svc_redis_callf(st->redis, store_told_sure, st, "HMGET %s n whole",
                        st->life_key)
        != 0)
    {
        return -1;
    }

    st->asking = st->doubts;
    st->doubts = NULL;

    return 0;
}


static void
store_told_sure(svc_redis_t *r, redisReply *reply, void *data)
{
    int             sure;
    char            life[24];
    store_t        *st = data;
    store_doubt_t  *d, *list;

    sure = -1;

    if (svc_redis_class(reply) == SVC_REDIS_OK
        && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
    {
        snprintf(life, sizeof(life), "%" PRIu64, svc_redis_life(r));

        sure = reply->element[0]->type == REDIS_REPLY_STRING
               && strcmp(reply->element[0]->str, life) == 0;

        if (!sure) {
            /* flushed: the life is over, though the process is the same */
            svc_redis_reconnect(r);
        }

        sure = sure && reply->element[1]->type == REDIS_REPLY_STRING
               && strcmp(reply->element[1]->str, "1") == 0;

    } else {
        logic_redis_said("push: goim:life", reply);
    }

    list = st->asking;
    st->asking = NULL;

    while ((d = list) != NULL) {
        list = d->next;
        d->cb(sure, d->data);
        free(d);
    }

    if (st->asking == NULL && st->doubts != NULL && store_ask_sure(st) != 0) {

        list = st->doubts;
        st->doubts = NULL;

        while ((d = list) != NULL) {
            list = d->next;
            d->cb(-1, d->data);
            free(d);
        }
    }
}


/* ---- a new life -------------------------------------------------------- */

/*
 * Redis's clock is looked at again, and its life: a Redis that was flushed is
 * the same process on the same connection.
 */

static void
store_tick(evutil_socket_t fd, short what, void *data)
{
    store_t  *st = data;

    (void) fd;
    (void) what;

    svc_timer(st->tick, STORE_TICK);

    if (!svc_redis_is_up(st->redis)) {
        return;
    }

    svc_redis_clock_ask(st->redis);
    svc_redis_callf(st->redis, store_told_life, st, "HGET %s n",
                    st->life_key);

    if (!st->whole) {
        store_restore(st, "", 0, NULL, 0, store_told_restore, st);
    }
}


static void
store_told_life(svc_redis_t *r, redisReply *reply, void *data)
{
    char  life[24];

    (void) data;

    snprintf(life, sizeof(life), "%" PRIu64, svc_redis_life(r));

    if (reply != NULL
        && (reply->type == REDIS_REPLY_NIL
            || (reply->type == REDIS_REPLY_STRING
                && strcmp(reply->str, life) != 0)))
    {
        log_write(LOG_WARN, "redis: its life is not what it was: its data "
                  "was removed");
        svc_redis_reconnect(r);
    }
}


void
store_up(store_t *st)
{
    char                   *names[STORE_NAMES];
    int                     before;
    size_t                  i, j, n, count;
    const registry_node_t  *nodes;

    before = st->life != 0 && st->life != svc_redis_life(st->redis);

    st->life = svc_redis_life(st->redis);
    st->whole = 0;
    n = 0;
    count = registry_nodes(st->thread->registry, &nodes);

    /* in a life that is older, who lives has said so himself; life is a time */

    if (svc_redis_clock(st->redis) - (int64_t) svc_redis_life(st->redis)
        > st->thread->conf->node_ttl)
    {
        count = 0;
    }

    for (i = 0; i < count; i++) {
        for (j = 0; j < nodes[i].zones; j++) {

            if (asprintf(&names[n], "%s/%s", nodes[i].server,
                         nodes[i].zone[j]->info->zone)
                == -1)
            {
                abort();
            }

            if (++n == STORE_NAMES) {
                store_restore(st, "", before, names, n, store_told_restore,
                              st);
                store_names_free(names, &n);
            }
        }
    }

    store_restore(st, "", before, names, n, store_told_restore, st);
    store_names_free(names, &n);
}


static void
store_names_free(char **names, size_t *n)
{
    while (*n > 0) {
        free(names[--*n]);
    }
}


/* done: a zone that has announced, or ""; before: there was a life before
   this one; names: zones that are awaited */

static int
store_restore(store_t *st, const char *done, int before,
    char *const *names, size_t n, svc_redis_pt cb, void *data)
{
    int              argc;
    char             life[24], ttl[24], restoring[LOGIC_KEY_BUF];
    char             nodes[LOGIC_KEY_BUF], seen[LOGIC_KEY_BUF];
    size_t           i, len;
    const char      *argv[8 + STORE_NAMES];
    logic_thread_t  *t;

    t = st->thread;

    len = logic_redis_key(t, restoring, "goim:", "restoring", 9);
    restoring[len] = '\0';
    len = logic_redis_key(t, nodes, "goim:", "nodes", 5);
    nodes[len] = '\0';
    len = logic_redis_key(t, seen, "goim:", "nodes:seen", 10);
    seen[len] = '\0';

    snprintf(life, sizeof(life), "%" PRIu64, svc_redis_life(st->redis));
    snprintf(ttl, sizeof(ttl), "%" PRId64, t->conf->node_ttl);

    argc = 0;
    argv[argc++] = st->life_key;
    argv[argc++] = restoring;
    argv[argc++] = nodes;
    argv[argc++] = seen;
    argv[argc++] = life;
    argv[argc++] = ttl;
    argv[argc++] = done;
    argv[argc++] = before ? "1" : "0";

    for (i = 0; i < n; i++) {
        argv[argc++] = names[i];
    }

    return svc_redis_eval(st->redis, &store_restore_script, cb, data, 4, argc,
                          argv, NULL);
}


/* whether all sessions are known again: as Redis says, or -1 */

static int
store_restored(redisReply *reply)
{
    if (svc_redis_class(reply) != SVC_REDIS_OK
        || reply->type != REDIS_REPLY_INTEGER)
    {
        logic_redis_said("restore", reply);
        return -1;
    }

    return reply->integer == 1;
}


static void
store_told_restore(svc_redis_t *r, redisReply *reply, void *data)
{
    store_t  *st = data;

    (void) r;

    st->whole = store_restored(reply) == 1;
}


static int
store_restore_zone(store_t *st, const char *server, const char *zone,
    int done, svc_redis_pt cb, void *data)
{
    int    rc;
    char  *name;

    if (asprintf(&name, "%s/%s", server, zone) == -1) {
        abort();
    }

    rc = done ? store_restore(st, name, 0, NULL, 0, cb, data)
              : store_restore(st, "", 1, &name, 1, cb, data);

    free(name);

    return rc;
}


int
store_announced(store_t *st, const store_ask_t *ask, uint64_t life)
{
    store_restore_t  *re;

    if (!svc_redis_is_up(st->redis) || svc_redis_life(st->redis) != life) {
        return -1;
    }

    re = malloc(sizeof(store_restore_t));
    if (re == NULL) {
        return -1;
    }

    re->store = st;
    re->ask = *ask;
    re->life = life;

    if (store_restore_zone(st, ask->server, ask->zone, 1,
                           store_told_announced, re)
        != 0)
    {
        free(re);
        return -1;
    }

    return 0;
}


void
store_await(store_t *st, const char *server, const char *zone, int gone)
{
    (void) store_restore_zone(st, server, zone, gone, store_told_restore, st);
}


static void
store_told_announced(svc_redis_t *r, redisReply *reply, void *data)
{
    int               whole;
    store_answer_t    a = { .code = STORE_FAILED };
    store_restore_t  *re = data;

    (void) r;

    whole = store_restored(reply);

    if (whole >= 0) {
        re->store->whole = whole;
        a.code = STORE_OK;
        a.life = re->life;
    }

    re->ask.cb(&a, re->ask.data);
    free(re);
}
