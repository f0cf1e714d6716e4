
/*
 * Redis in nginx's event loop, one command at a time.  hiredis parses the
 * replies; the connection is nginx's.  Its own asynchronous context is not
 * used: it asserts on replies that nobody asked for, has no timeouts, and
 * closes descriptors behind the back of whoever polls them.
 */


#include "ngx_goim_redis.h"
#include "ngx_goim_core.h"
#include "ngx_goim_link.h"

#include <hiredis/hiredis.h>


#define NGX_GOIM_REDIS_ARRAY    (1024 * 1024)   /* elements */
#define NGX_GOIM_REDIS_GREETING 65536           /* bytes of answers to it */


typedef struct {
    ngx_goim_link_t                 link;
    const ngx_goim_redis_events_t  *events;     /* NULL: stopped */
    redisReader                    *reader;     /* NULL: not connected */
    ngx_uint_t                      up;         /* and greeted */

    /* what is under way: the greeting, or a command */
    ngx_uint_t                      waiting;    /* for so many answers, */
    ngx_goim_redis_pt               handler;    /* each of them to here */
    size_t                          limit;      /* bytes of them */
    size_t                          got;
    ngx_msec_t                      timeout;    /* of silence */
} ngx_goim_redis_t;


static ngx_goim_redis_t            ngx_goim_redis;

/* hiredis's own, with a limit to what an announced array may allocate */
static redisReplyObjectFunctions  *ngx_goim_redis_hiredis;
static redisReplyObjectFunctions   ngx_goim_redis_functions;


static void *
ngx_goim_redis_array(const redisReadTask *task, int n)
{
    return n > NGX_GOIM_REDIS_ARRAY
           ? NULL : ngx_goim_redis_hiredis->createArray(task, n);
}


ngx_int_t
ngx_goim_redis_command(ngx_goim_redis_pt handler, ngx_msec_t timeout,
    size_t limit, const char *fmt, ...)
{
    int                n;
    char              *text;
    u_char            *p;
    va_list            args;
    ngx_goim_redis_t  *r;

    r = &ngx_goim_redis;

    if (r->waiting && r->handler != handler) {
        return NGX_ERROR;
    }

    va_start(args, fmt);
    n = redisvFormatCommand(&text, fmt, args);
    va_end(args);

    if (n < 0) {
        return NGX_ERROR;
    }

    p = ngx_goim_link_reserve(&r->link, n);

    if (p) {
        ngx_memcpy(p, text, n);
        ngx_goim_link_commit(&r->link, n);

        r->waiting++;
        r->handler = handler;
        r->limit = limit;
        r->got = 0;
        r->timeout = timeout;

        ngx_add_timer(r->link.connection->read, timeout);
    }

    redisFreeCommand(text);

    return p ? NGX_OK : NGX_ERROR;
}


/* The last answer is that to PING: a server that only refuses writes, or this
   command, can be read from. */

static void
ngx_goim_redis_greeted(redisReply *reply)
{
    ngx_goim_redis_t  *r;

    r = &ngx_goim_redis;

    if (reply->type == REDIS_REPLY_ERROR
        && (r->waiting
            || (ngx_strncmp(reply->str, "MISCONF", 7) != 0
                && ngx_strncmp(reply->str, "NOPERM", 6) != 0)))
    {
        (void) ngx_goim_link_error(&r->link, 0, "not ready: \"%s\"",
                                   reply->str);
        ngx_goim_link_drop(&r->link);

    } else if (r->waiting == 0) {
        r->up = 1;
        ngx_goim_link_up(&r->link);
        r->events->up();
    }
}


/*
 * AUTH and SELECT where they are needed.  PING: whether Redis can be used at
 * all: not while it loads, without the password, or over maxclients.
 */

