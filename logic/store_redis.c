/*
 * Sessions in Redis: each change is a script (logic/lua), with the life of the
 * connection and a deadline by Redis's own clock.
 */

#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/log.h"

#include "logic/lua/session_connect.lua.h"
#include "logic/lua/session_end.lua.h"
#include "logic/lua/session_missing.lua.h"
#include "logic/lua/session_renew.lua.h"

#include "store_redis.h"

#define STORE_SLICE        64       /* sessions of a script */
#define STORE_MISSING      200      /* keys */
#define STORE_MISSING_AGE  10000    /* ms: a login may be under way */
#define STORE_HEAD         6        /* arguments before the sessions */
#define STORE_ARGS         (1 + STORE_HEAD + 6 * STORE_SLICE + 14)


/* a kind of change: the script, and how many sessions one of them takes */
typedef struct {
    const char    *name;
    svc_script_t   script;
    size_t         slice;
    size_t         width;           /* arguments a session */
} store_kind_t;

static store_kind_t  store_connects = {
    "connect", { .body = session_connect_lua }, 1, 3
};

static store_kind_t  store_renews = {
    "renew", { .body = session_renew_lua }, STORE_SLICE, 6
};

static store_kind_t  store_ends = {
    "end", { .body = session_end_lua }, STORE_SLICE, 3
};

static store_kind_t  store_misses = {
    "missing", { .body = session_missing_lua }, STORE_MISSING, 1
};


/* as sess_<key> has them */
static const char *const  store_classes[LOGIC_CLASSES] = {
    "", "mobile", "desktop", "web"
};

typedef struct {
    store_t                    *store;
    store_kind_t               *kind;
    store_ask_t                 ask;
    int64_t                     number;     /* ttl or age */
    Goim__Session *const       *sessions;   /* or */
    const ProtobufCBinaryData  *keys;
    const Goim__Session        *one;
    uint64_t                    order;
    const ProtobufCBinaryData  *room;       /* of that one */
    const logic_who_t          *who;
    size_t                      n;
    size_t                      next;
    size_t                      count;
    store_replaced_pt           replaced;
    uint64_t                    life;
    unsigned                    tries;      /* of this slice */
} store_op_t;


static int store_start(store_t *st, store_kind_t *kind,
    const store_ask_t *ask, const store_op_t *what);
static int store_send(store_op_t *op);
static void store_told(svc_redis_t *r, redisReply *reply, void *data);
static int store_again(store_op_t *op, const redisReply *reply);
static void store_done(store_op_t *op, redisReply **field, size_t n);
static void store_connected(store_op_t *op, redisReply **field, size_t n);
static void store_answer(store_op_t *op, store_code_t code);


int
store_connect(store_t *st, const store_ask_t *ask,
    const Goim__Session *session, uint64_t order,
    const ProtobufCBinaryData *room, const logic_who_t *who)
{
    store_op_t  what = { .one = session, .order = order, .room = room,
                         .who = who, .n = 1 };

    what.number = st->thread->conf->ttl;

    return store_start(st, &store_connects, ask, &what);
}


int
store_renew(store_t *st, const store_ask_t *ask,
    Goim__Session *const *sessions, size_t n, store_replaced_pt replaced)
{
    store_op_t  what = { .sessions = sessions, .n = n, .replaced = replaced };

    what.number = st->thread->conf->ttl;

    return store_start(st, &store_renews, ask, &what);
}


int
store_end(store_t *st, const store_ask_t *ask,
    Goim__Session *const *sessions, size_t n)
{
    store_op_t  what = { .sessions = sessions, .n = n };

    return store_start(st, &store_ends, ask, &what);
}


int
store_missing(store_t *st, const store_ask_t *ask,
    const ProtobufCBinaryData *keys, size_t n)
{
    store_op_t  what = { .keys = keys, .n = n, .number = STORE_MISSING_AGE };

    return store_start(st, &store_misses, ask, &what);
}


static int
store_start(store_t *st, store_kind_t *kind, const store_ask_t *ask,
    const store_op_t *what)
{
    store_op_t  *op;

    op = malloc(sizeof(store_op_t));
    if (op == NULL) {
        return -1;
    }

    *op = *what;
    op->store = st;
    op->kind = kind;
    op->ask = *ask;

    if (store_send(op) != 0) {
        free(op);
        return -1;
    }

    return 0;
}


/* The next slice. -1: Redis is away, or the time is up. */

