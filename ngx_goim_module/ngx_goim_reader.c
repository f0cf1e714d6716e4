
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
#define NGX_GOIM_READ_BLOCK     "1000"      /* ms */
#define NGX_GOIM_READ_TIMEOUT   5000        /* longer than the blocking */
#define NGX_GOIM_READ_RETRY     500
#define NGX_GOIM_READ_RUN_ID    63
#define NGX_GOIM_READ_KEY       1024

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
static size_t ngx_goim_reader_field(u_char *field);
static void ngx_goim_reader_entered(struct redisReply *reply);
static void ngx_goim_reader_seen(struct redisReply *reply);
static void ngx_goim_reader_wait(ngx_event_t *ev);
static void ngx_goim_reader_reply(struct redisReply *reply);
static void ngx_goim_reader_count(struct redisReply *entries);
static struct redisReply *ngx_goim_reader_entries(struct redisReply *reply);
static void ngx_goim_reader_command(ngx_goim_redis_pt handler,
    ngx_msec_t timeout, size_t limit, ngx_str_t *args, ngx_uint_t n);


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
    ngx_str_t  args[2];

    ngx_goim_reader_calm();

    if (ngx_goim_lease_held()) {
        ngx_goim_zone->lease.connected = 1;
    }

    ngx_str_set(&args[0], "INFO");
    ngx_str_set(&args[1], "server");

    ngx_goim_reader_command(ngx_goim_reader_info,
                            ngx_goim_conf->redis_timeout, NGX_GOIM_READ_SHORT,
                            args, 2);
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
    ngx_str_t  args[3];

    ngx_str_set(&args[0], "XINFO");
    ngx_str_set(&args[1], "STREAM");
    args[2] = ngx_goim_conf->stream;

    ngx_goim_reader_command(ngx_goim_reader_checked,
                            ngx_goim_conf->redis_timeout,
                            NGX_GOIM_CHECK_LIMIT, args, 3);
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
    u_char      from[NGX_INT64_LEN * 2 + 2], count[NGX_INT64_LEN];
    uint64_t   *id;
    ngx_str_t   args[8];

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

    ngx_str_set(&args[0], "XREAD");
    ngx_str_set(&args[1], "COUNT");
    args[2].data = count;
    args[2].len = ngx_sprintf(count, "%ui", ngx_goim_reader.count) - count;
    ngx_str_set(&args[3], "BLOCK");
    ngx_str_set(&args[4], NGX_GOIM_READ_BLOCK);
    ngx_str_set(&args[5], "STREAMS");
    args[6] = ngx_goim_conf->stream;
    args[7].data = from;
    args[7].len = ngx_sprintf(from, "%uL-%uL", id[0], id[1]) - from;

    ngx_goim_reader_command(ngx_goim_reader_reply, NGX_GOIM_READ_TIMEOUT,
                            ngx_goim_reader.count > 1 ? NGX_GOIM_READ_LIMIT
                                                      : NGX_GOIM_READ_ONE,
                            args, 8);
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
    u_char     key[NGX_GOIM_READ_KEY], field[NGX_GOIM_READ_KEY];
    ngx_int_t  rc;
    ngx_str_t  args[4];

    args[3].data = ngx_goim_register_entry(&args[3].len);
    if (args[3].data == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&args[0], "HSET");

    args[1].data = key;
    args[1].len = ngx_snprintf(key, sizeof(key), "%Vgoim:nodes",
                               &ngx_goim_conf->redis_prefix)
                  - key;
    args[2].data = field;
    args[2].len = ngx_goim_reader_field(field);

    ngx_goim_reader.renewed = ngx_current_msec;

    rc = ngx_goim_redis_command(ngx_goim_reader_entered,
                                ngx_goim_conf->redis_timeout,
                                NGX_GOIM_READ_SHORT, args, 4);
    ngx_free(args[3].data);

    return rc;
}


static size_t
ngx_goim_reader_field(u_char *field)
{
    return ngx_snprintf(field, NGX_GOIM_READ_KEY, "%V/%s",
                        &ngx_goim_conf->server_id, ngx_goim_zone->id)
           - field;
}


/* and the time of it: what has none is never swept */

static void
ngx_goim_reader_entered(struct redisReply *reply)
{
    u_char       key[NGX_GOIM_READ_KEY], field[NGX_GOIM_READ_KEY];
    u_char       ms[NGX_INT64_LEN];
    ngx_str_t    args[4];
    ngx_time_t  *tp;

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

    ngx_str_set(&args[0], "ZADD");

    args[1].data = key;
    args[1].len = ngx_snprintf(key, sizeof(key), "%Vgoim:nodes:seen",
                               &ngx_goim_conf->redis_prefix)
                  - key;
    args[2].data = ms;
    args[2].len = ngx_sprintf(ms, "%uL",
                              (uint64_t) tp->sec * 1000 + tp->msec)
                  - ms;
    args[3].data = field;
    args[3].len = ngx_goim_reader_field(field);

    ngx_goim_reader_command(ngx_goim_reader_seen,
                            ngx_goim_conf->redis_timeout, NGX_GOIM_READ_SHORT,
                            args, 4);
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


/* One at a time.  One that can't be queued is tried again. */

static void
ngx_goim_reader_command(ngx_goim_redis_pt handler, ngx_msec_t timeout,
    size_t limit, ngx_str_t *args, ngx_uint_t n)
{
    if (ngx_goim_redis_command(handler, timeout, limit, args, n) != NGX_OK) {
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
