/*
 * The reader of the node's stream, when a command cannot be queued: whichever it
 * was, it is tried again, and reading goes on. Timers, the lease, the intake and
 * Redis are the test's.
 */
/* NGINX */
/* LINK: ngx_goim_module/ngx_goim_reader.c */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ngx_goim_reader.h"
#include "ngx_goim_redis.h"
#include "ngx_goim_stats.h"

#include <hiredis/hiredis.h>

#include <string.h>


/* ---- what the reader is linked with ---- */

volatile ngx_cycle_t   *ngx_cycle;
volatile ngx_msec_t     ngx_current_msec = 1000;
volatile ngx_time_t    *ngx_cached_time;
ngx_rbtree_t            ngx_event_timer_rbtree;

ngx_goim_conf_t        *ngx_goim_conf;
ngx_goim_zone_t        *ngx_goim_zone;
ngx_connection_t        ngx_goim_no_connection;
uint64_t               *ngx_goim_counters;

static const ngx_goim_redis_events_t  *events;
static ngx_goim_redis_pt               handler;     /* of the last command */
static char                            command[64]; /* its first word */
static int                             refused;     /* no command is taken */
static ngx_event_t                    *timer;       /* that is set */
static uint64_t                        place[2];


ngx_int_t
ngx_goim_redis_command(ngx_goim_redis_pt pt, ngx_msec_t timeout, size_t limit,
    const char *fmt, ...)
{
    if (refused) {
        return NGX_ERROR;
    }

    handler = pt;
    snprintf(command, sizeof(command), "%.*s", (int) strcspn(fmt, " "), fmt);

    return NGX_OK;
}


void
ngx_goim_redis_start(const ngx_goim_redis_events_t *e)
{
    events = e;
}


void
ngx_goim_redis_stop(void)
{
}


void
ngx_rbtree_insert(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    assert_null(timer);
    timer = (ngx_event_t *) ((char *) node - offsetof(ngx_event_t, timer));
}


void
ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    timer = NULL;
}


ngx_int_t
ngx_goim_intake_start(void)
{
    return NGX_OK;
}


uint64_t *
ngx_goim_intake_id(void)
{
    return place;
}


ngx_int_t
ngx_goim_intake_entry(struct redisReply *entry)
{
    return NGX_OK;
}


struct redisReply *
ngx_goim_intake_value(struct redisReply *entry)
{
    return entry;
}


u_char *
ngx_goim_register_entry(size_t *len)
{
    *len = 4;
    return (u_char *) strdup("node");
}


ngx_uint_t
ngx_goim_lease_held(void)
{
    return 1;
}


ngx_uint_t
ngx_goim_slot_behind(uint64_t *mask)
{
    (void) mask;
    return 0;
}


u_char *
ngx_cpystrn(u_char *dst, u_char *src, size_t n)
{
    snprintf((char *) dst, n, "%s", (char *) src);
    return dst + strlen((char *) dst);
}


ngx_str_t *
ngx_goim_trace_text(const void *data, size_t len)
{
    static ngx_str_t  text;

    text.data = (u_char *) data;
    text.len = len;

    return &text;
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
}


void ngx_goim_intake_wake(void) { }
void ngx_goim_lease_release(void) { }
void ngx_goim_lock(void) { }
void ngx_goim_unlock(void) { }
void ngx_goim_register_start(void) { }
void ngx_goim_register_stop(void) { }
void ngx_goim_register_renewed(ngx_msec_t sent) { }
void ngx_goim_wake(uint64_t *mask) { }


/* ---- the test ---- */

static int
setup(void **state)
{
    static ngx_log_t        log;
    static ngx_time_t       now;
    static ngx_cycle_t      cycle;
    static ngx_goim_conf_t  conf;
    static uint64_t         counters[NGX_GOIM_C_COUNT];


    cycle.log = &log;
    ngx_cycle = &cycle;
    ngx_cached_time = &now;
    ngx_goim_conf = &conf;
    ngx_goim_counters = counters;

    ngx_str_set(&conf.stream, "goim:stream");
    ngx_str_set(&conf.server_id, "comet-1");

    ngx_goim_zone = calloc(1, sizeof(ngx_goim_zone_t));
    ngx_goim_zone->begun = 1;

    refused = 0;
    timer = NULL;
    handler = NULL;

    ngx_goim_reader_start();

    return 0;
}


static int
teardown(void **state)
{
    ngx_goim_reader_stop();
    assert_null(timer);
    free(ngx_goim_zone);

    return 0;
}


/* the command that the reader has given, when it was taken */

static void
gave(const char *name)
{
    assert_non_null(handler);
    assert_string_equal(command, name);
    assert_null(timer);
}


static void
answer(int type, const char *text)
{
    redisReply         reply;
    ngx_goim_redis_pt  pt;

    memset(&reply, 0, sizeof(reply));
    reply.type = type;
    reply.str = (char *) text;
    reply.len = strlen(text);

    pt = handler;
    handler = NULL;
    pt(&reply);
}


/* a command was refused: later, when it is taken again, the stream is read */

static void
tries_again(void)
{
    ngx_event_t  *ev;

    assert_null(handler);
    assert_non_null(timer);
    assert_true((ngx_msec_int_t) (timer->timer.key - ngx_current_msec) > 0);
    assert_true((ngx_msec_int_t) (timer->timer.key - ngx_current_msec) <= 5000);

    /* still refused: once more */

    ev = timer;
    timer = NULL;
    ev->timer_set = 0;
    ev->handler(ev);
    assert_null(handler);
    assert_non_null(timer);

    refused = 0;

    ev = timer;
    timer = NULL;
    ev->timer_set = 0;
    ev->handler(ev);

    gave("XINFO");
    answer(REDIS_REPLY_ERROR, "ERR no such key");
    gave("XREAD");
}


static void
test_info(void **state)
{
    refused = 1;
    events->up();
    tries_again();
}


static void
test_check(void **state)
{
    events->up();
    gave("INFO");
    refused = 1;
    answer(REDIS_REPLY_ERROR, "NOPERM");
    tries_again();
}


static void
test_read(void **state)
{
    events->up();
    answer(REDIS_REPLY_ERROR, "NOPERM");
    gave("XINFO");
    refused = 1;
    answer(REDIS_REPLY_ERROR, "ERR no such key");
    tries_again();
}


static void
test_next_read(void **state)
{
    events->up();
    answer(REDIS_REPLY_ERROR, "NOPERM");
    answer(REDIS_REPLY_ERROR, "ERR no such key");
    gave("XREAD");
    refused = 1;
    answer(REDIS_REPLY_NIL, "");
    tries_again();
}


/* the entry in the registry is less than the stream: that is read */

static void
test_entry(void **state)
{
    events->up();
    answer(REDIS_REPLY_ERROR, "NOPERM");
    answer(REDIS_REPLY_ERROR, "ERR no such key");
    gave("XREAD");

    ngx_goim_reader_renew();
    answer(REDIS_REPLY_NIL, "");
    gave("XINFO");
    answer(REDIS_REPLY_ERROR, "ERR no such key");
    gave("HSET");
    refused = 1;
    answer(REDIS_REPLY_INTEGER, "");
    tries_again();
}


static void
test_down(void **state)
{
    refused = 1;
    events->up();
    assert_non_null(timer);
    events->down();
    assert_null(timer);

    refused = 0;
    events->up();
    gave("INFO");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(test_info, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_next_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_down, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
