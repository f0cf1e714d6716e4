
/*
 * Sessions that enter another room.  Where there are many nodes they wait until
 * Redis lists the room for this node: what is pushed to it after the answer
 * comes here.  Those that wait for the same room wait together, and rooms of a
 * turn are asked for together.
 *
 * When that fails the session stays where it is, and is told so.
 */


#include "ngx_goim_follow.h"


/* A room that is to be listed. */
typedef struct {
    ngx_goim_entry_t        entry;
    ngx_queue_t             queue;          /* those to be asked for, or of
                                               a call */
    ngx_queue_t             entering;
    ngx_str_t               name;
    u_char                  data[1];
} ngx_goim_ask_t;


/* A session that waits for it. */
typedef struct ngx_goim_entering_s {
    ngx_queue_t             queue;          /* of the ask */
    ngx_goim_session_t     *session;
    ngx_goim_ask_t         *ask;
    ngx_msec_t              since;
    uint16_t                version;
    int32_t                 sequence;
    ngx_goim_was_t          was;
    ngx_str_t               room;
    u_char                  data[1];
} ngx_goim_entering_t;


typedef struct {
    ngx_queue_t             asks;
    uint64_t                order;
} ngx_goim_enter_call_t;


static ngx_int_t ngx_goim_enter_wait(ngx_goim_entering_t *e);
static ngx_goim_ask_t *ngx_goim_enter_ask(ngx_str_t *name);
static void ngx_goim_enter_flush(ngx_event_t *ev);
static ngx_int_t ngx_goim_enter_call(void);
static void ngx_goim_enter_reply(void *data, const Goim__Reply *reply);
static void ngx_goim_enter_listed(ngx_goim_ask_t *ask,
    const ngx_goim_listing_t *listing);
static void ngx_goim_enter_late(ngx_goim_ask_t *ask);
static void ngx_goim_enter_end(ngx_goim_entering_t *e, ngx_int_t rc);
static void ngx_goim_ask_free(ngx_goim_ask_t *ask);


static ngx_goim_index_t  ngx_goim_asks;
static ngx_queue_t       ngx_goim_asks_ready;
static ngx_event_t       ngx_goim_enter_event;


ngx_int_t
ngx_goim_enter_init(ngx_log_t *log)
{
    ngx_queue_init(&ngx_goim_asks_ready);

    ngx_goim_enter_event.handler = ngx_goim_enter_flush;
    ngx_goim_enter_event.log = log;
    ngx_goim_enter_event.data = &ngx_goim_no_connection;

    return ngx_goim_index_init(&ngx_goim_asks, ngx_goim_zone->seed, log);
}


uint64_t
ngx_goim_list_order(void)
{
    return ngx_atomic_fetch_add(&ngx_goim_zone->lists.order, 1) + 1;
}


ngx_int_t
ngx_goim_enter(ngx_goim_session_t *s, goim_packet_t *p, ngx_str_t *room,
    ngx_goim_was_t *was)
{
    ngx_int_t             rc;
    ngx_goim_entering_t  *e;

    rc = ngx_goim_room_change(s, room, NULL, 1);

    if (rc == NGX_OK) {
        rc = ngx_goim_follow_enter(s, was);
    }

    if (rc == NGX_OK) {
        return ngx_goim_enter_answer(s, p->version, p->sequence);
    }

    if (rc == NGX_ERROR) {
        goto failed;
    }

    e = ngx_alloc(offsetof(ngx_goim_entering_t, data) + room->len,
                  ngx_cycle->log);
    if (e == NULL) {
        goto failed;
    }

    e->session = s;
    e->since = ngx_current_msec;
    e->version = p->version;
    e->sequence = p->sequence;
    e->was = *was;
    e->room.len = room->len;
    e->room.data = e->data;
    ngx_memcpy(e->data, room->data, room->len);

    if (ngx_goim_enter_wait(e) != NGX_OK) {
        ngx_free(e);
        goto failed;
    }

    ngx_goim_count(room_waits, 1);

    s->entering = e;
    s->busy = 1;

    return NGX_AGAIN;

failed:

    ngx_goim_was_free(was);
    ngx_goim_close(s, 1011, "no memory");

    return NGX_ERROR;
}


void
ngx_goim_enter_forget(ngx_goim_session_t *s)
{
    ngx_goim_entering_t  *e;

    e = s->entering;

    if (e == NULL) {
        return;
    }

    /* its ask goes on: somebody else may come */

    s->entering = NULL;
    ngx_goim_was_free(&e->was);
    ngx_queue_remove(&e->queue);
    ngx_free(e);
}


