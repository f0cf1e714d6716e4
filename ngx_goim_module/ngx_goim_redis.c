/*
 * Redis in nginx's event loop.  hiredis formats the commands and parses the
 * replies; the connection is nginx's.  Its own asynchronous context is not
 * used: it asserts on replies that nobody asked for, has no timeouts, and
 * closes descriptors behind the back of whoever polls them.
 */

#include "ngx_goim_link.h"
#include "ngx_goim_redis.h"
#include "ngx_goim_stats.h"
#include <hiredis/hiredis.h>


#define NGX_GOIM_REDIS_PENDING  16384               /* commands */
#define NGX_GOIM_REDIS_REPLY    (256 * 1024 * 1024) /* bytes */
#define NGX_GOIM_REDIS_ARRAY    (1024 * 1024)       /* elements */


typedef struct {
    ngx_queue_t                queue;
    ngx_goim_redis_pt          cb;
    void                      *data;
    ngx_msec_t                 timeout;
    ngx_msec_t                 deadline;
} ngx_goim_redis_command_t;


struct ngx_goim_redis_s {
    ngx_goim_link_t            link;
    ngx_goim_conf_t           *gcf;
    ngx_goim_redis_events_t    events;

    redisReader               *reader;
    size_t                     unfinished;  /* bytes since the last reply */
    ngx_msec_t                 heard;       /* when more of it came */

    ngx_queue_t                commands;    /* in the order of replies */
    ngx_queue_t                lost;        /* of them, with the connection */
    ngx_uint_t                 pending;
    ngx_uint_t                 busy;        /* callbacks that are running */

    ngx_event_t                timer;       /* at the earliest deadline, or
                                               before */
    ngx_event_t                later;       /* what a callback may not do */

    unsigned                   up:1;
    unsigned                   refused:1;   /* the handshake failed */
    unsigned                   resetting:1;
    unsigned                   destroyed:1;
};


static ngx_int_t ngx_goim_redis_opened(ngx_goim_link_t *l);
static ngx_int_t ngx_goim_redis_input(ngx_goim_link_t *l, u_char *data,
    size_t len);
static ngx_int_t ngx_goim_redis_replied(ngx_goim_redis_t *r,
    redisReply *reply);
static void ngx_goim_redis_closed(ngx_goim_link_t *l);
static void ngx_goim_redis_lost(ngx_goim_redis_t *r);

static ngx_int_t ngx_goim_redis_greet(ngx_goim_redis_t *r,
    ngx_goim_redis_pt cb, ngx_uint_t n, ngx_str_t *args);
static void ngx_goim_redis_auth_handler(void *data, redisReply *reply);
static void ngx_goim_redis_select_handler(void *data, redisReply *reply);
static void ngx_goim_redis_ping_handler(void *data, redisReply *reply);

static ngx_int_t ngx_goim_redis_send(ngx_goim_redis_t *r, ngx_msec_t timeout,
    ngx_goim_redis_pt cb, void *data, int argc, const char **argv,
    const size_t *argvlen);
static void ngx_goim_redis_timer_handler(ngx_event_t *ev);
static void ngx_goim_redis_later_handler(ngx_event_t *ev);

static redisReader *ngx_goim_redis_reader(void);
static void *ngx_goim_redis_array(const redisReadTask *task, int n);


static const ngx_goim_link_ops_t  ngx_goim_redis_ops = {
    "redis",
    ngx_goim_redis_opened,
    ngx_goim_redis_input,
    ngx_goim_redis_closed,
    NGX_GOIM_C_redis_errors
};


/* hiredis's own, with a limit to what an announced array may allocate */
static redisReplyObjectFunctions   ngx_goim_redis_functions;
static void                     *(*ngx_goim_redis_create_array)(
    const redisReadTask *task, int n);


ngx_goim_redis_t *
ngx_goim_redis_create(ngx_goim_conf_t *gcf,
    const ngx_goim_redis_events_t *events)
{
    ngx_goim_redis_t  *r;

    r = ngx_calloc(sizeof(ngx_goim_redis_t), ngx_cycle->log);
    if (r == NULL) {
        return NULL;
    }

    r->gcf = gcf;
    r->events = *events;

    ngx_queue_init(&r->commands);
    ngx_queue_init(&r->lost);

    r->timer.handler = ngx_goim_redis_timer_handler;
    r->timer.data = r;
    r->timer.log = ngx_cycle->log;
    r->timer.cancelable = 1;

    r->later.handler = ngx_goim_redis_later_handler;
    r->later.data = r;
    r->later.log = ngx_cycle->log;

    ngx_goim_link_init(&r->link, gcf, &gcf->redis, gcf->redis_timeout,
                       &ngx_goim_redis_ops, r);
    ngx_goim_link_start(&r->link);

    return r;
}


