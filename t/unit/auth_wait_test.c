/*
 * Logins that wait for the node's registration: when that is there they go to
 * logic in batches, between which the event loop does what else there is, the
 * renewal of the reader's lease first of all. Sessions, timers, logic and the
 * loop's queues of posted events are the test's.
 */
/* NGINX */
/* LINK: ngx_goim_module/ngx_goim_auth.c */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ngx_goim_core.h"
#include "ngx_goim_follow.h"
#include "ngx_goim_logic.h"
#include "ngx_goim_stats.h"
#include "ngx_goim_trace.h"

#include <string.h>

#define SESSIONS  1000
#define BATCH     128           /* what the module says */


/* ---- what ngx_goim_auth.c is linked with ---- */

volatile ngx_cycle_t   *ngx_cycle;
volatile ngx_msec_t     ngx_current_msec = 1000;
ngx_rbtree_t            ngx_event_timer_rbtree;
ngx_queue_t             ngx_posted_events;
ngx_queue_t             ngx_posted_next_events;

ngx_goim_conf_t        *ngx_goim_conf;
ngx_goim_zone_t        *ngx_goim_zone;
ngx_goim_slot_t        *ngx_goim_slot;
ngx_connection_t        ngx_goim_no_connection;
uint64_t               *ngx_goim_counters;

static int              registered;
static size_t           asked;                  /* of logic */
static uint64_t         order[SESSIONS];        /* the sessions' tokens */
static void            *calls[SESSIONS];


ngx_goim_call_t *
ngx_goim_logic_call(Goim__Call *call, ngx_uint_t *peer, ngx_goim_logic_pt cb,
    void *data)
{
    assert_true(asked < SESSIONS);

    order[asked] = strtoull((char *) call->connect->token.data, NULL, 10);
    calls[asked++] = data;

    return (ngx_goim_call_t *) &ngx_goim_no_connection;
}


ngx_uint_t ngx_goim_registered(void) { return registered; }
ngx_uint_t ngx_goim_logic_starting(void) { return 0; }
uint64_t ngx_goim_list_order(void) { return 0; }
ngx_uint_t ngx_goim_trace_has(int64_t mid) { return 0; }

u_char *
ngx_cpystrn(u_char *dst, u_char *src, size_t n)
{
    snprintf((char *) dst, n, "%s", (char *) src);
    return dst + strlen((char *) dst);
}

void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    return malloc(size);
}

ngx_int_t
ngx_goim_follow_auth(ngx_goim_session_t *s, const u_char *body, size_t len)
{
    return NGX_OK;
}

void
ngx_goim_answer_auth(ngx_goim_session_t *s, const u_char *body, size_t len)
{
}

/* timers are not what this is about */

void ngx_rbtree_insert(ngx_rbtree_t *tree, ngx_rbtree_node_t *node) { }
void ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node) { }

/* nothing below is reached: no answer of logic comes */

#define NEVER  { fail(); }
#define NONE   { fail(); return 0; }

ngx_goim_session_t *ngx_goim_session_find(u_char *key, size_t len) NONE
ngx_int_t ngx_goim_follow_enter(ngx_goim_session_t *s, ngx_goim_was_t *was)
    NONE
ngx_int_t ngx_goim_follow_nowhere(ngx_goim_session_t *s) NONE
ngx_int_t ngx_goim_reply(ngx_goim_session_t *s, uint16_t version,
    int32_t operation, int32_t sequence, const u_char *body, size_t len) NONE
ngx_int_t ngx_goim_room_change(ngx_goim_session_t *s, ngx_str_t *key,
    const ngx_goim_listing_t *listing, ngx_uint_t must) NONE
ngx_int_t ngx_goim_room_limit(ngx_goim_session_t *s, const Goim__Connected *in)
    NONE
ngx_int_t ngx_goim_sub_add(ngx_goim_session_t *s, int32_t op) NONE
ngx_int_t ngx_goim_sub_limit(ngx_goim_session_t *s, const Goim__Connected *in)
    NONE
ngx_int_t ngx_goim_sender_set(ngx_goim_session_t *s, const Goim__Connected *in)
    NONE
ngx_str_t *ngx_goim_trace_text(const void *data, size_t len) NONE
void ngx_goim_close(ngx_goim_session_t *s, ngx_uint_t code,
    const char *reason) NEVER
void ngx_goim_disconnect_id(const Goim__Connected *in, uint64_t id,
    ngx_uint_t peer) NEVER
void ngx_goim_follow_said(const u_char *body, size_t len, const u_char *name,
    size_t name_len, ngx_goim_was_t *was) NEVER
ngx_int_t ngx_goim_inbox_enter(ngx_goim_session_t *s, ngx_goim_was_t *was) NONE
ngx_int_t ngx_goim_pushes_enter(ngx_goim_session_t *s,
    const Goim__Connected *in) NONE
