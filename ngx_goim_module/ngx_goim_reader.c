
/*
 * The one reader of the node's stream: the worker that holds the lease has a
 * connection to Redis of its own, with one blocking XREAD under way.
 *
 * The stream can wait, the ring can't.  So while a worker is far behind in the
 * ring nothing is asked for, and what has come already is dropped, to be asked
 * for again.
 */


#include "ngx_goim_reader.h"
#include "ngx_goim_redis.h"


#define NGX_GOIM_READ_COUNT     64          /* entries, at most */
#define NGX_GOIM_READ_BLOCK     1000       /* ms */
#define NGX_GOIM_READ_TIMEOUT   5000        /* longer than the blocking */
#define NGX_GOIM_READ_RETRY     500
#define NGX_GOIM_READ_RUN_ID    63

/* bytes of an answer: one that is longer is given up, and less asked for; a
   single entry may be as long as a client of Redis can make it */
#define NGX_GOIM_READ_SHORT     (1024 * 1024)   /* what is no message */
#define NGX_GOIM_READ_LIMIT     (64 * 1024 * 1024)
#define NGX_GOIM_READ_ONE       ((size_t) 1024 * 1024 * 1024 + 65536)

/* XINFO shows the first entry and the last one */
#define NGX_GOIM_CHECK_LIMIT    (2 * NGX_GOIM_READ_ONE)

#define NGX_GOIM_READ_WAIT      5           /* for workers that are behind */


typedef struct {
    ngx_event_t             retry;
    ngx_event_t             wait;

    ngx_uint_t              count;          /* entries to ask for */

    u_char                  run_id[NGX_GOIM_READ_RUN_ID + 1];
    ngx_uint_t              renew;          /* before the next read */
    ngx_msec_t              renewed;        /* when that was sent */
} ngx_goim_reader_t;


static void ngx_goim_reader_calm(void);
static void ngx_goim_reader_up(void);
static void ngx_goim_reader_down(void);
static void ngx_goim_reader_retry(ngx_event_t *ev);
static void ngx_goim_reader_info(struct redisReply *reply);
static void ngx_goim_reader_check(void);
static void ngx_goim_reader_checked(struct redisReply *reply);
static ngx_int_t ngx_goim_reader_last_id(struct redisReply *reply,
    uint64_t *id);
static void ngx_goim_reader_begin(uint64_t *last);
static void ngx_goim_reader_read(void);
static ngx_int_t ngx_goim_reader_enter(void);
static void ngx_goim_reader_entered(struct redisReply *reply);
static void ngx_goim_reader_seen(struct redisReply *reply);
static void ngx_goim_reader_wait(ngx_event_t *ev);
static void ngx_goim_reader_reply(struct redisReply *reply);
static void ngx_goim_reader_count(struct redisReply *entries);
static struct redisReply *ngx_goim_reader_entries(struct redisReply *reply);
static void ngx_goim_reader_sent(ngx_int_t rc);


static ngx_goim_reader_t  ngx_goim_reader;

static const ngx_goim_redis_events_t  ngx_goim_reader_events = {
    ngx_goim_reader_up,
    ngx_goim_reader_down
};


/* the lease was taken: go on where the last holder was */

void
ngx_goim_reader_start(void)
{
    ngx_goim_reader_t  *r;

    r = &ngx_goim_reader;

    if (ngx_goim_intake_start() != NGX_OK) {
        ngx_goim_lease_release();
        return;
    }

    r->count = NGX_GOIM_READ_COUNT;

    r->wait.handler = ngx_goim_reader_wait;
    r->wait.log = ngx_cycle->log;
    r->wait.data = &ngx_goim_no_connection;
    r->wait.cancelable = 1;

    r->retry.handler = ngx_goim_reader_retry;
    r->retry.log = ngx_cycle->log;
    r->retry.data = &ngx_goim_no_connection;
    r->retry.cancelable = 1;

    ngx_goim_redis_start(&ngx_goim_reader_events);

    if (ngx_goim_zone->begun) {
        ngx_goim_register_start();
    }
}


void
ngx_goim_reader_stop(void)
{
    ngx_goim_register_stop();
    ngx_goim_reader_calm();
    ngx_goim_redis_stop();
}


/* no timer of the last connection goes on with the next one */

