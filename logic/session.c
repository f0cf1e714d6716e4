/*
 * What comets say about sessions: who logged in, lives on, has ended. The
 * store keeps it; here are the calls.
 */

#include "session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#include "im.h"
#include "kick.h"
#include "revoked.h"
#include "send.h"
#include "store.h"



/* A call on its way through the store: one session, or those of the call. */
typedef struct {
    logic_call_t           *call;
    logic_who_t            *who;            /* Connect */
    const char             *server;
    const char             *zone;
    uint64_t                worker;         /* 0: not known */
    uint64_t                life;           /* of Redis, in which it is known */
    unsigned                own_key:1;      /* the client's */
    ProtobufCBinaryData     room;           /* of who */
    Goim__Session           one;
    Goim__Session          *single;         /* &one */
    Goim__Session *const   *sessions;
    size_t                  n;
} logic_op_t;


static logic_op_t *logic_op_new(logic_call_t *call, const char *what,
    const char *server, const char *zone, Goim__Session **list, size_t n);
static logic_op_t *logic_op_one(logic_call_t *call, const char *what,
    const char *server, const char *zone, int64_t mid,
    ProtobufCBinaryData key, uint64_t session);
static store_ask_t logic_op_ask(const logic_op_t *op, store_pt cb);
static void logic_op_free(logic_op_t *op);
static void logic_op_failed(logic_op_t *op);
static void logic_connect_done(const store_answer_t *a, void *data);
static int logic_connect_pushed(const logic_op_t *op);
static void logic_connected(const char *epoch, uint64_t acked, void *data);
static void logic_end(logic_op_t *op, uint64_t worker);
static void logic_end_done(const store_answer_t *a, void *data);
static void logic_renew(logic_op_t *op, uint64_t worker);
static void logic_renew_replaced(size_t i, void *data);
static void logic_renew_done(const store_answer_t *a, void *data);
static void logic_missing_done(const store_answer_t *a, void *data);
static void logic_announced_done(const store_answer_t *a, void *data);


/* ---- a call and the store ---------------------------------------------- */

/* NULL: the call has been answered */

static logic_op_t *
logic_op_new(logic_call_t *call, const char *what, const char *server,
    const char *zone, Goim__Session **list, size_t n)
{
    size_t       i;
    logic_op_t  *op;

    if (!logic_zone_valid(server, zone) || n > GOIM_SESSIONS_CALL) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, what);
        return NULL;
    }

    for (i = 0; i < n; i++) {
        if (list[i]->key.len == 0 || list[i]->key.len > GOIM_KEY_MAX
            || list[i]->room.len > GOIM_ROOM_MAX)
        {
            logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, what);
            return NULL;
        }
    }

    op = calloc(1, sizeof(logic_op_t));
    if (op == NULL) {
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED, "no memory");
        return NULL;
    }

    op->call = call;
    op->server = server;
    op->zone = zone;
    op->sessions = list;
    op->n = n;

    return op;
}


static logic_op_t *
logic_op_one(logic_call_t *call, const char *what, const char *server,
    const char *zone, int64_t mid, ProtobufCBinaryData key, uint64_t session)
{
    logic_op_t     *op;
    Goim__Session   one = GOIM__SESSION__INIT, *list[1];

    one.mid = mid;
    one.key = key;
    one.session = session;
    list[0] = &one;

    op = logic_op_new(call, what, server, zone, list, 1);

    if (op != NULL) {
        op->one = one;
        op->single = &op->one;
        op->sessions = &op->single;
    }

    return op;
}


static store_ask_t
logic_op_ask(const logic_op_t *op, store_pt cb)
{
    store_ask_t  ask;

    ask.server = op->server;
    ask.zone = op->zone;
    ask.worker = op->worker;
    ask.deadline = op->call->deadline;
    ask.cb = cb;
    ask.data = (void *) op;

    return ask;
}


static void
logic_op_free(logic_op_t *op)
{
    free(op->who);
    free(op);
}


static void
logic_op_failed(logic_op_t *op)
{
    if (op->who != NULL) {
        metrics_add(logic_m.connect_failed, 1);
    }

    logic_reply_code(op->call, GOIM__REPLY__CODE__FAILED,
                     "redis did not do it");
    logic_op_free(op);
}


/* ---- Connect ----------------------------------------------------------- */

