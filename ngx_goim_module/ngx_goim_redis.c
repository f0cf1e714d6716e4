
/*
 * Redis in nginx's event loop.  hiredis parses the replies; the connection is
 * nginx's.  Its own asynchronous context is not used: it asserts on replies
 * that nobody asked for, has no timeouts, and closes descriptors behind the
 * back of whoever polls them.
 */


#include "ngx_goim_redis.h"
#include "ngx_goim_core.h"
#include "ngx_goim_link.h"

#include <hiredis/hiredis.h>


#define NGX_GOIM_REDIS_ARRAY    (1024 * 1024)   /* elements */
#define NGX_GOIM_REDIS_GREETING 65536           /* bytes of an answer to it */


typedef struct {
    ngx_goim_link_t                 link;
    const ngx_goim_redis_events_t  *events;     /* NULL: stopped */
    redisReader                    *reader;     /* NULL: not connected */
    const char                     *greeting;   /* its command under way;
                                                   NULL: it is done */

    /* the command under way */
    ngx_goim_redis_pt               handler;
    ngx_uint_t                      waiting;    /* for its answer */
    ngx_msec_t                      timeout;
    size_t                          limit;
    size_t                          unfinished; /* bytes of the answer */
    ngx_msec_t                      heard;      /* when it or more of its
                                                   answer was on its way */
    ngx_event_t                     timer;
} ngx_goim_redis_t;


static ngx_int_t ngx_goim_redis_opened(ngx_goim_link_t *l);
static ngx_int_t ngx_goim_redis_input(ngx_goim_link_t *l, u_char *data,
    size_t len);
static void ngx_goim_redis_closed(ngx_goim_link_t *l);

static ngx_int_t ngx_goim_redis_greet(ngx_goim_redis_t *r);
static ngx_int_t ngx_goim_redis_greeted(ngx_goim_redis_t *r,
    redisReply *reply);
static ngx_int_t ngx_goim_redis_replied(ngx_goim_redis_t *r,
    redisReply *reply);
static ngx_int_t ngx_goim_redis_send(ngx_goim_redis_t *r, ngx_msec_t timeout,
    size_t limit, ngx_str_t *args, ngx_uint_t n);
static void ngx_goim_redis_timer_handler(ngx_event_t *ev);

static redisReader *ngx_goim_redis_reader(void);
static void *ngx_goim_redis_array(const redisReadTask *task, int n);


static const ngx_goim_link_ops_t  ngx_goim_redis_ops = {
    "redis",
    ngx_goim_redis_opened,
    ngx_goim_redis_input,
    NULL,
    ngx_goim_redis_closed,
    NGX_GOIM_C_redis_errors
};


static ngx_goim_redis_t            ngx_goim_redis;

/* hiredis's own, with a limit to what an announced array may allocate */
static redisReplyObjectFunctions   ngx_goim_redis_functions;
static void                     *(*ngx_goim_redis_create_array)(
    const redisReadTask *task, int n);


void
ngx_goim_redis_start(const ngx_goim_redis_events_t *events)
{
    ngx_goim_redis_t  *r;

    r = &ngx_goim_redis;

    ngx_memzero(r, sizeof(ngx_goim_redis_t));

    r->events = events;

    r->timer.handler = ngx_goim_redis_timer_handler;
    r->timer.data = &ngx_goim_no_connection;
    r->timer.log = ngx_cycle->log;
    r->timer.cancelable = 1;

    ngx_goim_link_init(&r->link, ngx_goim_conf, &ngx_goim_conf->redis,
                       ngx_goim_conf->redis_timeout, &ngx_goim_redis_ops, r);
    ngx_goim_link_start(&r->link);
}


void
ngx_goim_redis_stop(void)
{
    if (ngx_goim_redis.events) {
        ngx_goim_redis.events = NULL;
        ngx_goim_link_stop(&ngx_goim_redis.link);
    }
}


ngx_int_t
ngx_goim_redis_command(ngx_goim_redis_pt handler, ngx_msec_t timeout,
    size_t limit, ngx_str_t *args, ngx_uint_t n)
{
    ngx_goim_redis_t  *r;

    r = &ngx_goim_redis;

    if (r->reader == NULL || r->greeting || r->waiting) {
        return NGX_ERROR;
    }

    r->handler = handler;

    return ngx_goim_redis_send(r, timeout, limit, args, n);
}