void ngx_goim_logic_abandon(ngx_goim_call_t *call) NEVER
void ngx_goim_renew(ngx_goim_session_t *s) NEVER
void ngx_goim_resume(ngx_goim_session_t *s) NEVER
void ngx_goim_session_enter(ngx_goim_session_t *s) NEVER
void ngx_goim_session_timer(ngx_goim_session_t *s) NEVER
ngx_int_t ngx_goim_token_set(ngx_goim_session_t *s, const Goim__Connected *in)
    NONE
ngx_int_t ngx_goim_end_meanwhile(ngx_goim_session_t *s, ngx_uint_t renewed)
    NONE
void ngx_goim_trace_state(ngx_goim_session_t *s, const char *step) { }
void ngx_goim_was_free(ngx_goim_was_t *was) NEVER
void ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...) NEVER


/* ---- the test ---- */

static ngx_goim_session_t  sessions[SESSIONS];


static int
setup(void **state)
{
    char           token[24];
    size_t         i;
    goim_packet_t  p;

    static ngx_log_t         log;
    static ngx_cycle_t       cycle;
    static ngx_event_t       read;
    static ngx_connection_t  connection;
    static ngx_goim_conf_t   conf;
    static uint64_t          counters[NGX_GOIM_C_COUNT];

    cycle.log = &log;
    ngx_cycle = &cycle;
    ngx_goim_conf = &conf;
    ngx_goim_counters = counters;
    ngx_str_set(&conf.server_id, "comet-1");
    ngx_goim_zone = calloc(1, sizeof(ngx_goim_zone_t));
    ngx_goim_slot = ngx_goim_zone->slots;
    connection.read = &read;
    read.log = &log;
    read.data = &connection;

    ngx_queue_init(&ngx_posted_events);
    ngx_queue_init(&ngx_posted_next_events);
    ngx_goim_auth_init();

    registered = 0;
    asked = 0;

    memset(&p, 0, sizeof(p));
    p.body = (u_char *) token;

    for (i = 0; i < SESSIONS; i++) {
        memset(&sessions[i], 0, sizeof(ngx_goim_session_t));
        sessions[i].connection = &connection;
        ngx_str_set(&sessions[i].addr, "127.0.0.1");

        p.body_len = snprintf(token, sizeof(token), "%zu", i) + 1;

        assert_int_equal(ngx_goim_auth_start(&sessions[i], &p), NGX_AGAIN);
    }

    assert_int_equal(asked, 0);

    return 0;
}


static int
teardown(void **state)
{
    size_t  i;

    for (i = 0; i < asked; i++) {
        free(calls[i]);
    }

    free(ngx_goim_zone);

    return 0;
}


/* A turn of the event loop, as nginx has it: how many logins went on. */

static size_t
turn(void)
{
    size_t        before;
    ngx_event_t  *ev;
    ngx_queue_t  *q;

    before = asked;

    while (!ngx_queue_empty(&ngx_posted_events)) {
        q = ngx_queue_head(&ngx_posted_events);
        ev = ngx_queue_data(q, ngx_event_t, queue);
        ngx_delete_posted_event(ev);
        ev->handler(ev);
    }

    while (!ngx_queue_empty(&ngx_posted_next_events)) {
        q = ngx_queue_head(&ngx_posted_next_events);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&ngx_posted_events, q);
    }

    return asked - before;
}


static void
all_in_order(size_t left_out)
{
    size_t  i, n;

    for (i = 0, n = 0; i < SESSIONS; i++) {
        if (i != left_out) {
            assert_int_equal(order[n], i);
            n++;
        }
    }

    assert_int_equal(asked, n);
}


static void
test_batches(void **state)
{
    size_t  n, turns;

    assert_int_equal(turn(), 0);

    registered = 1;
    ngx_goim_auth_registered();

    for (turns = 0; asked < SESSIONS; turns++) {
        n = turn();
        assert_in_range(n, 1, BATCH);
        assert_true(turns < SESSIONS);
    }

    assert_in_range(turns, SESSIONS / BATCH, SESSIONS);
    all_in_order(SESSIONS);
    assert_int_equal(turn(), 0);
}


/* who leaves while others go on is not asked about, nor stops them */

static void
test_leaves(void **state)
{
    registered = 1;
    ngx_goim_auth_registered();
    turn();

    ngx_goim_auth_forget(&sessions[SESSIONS / 2]);

    while (turn() > 0) {
        /* void */
    }

    all_in_order(SESSIONS / 2);
}


/* the registration lapses meanwhile: the others wait for the next one */

static void
test_lapses(void **state)
{
    registered = 1;
    ngx_goim_auth_registered();
    turn();

    registered = 0;
    assert_int_equal(turn(), 0);
    assert_int_equal(turn(), 0);
    assert_true(asked < SESSIONS);

    registered = 1;
    ngx_goim_auth_registered();

    while (turn() > 0) {
        /* void */
    }

    all_in_order(SESSIONS);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(test_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lapses, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
