/*
 * Heads, a node's call: where many rooms stand, and inboxes. Rooms without
 * history are known without Redis, unless it has just changed.
 */

#include "read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "im.h"
#include "logic/lua/heads.lua.h"

#define LOGIC_HEADS_TRIES  3


typedef struct {
    logic_call_t   *call;
    unsigned        tries;
    size_t          n;          /* that Redis is asked for, */
    uint8_t         asked[GOIM_HEADS_CALL];     /* and which they are */

    struct {
        char        epoch[GOIM_EPOCH_MAX + 1];
        uint64_t    seq;
        int         later;
    }               inbox[GOIM_HEADS_CALL];
} logic_heads_t;


static int logic_heads_valid(const Goim__Heads *h);
static void logic_heads_inboxes(const db_reply_t *reply, void *data);
static void logic_heads_rooms(logic_heads_t *h);
static void logic_heads_ask(logic_heads_t *h);
static void logic_heads_known(int ok, void *data);
static const char *logic_heads_room(const logic_heads_t *h, size_t i,
    char room[GOIM_ROOM_MAX + 1]);
static int logic_heads_eval(logic_heads_t *h);
static void logic_heads_got(svc_redis_t *r, redisReply *reply, void *data);
static int logic_heads_fits(const logic_heads_t *h, const redisReply *reply);
static void logic_heads_answer(logic_heads_t *h, redisReply **e);
static void logic_heads_failed(logic_heads_t *h, const char *error);


static svc_script_t  logic_heads_script = { .body = heads_lua };


void
logic_heads_call(logic_call_t *call)
{
    logic_heads_t      *h;
    const Goim__Heads  *msg;

    msg = call->msg->heads;

    if (!logic_heads_valid(msg)) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "heads");
        return;
    }

    h = calloc(1, sizeof(logic_heads_t));
    if (h == NULL) {
        abort();
    }

    h->call = call;

    if (msg->n_mids > 0 && call->thread->im != NULL) {
        logic_inbox_heads(call->thread, msg->mids, msg->n_mids,
                          logic_heads_inboxes, h);

    } else {
        logic_heads_rooms(h);
    }
}


/* Rooms don't wait for a database that is away: inboxes are asked for again. */

static void
logic_heads_inboxes(const db_reply_t *reply, void *data)
{
    logic_heads_t  *h = data;

    size_t             i;
    const db_value_t  *v;

    for (i = 0; i < h->call->msg->heads->n_mids; i++) {
        v = reply->status == DB_OK && reply->rows[i].nrows > 0
            ? reply->rows[i].values : NULL;

        h->inbox[i].later = v == NULL || v[0].type != DB_TEXT
                            || v[0].len > GOIM_EPOCH_MAX || v[1].n < 0;

        if (!h->inbox[i].later) {
            memcpy(h->inbox[i].epoch, v[0].data, v[0].len);
            h->inbox[i].seq = (uint64_t) v[1].n;
        }
    }

    logic_heads_rooms(h);
}


static void
logic_heads_rooms(logic_heads_t *h)
{
    size_t  i, none;
    char    room[GOIM_ROOM_MAX + 1];

    for (i = 0, none = 0; i < h->call->msg->heads->n_timelines; i++) {
        none += logic_heads_room(h, i, room) == NULL;
    }

    if (none > 0) {
        logic_heads_ask(h);

    } else if (logic_heads_eval(h) != 0) {
        logic_heads_failed(h, "redis is away");
    }
}


static int
logic_heads_valid(const Goim__Heads *h)
{
    size_t  i;

    if (h->n_timelines + h->n_mids == 0 || h->n_timelines > GOIM_HEADS_CALL
        || h->n_mids > GOIM_HEADS_CALL - h->n_timelines)
    {
        return 0;
    }

    for (i = 0; i < h->n_mids; i++) {
        if (h->mids[i] == 0 || h->mids[i] == INT64_MIN) {
            return 0;
        }
    }

    for (i = 0; i < h->n_timelines; i++) {
        if (h->timelines[i].len == 0 || h->timelines[i].len > GOIM_ROOM_MAX
            || memchr(h->timelines[i].data, '\0', h->timelines[i].len) != NULL)
        {
            return 0;
        }
    }

    return 1;
}


static void
logic_heads_ask(logic_heads_t *h)
{
    if (h->tries++ == LOGIC_HEADS_TRIES
        || logic_history_ask(h->call->thread, logic_heads_known, h) != 0)
    {
        logic_heads_failed(h, "redis is away");
    }
}


static void
logic_heads_known(int ok, void *data)
{
    logic_heads_t  *h = data;

    if (!ok) {
        logic_heads_failed(h, "it is not known which rooms have a history");

    } else if (logic_heads_eval(h) != 0) {
        logic_heads_failed(h, "redis is away");
    }
}