static void
ngx_goim_reader_calm(void)
{
    ngx_goim_reader_t  *r;

    r = &ngx_goim_reader;

    if (r->retry.timer_set) {
        ngx_del_timer(&r->retry);
    }

    if (r->wait.timer_set) {
        ngx_del_timer(&r->wait);
    }
}


static void
ngx_goim_reader_up(void)
{
    ngx_goim_reader_calm();

    if (ngx_goim_lease_held()) {
        ngx_goim_zone->lease.connected = 1;
    }

    ngx_goim_reader_sent(ngx_goim_redis_command(ngx_goim_reader_info,
                                                ngx_goim_conf->redis_timeout,
                                                NGX_GOIM_READ_SHORT,
                                                "INFO server"));
}


/* Who must not ask for it does without. */

static void
ngx_goim_reader_info(struct redisReply *reply)
{
    char    *p;
    size_t   len;

    p = (reply->type == REDIS_REPLY_STRING) ? strstr(reply->str, "\nrun_id:")
                                            : NULL;

    if (p) {
        p += sizeof("\nrun_id:") - 1;
        len = strspn(p, "0123456789abcdef");

        (void) ngx_cpystrn(ngx_goim_reader.run_id, (u_char *) p,
                           ngx_min(len, NGX_GOIM_READ_RUN_ID) + 1);
    }

    ngx_goim_reader_check();
}


u_char *
ngx_goim_reader_run_id(void)
{
    return ngx_goim_reader.run_id;
}


static void
ngx_goim_reader_down(void)
{
    ngx_goim_reader.run_id[0] = '\0';

    /* maybe the answer was too long to come whole */

    ngx_goim_reader.count = ngx_max(ngx_goim_reader.count / 2, 1);

    if (ngx_goim_lease_held()) {
        ngx_goim_zone->lease.connected = 0;
    }

    ngx_goim_reader_calm();
}


static void
ngx_goim_reader_retry(ngx_event_t *ev)
{
    ngx_goim_reader_check();
}


/* where the stream ends, against where we are */

static void
ngx_goim_reader_check(void)
{
    ngx_goim_reader_sent(ngx_goim_redis_command(ngx_goim_reader_checked,
                                                ngx_goim_conf->redis_timeout,
                                                NGX_GOIM_CHECK_LIMIT,
                                                "XINFO STREAM %b",
                                                ngx_goim_conf->stream.data,
                                                ngx_goim_conf->stream.len));
}


static void
ngx_goim_reader_checked(struct redisReply *reply)
{
    uint64_t            last[2], *id;
    ngx_goim_reader_t  *r;

    r = &ngx_goim_reader;
    id = ngx_goim_intake_id();

    if (ngx_goim_reader_last_id(reply, last) != NGX_OK) {
        ngx_goim_count(redis_errors, 1);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: \"XINFO STREAM %V\" failed: %V",
                      &ngx_goim_conf->stream,
                      ngx_goim_trace_string(reply->type == REDIS_REPLY_ERROR
                                            ? reply->str : "no last id"));

        ngx_add_timer(&r->retry, NGX_GOIM_READ_RETRY);
        return;
    }

    if (!ngx_goim_zone->begun) {
        ngx_goim_reader_begin(last);

    } else if (last[0] < id[0] || (last[0] == id[0] && last[1] < id[1]))
    {
        ngx_goim_count(holes, 1);
        ngx_goim_suspect();
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: stream \"%V\" ends at %uL-%uL, before %uL-%uL "
                      "where it was read to: Redis lost entries",
                      &ngx_goim_conf->stream, last[0], last[1],
                      id[0], id[1]);

        /* what there is may be new, its positions tell */

        id[0] = 0;
        id[1] = 0;
    }

    ngx_goim_reader_read();
}


