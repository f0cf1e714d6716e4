
/*
 * One message to many sessions.
 *
 * What a turn of the event loop brings for a room is gathered into one block;
 * with a "room_linger", what comes in that time after the last block.
 * Blocks of a room go out one after another, so its order holds; a room with
 * many members is served in slices, so that no other waits behind it.  A
 * member list with a block on its way holds a marker: those behind it are
 * still to come.  Those with a pace are ngx_goim_pace.c's.
 */


#include "ngx_goim_follow.h"
#include "common/goim_frame.h"


#define NGX_GOIM_SLICE          512             /* sessions of a room */
#define NGX_GOIM_TURN           4096            /* sessions in all */
#define NGX_GOIM_LINGER_PENDING (8 * 1024 * 1024)   /* in rooms that wait */
#define NGX_GOIM_HEADROOM       (NGX_GOIM_HEAD + GOIM_HEADER)


static ngx_goim_block_t *ngx_goim_block_make(ngx_goim_buf_t *b,
    ngx_goim_record_t *rec);
static ngx_int_t ngx_goim_block_own(ngx_goim_block_t *block);
static void ngx_goim_block_holds(ngx_goim_block_t *block, size_t len);
static ngx_int_t ngx_goim_gather_copy(ngx_goim_room_t *room,
    ngx_goim_record_t *rec);
static void ngx_goim_gather_end(ngx_goim_room_t *room);
static void ngx_goim_fanout_activate(ngx_goim_room_t *room);
static void ngx_goim_linger_start(ngx_goim_room_t *room, ngx_msec_t due);
static void ngx_goim_linger_end(ngx_goim_room_t *room);
static void ngx_goim_linger_count(size_t len);
static void ngx_goim_linger_handler(ngx_event_t *ev);
static ngx_uint_t ngx_goim_fanout_slice(ngx_goim_room_t *room,
    ngx_uint_t max);
static ngx_uint_t ngx_goim_fanout_paced(ngx_goim_room_t *room);
static void ngx_goim_fanout_handler(ngx_event_t *ev);


static ngx_queue_t  ngx_goim_active;        /* rooms with blocks on their way */
static ngx_queue_t  ngx_goim_lingering;     /* rooms that wait; by `due` */
static ngx_event_t  ngx_goim_fanout_event;
static ngx_event_t  ngx_goim_linger_event;
static ngx_goim_room_t  *ngx_goim_serving;
static size_t       ngx_goim_fanout_bytes;  /* of all blocks */
static size_t       ngx_goim_linger_bytes;  /* of them, in rooms that wait */


ngx_int_t
ngx_goim_fanout_init(ngx_log_t *log)
{
    ngx_queue_init(&ngx_goim_active);
    ngx_queue_init(&ngx_goim_lingering);

    ngx_goim_fanout_event.handler = ngx_goim_fanout_handler;
    ngx_goim_fanout_event.log = log;

    ngx_goim_linger_event.handler = ngx_goim_linger_handler;
    ngx_goim_linger_event.log = log;
    ngx_goim_linger_event.data = &ngx_goim_no_connection;
    ngx_goim_linger_event.cancelable = 1;

    ngx_goim_pace_init(log);

    return NGX_OK;
}


size_t
ngx_goim_fanout_pending(void)
{
    /* what is paced or lingers is to wait, up to a bound each */

    return ngx_goim_fanout_bytes - ngx_goim_linger_bytes
           - ngx_goim_pace_held();
}


ngx_int_t
ngx_goim_fanout_room(ngx_goim_room_t *room, ngx_goim_buf_t *b,
    ngx_goim_record_t *rec, ngx_msec_t came)
{
    size_t             len;
    ngx_msec_t         linger;
    ngx_goim_block_t  *block;

    len = rec->end - rec->inner;
    linger = ngx_goim_conf->room_linger;

    /* its room's epoch has ended, as nobody could find it there */

    if (rec->unnumbered && room->timeline) {
        ngx_goim_timelines_suspect();
    }

    if (room->gather
        && (GOIM_HEADER + room->gather_size + len > ngx_goim_conf->gather_size
            || !ngx_goim_timeline_continues(room, room->gather, rec)))
    {
        ngx_goim_linger_end(room);
        ngx_goim_gather_end(room);
    }

    if (room->gather == NULL) {
        block = ngx_goim_block_make(b, rec);

        if (block == NULL) {
            return NGX_ERROR;
        }

        ngx_goim_timeline_begin(room, block, rec);

        room->gather = block;
        room->gather_size = len;

        /* one that was read late has lingered elsewhere */

        if ((ngx_msec_int_t) (came - room->gathered) < (ngx_msec_int_t) linger
            && (ngx_msec_int_t) (came + linger - ngx_current_msec) > 0)
        {
            ngx_goim_linger_start(room, came + linger);

        } else {
            ngx_goim_fanout_activate(room);
        }

        return NGX_OK;
    }

    return ngx_goim_gather_copy(room, rec);
}


