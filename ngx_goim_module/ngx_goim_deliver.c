
/*
 * From the ring to the sessions concerned.
 */


#include "ngx_goim_room.h"


#define NGX_GOIM_FOLLOW_ENTRIES  64                  /* a turn, */
#define NGX_GOIM_FOLLOW_BYTES    (8 * 1024 * 1024)   /* and about so much */
#define NGX_GOIM_FOLLOW_PENDING  (8 * 1024 * 1024)   /* fan-out bytes */


static void ngx_goim_follow_handler(ngx_event_t *ev);
static void ngx_goim_follow_post(void);
static ngx_int_t ngx_goim_deliver_next(void);
static void ngx_goim_deliver_entry(ngx_goim_buf_t *b);
static ngx_int_t ngx_goim_deliver_record(ngx_goim_buf_t *b,
    ngx_goim_record_t *rec);
static ngx_int_t ngx_goim_deliver_keys(ngx_goim_buf_t *b,
    ngx_goim_record_t *rec);
static ngx_int_t ngx_goim_deliver_kick(ngx_goim_record_t *rec);
static u_char *ngx_goim_deliver_name(u_char *p, ngx_str_t *name);


static ngx_event_t  ngx_goim_follow_event;
static ngx_uint_t   ngx_goim_follow_full;   /* it waits for fan-outs */


static void
ngx_goim_follow_handler(ngx_event_t *ev)
{
    ngx_goim_deliver_follow();
}


/*
 * Take what is new, up to a bound a turn.  A worker whose fan-outs do not
 * keep up leaves the ring alone for a while: its memory is bounded, and the
 * ring holds what is to come.
 */

void
ngx_goim_deliver_follow(void)
{
    uint64_t    from;
    ngx_int_t   rc;
    ngx_uint_t  n;

    ngx_goim_slot->notified = 0;
    ngx_memory_barrier();

    ngx_goim_trace_look();

    rc = NGX_OK;
    from = ngx_goim_slot->cursor;

    for (n = 0; n < NGX_GOIM_FOLLOW_ENTRIES && rc == NGX_OK; n++) {

        if (ngx_goim_fanout_pending() > NGX_GOIM_FOLLOW_PENDING) {
            ngx_goim_follow_full = 1;
            rc = NGX_BUSY;
            break;
        }

        if (ngx_goim_slot->cursor - from > NGX_GOIM_FOLLOW_BYTES) {
            break;
        }

        rc = ngx_goim_deliver_next();
    }

    ngx_goim_fanout_run();

    if (rc == NGX_OK) {
        ngx_goim_follow_post();
    }
}


static void
ngx_goim_follow_post(void)
{
    ngx_goim_follow_event.handler = ngx_goim_follow_handler;
    ngx_goim_follow_event.log = ngx_cycle->log;

    ngx_post_event(&ngx_goim_follow_event, &ngx_posted_next_events);
}


void
ngx_goim_deliver_resume(void)
{
    if (ngx_goim_follow_full
        && ngx_goim_fanout_pending() <= NGX_GOIM_FOLLOW_PENDING)
    {
        ngx_goim_follow_full = 0;
        ngx_goim_follow_post();
    }
}


/* NGX_OK: one entry; NGX_DONE: no more; NGX_ERROR: no memory, later */

static ngx_int_t
ngx_goim_deliver_next(void)
{
    int              rc;
    size_t           need;
    uint64_t         cursor;
    ngx_goim_buf_t  *b;

    cursor = ngx_goim_slot->cursor;
    need = 0;

    rc = ngx_goim_ring_read(ngx_goim_zone->ring, &cursor, ngx_goim_slot_n,
                            NULL, 0, &need);

    if (rc == NGX_GOIM_RING_SIZE) {

        b = ngx_goim_buf_alloc(need);
        if (b == NULL) {
            return NGX_ERROR;
        }

        rc = ngx_goim_ring_read(ngx_goim_zone->ring, &cursor,
                                ngx_goim_slot_n, b->data, need, &need);

        if (rc == NGX_GOIM_RING_OK) {
            ngx_goim_deliver_entry(b);
        }

        ngx_goim_buf_unref(b);
    }

    ngx_goim_slot->cursor = cursor;
    ngx_goim_slot->moved = ngx_current_msec;

    switch (rc) {

    case NGX_GOIM_RING_EMPTY:
        return NGX_DONE;

    case NGX_GOIM_RING_LAPPED:
        ngx_goim_count(lapped, 1);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: this worker fell behind by the whole ring, "
                      "messages are lost; a larger \"zone\" holds more");
        ngx_goim_timelines_suspect();
        break;

    case NGX_GOIM_RING_CORRUPT:
        ngx_goim_count(corrupt, 1);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: a damaged entry in the ring, messages are lost");
        ngx_goim_timelines_suspect();
        break;
    }

    return NGX_OK;
}