static int
store_send(store_op_t *op)
{
    char                  head[9][24], number[4 * STORE_SLICE][24], *p;
    char                  events[LOGIC_EVENTS_SET + 24];
    size_t                i, n, last, left;
    size_t                len[STORE_ARGS];
    int64_t               now, until;
    store_t              *st;
    const char           *argv[STORE_ARGS];
    logic_class_t         class;
    const Goim__Session  *s;

    st = op->store;
    now = svc_now();

    /* when the connection gives up, everybody does */

    until = now + st->thread->conf->redis.timeout;
    until = op->ask.deadline < until ? op->ask.deadline : until;

    if (until <= now || !svc_redis_is_up(st->redis)) {
        return -1;
    }

    op->life = svc_redis_life(st->redis);

    snprintf(head[0], sizeof(head[0]), "%" PRIu64, op->life);
    snprintf(head[1], sizeof(head[1]), "%" PRId64,
             svc_redis_clock(st->redis) + (until - now));
    snprintf(head[2], sizeof(head[2]), "%" PRId64, op->number);

    argv[0] = st->life_key;
    argv[1] = head[0];
    argv[2] = head[1];
    argv[3] = op->ask.server;
    argv[4] = op->ask.zone;
    argv[5] = head[2];
    argv[6] = svc_redis_prefix(st->redis);

    for (n = 0; n < 1 + STORE_HEAD; n++) {
        len[n] = strlen(argv[n]);
    }

    left = op->n - op->next;
    last = op->next + (left < op->kind->slice ? left : op->kind->slice);
    p = number[0];

    for (i = op->next; i < last; i++) {

        if (op->keys != NULL) {
            argv[n] = (const char *) op->keys[i].data;
            len[n++] = op->keys[i].len;
            continue;
        }

        s = op->one != NULL ? op->one : op->sessions[i];

        argv[n] = (const char *) s->key.data;
        len[n++] = s->key.len;

        argv[n] = p;
        len[n++] = (size_t) snprintf(p, sizeof(number[0]), "%" PRId64,
                                     s->mid > 0 ? s->mid : 0);
        p += sizeof(number[0]);

        argv[n] = p;
        len[n++] = (size_t) snprintf(p, sizeof(number[0]), "%" PRIu64,
                                     s->session);
        p += sizeof(number[0]);

        if (op->kind == &store_renews) {

            argv[n] = p;
            len[n++] = (size_t) snprintf(p, sizeof(number[0]), "%" PRIu64,
                                         s->moves);
            p += sizeof(number[0]);

            argv[n] = p;
            len[n++] = (size_t) snprintf(p, sizeof(number[0]), "%" PRIu64,
                                         s->age);
            p += sizeof(number[0]);

            argv[n] = (const char *) s->room.data;
            len[n++] = s->room.len;
        }
    }

    if (op->room != NULL) {
        argv[n] = head[3];
        len[n++] = (size_t) snprintf(head[3], sizeof(head[3]), "%" PRIu64,
                                     op->order);
        argv[n] = (const char *) op->room->data;
        len[n++] = op->room->len;
        argv[n] = op->who->guarded ? "1" : "0";
        len[n++] = 1;
        argv[n] = head[4];
        len[n++] = (size_t) snprintf(head[4], sizeof(head[4]), "%" PRId64,
                                     st->thread->conf->max_per_mid);
        argv[n] = head[5];
        len[n++] = (size_t) snprintf(head[5], sizeof(head[5]), "%" PRId64,
                                     st->thread->conf->node_ttl);
        argv[n] = head[6];
        len[n++] = op->who->claimed
                   ? (size_t) snprintf(head[6], sizeof(head[6]), "%" PRId64,
                                       op->who->iat)
                   : 0;
        argv[n] = op->who->jti;
        len[n++] = op->who->jti_len;
        class = logic_class(op->who->platform);
        argv[n] = store_classes[class];
        len[n] = strlen(argv[n]);
        n++;
        argv[n] = head[7];
        len[n++] = (size_t) snprintf(head[7], sizeof(head[7]), "%" PRId64,
                                     st->thread->conf->per_class[class]);
        argv[n] = st->thread->conf->one_more[0] == 'k' ? "1" : "0";
        len[n++] = 1;
        argv[n] = head[8];
        len[n++] = (size_t) snprintf(head[8], sizeof(head[8]), "%" PRId64,
                                     op->who->expires);
    }

    argv[n] = events;
    len[n++] = st->thread->conf->events_set[0] == '\0' ? 0
               : (size_t) snprintf(events, sizeof(events), "%s %" PRIu64,
                                   st->thread->conf->events_set,
                                   op->ask.worker);

    return svc_redis_eval(st->redis, &op->kind->script, store_told, op, 1,
                          (int) n, argv, len);
}