/* ---- asking ---- */

static ngx_int_t
ngx_goim_enter_wait(ngx_goim_entering_t *e)
{
    ngx_goim_ask_t    *ask;
    ngx_goim_entry_t  *entry;

    entry = ngx_goim_index_find(&ngx_goim_asks, e->room.data, e->room.len);

    ask = entry ? ngx_queue_data(entry, ngx_goim_ask_t, entry)
                : ngx_goim_enter_ask(&e->room);
    if (ask == NULL) {
        return NGX_ERROR;
    }

    e->ask = ask;
    ngx_queue_insert_tail(&ask->entering, &e->queue);

    return NGX_OK;
}


static ngx_goim_ask_t *
ngx_goim_enter_ask(ngx_str_t *name)
{
    ngx_goim_ask_t  *ask;

    ask = ngx_alloc(offsetof(ngx_goim_ask_t, data) + name->len,
                    ngx_cycle->log);
    if (ask == NULL) {
        return NULL;
    }

    ask->name.len = name->len;
    ask->name.data = ask->data;
    ngx_memcpy(ask->data, name->data, name->len);

    ask->entry.key = &ask->name;
    ngx_queue_init(&ask->entering);
    ngx_queue_insert_tail(&ngx_goim_asks_ready, &ask->queue);
    ngx_goim_index_add(&ngx_goim_asks, &ask->entry);

    ngx_post_event(&ngx_goim_enter_event, &ngx_posted_events);

    return ask;
}


static void
ngx_goim_enter_flush(ngx_event_t *ev)
{
    while (!ngx_queue_empty(&ngx_goim_asks_ready)
           && ngx_goim_enter_call() == NGX_OK)
    {
        /* void */
    }
}


static ngx_int_t
ngx_goim_enter_call(void)
{
    ngx_uint_t              n, peer;
    Goim__Call              call;
    ngx_queue_t            *q;
    Goim__Rooms             rooms;
    ngx_goim_ask_t         *ask;
    ngx_goim_enter_call_t  *c;

    static ProtobufCBinaryData  names[GOIM_LISTS_CALL];

    c = ngx_alloc(sizeof(ngx_goim_enter_call_t), ngx_cycle->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&c->asks);
    c->order = ngx_goim_list_order();

    for (n = 0; n < GOIM_LISTS_CALL && !ngx_queue_empty(&ngx_goim_asks_ready);
         n++)
    {
        q = ngx_queue_head(&ngx_goim_asks_ready);
        ask = ngx_queue_data(q, ngx_goim_ask_t, queue);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&c->asks, q);

        names[n].data = ask->name.data;
        names[n].len = ask->name.len;
    }

    goim__call__init(&call);
    goim__rooms__init(&rooms);

    call.call_case = GOIM__CALL__CALL_ROOMS;
    call.rooms = &rooms;

    rooms.server = (char *) ngx_goim_conf->server_id.data;
    rooms.zone = (char *) ngx_goim_zone->id;
    rooms.order = c->order;
    rooms.listed = names;
    rooms.n_listed = n;

    peer = NGX_GOIM_LOGIC_ANY;

    if (ngx_goim_logic_call(&call, &peer, ngx_goim_enter_reply, c) != NULL) {
        return NGX_OK;
    }

    ngx_queue_add(&ngx_goim_asks_ready, &c->asks);
    ngx_free(c);

    return NGX_DECLINED;
}


static void
ngx_goim_enter_reply(void *data, const Goim__Reply *reply)
{
    ngx_goim_enter_call_t  *c = data;

    ngx_queue_t         *q;
    ngx_goim_ask_t      *ask;
    ngx_goim_listing_t   listing;

    if (reply == NULL || reply->code != GOIM__REPLY__CODE__OK
        || reply->reply_case != GOIM__REPLY__REPLY_ROOMED)
    {
        /* at the next tick */

        ngx_queue_add(&ngx_goim_asks_ready, &c->asks);
        ngx_free(c);
        return;
    }

    listing.life = reply->roomed->life;
    listing.order = c->order;

    while (!ngx_queue_empty(&c->asks)) {
        q = ngx_queue_head(&c->asks);
        ask = ngx_queue_data(q, ngx_goim_ask_t, queue);

        ngx_goim_enter_listed(ask, &listing);
    }

    ngx_free(c);
}


/* ---- the end of waiting ---- */