static void
ngx_goim_deliver_entry(ngx_goim_buf_t *b)
{
    u_char                 *p;
    ngx_uint_t              i;
    ngx_goim_record_t      *rec;
    ngx_goim_ring_entry_t  *e;

    e = (ngx_goim_ring_entry_t *) b->data;
    p = b->data + sizeof(ngx_goim_ring_entry_t);

    for (i = 0; i < e->records; i++) {
        rec = (ngx_goim_record_t *) p;
        p += rec->len;

        if (ngx_goim_deliver_record(b, rec) != NGX_OK) {
            ngx_goim_count(push_dropped, 1);
            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                          "goim: no memory to deliver a message");
            ngx_goim_timelines_suspect();
        }
    }
}


static ngx_int_t
ngx_goim_deliver_record(ngx_goim_buf_t *b, ngx_goim_record_t *rec)
{
    ngx_str_t               name;
    ngx_goim_room_t        *room;
    ngx_goim_ring_entry_t  *e;

    switch (rec->kind) {

    case GOIM__RECORD__KIND__KEYS:
        return ngx_goim_deliver_keys(b, rec);

    case GOIM__RECORD__KIND__ROOM:
        (void) ngx_goim_deliver_name((u_char *) (rec + 1), &name);
        room = ngx_goim_room_find(name.data, name.len);

        e = (ngx_goim_ring_entry_t *) b->data;

        return room ? ngx_goim_fanout_room(room, b, rec, e->came) : NGX_OK;

    case GOIM__RECORD__KIND__ALL:
        return ngx_goim_fanout_all(b, rec);

    case GOIM__RECORD__KIND__KICK:
        return ngx_goim_deliver_kick(rec);

    case NGX_GOIM_RECORD_END:
        return ngx_goim_end_came(rec);

    case NGX_GOIM_RECORD_CANARY:
        (void) ngx_goim_deliver_name((u_char *) (rec + 1), &name);
        ngx_goim_canary_came(&name);
        return NGX_OK;

    default: /* NGX_GOIM_RECORD_NONE */
        return NGX_OK;
    }
}


static ngx_int_t
ngx_goim_deliver_keys(ngx_goim_buf_t *b, ngx_goim_record_t *rec)
{
    u_char              *p;
    int64_t              mid;
    uint32_t             i, at;
    ngx_int_t            rc;
    ngx_str_t            name;
    ngx_uint_t           slot;
    ngx_goim_session_t  *s;

    at = (u_char *) rec - b->data;
    mid = (int64_t) rec->session;
    p = (u_char *) (rec + 1);

    if (rec->seq) {
        p = ngx_goim_deliver_name(p, &name);
        ngx_goim_inbox_came(rec, &name);
    }

    for (i = 0; i < rec->nnames; i++) {
        slot = p[0] << 8 | p[1];
        p = ngx_goim_deliver_name(p + 2, &name);
        s = ngx_goim_session_find(name.data, name.len);

        /* a key that is another user's meanwhile is no reason to tell it */

        if (s == NULL || (mid && s->mid != ngx_abs(mid))) {
            ngx_goim_count(key_gone, slot == ngx_goim_slot_n);
            continue;
        }

        if (rec->seq && ngx_goim_inbox_has(s, rec)) {
            continue;
        }

        if (!ngx_goim_session_accepts(s, rec->operation)) {
            ngx_goim_count(filtered, 1);
            ngx_goim_trace_filtered(s, rec);
            continue;
        }

        rc = ngx_goim_send(s, b,
                           at + ngx_goim_push_from(s, rec->frame, rec->inner),
                           at + rec->end);

        if (rc == NGX_ERROR) {
            continue;
        }

        if (rc == NGX_OK) {
            ngx_goim_count(pushed, 1);
        }

        ngx_goim_trace_push(s, rc, (u_char *) rec + rec->inner,
                            rec->end - rec->inner, rec);
    }

    return NGX_OK;
}


/* A session id is unique in its zone, so a late kick finds nobody; an early
   one finds a session that does not know its key yet. */

static ngx_int_t
ngx_goim_deliver_kick(ngx_goim_record_t *rec)
{
    u_char              *p;
    ngx_str_t            key, zone;
    ngx_goim_session_t  *s;

    p = ngx_goim_deliver_name((u_char *) (rec + 1), &key);
    (void) ngx_goim_deliver_name(p, &zone);

    if (zone.len != ngx_strlen(ngx_goim_zone->id)
        || ngx_memcmp(zone.data, ngx_goim_zone->id, zone.len) != 0)
    {
        return NGX_OK;
    }

    if (rec->inner < rec->end) {
        return ngx_goim_end_came(rec);
    }

    s = ngx_goim_session_find(key.data, key.len);

    if (s && s->id == rec->session) {
        ngx_goim_count(replaced, 1);
        ngx_goim_close(s, 1008, "replaced");

    } else {
        ngx_goim_auth_kick(rec->session);
    }

    return NGX_OK;
}


static u_char *
ngx_goim_deliver_name(u_char *p, ngx_str_t *name)
{
    name->len = p[0] << 8 | p[1];
    name->data = p + 2;

    return p + 2 + name->len;
}
