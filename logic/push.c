/*
 * Pushes. Targets are looked up in Redis, grouped by node and partition, and
 * each group is a record of the bus; the answer comes when the bus has told
 * about each of them, or the time is up.
 *
 * A push belongs to its thread's list until nothing is outstanding for it,
 * also after it was answered because the time was up.
 */

#include "push.h"

#include "im.h"
#include "im_http.h"
#include "nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/goim_packet.h"
#include "svc/clock.h"
#include "svc/history.h"

#define LOGIC_PUSH_TICK   50        /* ms */
#define LOGIC_PUSH_GRACE  500       /* ms: the bus itself says when it's late */


static logic_push_t *logic_push_new(logic_thread_t *t,
    http_request_t *req, logic_query_t *q, logic_push_kind_t kind);
static void logic_push_one(logic_push_t *p, const char *key, size_t len);
static void logic_push_done(logic_thread_t *t, logic_end_t end,
    const char *message, void *data);
static void logic_push_ended(logic_thread_t *t, logic_end_t end,
    const char *message, logic_push_pt done, void *data);
static logic_push_t *logic_push_take(logic_thread_t *t);
static void logic_push_give(logic_thread_t *t, logic_push_t *p);
static void logic_push_overdue(evutil_socket_t fd, short what, void *data);


int
logic_push_init(logic_thread_t *t)
{
    t->overdue = evtimer_new(t->base, logic_push_overdue, t);

    return t->overdue != NULL ? 0 : -1;
}


void
logic_push_free(logic_thread_t *t)
{
    logic_push_t  *p;

    while ((p = TAILQ_FIRST(&t->free_pushes)) != NULL) {
        TAILQ_REMOVE(&t->free_pushes, p, entry);
        svc_pool_free(&p->pool);
        free(p);
    }

    event_free(t->overdue);
}


/* What all pushes have. -1: the request has been answered. */

static int
logic_push_operation(logic_thread_t *t, http_request_t *req,
    const logic_query_t *q, int required, int64_t *operation)
{
    if (logic_http_number(t, req, q, "operation", required, INT32_MIN,
                          INT32_MAX, operation)
        != 0)
    {
        return -1;
    }

    if (*operation == GOIM_OP_DISCONNECT || *operation == GOIM_OP_POSITION) {
        logic_http_bad(t, req, "operation: %d and %d are the node's own",
                       GOIM_OP_DISCONNECT, GOIM_OP_POSITION);
        return -1;
    }

    if (logic_im_own(t, (int32_t) *operation)) {
        logic_http_bad(t, req, "operation: %d to %d are of messages between "
                       "people", GOIM_OP_COMMAND, GOIM_OP_SIGNAL);
        return -1;
    }

    if (q->msg_len > logic_nodes_max_body(t)) {
        logic_http_answer(t, req, 413, -400, "the message is longer than a "
                          "node takes", NULL);
        return -1;
    }

    return 0;
}


/* NULL: the request has been answered. */

static logic_push_t *
logic_push_new(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, logic_push_kind_t kind)
{
    int64_t         operation;
    logic_push_t   *p;
    logic_query_t  *query;

    if (logic_push_operation(t, req, q, kind == LOGIC_PUSH_ROOM
                             || kind == LOGIC_PUSH_ALL, &operation)
        != 0)
    {
        return NULL;
    }

    p = logic_push_begin(t, kind, (int32_t) operation, q->msg, q->msg_len,
                         q->nargs * sizeof(logic_arg_t), logic_push_done, req);

    if (p != NULL) {
        query = svc_pool_alloc(&p->pool, sizeof(logic_query_t));

        if (query == NULL) {
            logic_push_answer(p, LOGIC_END_MEMORY, "no memory");
            return NULL;
        }

        *query = *q;
        p->query = query;
    }

    return p;
}


logic_push_t *
logic_push_begin(logic_thread_t *t, logic_push_kind_t kind,
    int32_t operation, const char *msg, size_t len, size_t bytes,
    logic_push_pt done, void *data)
{
    logic_push_t  *p;

    metrics_add(logic_m.push[kind], 1);

    bytes += len + sizeof(logic_push_t);

    if (t->pending + bytes > (size_t) t->conf->max_pending) {
        logic_push_ended(t, LOGIC_END_PENDING, "too many pushes are waiting",
                         done, data);
        return NULL;
    }

    p = logic_push_take(t);
    if (p == NULL) {
        logic_push_ended(t, LOGIC_END_MEMORY, "no memory", done, data);
        return NULL;
    }

    p->thread = t;
    p->done = done;
    p->data = data;
    p->kind = kind;
    p->operation = operation;
    p->deadline = svc_now() + t->conf->push_timeout;
    p->bytes = bytes;
    p->msg = msg;
    p->msg_len = len;

    if (TAILQ_EMPTY(&t->pushes)) {
        svc_timer(t->overdue, LOGIC_PUSH_TICK);
    }

    TAILQ_INSERT_TAIL(&t->pushes, p, entry);
    t->pending += bytes;

    metrics_add(logic_m.push_waiting, 1);

    return p;
}


