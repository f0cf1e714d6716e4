
/*
 * What waits for a session's socket: bounds, one write a turn.
 *
 * What a session holds is what it counts, within a factor of two and a piece of
 * NGX_GOIM_QUEUE_OWN.  As long as a socket takes everything, blocks are shared
 * by reference.  What is left after a write keeps no block of which it needs
 * less than half: it is copied, small messages together.
 */


#include "ngx_goim_core.h"
#include "common/goim_timeline.h"


#define NGX_GOIM_QUEUE_FIRST    4           /* items, when one is not enough */
#define NGX_GOIM_QUEUE_IOVS     64
#define NGX_GOIM_QUEUE_RECORD   16384       /* a TLS record */
#define NGX_GOIM_QUEUE_OWN      16384       /* small messages in one piece */
#define NGX_GOIM_QUEUE_HELD     2000        /* ms */

/* most of the block is not for this session */
#define ngx_goim_queue_wastes(b, pos, last)  ((last) - (pos) < (b)->len / 2)


static ngx_uint_t ngx_goim_queue_over(ngx_goim_session_t *s, size_t len);
static void ngx_goim_queue_timer(ngx_goim_session_t *s, ngx_uint_t moved);
static ngx_int_t ngx_goim_queue_add(ngx_goim_session_t *s, ngx_goim_buf_t *b,
    uint32_t pos, uint32_t last);
static ngx_int_t ngx_goim_queue_own(ngx_goim_session_t *s, u_char *data,
    size_t len);
static void ngx_goim_queue_settle(ngx_goim_session_t *s);
static void ngx_goim_queue_settle_first(ngx_goim_session_t *s);
static ngx_int_t ngx_goim_queue_full(ngx_goim_session_t *s);
static void ngx_goim_queue_cut(ngx_goim_session_t *s);
static void ngx_goim_queue_dirty(ngx_goim_session_t *s);
static void ngx_goim_queue_flush_all(ngx_event_t *ev);
static void ngx_goim_queue_resume_all(ngx_event_t *ev);
static ssize_t ngx_goim_queue_write(ngx_goim_session_t *s);
static ssize_t ngx_goim_queue_writev(ngx_goim_session_t *s);
static void ngx_goim_queue_sent(ngx_goim_session_t *s, size_t n);
#if (NGX_SSL)
static ssize_t ngx_goim_queue_write_tls(ngx_goim_session_t *s);
#endif


static ngx_queue_t  ngx_goim_dirty;
static ngx_queue_t  ngx_goim_resumed;
static ngx_event_t  ngx_goim_flush_event;
static ngx_event_t  ngx_goim_resume_event;


void
ngx_goim_queue_init(void)
{
    ngx_queue_init(&ngx_goim_dirty);
    ngx_queue_init(&ngx_goim_resumed);

    ngx_goim_flush_event.handler = ngx_goim_queue_flush_all;
    ngx_goim_flush_event.log = ngx_cycle->log;

    ngx_goim_resume_event.handler = ngx_goim_queue_resume_all;
    ngx_goim_resume_event.log = ngx_cycle->log;
}


ngx_goim_buf_t *
ngx_goim_buf_alloc(size_t len)
{
    ngx_goim_buf_t  *b;

    if (len > NGX_MAX_INT32_VALUE) {
        return NULL;
    }

    b = ngx_alloc(offsetof(ngx_goim_buf_t, data) + len, ngx_cycle->log);

    if (b) {
        b->refs = 1;
        b->len = len;
    }

    return b;
}


void
ngx_goim_buf_unref(ngx_goim_buf_t *b)
{
    if (--b->refs == 0) {
        ngx_free(b);
    }
}