static void
store_told(svc_redis_t *r, redisReply *reply, void *data)
{
    store_op_t  *op = data;

    size_t  i;

    static log_once_t  once;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements < 3)
    {
        if (store_again(op, reply) != 0) {
            logic_redis_said(op->kind->name, reply);
            store_answer(op, STORE_FAILED);
        }

        return;
    }

    for (i = 0; i < 3; i++) {
        if (reply->element[i]->type != REDIS_REPLY_INTEGER) {
            svc_redis_reconnect(r);
            store_answer(op, STORE_FAILED);
            return;
        }
    }

    if (reply->element[0]->integer > 0) {
        metrics_add(logic_m.broken, reply->element[0]->integer);
        log_seldom(&once, LOG_ERROR, "%s: a key of a wrong type in Redis was "
                   "replaced", op->kind->name);
    }

    metrics_add(logic_m.swept, reply->element[1]->integer);
    op->tries = 0;

    store_done(op, reply->element, reply->elements);
}


/*
 * What was not done for a reason that is over: a script that Redis had
 * forgotten, a clock that was set. Once. -1: it failed.
 */

static int
store_again(store_op_t *op, const redisReply *reply)
{
    if (reply == NULL || reply->type != REDIS_REPLY_ERROR || op->tries++) {
        return -1;
    }

    if (strncmp(reply->str, "LATE ", 5) == 0) {
        metrics_add(logic_m.late, 1);
        svc_redis_clock_set(op->store->redis,
                            strtoll(reply->str + 5, NULL, 10));

    } else if (strncmp(reply->str, "NOSCRIPT", 8) != 0) {
        return -1;
    }

    return store_send(op);
}


static void
store_done(store_op_t *op, redisReply **field, size_t n)
{
    size_t  i;

    if (op->kind == &store_connects) {
        store_connected(op, field, n);
        return;
    }

    op->count += (size_t) field[2]->integer;

    for (i = 3; i < n && op->replaced != NULL; i++) {
        if (field[i]->type == REDIS_REPLY_INTEGER
            && (size_t) field[i]->integer < op->n - op->next)
        {
            op->replaced(op->next + (size_t) field[i]->integer, op->ask.data);
        }
    }

    op->next += op->kind->slice;

    if (op->next >= op->n) {
        store_answer(op, STORE_OK);

    } else if (store_send(op) != 0) {
        store_answer(op, STORE_FAILED);
    }
}


/* Who had the key, or has it; and keys and holders of those that are to end. */

static void
store_connected(store_op_t *op, redisReply **field, size_t n)
{
    size_t           i;
    store_answer_t   a = { .life = op->life };
    store_kicked_t  *k;

    static const store_code_t  codes[] = {
        STORE_NEWER, STORE_OK, STORE_TAKEN, STORE_CROWDED,
        STORE_REVOKED, STORE_KICKED
    };

    for (i = 3; i < n && field[i]->type == REDIS_REPLY_STRING; i++) {
        /* void */
    }

    if (n < 4 || i < n || n % 2 != 0 || field[2]->integer < 0
        || (size_t) field[2]->integer >= sizeof(codes) / sizeof(codes[0])
        || (a.kicked = calloc(n, sizeof(store_kicked_t))) == NULL)
    {
        store_answer(op, STORE_FAILED);
        return;
    }

    a.code = codes[field[2]->integer];
    a.holder = field[3]->str;
    a.holder_len = field[3]->len;

    for (i = 4; i < n; i += 2) {
        k = &a.kicked[a.nkicked++];
        k->key = field[i]->str;
        k->key_len = field[i]->len;
        k->holder = field[i + 1]->str;
        k->holder_len = field[i + 1]->len;
    }

    op->ask.cb(&a, op->ask.data);
    free(a.kicked);
    free(op);
}


static void
store_answer(store_op_t *op, store_code_t code)
{
    store_answer_t  a = { .code = code };

    a.life = op->life;
    a.count = op->count;

    op->ask.cb(&a, op->ask.data);
    free(op);
}