static void
ngx_goim_enter_listed(ngx_goim_ask_t *ask, const ngx_goim_listing_t *listing)
{
    ngx_int_t             rc;
    ngx_queue_t           waiting, *q;
    ngx_goim_entering_t  *e;

    ngx_queue_init(&waiting);

    if (!ngx_queue_empty(&ask->entering)) {
        ngx_queue_add(&waiting, &ask->entering);
    }

    ngx_goim_ask_free(ask);

    while (!ngx_queue_empty(&waiting)) {
        q = ngx_queue_head(&waiting);
        e = ngx_queue_data(q, ngx_goim_entering_t, queue);
        ngx_queue_remove(q);

        rc = ngx_goim_room_change(e->session, &e->room, listing, 1);

        /* it was listed in another life of Redis, or taken off meanwhile */

        if (rc == NGX_DECLINED
            && ngx_current_msec - e->since < ngx_goim_conf->logic_timeout
            && ngx_goim_enter_wait(e) == NGX_OK)
        {
            continue;
        }

        ngx_goim_enter_end(e, rc);
    }
}


/* Once a tick: those that could not be asked for again, or no longer. */

void
ngx_goim_enter_tick(void)
{
    ngx_queue_t     *q, *next;
    ngx_goim_ask_t  *ask;

    for (q = ngx_queue_head(&ngx_goim_asks_ready);
         q != ngx_queue_sentinel(&ngx_goim_asks_ready);
         q = next)
    {
        next = ngx_queue_next(q);
        ask = ngx_queue_data(q, ngx_goim_ask_t, queue);

        ngx_goim_enter_late(ask);
    }

    ngx_goim_enter_flush(&ngx_goim_enter_event);
}


/* As long as nobody relies on lists they may go without. */

static void
ngx_goim_enter_late(ngx_goim_ask_t *ask)
{
    ngx_queue_t          *q;
    ngx_goim_entering_t  *e;

    while (!ngx_queue_empty(&ask->entering)) {
        q = ngx_queue_head(&ask->entering);
        e = ngx_queue_data(q, ngx_goim_entering_t, queue);

        if (ngx_current_msec - e->since < ngx_goim_conf->logic_timeout) {
            return;
        }

        ngx_queue_remove(q);
        ngx_goim_enter_end(e, ngx_goim_room_change(e->session, &e->room, NULL,
                                                   0));
    }

    ngx_goim_ask_free(ask);
}


static void
ngx_goim_enter_end(ngx_goim_entering_t *e, ngx_int_t rc)
{
    ngx_goim_session_t  *s;

    s = e->session;
    s->entering = NULL;

    if (rc == NGX_OK) {
        rc = ngx_goim_follow_enter(s, &e->was);

    } else {
        ngx_goim_was_free(&e->was);
        ngx_memzero(&e->was, sizeof(ngx_goim_was_t));
    }

    if (rc == NGX_ERROR) {
        ngx_free(e);
        ngx_goim_close(s, 1011, "no memory");
        return;
    }

    if (rc != NGX_OK) {
        ngx_goim_count(room_failed, 1);
        ngx_goim_trace(s, "room failed=\"%V\"",
                       ngx_goim_trace_text(e->room.data, e->room.len));

        ngx_log_error(NGX_LOG_WARN, s->connection->log, 0,
                      "goim: room \"%V\" could not be listed by logic, the "
                      "session stays where it is",
                      ngx_goim_trace_text(e->room.data, e->room.len));

        if (ngx_goim_refuse(s, GOIM_OP_CHANGE_ROOM, e->sequence, GOIM_LATER,
                            "that room could not be listed")
            == NGX_ERROR)
        {
            ngx_free(e);
            return;
        }

        if (ngx_goim_follow_enter(s, &e->was) != NGX_OK) {
            ngx_free(e);
            ngx_goim_close(s, 1011, "no memory");
            return;
        }
    }

    rc = ngx_goim_enter_answer(s, e->version, e->sequence);

    ngx_free(e);

    if (rc != NGX_ERROR) {
        ngx_goim_resume(s);
    }
}


static void
ngx_goim_ask_free(ngx_goim_ask_t *ask)
{
    ngx_queue_remove(&ask->queue);
    ngx_goim_index_delete(&ngx_goim_asks, &ask->entry);
    ngx_free(ask);
}


/* The answer names the room it is in from now on. */

ngx_int_t
ngx_goim_enter_answer(ngx_goim_session_t *s, uint16_t version,
    int32_t sequence)
{
    ngx_str_t  room;

    ngx_str_null(&room);

    if (s->room) {
        room = s->room->key;
    }

    if (ngx_goim_reply(s, version, GOIM_OP_CHANGE_ROOM_REPLY, sequence,
                       room.data, room.len)
        == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    return ngx_goim_follow_nowhere(s);
}