ngx_int_t
ngx_goim_send(ngx_goim_session_t *s, ngx_goim_buf_t *b, uint32_t pos,
    uint32_t last)
{
    if (s->closing) {
        return NGX_ERROR;
    }

    if (ngx_goim_queue_over(s, last - pos)) {

        /* slow is who does not take what was offered */

        if (ngx_goim_queue_flush(s) == NGX_ERROR) {
            ngx_goim_close(s, 0, "send failed");
            return NGX_ERROR;
        }

        if (ngx_goim_queue_over(s, last - pos)) {
            return ngx_goim_queue_full(s);
        }
    }

    return ngx_goim_send_always(s, b, pos, last);
}


ngx_int_t
ngx_goim_send_always(ngx_goim_session_t *s, ngx_goim_buf_t *b, uint32_t pos,
    uint32_t last)
{
    ngx_int_t  rc;

    if (s->closing) {
        return NGX_ERROR;
    }

    if (!s->connection->write->ready && ngx_goim_queue_wastes(b, pos, last)) {
        rc = ngx_goim_queue_own(s, b->data + pos, last - pos);

    } else {
        rc = ngx_goim_queue_add(s, b, pos, last);

        if (rc == NGX_OK) {
            b->refs++;
            s->unsettled++;
        }
    }

    if (rc != NGX_OK) {
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    ngx_goim_count(bytes_out, last - pos);
    ngx_goim_queue_dirty(s);

    return NGX_OK;
}


/* a message of any size may wait alone */

static ngx_uint_t
ngx_goim_queue_over(ngx_goim_session_t *s, size_t len)
{
    size_t  max;

    max = s->app->queue_size ? s->app->queue_size
                             : ngx_goim_conf->queue_size;

    /* what its room's history fills has a bound of its own */

    if (s->follow) {
        max += GOIM_FOLLOW_QUEUE;
    }

    return s->nitems && s->queued + len > max;
}


ngx_int_t
ngx_goim_send_copy(ngx_goim_session_t *s, u_char *data, size_t len)
{
    ngx_int_t        rc;
    ngx_goim_buf_t  *b;

    b = ngx_goim_buf_alloc(len);

    if (b == NULL) {
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    ngx_memcpy(b->data, data, len);

    rc = ngx_goim_send(s, b, 0, len);

    ngx_goim_buf_unref(b);

    return rc;
}


static ngx_int_t
ngx_goim_queue_full(ngx_goim_session_t *s)
{
    if (ngx_goim_conf->queue_drop) {
        ngx_goim_count(push_dropped, 1);
        return NGX_DECLINED;
    }

    ngx_goim_count(slow_closed, 1);

    /* what it did not read so far it will not read now */

    ngx_goim_queue_cut(s);
    ngx_goim_close(s, s->follow ? 1012 : 1008, "too slow");

    return NGX_ERROR;
}


ngx_int_t
ngx_goim_queue_push(ngx_goim_session_t *s, ngx_goim_buf_t *b, uint32_t pos,
    uint32_t last)
{
    if (ngx_goim_queue_add(s, b, pos, last) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_goim_count(bytes_out, last - pos);

    return NGX_OK;
}


static ngx_int_t
ngx_goim_queue_add(ngx_goim_session_t *s, ngx_goim_buf_t *b, uint32_t pos,
    uint32_t last)
{
    uint32_t          i, size;
    ngx_goim_item_t  *items, *item;

    if (s->nitems == s->size) {
        size = s->size == 1 ? NGX_GOIM_QUEUE_FIRST : s->size * 2;

        items = ngx_alloc(size * sizeof(ngx_goim_item_t), ngx_cycle->log);
        if (items == NULL) {
            return NGX_ERROR;
        }

        for (i = 0; i < s->nitems; i++) {
            items[i] = s->items[(s->first + i) % s->size];
        }

        if (s->items != &s->item) {
            ngx_free(s->items);
        }

        s->items = items;
        s->size = size;
        s->first = 0;
    }

    item = &s->items[(s->first + s->nitems) % s->size];

    item->buf = b;
    item->pos = pos;
    item->last = last;

    s->nitems++;
    s->queued += last - pos;

    return NGX_OK;
}


/*
 * A copy, behind the last one if that is the session's alone and has place.  A
 * new piece has as much of it as waits already, within a bound.
 */

static ngx_int_t
ngx_goim_queue_own(ngx_goim_session_t *s, u_char *data, size_t len)
{
    size_t            size;
    ngx_goim_buf_t   *b;
    ngx_goim_item_t  *item;

    if (s->nitems) {
        item = &s->items[(s->first + s->nitems - 1) % s->size];
        b = item->buf;

        if (b->refs == 1 && b->len - item->last >= len) {
            ngx_memcpy(b->data + item->last, data, len);
            item->last += len;
            s->queued += len;
            return NGX_OK;
        }
    }

    size = ngx_max(len, ngx_min(s->queued, NGX_GOIM_QUEUE_OWN));

    b = ngx_goim_buf_alloc(size);
    if (b == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(b->data, data, len);

    if (ngx_goim_queue_add(s, b, 0, len) != NGX_OK) {
        ngx_goim_buf_unref(b);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* what the socket did not take of those that were queued by reference */

static void
ngx_goim_queue_settle(ngx_goim_session_t *s)
{
    uint32_t         i, n, len;
    ngx_goim_item_t  item;

    n = ngx_min(s->unsettled, s->nitems);

    s->unsettled = 0;
    s->nitems -= n;

    for (i = s->nitems + n; n; n--) {
        item = s->items[(s->first + i - n) % s->size];
        len = item.last - item.pos;
        s->queued -= len;

        if (ngx_goim_queue_wastes(item.buf, item.pos, item.last)
            && ngx_goim_queue_own(s, item.buf->data + item.pos, len)
               == NGX_OK)
        {
            ngx_goim_buf_unref(item.buf);
            continue;
        }

        /* there is a place: its own, or one before it */

        (void) ngx_goim_queue_add(s, item.buf, item.pos, item.last);
    }

    ngx_goim_queue_settle_first(s);
}


/* it may be sent in parts, and what is left be small */

static void
ngx_goim_queue_settle_first(ngx_goim_session_t *s)
{
    size_t            len;
    ngx_goim_buf_t   *b;
    ngx_goim_item_t  *item;

    item = &s->items[s->first];
    len = item->last - item->pos;

    if (!ngx_goim_queue_wastes(item->buf, item->pos, item->last)
        || item->buf->len <= NGX_GOIM_QUEUE_OWN)
    {
        return;
    }

    b = ngx_goim_buf_alloc(len);
    if (b == NULL) {
        return;
    }

    ngx_memcpy(b->data, item->buf->data + item->pos, len);
    ngx_goim_buf_unref(item->buf);

    item->buf = b;
    item->pos = 0;
    item->last = len;
}


/*
 * Leave only what is partly sent: a frame may not end in its middle.  What was
 * offered to TLS counts as sent, for it is in a record already.
 */

static void
ngx_goim_queue_cut(ngx_goim_session_t *s)
{
    ngx_goim_item_t  *item;

    ngx_goim_trace(s, "cut waiting=%uD", s->queued);

    while (s->nitems > 1) {
        item = &s->items[(s->first + s->nitems - 1) % s->size];

        if (s->queued - (item->last - item->pos) < s->offered) {
            break;
        }

        ngx_goim_count(bytes_unsent, item->last - item->pos);
        s->queued -= item->last - item->pos;
        s->nitems--;
        ngx_goim_buf_unref(item->buf);
    }
}


static void
ngx_goim_queue_dirty(ngx_goim_session_t *s)
{
    if (s->is_dirty || s->held || !s->connection->write->ready) {
        return;
    }

    s->is_dirty = 1;
    ngx_queue_insert_tail(&ngx_goim_dirty, &s->dirty);
    ngx_post_event(&ngx_goim_flush_event, &ngx_posted_events);
}


static void
ngx_goim_queue_flush_all(ngx_event_t *ev)
{
    ngx_queue_t         *q;
    ngx_goim_session_t  *s;

    while (!ngx_queue_empty(&ngx_goim_dirty)) {
        q = ngx_queue_head(&ngx_goim_dirty);
        s = ngx_queue_data(q, ngx_goim_session_t, dirty);

        ngx_queue_remove(q);
        s->is_dirty = 0;

        if (ngx_goim_queue_flush(s) == NGX_ERROR) {
            ngx_goim_close(s, 0, "send failed");

        } else if (s->follow || s->inbox) {
            ngx_goim_follow_drained(s);
        }
    }
}


void
ngx_goim_queue_hold(ngx_goim_session_t *s)
{
    if (!s->closing) {
        s->held = 1;
        ngx_add_timer(s->connection->write, NGX_GOIM_QUEUE_HELD);
    }
}


void
ngx_goim_queue_release(ngx_goim_session_t *s)
{
    ngx_event_t  *wev;

    if (!s->held) {
        return;
    }

    s->held = 0;
    wev = s->connection->write;

    if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    /* a socket that was not ready has its time from now on */

    ngx_goim_queue_timer(s, 0);
    ngx_goim_queue_dirty(s);
}


void
ngx_goim_resume(ngx_goim_session_t *s)
{
    if (!s->busy || s->is_resumed) {
        return;
    }

    s->is_resumed = 1;
    ngx_queue_insert_tail(&ngx_goim_resumed, &s->resumed);
    ngx_post_event(&ngx_goim_resume_event, &ngx_posted_events);
}


static void
ngx_goim_queue_resume_all(ngx_event_t *ev)
{
    ngx_queue_t         *q;
    ngx_goim_session_t  *s;

    while (!ngx_queue_empty(&ngx_goim_resumed)) {
        q = ngx_queue_head(&ngx_goim_resumed);
        s = ngx_queue_data(q, ngx_goim_session_t, resumed);

        ngx_queue_remove(q);
        s->is_resumed = 0;
        s->busy = 0;

        if (!s->closing) {
            s->front->resume(s);
        }
    }
}


ngx_int_t
ngx_goim_queue_flush(ngx_goim_session_t *s)
{
    ssize_t            n;
    ngx_uint_t         moved;
    ngx_connection_t  *c;

    if (s->held) {
        return NGX_AGAIN;
    }

    c = s->connection;
    moved = 0;

    while (s->nitems && c->write->ready) {

        n = ngx_goim_queue_write(s);

        if (n == NGX_AGAIN || n == 0) {
#if (NGX_SSL)
            if (c->ssl) {
                s->offered = ngx_min(s->queued, NGX_GOIM_QUEUE_RECORD);
            }
#endif
            ngx_goim_trace(s, "flush bytes=0 left=%uD", s->queued);
            break;
        }

        if (n < 0) {
            return NGX_ERROR;
        }

        moved = 1;
        s->offered = 0;
        ngx_goim_count(flushes, 1);
        ngx_goim_queue_sent(s, n);
        ngx_goim_trace(s, "flush bytes=%z left=%uD", n, s->queued);
    }

    ngx_goim_queue_timer(s, moved);

    if (s->nitems == 0) {

        if (s->items != &s->item) {
            ngx_free(s->items);
            s->items = &s->item;
            s->size = 1;
        }

        s->first = 0;
        s->unsettled = 0;

        return NGX_OK;
    }

    ngx_goim_queue_settle(s);

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


/* how long the socket may take nothing */

static void
ngx_goim_queue_timer(ngx_goim_session_t *s, ngx_uint_t moved)
{
    ngx_event_t  *wev;

    wev = s->connection->write;

    if (s->nitems == 0) {

        if (wev->timer_set) {
            ngx_del_timer(wev);
        }

    } else if (moved || !wev->timer_set) {
        ngx_add_timer(wev, ngx_goim_conf->send_timeout);
    }
}


static ssize_t
ngx_goim_queue_write(ngx_goim_session_t *s)
{
    ngx_goim_item_t   *item;
    ngx_connection_t  *c;

    c = s->connection;

    if (s->nitems == 1) {
        item = &s->items[s->first];
        return c->send(c, item->buf->data + item->pos, item->last - item->pos);
    }

#if (NGX_SSL)

    if (c->ssl) {
        return ngx_goim_queue_write_tls(s);
    }

#endif

    return ngx_goim_queue_writev(s);
}


static ssize_t
ngx_goim_queue_writev(ngx_goim_session_t *s)
{
    off_t             sent;
    uint32_t          i, n;
    ngx_buf_t         bufs[NGX_GOIM_QUEUE_IOVS];
    ngx_chain_t       chain[NGX_GOIM_QUEUE_IOVS], *cl;
    ngx_goim_item_t  *item;

    n = ngx_min(s->nitems, NGX_GOIM_QUEUE_IOVS);

    for (i = 0; i < n; i++) {
        item = &s->items[(s->first + i) % s->size];

        ngx_memzero(&bufs[i], sizeof(ngx_buf_t));
        bufs[i].pos = item->buf->data + item->pos;
        bufs[i].last = item->buf->data + item->last;
        bufs[i].memory = 1;

        chain[i].buf = &bufs[i];
        chain[i].next = i + 1 < n ? &chain[i + 1] : NULL;
    }

    sent = s->connection->sent;

    cl = s->connection->send_chain(s->connection, chain, 0);

    if (cl == NGX_CHAIN_ERROR) {
        return NGX_ERROR;
    }

    return s->connection->sent - sent;
}


#if (NGX_SSL)

/* many small items make one record; a refused one is tried again longer */

static ssize_t
ngx_goim_queue_write_tls(ngx_goim_session_t *s)
{
    size_t             len, n;
    uint32_t           i;
    ngx_goim_item_t   *item;
    ngx_connection_t  *c;
    static u_char      record[NGX_GOIM_QUEUE_RECORD];

    c = s->connection;
    len = 0;

    for (i = 0; i < s->nitems && len < sizeof(record); i++) {
        item = &s->items[(s->first + i) % s->size];

        n = ngx_min(item->last - item->pos, sizeof(record) - len);
        ngx_memcpy(record + len, item->buf->data + item->pos, n);
        len += n;
    }

    return c->send(c, record, len);
}

#endif


static void
ngx_goim_queue_sent(ngx_goim_session_t *s, size_t n)
{
    size_t            len;
    ngx_goim_item_t  *item;

    s->queued -= n;

    while (n) {
        item = &s->items[s->first];
        len = item->last - item->pos;

        if (n < len) {
            item->pos += n;
            return;
        }

        n -= len;

        ngx_goim_buf_unref(item->buf);

        s->first = (s->first + 1) % s->size;
        s->nitems--;
    }
}


void
ngx_goim_queue_write_handler(ngx_event_t *wev)
{
    ngx_int_t            rc;
    ngx_connection_t    *c;
    ngx_goim_session_t  *s;

    c = wev->data;
    s = c->data;

    if (wev->timedout && s->held) {
        wev->timedout = 0;
        ngx_goim_queue_release(s);
        return;
    }

    if (wev->timedout) {
        ngx_goim_count(send_timeouts, 1);
        ngx_goim_close(s, 0, "it takes nothing");
        return;
    }

    rc = ngx_goim_queue_flush(s);

    if (rc == NGX_ERROR) {
        ngx_goim_close(s, 0, "send failed");
        return;
    }

    if (rc == NGX_OK && s->closing) {
        ngx_goim_close_sent(s);

    } else if (s->follow || s->inbox) {
        ngx_goim_follow_drained(s);
    }
}


void
ngx_goim_queue_free(ngx_goim_session_t *s)
{
    if (s->is_dirty) {
        ngx_queue_remove(&s->dirty);
    }

    if (s->is_resumed) {
        ngx_queue_remove(&s->resumed);
    }

    while (s->nitems) {
        ngx_goim_buf_unref(s->items[s->first].buf);
        s->first = (s->first + 1) % s->size;
        s->nitems--;
    }

    if (s->items != &s->item) {
        ngx_free(s->items);
    }
}