void
logic_session_connect(logic_call_t *call, logic_who_t *who)
{
    logic_op_t           *op;
    store_ask_t           ask;
    unsigned              own_key;
    Goim__Connect        *c;
    ProtobufCBinaryData   key;

    own_key = who->key_len > 0;

    if (who->key_len == 0 && logic_key_make(who) != 0) {
        free(who);
        metrics_add(logic_m.connect_failed, 1);
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED, "no random bytes");
        return;
    }

    c = call->msg->connect;
    key.data = (uint8_t *) who->key;
    key.len = who->key_len;

    op = logic_op_one(call, "connect", c->server, c->zone, who->mid, key,
                      c->session);
    if (op == NULL) {
        free(who);
        return;
    }

    op->who = who;
    op->own_key = own_key;
    op->worker = c->worker;
    op->room.data = (uint8_t *) who->room;
    op->room.len = who->room_len;
    ask = logic_op_ask(op, logic_connect_done);

    /* a client whose comet has gone may be logging in elsewhere by now */

    if (logic_rpc_gone(call)
        || store_connect(call->thread->store, &ask, &op->one,
                         who->room_len > 0 ? c->order : 0, &op->room,
                         who)
           != 0)
    {
        logic_op_failed(op);
    }
}


static void
logic_connect_done(const store_answer_t *a, void *data)
{
    logic_op_t  *op = data;

    int     len;
    char    holder[LOGIC_HOLDER_BUF];
    size_t  i;

    if (a->code == STORE_FAILED) {
        logic_op_failed(op);
        return;
    }

    if (a->code == STORE_NEWER) {
        metrics_add(logic_m.connect_late, 1);
        logic_reply_code(op->call, GOIM__REPLY__CODE__REPLACED,
                         "a newer session has the key");
        logic_op_free(op);
        return;
    }

    if (a->code == STORE_TAKEN) {
        metrics_add(logic_m.denied, 1);
        logic_reply_code(op->call, GOIM__REPLY__CODE__DENIED,
                         "another mid has the key");
        logic_op_free(op);
        return;
    }

    if (a->code == STORE_REVOKED) {
        metrics_add(logic_m.denied, 1);
        metrics_add(logic_m.revoked, 1);
        logic_reply_code(op->call, GOIM__REPLY__CODE__DENIED,
                         LOGIC_REVOKED);
        logic_op_free(op);
        return;
    }

    if (a->code == STORE_CROWDED) {
        metrics_add(logic_m.crowded, 1);
        logic_reply_code(op->call, GOIM__REPLY__CODE__CROWDED,
                         "the mid has as many sessions as it may");
        logic_op_free(op);
        return;
    }

    if (a->code == STORE_KICKED) {
        metrics_add(logic_m.denied, 1);
        logic_reply_code(op->call, GOIM__REPLY__CODE__DENIED,
                         "the device was closed: it needs another token");
        logic_op_free(op);
        return;
    }

    for (i = 0; i < a->nkicked; i++) {
        metrics_add(logic_m.kicked, 1);
        logic_kick(op->call->thread, a->kicked[i].holder,
                   a->kicked[i].holder_len, a->kicked[i].key,
                   a->kicked[i].key_len, LOGIC_KICK_CLOSED,
                   "another device of its class has logged in");
    }

    metrics_add(logic_m.connects, 1);

    len = snprintf(holder, sizeof(holder), "%s/%s/%" PRIu64, op->server,
                   op->zone, op->one.session);

    if (a->holder_len > 0
        && (a->holder_len != (size_t) len
            || memcmp(a->holder, holder, a->holder_len) != 0))
    {
        logic_kick(op->call->thread, a->holder, a->holder_len, op->who->key,
                   op->who->key_len, 0, "");
    }

    if (op->who->im && op->call->thread->im != NULL) {
        logic_im_seen(op->call->thread, op->who);
    }

    op->life = a->life;

    if (logic_connect_pushed(op)) {
        logic_im_place(op->call->thread, op->who, logic_connected, op);

    } else {
        logic_connected("", 0, op);
    }
}


/* Whether it is to have what was pushed to it and stored: of its inbox that is a
   part. */

static int
logic_connect_pushed(const logic_op_t *op)
{
    logic_thread_t  *t;

    t = op->call->thread;

    return t->im != NULL && t->conf->im_offline_push > 0 && op->own_key
           && op->who->mid > 0
           && !(op->who->im && op->call->msg->connect->recovers);
}