void
ngx_goim_redis_destroy(ngx_goim_redis_t *r)
{
    r->destroyed = 1;

    ngx_goim_link_stop(&r->link);
    ngx_goim_redis_lost(r);

    if (r->busy) {
        ngx_post_event(&r->later, &ngx_posted_events);
        return;
    }

    ngx_free(r);
}


void
ngx_goim_redis_reset(ngx_goim_redis_t *r)
{
    if (!r->link.open || r->resetting) {
        return;
    }

    r->resetting = 1;
    ngx_post_event(&r->later, &ngx_posted_events);
}


static void
ngx_goim_redis_later_handler(ngx_event_t *ev)
{
    ngx_goim_redis_t  *r;

    r = ev->data;

    if (r->destroyed) {
        ngx_free(r);
        return;
    }

    ngx_goim_link_reset(&r->link);
}


ngx_int_t
ngx_goim_redis_command(ngx_goim_redis_t *r, ngx_msec_t timeout,
    ngx_goim_redis_pt cb, void *data, int argc, const char **argv,
    const size_t *argvlen)
{
    if (!r->up || r->resetting) {
        return NGX_ERROR;
    }

    return ngx_goim_redis_send(r, timeout, cb, data, argc, argv, argvlen);
}


static ngx_int_t
ngx_goim_redis_send(ngx_goim_redis_t *r, ngx_msec_t timeout,
    ngx_goim_redis_pt cb, void *data, int argc, const char **argv,
    const size_t *argvlen)
{
    int                        len;
    char                      *cmd;
    u_char                    *p;
    ngx_goim_redis_command_t  *command;

    if (r->pending >= NGX_GOIM_REDIS_PENDING) {
        return NGX_ERROR;
    }

    command = ngx_alloc(sizeof(ngx_goim_redis_command_t), ngx_cycle->log);
    if (command == NULL) {
        return NGX_ERROR;
    }

    len = redisFormatCommandArgv(&cmd, argc, argv, argvlen);
    if (len < 0) {
        ngx_free(command);
        return NGX_ERROR;
    }

    p = ngx_goim_link_reserve(&r->link, len);
    if (p == NULL) {
        redisFreeCommand(cmd);
        ngx_free(command);
        return NGX_ERROR;
    }

    ngx_memcpy(p, cmd, len);
    ngx_goim_link_commit(&r->link, len);
    redisFreeCommand(cmd);

    command->cb = cb;
    command->data = data;
    command->timeout = timeout;
    command->deadline = ngx_current_msec + timeout;

    ngx_queue_insert_tail(&r->commands, &command->queue);
    r->pending++;

    if (r->timer.timer_set) {
        if ((ngx_msec_int_t) (r->timer.timer.key - command->deadline) <= 0) {
            return NGX_OK;
        }

        ngx_del_timer(&r->timer);
    }

    ngx_add_timer(&r->timer, timeout);

    return NGX_OK;
}


static void
ngx_goim_redis_timer_handler(ngx_event_t *ev)
{
    ngx_queue_t               *q;
    ngx_msec_int_t             left, more, least;
    ngx_goim_redis_t          *r;
    ngx_goim_redis_command_t  *command;

    r = ev->data;

    if (ngx_queue_empty(&r->commands)) {
        return;
    }

    least = NGX_MAX_INT32_VALUE;

    for (q = ngx_queue_head(&r->commands);
         q != ngx_queue_sentinel(&r->commands);
         q = ngx_queue_next(q))
    {
        command = ngx_queue_data(q, ngx_goim_redis_command_t, queue);

        left = (ngx_msec_int_t) (command->deadline - ngx_current_msec);

        if (r->unfinished) {

            /* a long reply on its way is an answer */

            more = (ngx_msec_int_t) (r->heard + command->timeout
                                     - ngx_current_msec);
            left = ngx_max(left, more);
        }

        if (left <= 0) {
            (void) ngx_goim_link_error(&r->link, 0, "no answer within %M ms",
                                       command->timeout);
            ngx_goim_link_drop(&r->link);
            return;
        }

        least = ngx_min(least, left);
    }

    ngx_add_timer(&r->timer, least);
}