static ngx_int_t
ngx_goim_reader_last_id(struct redisReply *reply, uint64_t *id)
{
    size_t             i;
    struct redisReply *name, *value;

    if (reply->type == REDIS_REPLY_ERROR
        && ngx_strncmp(reply->str, "ERR no such key", 15) == 0)
    {
        id[0] = 0;
        id[1] = 0;
        return NGX_OK;
    }

    if (reply->type != REDIS_REPLY_ARRAY) {
        return NGX_ERROR;
    }

    for (i = 0; i + 1 < reply->elements; i += 2) {
        name = reply->element[i];
        value = reply->element[i + 1];

        if (name->type == REDIS_REPLY_STRING
            && value->type == REDIS_REPLY_STRING
            && ngx_strcmp(name->str, "last-generated-id") == 0)
        {
            return ngx_goim_reader_parse_id(value->str, value->len, id);
        }
    }

    return NGX_ERROR;
}


/* a fresh zone: what is in the stream was for others before it */

static void
ngx_goim_reader_begin(uint64_t *last)
{
    uint64_t  *id;

    id = ngx_goim_intake_id();

    ngx_goim_lock();

    if (ngx_goim_lease_held() && !ngx_goim_zone->begun) {
        ngx_goim_zone->stream[0] = last[0];
        ngx_goim_zone->stream[1] = last[1];
        ngx_goim_zone->begun = 1;
    }

    id[0] = ngx_goim_zone->stream[0];
    id[1] = ngx_goim_zone->stream[1];

    ngx_goim_unlock();

    ngx_goim_register_start();
}


static void
ngx_goim_reader_read(void)
{
    size_t      limit;
    uint64_t   *id;
    ngx_uint_t  count;

    if (ngx_goim_reader.renew) {
        ngx_goim_reader.renew = 0;

        if (ngx_goim_reader_enter() == NGX_OK) {
            return;
        }
    }

    if (ngx_goim_reader_behind()) {
        ngx_add_timer(&ngx_goim_reader.wait, NGX_GOIM_READ_WAIT);
        return;
    }

    id = ngx_goim_intake_id();
    count = ngx_goim_reader.count;
    limit = (count > 1) ? NGX_GOIM_READ_LIMIT : NGX_GOIM_READ_ONE;

    ngx_goim_reader_sent(ngx_goim_redis_command(ngx_goim_reader_reply,
                                                NGX_GOIM_READ_TIMEOUT, limit,
                                                "XREAD COUNT %u BLOCK %u "
                                                "STREAMS %b %llu-%llu",
                                                (unsigned) count,
                                                NGX_GOIM_READ_BLOCK,
                                                ngx_goim_conf->stream.data,
                                                ngx_goim_conf->stream.len,
                                                (unsigned long long) id[0],
                                                (unsigned long long) id[1]));
}


/* ---- the node's entry in the registry, written by its own hand ---- */

void
ngx_goim_reader_renew(void)
{
    ngx_goim_reader.renew = 1;
}


static ngx_int_t
ngx_goim_reader_enter(void)
{
    size_t            len;
    u_char           *entry;
    ngx_int_t         rc;
    ngx_goim_conf_t  *gcf;

    gcf = ngx_goim_conf;

    entry = ngx_goim_register_entry(&len);
    if (entry == NULL) {
        return NGX_ERROR;
    }

    ngx_goim_reader.renewed = ngx_current_msec;

    rc = ngx_goim_redis_command(ngx_goim_reader_entered, gcf->redis_timeout,
                                NGX_GOIM_READ_SHORT,
                                "HSET %bgoim:nodes %b/%s %b",
                                gcf->redis_prefix.data, gcf->redis_prefix.len,
                                gcf->server_id.data, gcf->server_id.len,
                                ngx_goim_zone->id, entry, len);
    ngx_free(entry);

    return rc;
}


/* and the time of it: what has none is never swept */

static void
ngx_goim_reader_entered(struct redisReply *reply)
{
    ngx_time_t       *tp;
    ngx_goim_conf_t  *gcf;

    gcf = ngx_goim_conf;

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_goim_count(redis_errors, 1);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: the node could not be renewed in Redis: %V",
                      ngx_goim_trace_string(reply->str));
        ngx_goim_reader_read();
        return;
    }

    ngx_goim_register_renewed(ngx_goim_reader.renewed);

    tp = ngx_timeofday();

    ngx_goim_reader_sent(ngx_goim_redis_command(ngx_goim_reader_seen,
                                                gcf->redis_timeout,
                                                NGX_GOIM_READ_SHORT,
                                                "ZADD %bgoim:nodes:seen "
                                                "%lld%03d %b/%s",
                                                gcf->redis_prefix.data,
                                                gcf->redis_prefix.len,
                                                (long long) tp->sec,
                                                (int) tp->msec,
                                                gcf->server_id.data,
                                                gcf->server_id.len,
                                                ngx_goim_zone->id));
}


