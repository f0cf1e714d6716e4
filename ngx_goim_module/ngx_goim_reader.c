
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
#define NGX_GOIM_READ_WAIT      5           /* for workers that are behind */


typedef struct {
    ngx_goim_redis_t       *redis;
    ngx_event_t             retry;
    ngx_event_t             wait;

    ngx_uint_t              count;          /* entries to ask for */
} ngx_goim_reader_t;


static void ngx_goim_reader_calm(void);
static void ngx_goim_reader_up(void *data);
static void ngx_goim_reader_down(void *data);
static void ngx_goim_reader_retry(ngx_event_t *ev);
static void ngx_goim_reader_check(void);
static void ngx_goim_reader_checked(void *data, struct redisReply *reply);
static ngx_int_t ngx_goim_reader_last_id(struct redisReply *reply,
    uint64_t *id);
static void ngx_goim_reader_begin(uint64_t *last);
static void ngx_goim_reader_read(void);
static void ngx_goim_reader_wait(ngx_event_t *ev);
static void ngx_goim_reader_reply(void *data, struct redisReply *reply);
static void ngx_goim_reader_count(struct redisReply *entries);
static struct redisReply *ngx_goim_reader_entries(struct redisReply *reply);
static void ngx_goim_reader_command(ngx_msec_t timeout,
    ngx_goim_redis_pt handler, int argc, const char **argv);


static ngx_goim_reader_t  ngx_goim_reader;


/* the lease was taken: go on where the last holder was */

void
ngx_goim_reader_start(void)
{
    ngx_goim_reader_t        *r;
    ngx_goim_redis_events_t   events;

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

    events.up = ngx_goim_reader_up;
    events.down = ngx_goim_reader_down;
    events.data = NULL;

    r->redis = ngx_goim_redis_create(ngx_goim_conf, &events);

    if (r->redis == NULL) {
        ngx_goim_lease_release();
        return;
    }

    if (ngx_goim_zone->begun) {
        ngx_goim_register_start();
    }
}


void
ngx_goim_reader_stop(void)
{
    ngx_goim_reader_t  *r;

    r = &ngx_goim_reader;

    ngx_goim_register_stop();
    ngx_goim_reader_calm();

    if (r->redis) {
        ngx_goim_redis_destroy(r->redis);
        r->redis = NULL;
    }
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
ngx_goim_reader_up(void *data)
{
    ngx_goim_reader_calm();

    if (ngx_goim_lease_held()) {
        ngx_goim_zone->lease.connected = 1;
    }

    ngx_goim_reader_check();
}


static void
ngx_goim_reader_down(void *data)
{
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
    const char  *argv[] = { "XINFO", "STREAM", NULL };

    argv[2] = (char *) ngx_goim_conf->stream.data;

    ngx_goim_reader_command(ngx_goim_conf->redis_timeout,
                            ngx_goim_reader_checked, 3, argv);
}


static void
ngx_goim_reader_checked(void *data, struct redisReply *reply)
{
    uint64_t            last[2], *id;
    ngx_goim_reader_t  *r;

    r = &ngx_goim_reader;
    id = ngx_goim_intake_id();

    if (reply == NULL || r->redis == NULL) {
        return;
    }

    if (ngx_goim_reader_last_id(reply, last) != NGX_OK) {
        ngx_goim_count(redis_errors, 1);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: \"XINFO STREAM %V\" failed: %s",
                      &ngx_goim_conf->stream,
                      reply->type == REDIS_REPLY_ERROR ? reply->str
                                                       : "no last id");

        ngx_add_timer(&r->retry, NGX_GOIM_READ_RETRY);
        return;
    }

    if (!ngx_goim_zone->begun) {
        ngx_goim_reader_begin(last);

    } else if (last[0] < id[0] || (last[0] == id[0] && last[1] < id[1]))
    {
        ngx_goim_count(holes, 1);
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
    u_char       from[NGX_INT64_LEN * 2 + 2], count[NGX_INT64_LEN + 1];
    uint64_t    *id;
    const char  *argv[] = { "XREAD", "COUNT", NULL, "BLOCK",
                            NGX_GOIM_READ_BLOCK, "STREAMS", NULL, NULL };

    if (ngx_goim_reader_behind()) {
        ngx_add_timer(&ngx_goim_reader.wait, NGX_GOIM_READ_WAIT);
        return;
    }

    ngx_sprintf(count, "%ui%Z", ngx_goim_reader.count);

    id = ngx_goim_intake_id();
    ngx_sprintf(from, "%uL-%uL%Z", id[0], id[1]);

    argv[2] = (char *) count;
    argv[6] = (char *) ngx_goim_conf->stream.data;
    argv[7] = (char *) from;

    ngx_goim_reader_command(NGX_GOIM_READ_TIMEOUT, ngx_goim_reader_reply, 8,
                            argv);
}


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
ngx_goim_reader_reply(void *data, struct redisReply *reply)
{
    size_t               i;
    ngx_int_t            rc;
    struct redisReply   *entries;
    ngx_goim_reader_t   *r;

    r = &ngx_goim_reader;

    if (reply == NULL) {

        /* maybe it was too long to come whole */

        r->count = ngx_max(r->count / 2, 1);
        return;
    }

    if (r->redis == NULL) {
        return;
    }

    if (!ngx_goim_lease_held()) {

        /* it was taken while we slept; the tick cleans up */
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_goim_count(redis_errors, 1);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: \"XREAD %V\" failed: %s",
                      &ngx_goim_conf->stream, reply->str);

        ngx_add_timer(&r->retry, NGX_GOIM_READ_RETRY);
        return;
    }

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

    most = ngx_goim_zone->ring->size / 2 / largest;

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
ngx_goim_reader_command(ngx_msec_t timeout, ngx_goim_redis_pt handler,
    int argc, const char **argv)
{
    int     i;
    size_t  len[8];

    for (i = 0; i < argc; i++) {
        len[i] = ngx_strlen(argv[i]);
    }

    if (ngx_goim_redis_command(ngx_goim_reader.redis, timeout, handler, NULL,
                               argc, argv, len)
        != NGX_OK)
    {
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