void
logic_push_keys(logic_thread_t *t, http_request_t *req,
    logic_query_t *q)
{
    size_t         n;
    logic_push_t  *p;

    n = logic_query_count(q, "keys");

    if (n > (size_t) t->conf->max_keys) {
        logic_http_bad(t, req, "keys: more than %lld",
                       (long long) t->conf->max_keys);
        return;
    }

    p = logic_push_new(t, req, q, LOGIC_PUSH_KEYS);

    if (p == NULL) {
        return;
    }

    if (n == 0) {
        /* as goim does: HTTP 200 and code -400 */
        logic_push_answer(p, LOGIC_END_KEYS, "keys: required");
        return;
    }

    logic_lookup_keys(p, n);
}


void
logic_push_mids(logic_thread_t *t, http_request_t *req,
    logic_query_t *q)
{
    size_t         i, n;
    int64_t        mid, store, operation;
    logic_push_t  *p;

    n = logic_query_count(q, "mids");

    if (n > (size_t) t->conf->max_keys) {
        logic_http_bad(t, req, "mids: more than %lld",
                       (long long) t->conf->max_keys);
        return;
    }

    for (i = 0; i < q->nargs; i++) {
        if (strcmp(q->args[i].name, "mids") == 0
            && logic_query_number(&q->args[i], INT64_MIN, INT64_MAX, &mid)
               != 0)
        {
            logic_http_bad(t, req, "mids: not a number of 64 bits");
            return;
        }
    }

    if (logic_http_number(t, req, q, "store", 0, 0, 1, &store) != 0) {
        return;
    }

    if (store && t->im == NULL) {
        logic_http_bad(t, req, "store: [im] db is not set");
        return;
    }

    if (store) {
        if (logic_push_operation(t, req, q, 0, &operation) == 0) {
            logic_im_push(t, req, q, (int32_t) operation);
        }

        return;
    }

    p = logic_push_new(t, req, q, LOGIC_PUSH_MIDS);

    if (p == NULL) {
        return;
    }

    p->mids = calloc(n + 1, sizeof(int64_t));

    if (p->mids == NULL) {
        logic_push_answer(p, LOGIC_END_MEMORY, "no memory");
        return;
    }

    n = 0;

    for (i = 0; i < q->nargs; i++) {

        if (strcmp(q->args[i].name, "mids") != 0) {
            continue;
        }

        if (logic_query_number(&q->args[i], 1, INT64_MAX, &mid) == 0) {
            p->mids[n++] = mid;

        } else {
            metrics_add(logic_m.push_absent, 1);
        }
    }

    logic_lookup_mids(p, n);
}


void
logic_push_room(logic_thread_t *t, http_request_t *req,
    logic_query_t *q)
{
    char                key[GOIM_ROOM_MAX + 1];
    size_t              len;
    int64_t             history;
    const char         *type, *room;
    logic_push_t       *p;
    const logic_arg_t  *id;

    len = logic_http_room(t, req, q, &type, &room);

    if (len == 0) {
        return;
    }

    id = logic_query_find(q, "id");

    if (id != NULL && !history_id(id->value)) {
        logic_http_bad(t, req, "id: not 1 to %d visible characters of ASCII",
                       HISTORY_ID_MAX);
        return;
    }

    if (logic_http_number(t, req, q, "history", 0, 0, 1, &history) != 0) {
        return;
    }

    p = logic_push_new(t, req, q, LOGIC_PUSH_ROOM);

    if (p == NULL) {
        return;
    }

    p->id = id != NULL ? id->value : NULL;
    p->past = (history == 0 && logic_query_find(q, "history") != NULL);

    stpcpy(stpcpy(stpcpy(key, type), "://"), room);
    logic_push_to_room(p, key, len);
}


void
logic_push_to_room(logic_push_t *p, const char *room, size_t len)
{
    char  *key;

    key = svc_pool_alloc(&p->pool, len + 1);

    if (key == NULL) {
        logic_push_answer(p, LOGIC_END_MEMORY, "no memory");
        return;
    }

    memcpy(key, room, len);
    key[len] = '\0';
    p->room = key;

    logic_push_one(p, key, len);
}


void
logic_push_all(logic_thread_t *t, http_request_t *req,
    logic_query_t *q)
{
    char           key[16];
    int            len;
    int64_t        speed;
    logic_push_t  *p;

    if (logic_http_number(t, req, q, "speed", 0, 0, INT32_MAX, &speed) != 0)
    {
        return;
    }

    p = logic_push_new(t, req, q, LOGIC_PUSH_ALL);

    if (p == NULL) {
        return;
    }

    p->speed = (int32_t) speed;
    len = snprintf(key, sizeof(key), "%d", p->operation);

    logic_push_one(p, key, (size_t) len);
}