static ngx_int_t
ngx_goim_redis_opened(ngx_goim_link_t *l)
{
    ngx_int_t          rc;
    ngx_str_t          args[3];
    ngx_uint_t         n;
    ngx_goim_conf_t   *gcf;
    ngx_goim_redis_t  *r;
    u_char             db[NGX_INT_T_LEN];

    r = l->data;
    gcf = r->gcf;
    rc = NGX_OK;

    ngx_goim_count(redis_connects, 1);

    r->refused = 0;
    r->unfinished = 0;

    if (gcf->redis_password.len) {
        n = 0;
        ngx_str_set(&args[n], "AUTH");
        n++;

        if (gcf->redis_user.len) {
            args[n++] = gcf->redis_user;
        }

        args[n++] = gcf->redis_password;

        rc = ngx_goim_redis_greet(r, ngx_goim_redis_auth_handler, n, args);
    }

    if (rc == NGX_OK && gcf->redis_db > 0) {
        ngx_str_set(&args[0], "SELECT");
        args[1].data = db;
        args[1].len = ngx_sprintf(db, "%i", gcf->redis_db) - db;

        rc = ngx_goim_redis_greet(r, ngx_goim_redis_select_handler, 2, args);
    }

    if (rc == NGX_OK) {
        ngx_str_set(&args[0], "PING");
        rc = ngx_goim_redis_greet(r, ngx_goim_redis_ping_handler, 1, args);
    }

    if (rc == NGX_OK) {
        r->reader = ngx_goim_redis_reader();
    }

    if (r->reader == NULL) {
        return ngx_goim_link_error(l, 0, "no memory");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_goim_redis_greet(ngx_goim_redis_t *r, ngx_goim_redis_pt cb, ngx_uint_t n,
    ngx_str_t *args)
{
    size_t       len[3];
    ngx_uint_t   i;
    const char  *argv[3];

    for (i = 0; i < n; i++) {
        argv[i] = (const char *) args[i].data;
        len[i] = args[i].len;
    }

    return ngx_goim_redis_send(r, r->gcf->redis_timeout, cb, r, (int) n, argv,
                               len);
}


static void
ngx_goim_redis_auth_handler(void *data, redisReply *reply)
{
    ngx_goim_redis_t  *r = data;

    if (reply && reply->type == REDIS_REPLY_ERROR) {
        r->refused = 1;
        (void) ngx_goim_link_error(&r->link, 0, "AUTH was refused: \"%s\"",
                                   reply->str);
    }
}


static void
ngx_goim_redis_select_handler(void *data, redisReply *reply)
{
    ngx_goim_redis_t  *r = data;

    if (reply && reply->type == REDIS_REPLY_ERROR) {
        r->refused = 1;
        (void) ngx_goim_link_error(&r->link, 0,
                                   "SELECT %i was refused: \"%s\"",
                                   r->gcf->redis_db, reply->str);
    }
}


/*
 * Whether Redis can be used at all: not while it loads, without the password,
 * or over maxclients.  A server that only refuses writes, or this command, can
 * be read from.
 */

static void
ngx_goim_redis_ping_handler(void *data, redisReply *reply)
{
    ngx_goim_redis_t  *r = data;

    if (reply == NULL) {
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR
        && ngx_strncmp(reply->str, "MISCONF", 7) != 0
        && ngx_strncmp(reply->str, "NOPERM", 6) != 0)
    {
        r->refused = 1;
        (void) ngx_goim_link_error(&r->link, 0, "not ready: \"%s\"",
                                   reply->str);
        return;
    }

    r->up = 1;
    ngx_goim_link_up(&r->link);
    r->events.up(r->events.data);
}


static ngx_int_t
ngx_goim_redis_input(ngx_goim_link_t *l, u_char *data, size_t len)
{
    ngx_int_t          rc;
    redisReply        *reply;
    ngx_goim_redis_t  *r;

    r = l->data;

    if (r->resetting) {
        return NGX_OK;
    }

    r->unfinished += len;
    r->heard = ngx_current_msec;

    if (redisReaderFeed(r->reader, (const char *) data, len) != REDIS_OK) {
        return ngx_goim_link_error(l, 0, "%s", r->reader->errstr);
    }

    for ( ;; ) {

        if (redisReaderGetReply(r->reader, (void **) &reply) != REDIS_OK) {
            return ngx_goim_link_error(l, 0, "%s", r->reader->errstr);
        }

        if (reply == NULL) {

            if (r->unfinished > NGX_GOIM_REDIS_REPLY) {
                return ngx_goim_link_error(l, 0, "reply of over %d bytes",
                                           NGX_GOIM_REDIS_REPLY);
            }

            return NGX_OK;
        }

        r->unfinished = r->reader->len - r->reader->pos;

        r->busy++;
        rc = ngx_goim_redis_replied(r, reply);
        r->busy--;

        freeReplyObject(reply);

        if (rc != NGX_OK) {
            return rc;
        }

        if (r->resetting || r->destroyed) {
            return NGX_OK;
        }
    }
}


static ngx_int_t
ngx_goim_redis_replied(ngx_goim_redis_t *r, redisReply *reply)
{
    void                      *data;
    ngx_queue_t               *q;
    ngx_goim_redis_pt          cb;
    ngx_goim_redis_command_t  *command;

    if (reply->type == REDIS_REPLY_ERROR) {
        ngx_goim_count(redis_errors, 1);
    }

    if (ngx_queue_empty(&r->commands)) {
        return ngx_goim_link_error(&r->link, 0, "reply without a command%s%s",
                                   reply->type == REDIS_REPLY_ERROR ? ": "
                                                                    : "",
                                   reply->type == REDIS_REPLY_ERROR
                                       ? reply->str : "");
    }

    q = ngx_queue_head(&r->commands);
    command = ngx_queue_data(q, ngx_goim_redis_command_t, queue);

    cb = command->cb;
    data = command->data;

    ngx_queue_remove(q);
    ngx_free(command);
    r->pending--;

    cb(data, reply);

    return (r->refused && !r->destroyed) ? NGX_ERROR : NGX_OK;
}


static void
ngx_goim_redis_closed(ngx_goim_link_t *l)
{
    ngx_uint_t         up;
    ngx_goim_redis_t  *r;

    r = l->data;

    up = r->up;
    r->up = 0;
    r->resetting = 0;
    r->pending = 0;

    if (r->timer.timer_set) {
        ngx_del_timer(&r->timer);
    }

    if (r->later.posted) {
        ngx_delete_posted_event(&r->later);
    }

    redisReaderFree(r->reader);
    r->reader = NULL;

    ngx_queue_add(&r->lost, &r->commands);
    ngx_queue_init(&r->commands);

    r->busy++;

    ngx_goim_redis_lost(r);

    if (up && !r->destroyed) {
        r->events.down(r->events.data);
    }

    r->busy--;
}


static void
ngx_goim_redis_lost(ngx_goim_redis_t *r)
{
    void                      *data;
    ngx_queue_t               *q;
    ngx_goim_redis_pt          cb;
    ngx_goim_redis_command_t  *command;

    while (!ngx_queue_empty(&r->lost)) {
        q = ngx_queue_head(&r->lost);
        command = ngx_queue_data(q, ngx_goim_redis_command_t, queue);

        cb = command->cb;
        data = command->data;

        ngx_queue_remove(q);
        ngx_free(command);

        cb(data, NULL);
    }
}


static redisReader *
ngx_goim_redis_reader(void)
{
    redisReader  *reader;

    if (ngx_goim_redis_create_array == NULL) {

        reader = redisReaderCreate();
        if (reader == NULL) {
            return NULL;
        }

        ngx_goim_redis_functions = *reader->fn;
        ngx_goim_redis_create_array = reader->fn->createArray;
        ngx_goim_redis_functions.createArray = ngx_goim_redis_array;

        redisReaderFree(reader);
    }

    return redisReaderCreateWithFunctions(&ngx_goim_redis_functions);
}


static void *
ngx_goim_redis_array(const redisReadTask *task, int n)
{
    if (n > NGX_GOIM_REDIS_ARRAY) {
        return NULL;
    }

    return ngx_goim_redis_create_array(task, n);
}