static void
ngx_goim_reader_seen(struct redisReply *reply)
{
    ngx_goim_reader_read();
}


/* ---- the ring has room ---- */

/* Whoever has nothing to do with the messages is not woken for them, so those
   that are behind are told to look. */

ngx_uint_t
ngx_goim_reader_behind(void)
{
    uint64_t  mask[NGX_GOIM_RING_MASK];

    if (ngx_goim_slot_behind(mask) == 0) {
        return 0;
    }

    ngx_goim_wake(mask);

    return 1;
}


static void
ngx_goim_reader_wait(ngx_event_t *ev)
{
    if (ngx_goim_lease_held()) {
        ngx_goim_reader_read();
    }
}


static void
ngx_goim_reader_reply(struct redisReply *reply)
{
    size_t               i;
    ngx_int_t            rc;
    struct redisReply   *entries;
    ngx_goim_reader_t   *r;

    r = &ngx_goim_reader;

    if (!ngx_goim_lease_held()) {

        /* it was taken while we slept; the tick cleans up */
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_goim_count(redis_errors, 1);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: \"XREAD %V\" failed: %V",
                      &ngx_goim_conf->stream,
                      ngx_goim_trace_string(reply->str));

        ngx_add_timer(&r->retry, NGX_GOIM_READ_RETRY);
        return;
    }

    ngx_goim_zone->lease.answered = ngx_current_msec;

    entries = ngx_goim_reader_entries(reply);

    if (entries == NULL) {

        /* a blocked read is not told that its stream was deleted */

        ngx_goim_reader_check();
        return;
    }

    ngx_goim_reader_count(entries);

    rc = NGX_OK;

    for (i = 0; i < entries->elements && rc == NGX_OK; i++) {
        rc = ngx_goim_intake_entry(entries->element[i]);
    }

    if (rc != NGX_ERROR) {
        ngx_goim_reader_read();
    }

    ngx_goim_intake_wake();
}


/* As many entries as the ring is sure to take, if they are like the last. */

static void
ngx_goim_reader_count(struct redisReply *entries)
{
    size_t              i, largest, most;
    struct redisReply  *value;
    ngx_goim_reader_t  *r;

    r = &ngx_goim_reader;
    largest = 1;

    for (i = 0; i < entries->elements; i++) {
        value = ngx_goim_intake_value(entries->element[i]);

        if (value) {
            largest = ngx_max(largest, value->len);
        }
    }

    most = ngx_min(ngx_goim_zone->ring->size, NGX_GOIM_READ_LIMIT) / 2;
    most = most / largest;

    r->count = ngx_min(r->count * 2, NGX_GOIM_READ_COUNT);
    r->count = ngx_max(ngx_min(r->count, most), 1);
}


/* [[stream, [entry, ...]]]; NULL: nothing new */

static struct redisReply *
ngx_goim_reader_entries(struct redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1) {
        return NULL;
    }

    reply = reply->element[0];

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || reply->element[1]->type != REDIS_REPLY_ARRAY)
    {
        return NULL;
    }

    return reply->element[1];
}


/* A command that can't be queued is tried again: from the start, as that is
   right whichever it was. */

static void
ngx_goim_reader_sent(ngx_int_t rc)
{
    if (rc != NGX_OK) {
        ngx_add_timer(&ngx_goim_reader.retry, NGX_GOIM_READ_RETRY);
    }
}


ngx_int_t
ngx_goim_reader_parse_id(const char *p, size_t len, uint64_t *id)
{
    size_t      i;
    ngx_uint_t  part;

    id[0] = 0;
    id[1] = 0;
    part = 0;

    for (i = 0; i < len; i++) {

        if (p[i] == '-' && part == 0 && i > 0) {
            part = 1;
            continue;
        }

        if (p[i] < '0' || p[i] > '9') {
            return NGX_ERROR;
        }

        id[part] = id[part] * 10 + (p[i] - '0');
    }

    return part && p[len - 1] != '-' ? NGX_OK : NGX_ERROR;
}