static ngx_goim_block_t *
ngx_goim_block_make(ngx_goim_buf_t *b, ngx_goim_record_t *rec)
{
    uint32_t           at;
    ngx_goim_block_t  *block;

    block = ngx_calloc(sizeof(ngx_goim_block_t), ngx_cycle->log);
    if (block == NULL) {
        return NULL;
    }

    at = (u_char *) rec - b->data;

    b->refs++;
    block->buf = b;
    block->frame = at + rec->frame;
    block->inner = at + rec->inner;
    block->last = at + rec->end;
    block->records = 1;
    block->record = *rec;

    if (ngx_goim_block_own(block) != NGX_OK) {
        ngx_goim_buf_unref(b);
        ngx_free(block);
        return NULL;
    }

    ngx_goim_block_holds(block, block->last - block->inner);

    return block;
}


/* Its copy with numbers is memory, too. */

static void
ngx_goim_block_holds(ngx_goim_block_t *block, size_t len)
{
    block->held += len;
    ngx_goim_fanout_bytes += len;
}


/* It may stay for long: it holds no entry of the ring of which it is less than
   half. */

static ngx_int_t
ngx_goim_block_own(ngx_goim_block_t *block)
{
    uint32_t         from, len;
    ngx_goim_buf_t  *b;

    from = block->frame;
    len = block->last - from;

    if (len >= block->buf->len / 2) {
        return NGX_OK;
    }

    b = ngx_goim_buf_alloc(len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(b->data, block->buf->data + from, len);
    ngx_goim_buf_unref(block->buf);

    block->buf = b;
    block->frame = 0;
    block->inner -= from;
    block->last -= from;

    return NGX_OK;
}


void
ngx_goim_block_free(ngx_goim_block_t *block)
{
    ngx_goim_fanout_bytes -= block->held;

    ngx_goim_buf_unref(block->buf);
    ngx_goim_timeline_block_free(block);
    ngx_free(block);

    ngx_goim_deliver_resume();
}


/*
 * The second record of a room in this turn makes a copy of the first, too,
 * into a block with place for a header: from then on it only grows.
 */

static ngx_int_t
ngx_goim_gather_copy(ngx_goim_room_t *room, ngx_goim_record_t *rec)
{
    size_t             len, size;
    ngx_goim_buf_t    *b;
    ngx_goim_block_t  *block;

    block = room->gather;
    len = rec->end - rec->inner;
    size = NGX_GOIM_HEADROOM + room->gather_size + len;

    if (block->records == 1 || size > block->buf->len) {

        b = ngx_goim_buf_alloc(size * 2);
        if (b == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(b->data + NGX_GOIM_HEADROOM,
                   block->buf->data + block->inner, room->gather_size);

        ngx_goim_buf_unref(block->buf);

        block->buf = b;
        block->inner = NGX_GOIM_HEADROOM;
        block->last = NGX_GOIM_HEADROOM + room->gather_size;
    }

    ngx_memcpy(block->buf->data + block->last, (u_char *) rec + rec->inner,
               len);

    block->last += len;
    block->records++;
    block->record = *rec;
    block->numbered |= rec->seq != 0;
    room->gather_size += len;
    ngx_goim_block_holds(block, len);

    if (room->lingers) {
        ngx_goim_linger_count(len);
    }

    return NGX_OK;
}


/* what was gathered becomes a block of its own; several need their header */

static void
ngx_goim_gather_end(ngx_goim_room_t *room)
{
    size_t             head, len;
    u_char             buf[NGX_GOIM_HEAD], *p;
    ngx_goim_block_t  *block;

    block = room->gather;

    if (block->records > 1) {
        len = block->last - block->inner;
        p = block->buf->data + block->inner - GOIM_HEADER;

        goim_packet_header(p, len, GOIM_VERSION, GOIM_OP_RAW, 0);

        head = goim_frame_head(buf, GOIM_FRAME_BINARY,
                               GOIM_HEADER + len);
        ngx_memcpy(p - head, buf, head);

        block->frame = block->inner - GOIM_HEADER - head;
    }

    ngx_goim_timeline_end(room, block);

    if (block->run) {
        ngx_goim_block_holds(block, block->run->held);
    }

    ngx_queue_insert_tail(&room->blocks, &block->queue);
    room->gather = NULL;
    room->gather_size = 0;
    room->gathered = ngx_current_msec;
}


static void
ngx_goim_fanout_activate(ngx_goim_room_t *room)
{
    if (!room->is_active) {
        room->is_active = 1;
        ngx_queue_insert_tail(&ngx_goim_active, &room->active);
    }
}


/*
 * At rest nothing waits: only what follows a block within "room_linger" does,
 * and that for as long at most.
 */

static void
ngx_goim_linger_start(ngx_goim_room_t *room, ngx_msec_t due)
{
    if (room->is_active) {
        return;
    }

    room->is_active = 1;
    room->lingers = 1;
    room->due = due;

    ngx_queue_insert_tail(&ngx_goim_lingering, &room->active);

    if (!ngx_goim_linger_event.timer_set) {
        ngx_add_timer(&ngx_goim_linger_event, due - ngx_current_msec);
    }

    ngx_goim_linger_count(room->gather_size);
}


/* The ring is not left alone for what lingers.  Where that is too much, those
   who have waited longest go. */

static void
ngx_goim_linger_count(size_t len)
{
    ngx_queue_t  *q;

    ngx_goim_linger_bytes += len;

    while (ngx_goim_linger_bytes > NGX_GOIM_LINGER_PENDING) {
        q = ngx_queue_head(&ngx_goim_lingering);
        ngx_goim_linger_end(ngx_queue_data(q, ngx_goim_room_t, active));
    }
}


static void
ngx_goim_linger_end(ngx_goim_room_t *room)
{
    if (room->lingers) {
        ngx_queue_remove(&room->active);
        room->lingers = 0;
        room->is_active = 0;
        ngx_goim_linger_bytes -= room->gather_size;
    }

    ngx_goim_fanout_activate(room);
}


static void
ngx_goim_linger_handler(ngx_event_t *ev)
{
    ngx_queue_t      *q;
    ngx_msec_int_t    left;
    ngx_goim_room_t  *room;

    while (!ngx_queue_empty(&ngx_goim_lingering)) {
        q = ngx_queue_head(&ngx_goim_lingering);
        room = ngx_queue_data(q, ngx_goim_room_t, active);
        left = (ngx_msec_int_t) (room->due - ngx_current_msec);

        if (left > 0) {
            ngx_add_timer(ev, left);
            break;
        }

        ngx_goim_linger_end(room);
    }

    ngx_goim_fanout_run();
}


ngx_int_t
ngx_goim_fanout_all(ngx_goim_buf_t *b, ngx_goim_record_t *rec)
{
    ngx_goim_block_t  *block;

    if (ngx_queue_empty(&ngx_goim_room_all.members)) {
        return NGX_OK;
    }

    block = ngx_goim_block_make(b, rec);

    if (block == NULL) {
        return NGX_ERROR;
    }

    block->filtered = 1;

    ngx_queue_insert_tail(&ngx_goim_room_all.blocks, &block->queue);
    ngx_goim_fanout_activate(&ngx_goim_room_all);

    return NGX_OK;
}


void
ngx_goim_fanout_drop(ngx_goim_room_t *room)
{
    ngx_queue_t  *q;

    if (ngx_goim_serving == room) {
        ngx_goim_serving = NULL;
    }

    if (room->lingers) {
        ngx_goim_linger_bytes -= room->gather_size;
    }

    if (room->gather) {
        ngx_goim_gather_end(room);
    }

    while (!ngx_queue_empty(&room->blocks)) {
        q = ngx_queue_head(&room->blocks);
        ngx_queue_remove(q);
        ngx_goim_block_free(ngx_queue_data(q, ngx_goim_block_t, queue));
    }

    if (room->marked) {
        ngx_queue_remove(&room->marker.queue);
        room->marked = 0;
    }

    if (room->is_active) {
        ngx_queue_remove(&room->active);
        room->is_active = 0;
        room->lingers = 0;
    }
}


static void
ngx_goim_fanout_handler(ngx_event_t *ev)
{
    ngx_goim_fanout_run();
}


/* a slice of each active room in turn; what is left goes on in the next turn */

void
ngx_goim_fanout_run(void)
{
    ngx_uint_t        n, budget;
    ngx_queue_t      *q;
    ngx_goim_room_t  *room;

    budget = NGX_GOIM_TURN;

    while (!ngx_queue_empty(&ngx_goim_active) && budget) {
        q = ngx_queue_head(&ngx_goim_active);
        room = ngx_queue_data(q, ngx_goim_room_t, active);

        ngx_queue_remove(q);
        room->is_active = 0;

        /* while a block is on its way, more is gathered behind it */

        if (ngx_queue_empty(&room->blocks)) {
            ngx_goim_gather_end(room);
        }

        n = ngx_goim_fanout_slice(room, ngx_min(budget, NGX_GOIM_SLICE));
        budget -= ngx_min(n, budget);
    }

    if (!ngx_queue_empty(&ngx_goim_active)) {
        ngx_post_event(&ngx_goim_fanout_event, &ngx_posted_next_events);
    }
}


/* returns the number of sessions served, at least one for the work itself */

static ngx_uint_t
ngx_goim_fanout_slice(ngx_goim_room_t *room, ngx_uint_t max)
{
    ngx_uint_t         left;
    ngx_queue_t       *q, *end;
    ngx_goim_block_t  *block, copy;

    if (room == &ngx_goim_room_all && ngx_goim_fanout_paced(room)) {
        return 1;
    }

    block = ngx_queue_data(ngx_queue_head(&room->blocks), ngx_goim_block_t,
                           queue);
    end = ngx_queue_sentinel(&room->members);
    q = ngx_queue_head(&room->members);

    if (room->marked) {
        q = ngx_queue_next(&room->marker.queue);
        ngx_queue_remove(&room->marker.queue);
        room->marked = 0;
    }

    /* the room goes if its last member's session is closed for being slow */

    ngx_goim_serving = room;
    copy = *block;
    copy.buf->refs++;
    left = max;

    if (copy.run) {
        copy.run->refs++;
    }

    q = ngx_goim_fanout_send(&copy, q, end, &left);

    ngx_goim_buf_unref(copy.buf);

    if (copy.run) {
        goim_run_unref(&ngx_goim_timelines, copy.run);
    }

    if (ngx_goim_serving == NULL) {
        return max - left + 1;
    }

    ngx_goim_serving = NULL;

    if (q != end) {
        ngx_queue_insert_tail(q, &room->marker.queue);
        room->marked = 1;
        ngx_goim_fanout_activate(room);

        return max;
    }

    ngx_queue_remove(&block->queue);
    ngx_goim_block_free(block);

    if (room->gather || !ngx_queue_empty(&room->blocks)) {
        ngx_goim_fanout_activate(room);
    }

    return max - left + 1;
}


/*
 * A broadcast that is paced, or follows such of its operation, begins when
 * those before it are through: it overtakes none, and none overtakes it.
 */

static ngx_uint_t
ngx_goim_fanout_paced(ngx_goim_room_t *room)
{
    ngx_goim_block_t  *block;

    block = ngx_queue_data(ngx_queue_head(&room->blocks), ngx_goim_block_t,
                           queue);

    if (room->marked || !ngx_goim_pace_wanted(block)
        || ngx_goim_pace_start(block) != NGX_OK)
    {
        return 0;
    }

    ngx_queue_remove(&block->queue);

    if (!ngx_queue_empty(&room->blocks)) {
        ngx_goim_fanout_activate(room);
    }

    return 1;
}


ngx_queue_t *
ngx_goim_fanout_send(ngx_goim_block_t *block, ngx_queue_t *q,
    ngx_queue_t *end, ngx_uint_t *max)
{
    ngx_int_t            rc;
    ngx_queue_t         *next;
    ngx_goim_member_t   *member;
    ngx_goim_session_t  *s;

    for ( /* void */ ; q != end && *max; q = next) {
        next = ngx_queue_next(q);
        member = ngx_queue_data(q, ngx_goim_member_t, queue);
        s = member->session;

        if (s == NULL) {
            continue;
        }

        (*max)--;

        if (block->filtered
            && !ngx_goim_session_accepts(s, block->record.operation))
        {
            ngx_goim_count(filtered, 1);
            ngx_goim_trace_filtered(s, &block->record);
            continue;
        }

        if (s->follow && block->numbered) {
            ngx_goim_follow_block(s, block);
            continue;
        }

        rc = ngx_goim_send(s, block->buf,
                           ngx_goim_push_from(s, block->frame, block->inner),
                           block->last);

        if (rc == NGX_ERROR) {
            continue;
        }

        if (rc == NGX_OK) {
            ngx_goim_count(pushed, block->records);
        }

        ngx_goim_trace_push(s, rc, block->buf->data + block->inner,
                            block->last - block->inner, &block->record);
    }

    return q;
}