static void
logic_connected(const char *epoch, uint64_t acked, void *data)
{
    logic_op_t  *op = data;

    const logic_conf_t  *conf;
    Goim__Connected      connected = GOIM__CONNECTED__INIT;

    conf = op->call->thread->conf;

    connected.n_accepts = op->who->naccepts;
    connected.accepts = op->who->accepts;
    connected.heartbeat = (uint32_t) (conf->heartbeat * conf->heartbeat_max);

    /* at the latest with the first heartbeat after twice that, and a third
       of what is left then is for another try */

    connected.renew = (uint32_t) ((conf->ttl - connected.heartbeat) / 3);
    connected.life = op->life;
    connected.epoch = (char *) epoch;
    connected.acked = acked;
    connected.listed = op->room.len > 0
                       && op->call->msg->connect->order != 0;

    logic_session_granted(op->call, op->who, &connected);
    logic_op_free(op);
}


void
logic_session_granted(logic_call_t *call, const logic_who_t *who,
    Goim__Connected *connected)
{
    char                 *p;
    size_t                i;
    double                rate;
    int64_t               left;
    const logic_conf_t   *conf;
    Goim__Reply           reply = GOIM__REPLY__INIT;
    ProtobufCBinaryData   rooms[GOIM_ROOMS_MAX];

    conf = call->thread->conf;

    connected->mid = who->mid;
    connected->key.data = (uint8_t *) who->key;
    connected->key.len = who->key_len;
    connected->room.data = (uint8_t *) who->room;
    connected->room.len = who->room_len;

    for (i = 0, p = (char *) who->may.rooms; i < who->may.nrooms; i++) {
        rooms[i].data = (uint8_t *) p;
        rooms[i].len = who->may.rooms_len[i];
        p += rooms[i].len;
    }

    connected->limited = who->may.rooms_limited;
    connected->n_rooms = who->may.nrooms;
    connected->rooms = rooms;
    connected->ops_limited = who->may.ops_limited;
    connected->n_ops = who->may.nops;
    connected->ops = (int32_t *) who->may.ops;

    connected->jti.data = (uint8_t *) who->jti;
    connected->jti.len = who->jti_len;

    if (who->expires != 0) {
        left = who->expires - svc_date();
        connected->expires = left > 0 ? (uint64_t) left : 1;
    }

    connected->renewable = conf->auth == LOGIC_AUTH_JWT;

    connected->data.data = (uint8_t *) who->data;
    connected->data.len = strlen(who->data);

    connected->send.data = logic_send_pack(who, &connected->send.len);

    connected->im = who->im && call->thread->im != NULL;
    rate = who->limits.has_rate ? who->limits.rate : conf->send_rate;

    if (connected->send.len > 0 && rate > 0) {
        connected->send_interval = (uint32_t) (1000000 / rate);
        connected->send_burst = (uint32_t) (who->limits.burst > 0
                                            ? who->limits.burst
                                            : conf->send_burst);
    }

    reply.reply_case = GOIM__REPLY__REPLY_CONNECTED;
    reply.connected = connected;

    logic_reply(call, &reply);
    free(connected->send.data);
}


/* ---- Disconnect, Ended ------------------------------------------------- */

void
logic_disconnect_call(logic_call_t *call)
{
    Goim__Disconnect  *d;

    d = call->msg->disconnect;

    logic_end(logic_op_one(call, "disconnect", d->server, d->zone, d->mid,
                           d->key, d->session), 0);
}


void
logic_ended_call(logic_call_t *call)
{
    Goim__Ended  *e;

    e = call->msg->ended;

    logic_end(logic_op_new(call, "ended", e->server, e->zone, e->sessions,
                           e->n_sessions),
              e->worker);
}


static void
logic_end(logic_op_t *op, uint64_t worker)
{
    store_ask_t  ask;

    if (op == NULL) {
        return;
    }

    logic_im_acked(op->call->thread, op->sessions, op->n);

    op->worker = worker;
    ask = logic_op_ask(op, logic_end_done);

    if (store_end(op->call->thread->store, &ask, op->sessions, op->n) != 0) {
        logic_op_failed(op);
    }
}


static void
logic_end_done(const store_answer_t *a, void *data)
{
    logic_op_t  *op = data;

    Goim__Reply         reply = GOIM__REPLY__INIT;
    Goim__Disconnected  disconnected = GOIM__DISCONNECTED__INIT;

    if (a->code != STORE_OK) {
        logic_op_failed(op);
        return;
    }

    metrics_add(logic_m.disconnects, (int64_t) a->count);
    metrics_add(logic_m.stale_disconnects, (int64_t) (op->n - a->count));

    disconnected.had = a->count > 0;

    reply.reply_case = GOIM__REPLY__REPLY_DISCONNECTED;
    reply.disconnected = &disconnected;

    logic_reply(op->call, &reply);
    logic_op_free(op);
}