/* NULL: it has no history */

static const char *
logic_heads_room(const logic_heads_t *h, size_t i,
    char room[GOIM_ROOM_MAX + 1])
{
    const ProtobufCBinaryData  *b;

    b = &h->call->msg->heads->timelines[i];
    memcpy(room, b->data, b->len);
    room[b->len] = '\0';

    return logic_history_home(h->call->thread, room) != 0 ? room : NULL;
}


static int
logic_heads_eval(logic_heads_t *h)
{
    int              rc;
    char           (*key)[LOGIC_READ_KEY], life[24];
    char             room[GOIM_ROOM_MAX + 1];
    size_t           i, n;
    const char      *argv[2 * GOIM_HEADS_CALL + 4];
    svc_redis_t     *r;
    logic_thread_t  *t;

    t = h->call->thread;
    r = t->redis;
    n = 2;

    key = malloc((2 * GOIM_HEADS_CALL + 2) * sizeof(*key));
    if (key == NULL) {
        abort();
    }

    snprintf(key[0], LOGIC_READ_KEY, "%sgoim:life", svc_redis_prefix(r));
    snprintf(key[1], LOGIC_READ_KEY, "%sgoim:history", svc_redis_prefix(r));

    for (i = 0; i < h->call->msg->heads->n_timelines; i++) {
        h->asked[i] = logic_heads_room(h, i, room) != NULL;

        if (h->asked[i]) {
            logic_read_key(t, key[n++], room, "done", "");
            logic_read_key(t, key[n++], room, "meta:", room);
        }
    }

    h->n = (n - 2) / 2;

    for (i = 0; i < n; i++) {
        argv[i] = key[i];
    }

    snprintf(life, sizeof(life), "%" PRIu64, svc_redis_life(r));
    argv[n] = life;
    argv[n + 1] = logic_history_of(t);

    rc = 0;

    if (h->n == 0) {
        logic_heads_answer(h, NULL);

    } else {
        rc = svc_redis_eval(r, &logic_heads_script, logic_heads_got, h,
                            (int) n, (int) n + 2, argv, NULL);
    }

    free(key);

    return rc;
}


static void
logic_heads_got(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_heads_t  *h = data;

    (void) r;

    if (reply != NULL && reply->type == REDIS_REPLY_STRING
        && strcmp(reply->str, "HISTORY") == 0)
    {
        logic_heads_ask(h);
        return;
    }

    if (!logic_heads_fits(h, reply)) {
        logic_redis_said("history: heads", reply);
        logic_heads_failed(h, "redis did not answer");
        return;
    }

    logic_heads_answer(h, reply->element);
}


static int
logic_heads_fits(const logic_heads_t *h, const redisReply *reply)
{
    size_t  i;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != 2 * h->n)
    {
        return 0;
    }

    for (i = 0; i < reply->elements; i += 2) {
        if (reply->element[i]->type != REDIS_REPLY_STRING
            || reply->element[i]->len > GOIM_EPOCH_MAX
            || reply->element[i + 1]->type != REDIS_REPLY_INTEGER)
        {
            return 0;
        }
    }

    return 1;
}


/* e: of those that Redis was asked for */

static void
logic_heads_answer(logic_heads_t *h, redisReply **e)
{
    size_t       i, n;
    Goim__Head   head[GOIM_HEADS_CALL], *list[GOIM_HEADS_CALL];

    Goim__Reply   reply = GOIM__REPLY__INIT;
    Goim__Headed  headed = GOIM__HEADED__INIT;

    n = h->call->msg->heads->n_timelines;

    for (i = 0; i < n; i++) {
        goim__head__init(&head[i]);
        list[i] = &head[i];

        if (!h->asked[i]) {
            head[i].none = 1;
            continue;
        }

        head[i].epoch = e[0]->str;
        head[i].seq = (uint64_t) e[1]->integer;
        e += 2;
    }

    for (i = 0; i < h->call->msg->heads->n_mids; i++, n++) {
        goim__head__init(&head[n]);
        list[n] = &head[n];

        head[n].none = h->call->thread->im == NULL;
        head[n].later = h->inbox[i].later;
        head[n].epoch = h->inbox[i].epoch;
        head[n].seq = h->inbox[i].seq;
    }

    headed.n_heads = n;
    headed.heads = list;
    reply.reply_case = GOIM__REPLY__REPLY_HEADED;
    reply.headed = &headed;

    logic_reply(h->call, &reply);
    free(h);
}


static void
logic_heads_failed(logic_heads_t *h, const char *error)
{
    logic_reply_code(h->call, GOIM__REPLY__CODE__FAILED, error);
    free(h);
}