static ngx_int_t
ngx_goim_redis_send(ngx_goim_redis_t *r, ngx_msec_t timeout, size_t limit,
    ngx_str_t *args, ngx_uint_t n)
{
    size_t       size;
    u_char      *p, *start;
    ngx_uint_t   i;

    size = sizeof("*" CRLF) + NGX_INT_T_LEN;

    for (i = 0; i < n; i++) {
        size += sizeof("$" CRLF CRLF) + NGX_SIZE_T_LEN + args[i].len;
    }

    start = ngx_goim_link_reserve(&r->link, size);
    if (start == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(start, "*%ui" CRLF, n);

    for (i = 0; i < n; i++) {
        p = ngx_sprintf(p, "$%uz" CRLF "%V" CRLF, args[i].len, &args[i]);
    }

    ngx_goim_link_commit(&r->link, p - start);

    r->waiting = 1;
    r->timeout = timeout;
    r->limit = limit;
    r->unfinished = 0;
    r->heard = ngx_current_msec;

    ngx_add_timer(&r->timer, timeout);

    return NGX_OK;
}


static void
ngx_goim_redis_timer_handler(ngx_event_t *ev)
{
    ngx_msec_int_t     left;
    ngx_goim_redis_t  *r;

    r = &ngx_goim_redis;

    /* a long answer on its way is one */

    left = (ngx_msec_int_t) (r->heard + r->timeout - ngx_current_msec);

    if (left > 0) {
        ngx_add_timer(ev, left);
        return;
    }

    (void) ngx_goim_link_error(&r->link, 0, "no answer within %M ms",
                               r->timeout);
    ngx_goim_link_drop(&r->link);
}


/* ---- the greeting ---- */

static ngx_int_t
ngx_goim_redis_opened(ngx_goim_link_t *l)
{
    ngx_goim_redis_t  *r;

    r = l->data;

    ngx_goim_count(redis_connects, 1);

    r->greeting = "";
    r->reader = ngx_goim_redis_reader();

    if (r->reader == NULL) {
        return ngx_goim_link_error(l, 0, "no memory");
    }

    return ngx_goim_redis_greet(r);
}


/* AUTH and SELECT where they are needed, PING, one after the other */

static ngx_int_t
ngx_goim_redis_greet(ngx_goim_redis_t *r)
{
    u_char            db[NGX_INT_T_LEN];
    ngx_str_t         args[3];
    ngx_uint_t        n;
    ngx_goim_conf_t  *gcf;

    gcf = ngx_goim_conf;
    n = 1;

    if (r->greeting[0] == '\0' && gcf->redis_password.len) {
        r->greeting = "AUTH";

        if (gcf->redis_user.len) {
            args[n++] = gcf->redis_user;
        }

        args[n++] = gcf->redis_password;

    } else if (r->greeting[0] != 'S' && gcf->redis_db > 0) {
        r->greeting = "SELECT";

        args[n].data = db;
        args[n++].len = ngx_sprintf(db, "%i", gcf->redis_db) - db;

    } else {
        r->greeting = "PING";
    }

    args[0].data = (u_char *) r->greeting;
    args[0].len = ngx_strlen(r->greeting);

    if (ngx_goim_redis_send(r, gcf->redis_timeout, NGX_GOIM_REDIS_GREETING,
                            args, n)
        != NGX_OK)
    {
        return ngx_goim_link_error(&r->link, 0, "no memory");
    }

    return NGX_OK;
}


/*
 * PING: whether Redis can be used at all: not while it loads, without the
 * password, or over maxclients.  A server that only refuses writes, or this
 * command, can be read from.
 */

static ngx_int_t
ngx_goim_redis_greeted(ngx_goim_redis_t *r, redisReply *reply)
{
    if (r->greeting[0] != 'P') {

        if (reply->type == REDIS_REPLY_ERROR) {
            return ngx_goim_link_error(&r->link, 0, "%s was refused: \"%s\"",
                                       r->greeting, reply->str);
        }

        return ngx_goim_redis_greet(r);
    }

    if (reply->type == REDIS_REPLY_ERROR
        && ngx_strncmp(reply->str, "MISCONF", 7) != 0
        && ngx_strncmp(reply->str, "NOPERM", 6) != 0)
    {
        return ngx_goim_link_error(&r->link, 0, "not ready: \"%s\"",
                                   reply->str);
    }

    r->greeting = NULL;
    ngx_goim_link_up(&r->link);
    r->events->up();

    return NGX_OK;
}


/* ---- answers ---- */

static ngx_int_t
ngx_goim_redis_input(ngx_goim_link_t *l, u_char *data, size_t len)
{
    ngx_int_t          rc;
    redisReply        *reply;
    ngx_goim_redis_t  *r;

    r = l->data;

    r->unfinished += len;
    r->heard = ngx_current_msec;

    if (redisReaderFeed(r->reader, (const char *) data, len) != REDIS_OK) {
        return ngx_goim_link_error(l, 0, "%s", r->reader->errstr);
    }

    do {
        if (redisReaderGetReply(r->reader, (void **) &reply) != REDIS_OK) {
            return ngx_goim_link_error(l, 0, "%s", r->reader->errstr);
        }

        if (reply == NULL) {

            if (r->unfinished > (r->waiting ? r->limit : 0)) {
                return ngx_goim_link_error(l, 0, "reply of over %uz bytes",
                                           r->waiting ? r->limit : 0);
            }

            return NGX_OK;
        }

        rc = ngx_goim_redis_replied(r, reply);

        freeReplyObject(reply);

    } while (rc == NGX_OK && r->reader);

    return rc;
}


static ngx_int_t
ngx_goim_redis_replied(ngx_goim_redis_t *r, redisReply *reply)
{
    if (!r->waiting) {
        return ngx_goim_link_error(&r->link, 0, "reply without a command%s%s",
                                   reply->type == REDIS_REPLY_ERROR ? ": "
                                                                    : "",
                                   reply->type == REDIS_REPLY_ERROR
                                       ? reply->str : "");
    }

    r->waiting = 0;
    r->unfinished = r->reader->len - r->reader->pos;
    ngx_del_timer(&r->timer);

    if (r->greeting) {
        return ngx_goim_redis_greeted(r, reply);
    }

    r->handler(reply);

    return NGX_OK;
}


static void
ngx_goim_redis_closed(ngx_goim_link_t *l)
{
    ngx_goim_redis_t  *r;

    r = l->data;

    r->waiting = 0;

    /* not when it is this timer that ends the connection */

    if (r->timer.timer_set) {
        ngx_del_timer(&r->timer);
    }

    redisReaderFree(r->reader);
    r->reader = NULL;

    if (r->events && r->greeting == NULL) {
        r->events->down();
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