/* A push of one record, which says itself whom it is for. */

static void
logic_push_one(logic_push_t *p, const char *key, size_t len)
{
    Goim__PushMsg  msg = GOIM__PUSH_MSG__INIT;

    msg.type = p->kind == LOGIC_PUSH_ROOM ? GOIM__PUSH_MSG__TYPE__ROOM
                                          : GOIM__PUSH_MSG__TYPE__BROADCAST;

    if (p->room != NULL) {
        msg.room = (char *) p->room;
        msg.id = p->id != NULL ? (char *) p->id : msg.id;
        msg.at = svc_date();
        msg.past = p->past;
    }

    msg.speed = p->speed;

    logic_push_produce(p, &msg, key, len);
    logic_push_settle(p);
}


/* ---- the answer -------------------------------------------------------- */

/* of a request */

static void
logic_push_done(logic_thread_t *t, logic_end_t end, const char *message,
    void *data)
{
    logic_http_answer(t, data, 200, logic_push_code(end), message, NULL);
}


int
logic_push_code(logic_end_t end)
{
    return end == LOGIC_END_OK ? 0
           : end == LOGIC_END_UNKNOWN ? -504
           : end == LOGIC_END_KEYS ? -400 : -500;
}


static void
logic_push_ended(logic_thread_t *t, logic_end_t end, const char *message,
    logic_push_pt done, void *data)
{
    if (end == LOGIC_END_OK) {
        metrics_add(logic_m.pushed[0], 1);

    } else if (end == LOGIC_END_UNKNOWN) {
        metrics_add(logic_m.pushed[2], 1);

    } else {
        metrics_add(logic_m.pushed[1], 1);
        metrics_add(logic_m.ended[end], 1);
    }

    done(t, end, message, data);
}


void
logic_push_answer(logic_push_t *p, logic_end_t end, const char *message)
{
    logic_push_pt  done;

    if (p->done != NULL) {
        done = p->done;
        p->done = NULL;
        logic_push_ended(p->thread, end, message, done, p->data);
    }

    logic_push_release(p);
}


/* Free it when nothing can come for it any more. */

void
logic_push_release(logic_push_t *p)
{
    logic_thread_t  *t;

    if (p->done != NULL || p->lookups > 0 || p->writes > 0) {
        return;
    }

    t = p->thread;

    TAILQ_REMOVE(&t->pushes, p, entry);
    t->pending -= p->bytes;

    metrics_add(logic_m.push_waiting, -1);

    free(p->targets);
    free(p->mids);
    free(p->args);

    logic_push_give(t, p);
}


static void
logic_push_overdue(evutil_socket_t fd, short what, void *data)
{
    logic_thread_t  *t = data;

    int64_t        now;
    logic_push_t  *p, *next;

    (void) fd;
    (void) what;

    now = svc_now();

    /* the oldest come first, and the time is the same for all */

    for (p = TAILQ_FIRST(&t->pushes); p != NULL; p = next) {
        next = TAILQ_NEXT(p, entry);

        if (now < p->deadline) {
            break;
        }

        if (p->done == NULL) {
            continue;
        }

        if (!p->producing) {
            logic_push_answer(p, LOGIC_END_REDIS,
                              "redis did not answer in time");

        } else if (now >= p->deadline + LOGIC_PUSH_GRACE) {
            logic_push_answer(p, LOGIC_END_UNKNOWN,
                              "the bus did not acknowledge in time");
        }
    }

    if (!TAILQ_EMPTY(&t->pushes)) {
        svc_timer(t->overdue, LOGIC_PUSH_TICK);
    }
}


/* ---- pushes that are kept ---------------------------------------------- */

#define LOGIC_PUSH_FREE  1024       /* a thread */


static logic_push_t *
logic_push_take(logic_thread_t *t)
{
    svc_pool_t     pool;
    logic_push_t  *p;

    p = TAILQ_FIRST(&t->free_pushes);

    if (p == NULL) {
        return calloc(1, sizeof(logic_push_t));
    }

    TAILQ_REMOVE(&t->free_pushes, p, entry);
    t->nfree_pushes--;

    pool = p->pool;
    memset(p, 0, sizeof(logic_push_t));
    p->pool = pool;

    return p;
}


static void
logic_push_give(logic_thread_t *t, logic_push_t *p)
{
    if (t->nfree_pushes == LOGIC_PUSH_FREE) {
        svc_pool_free(&p->pool);
        free(p);
        return;
    }

    svc_pool_reset(&p->pool);
    TAILQ_INSERT_HEAD(&t->free_pushes, p, entry);
    t->nfree_pushes++;
}