/* ---- Heartbeat, Renew -------------------------------------------------- */

void
logic_heartbeat_call(logic_call_t *call)
{
    Goim__Heartbeat  *h;

    h = call->msg->heartbeat;

    logic_renew(logic_op_one(call, "heartbeat", h->server, h->zone, h->mid,
                             h->key, h->session), 0);
}


void
logic_renew_call(logic_call_t *call)
{
    Goim__Renew  *r;

    r = call->msg->renew;

    logic_renew(logic_op_new(call, "renew", r->server, r->zone, r->sessions,
                             r->n_sessions),
                r->worker);
}


static void
logic_renew(logic_op_t *op, uint64_t worker)
{
    store_ask_t  ask;

    if (op == NULL) {
        return;
    }

    op->worker = worker;
    ask = logic_op_ask(op, logic_renew_done);

    if (store_renew(op->call->thread->store, &ask, op->sessions, op->n,
                    logic_renew_replaced)
        != 0)
    {
        logic_op_failed(op);
    }
}


/* replaced without having noticed: the kick has been lost */

static void
logic_renew_replaced(size_t i, void *data)
{
    logic_op_t  *op = data;

    int             len;
    char            holder[LOGIC_HOLDER_BUF];
    Goim__Session  *s;

    s = op->sessions[i];
    len = snprintf(holder, sizeof(holder), "%s/%s/%" PRIu64, op->server,
                   op->zone, s->session);

    logic_kick(op->call->thread, holder, (size_t) len, s->key.data,
               s->key.len, 0, "");
}


static void
logic_renew_done(const store_answer_t *a, void *data)
{
    logic_op_t  *op = data;

    Goim__Reply    reply = GOIM__REPLY__INIT;
    Goim__Renewed  renewed = GOIM__RENEWED__INIT;

    if (a->code != STORE_OK) {
        logic_op_failed(op);
        return;
    }

    metrics_add(logic_m.heartbeats, (int64_t) op->n);
    metrics_add(logic_m.restored, (int64_t) a->count);

    renewed.life = a->life;

    reply.reply_case = GOIM__REPLY__REPLY_RENEWED;
    reply.renewed = &renewed;

    logic_reply(op->call, &reply);
    logic_op_free(op);
}


/* ---- Missing ----------------------------------------------------------- */

void
logic_missing_call(logic_call_t *call)
{
    logic_op_t     *op;
    store_ask_t     ask;
    Goim__Missing  *m;

    m = call->msg->missing;
    op = logic_op_new(call, "missing", m->server, m->zone, NULL, 0);

    if (op == NULL) {
        return;
    }

    metrics_add(logic_m.missing, (int64_t) m->n_keys);

    if (m->n_keys == 0) {
        logic_reply_ok(call);
        logic_op_free(op);
        return;
    }

    ask = logic_op_ask(op, logic_missing_done);

    if (store_missing(call->thread->store, &ask, m->keys, m->n_keys) != 0) {
        logic_op_failed(op);
    }
}


static void
logic_missing_done(const store_answer_t *a, void *data)
{
    logic_op_t  *op = data;

    if (a->code != STORE_OK) {
        logic_op_failed(op);
        return;
    }

    metrics_add(logic_m.missing_removed, (int64_t) a->count);

    logic_reply_ok(op->call);
    logic_op_free(op);
}


/* ---- Announced --------------------------------------------------------- */

void
logic_announced_call(logic_call_t *call)
{
    logic_op_t       *op;
    store_ask_t       ask;
    Goim__Announced  *a;

    a = call->msg->announced;
    op = logic_op_new(call, "announced", a->server, a->zone, NULL, 0);

    if (op == NULL) {
        return;
    }

    ask = logic_op_ask(op, logic_announced_done);

    if (store_announced(call->thread->store, &ask, a->life) != 0) {
        logic_op_failed(op);
    }
}


static void
logic_announced_done(const store_answer_t *a, void *data)
{
    logic_op_t  *op = data;

    if (a->code != STORE_OK) {
        logic_op_failed(op);
        return;
    }

    logic_reply_ok(op->call);
    logic_op_free(op);
}