static ngx_int_t
ngx_goim_redis_greet(ngx_goim_conf_t *gcf)
{
    size_t              limit;
    ngx_str_t          *pass;
    ngx_msec_t          ms;
    ngx_goim_redis_pt   next;

    next = ngx_goim_redis_greeted;
    ms = gcf->redis_timeout;
    limit = NGX_GOIM_REDIS_GREETING;
    pass = &gcf->redis_password;

    if ((pass->len
         && ngx_goim_redis_command(next, ms, limit, "AUTH %b %b",
                                   gcf->redis_user.data, gcf->redis_user.len,
                                   pass->data, pass->len)
            != NGX_OK)
        || (gcf->redis_db > 0
            && ngx_goim_redis_command(next, ms, limit, "SELECT %d",
                                      (int) gcf->redis_db)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    return ngx_goim_redis_command(next, ms, limit, "PING");
}


static ngx_int_t
ngx_goim_redis_opened(ngx_goim_link_t *l)
{
    redisReader  *reader;

    ngx_goim_count(redis_connects, 1);

    reader = redisReaderCreate();
    ngx_goim_redis.reader = reader;

    if (reader == NULL || ngx_goim_redis_greet(ngx_goim_conf) != NGX_OK) {
        return ngx_goim_link_error(l, 0, "no memory");
    }

    ngx_goim_redis_hiredis = reader->fn;
    ngx_goim_redis_functions = *reader->fn;
    ngx_goim_redis_functions.createArray = ngx_goim_redis_array;

    reader->fn = &ngx_goim_redis_functions;

    return NGX_OK;
}


/* A handler may stop or drop the link, or give the next command. */

static ngx_int_t
ngx_goim_redis_input(ngx_goim_link_t *l, u_char *data, size_t len)
{
    redisReply        *reply;
    ngx_goim_redis_t  *r;

    r = l->data;
    r->got += len;

    if (r->waiting == 0) {
        return ngx_goim_link_error(l, 0, "reply without a command");
    }

    if (r->got > r->limit) {
        return ngx_goim_link_error(l, 0, "reply of over %uz bytes", r->limit);
    }

    /* what fails here fails again below, and tells why */

    (void) redisReaderFeed(r->reader, (const char *) data, len);

    while (r->waiting) {

        if (redisReaderGetReply(r->reader, (void **) &reply) != REDIS_OK) {
            return ngx_goim_link_error(l, 0, "%s", r->reader->errstr);
        }

        if (reply == NULL) {
            ngx_add_timer(l->connection->read, r->timeout);
            return NGX_OK;
        }

        if (--r->waiting == 0) {
            ngx_del_timer(l->connection->read);
        }

        r->handler(reply);
        freeReplyObject(reply);
    }

    return NGX_OK;
}


static void
ngx_goim_redis_closed(ngx_goim_link_t *l)
{
    ngx_uint_t         up;
    ngx_goim_redis_t  *r;

    r = l->data;

    redisReaderFree(r->reader);
    r->reader = NULL;

    up = r->up;
    r->up = 0;
    r->waiting = 0;

    if (r->events && up) {
        r->events->down();
    }
}


static const ngx_goim_link_ops_t  ngx_goim_redis_ops = {
    "redis",
    ngx_goim_redis_opened,
    ngx_goim_redis_input,
    NULL,
    ngx_goim_redis_closed,
    NGX_GOIM_C_redis_errors,
    "does this port want TLS?"
};


void
ngx_goim_redis_start(const ngx_goim_redis_events_t *events)
{
    ngx_memzero(&ngx_goim_redis, sizeof(ngx_goim_redis_t));

    ngx_goim_redis.events = events;

    ngx_goim_link_init(&ngx_goim_redis.link, ngx_goim_conf,
                       &ngx_goim_conf->redis, ngx_goim_conf->redis_timeout,
                       &ngx_goim_redis_ops, &ngx_goim_redis);
    ngx_goim_link_start(&ngx_goim_redis.link);
}


void
ngx_goim_redis_stop(void)
{
    if (ngx_goim_redis.events) {
        ngx_goim_redis.events = NULL;
        ngx_goim_link_stop(&ngx_goim_redis.link);
    }
}
