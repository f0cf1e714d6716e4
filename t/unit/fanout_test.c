/*
 * Bytes that go out in a worker are counted as they are held: blocks, their
 * copies with numbers, what lingers and what is paced. And pages of a history,
 * of which items may be none. Sessions, timers and logic are the test's.
 */
/* NGINX */
/* LINK: ngx_goim_module/ngx_goim_fanout.c ngx_goim_module/ngx_goim_pace.c */
/* LINK: ngx_goim_module/ngx_goim_run.c ngx_goim_module/ngx_goim_timeline.c */

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

#include "common/goim_frame.h"

#include <string.h>


/* ---- what these files are linked with ---- */

volatile ngx_cycle_t   *ngx_cycle;
volatile ngx_msec_t     ngx_current_msec = 1000;
volatile ngx_time_t    *ngx_cached_time;
ngx_rbtree_t            ngx_event_timer_rbtree;
ngx_queue_t             ngx_posted_events;
ngx_queue_t             ngx_posted_next_events;
ngx_pid_t               ngx_pid = 1;

ngx_goim_conf_t        *ngx_goim_conf;
ngx_goim_zone_t        *ngx_goim_zone;
ngx_goim_slot_t        *ngx_goim_slot;
ngx_goim_room_t         ngx_goim_room_all;
ngx_connection_t        ngx_goim_no_connection;
uint64_t               *ngx_goim_counters;

static size_t           sends;
static size_t           pending;        /* the most, as something was sent */
static size_t           memory;         /* of buffers, now */


void *ngx_alloc(size_t size, ngx_log_t *log) { return malloc(size); }
void *ngx_calloc(size_t size, ngx_log_t *log) { return calloc(1, size); }

ngx_goim_buf_t *
ngx_goim_buf_alloc(size_t len)
{
    ngx_goim_buf_t  *b;

    b = malloc(offsetof(ngx_goim_buf_t, data) + len);
    b->refs = 1;
    b->len = len;
    memory += len;

    return b;
}

void
ngx_goim_buf_unref(ngx_goim_buf_t *b)
{
    if (--b->refs == 0) {
        memory -= b->len;
        free(b);
    }
}

ngx_int_t
ngx_goim_send(ngx_goim_session_t *s, ngx_goim_buf_t *b, uint32_t pos,
    uint32_t last)
{
    sends++;

    if (ngx_goim_fanout_pending() > pending) {
        pending = ngx_goim_fanout_pending();
    }

    return NGX_OK;
}

ngx_uint_t
ngx_goim_session_accepts(ngx_goim_session_t *s, int32_t operation)
{
    return 1;
}

void ngx_goim_deliver_resume(void) { }
ngx_uint_t ngx_goim_registered(void) { return 1; }

/* one timer at a time is set here, and none taken back */

static ngx_event_t     *timer;

void
ngx_rbtree_insert(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    assert_null(timer);
    timer = ngx_rbtree_data(node, ngx_event_t, timer);
}

void ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
    { fail(); }

/* nothing below is reached */

#define NEVER  { fail(); }
#define NONE   { fail(); return 0; }

ngx_goim_call_t *ngx_goim_logic_call(Goim__Call *call, ngx_uint_t *peer,
    ngx_goim_logic_pt cb, void *data) NONE
int ngx_goim_follow_send(goim_follow_t *f, goim_run_t *run, uint32_t from,
    uint32_t to) NONE
int ngx_goim_follow_tell(goim_follow_t *f, const goim_told_t *told) NONE
size_t ngx_goim_follow_queued(goim_follow_t *f) NONE
void ngx_goim_inbox_gone(ngx_goim_timeline_t *tl) NEVER
void ngx_goim_hold_free(ngx_goim_timeline_t *tl) { }
void ngx_goim_follow_block(ngx_goim_session_t *s, ngx_goim_block_t *block)
    NEVER
void ngx_goim_trace_packets(ngx_goim_session_t *s, const char *step,
    const u_char *data, size_t len, const ngx_goim_record_t *rec) NEVER
void ngx_goim_trace_record(ngx_goim_session_t *s, const char *step,
    const ngx_goim_record_t *rec) NEVER
void ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...) NEVER


/* ---- the test ---- */

static ngx_goim_front_t      front = { .framed = 1 };
static ngx_goim_session_t    session = { .front = &front };
static ngx_goim_member_t     member = { .session = &session };
static ngx_goim_room_t       room;
static goim_epoch_t         *epoch;


static int
setup(void **state)
{
    static ngx_log_t         log;
    static ngx_cycle_t       cycle;
    static ngx_time_t        now;
    static ngx_goim_conf_t   conf;
    static uint64_t          counters[NGX_GOIM_C_COUNT];

    cycle.log = &log;
    ngx_cycle = &cycle;
    ngx_cached_time = &now;
    ngx_goim_conf = &conf;
    conf.gather_size = 16384;
    ngx_goim_counters = counters;
    ngx_goim_zone = calloc(1, sizeof(ngx_goim_zone_t));

    ngx_queue_init(&ngx_posted_events);
    ngx_queue_init(&ngx_posted_next_events);

    ngx_queue_init(&room.members);
    ngx_queue_init(&room.blocks);
    ngx_queue_insert_tail(&room.members, &member.queue);
    ngx_str_set(&room.key, "live://1");

    ngx_queue_init(&ngx_goim_room_all.members);
    ngx_queue_init(&ngx_goim_room_all.blocks);

    ngx_goim_fanout_init(&log);
    ngx_goim_timelines_init(&log);

    epoch = goim_epoch_get(&ngx_goim_timelines.epochs, "word", 4);
    sends = 0;
    pending = 0;

    return 0;
}


static int
teardown(void **state)
{
    assert_int_equal(memory, 0);
    assert_int_equal(ngx_goim_fanout_pending(), 0);

    goim_epoch_unref(&ngx_goim_timelines.epochs, epoch);
    goim_timelines_free(&ngx_goim_timelines);
    free(ngx_goim_zone);

    return 0;
}


/* A record as it lies in the ring, in an entry of its own. */

static ngx_goim_buf_t *
record(uint16_t kind, uint64_t seq, size_t len)
{
    u_char             *p;
    ngx_goim_buf_t     *b;
    ngx_goim_record_t  *rec;

    b = ngx_goim_buf_alloc(sizeof(ngx_goim_record_t) + 64 + len);
    rec = (ngx_goim_record_t *) b->data;
    memset(rec, 0, sizeof(ngx_goim_record_t));
    rec->kind = kind;
    rec->seq = seq;

    p = ngx_cpymem(rec + 1, "\0\10live://1\0\4word", 16);
    rec->frame = p - b->data;
    p += goim_frame_head(p, GOIM_FRAME_BINARY, 2 * GOIM_HEADER + len);
    p = goim_packet_header(p, GOIM_HEADER + len, GOIM_VERSION, GOIM_OP_RAW, 0);
    rec->inner = p - b->data;
    p = goim_packet_header(p, len, GOIM_VERSION, 1000, 0);
    memset(p, 'x', len);
    rec->end = p + len - b->data;

    return b;
}


static void
arrives(uint64_t seq, size_t len)
{
    ngx_goim_buf_t  *b;

    b = record(GOIM__RECORD__KIND__ROOM, seq, len);
    assert_int_equal(ngx_goim_fanout_room(&room, b,
                                          (ngx_goim_record_t *) b->data,
                                          ngx_current_msec), NGX_OK);
    ngx_goim_buf_unref(b);
}


static void
test_numbered(void **state)
{
    size_t                size, plain;
    uint64_t              seq;
    ngx_goim_timeline_t  *tl;

    for (size = 100; size <= 1000; size *= 10) {

        arrives(1, size);
        plain = ngx_goim_fanout_pending();
        assert_int_equal(plain, GOIM_HEADER + size);
        ngx_goim_fanout_run();
        assert_int_equal(pending, plain);

        /* somebody follows it: one, then several in a block */

        tl = ngx_goim_timeline_join(&room);
        pending = 0;
        arrives(1, size);
        ngx_goim_fanout_run();
        assert_in_range(pending, 2 * plain, 2 * plain + 200);

        pending = 0;

        for (seq = 2; seq < 12; seq++) {
            arrives(seq, size);
        }

        assert_int_equal(ngx_goim_fanout_pending(), 10 * plain);
        ngx_goim_fanout_run();
        assert_true(pending >= 2 * plain);
        assert_int_equal(ngx_goim_fanout_pending(), 0);

        pending = 0;
        ngx_goim_timeline_leave(tl);
    }

    assert_int_equal(sends, 6);
}


static void
tick(void)
{
    ngx_event_t  *ev;

    ngx_current_msec += 20;

    ev = timer;
    timer = NULL;
    ev->timer_set = 0;
    ev->handler(ev);
}


/* It is paced by its plain bytes, as nobody numbers it. */

static void
test_paced(void **state)
{
    ngx_uint_t          i;
    ngx_goim_buf_t     *b;
    ngx_goim_record_t  *rec;
    ngx_goim_member_t   all = { .session = &session };

    ngx_queue_insert_tail(&ngx_goim_room_all.members, &all.queue);
    ngx_goim_room_all.count = 1;

    for (i = 0; i < 3; i++) {
        b = record(GOIM__RECORD__KIND__ALL, 0, 1000);
        rec = (ngx_goim_record_t *) b->data;
        rec->speed = 1;
        rec->whole = 1;
        assert_int_equal(ngx_goim_fanout_all(b, rec), NGX_OK);
        ngx_goim_buf_unref(b);
        ngx_goim_fanout_run();
    }

    assert_int_equal(ngx_goim_fanout_pending(), 0);
    assert_true(ngx_goim_pace_held() >= 3000);
    assert_int_equal(sends, 0);

    /* a second each */

    for (i = 0; ngx_goim_pace_held() && i < 1000; i++) {
        tick();
        assert_int_equal(ngx_goim_fanout_pending(), 0);
    }

    assert_int_equal(sends, 3);
    assert_int_equal(ngx_goim_pace_held(), 0);

    ngx_queue_remove(&all.queue);
}


/* ---- pages ---- */

#define ITEMS  5

typedef struct {
    Goim__Page           page;
    Goim__Item           item[ITEMS], *items[ITEMS];
    uint8_t              packed[ITEMS][64];
} page_t;


/* one of items 11, 12, ... */

static void
make_page(page_t *p)
{
    int           i;
    Goim__Record  rec;

    goim__page__init(&p->page);

    for (i = 0; i < ITEMS; i++) {
        goim__record__init(&rec);
        rec.kind = GOIM__RECORD__KIND__ROOM;
        rec.operation = 1000;
        rec.body.data = (uint8_t *) "hello";
        rec.body.len = i;

        goim__item__init(&p->item[i]);
        p->item[i].seq = 11 + i;
        p->item[i].record.data = p->packed[i];
        p->item[i].record.len = goim__record__pack(&rec, p->packed[i]);
        p->items[i] = &p->item[i];
    }

    p->page.n_items = ITEMS;
    p->page.items = p->items;
    p->page.first = 5;
}


static const goim_read_t  of_room;      /* closed meanwhile */


/* What comes of it: items [from, to], or none. */

static void
reads(page_t *p, uint64_t first, uint64_t from, uint64_t to)
{
    uint64_t       said, seq;
    goim_run_t    *run;
    goim_packet_t  packet;
    const u_char  *data;
    const ngx_goim_part_t  *part;

    said = 5;
    assert_int_equal(ngx_goim_run_page(epoch, &p->page, &of_room, &run,
                                       &said), NGX_OK);
    assert_int_equal(said, first);

    if (from == 0) {
        assert_null(run);
        return;
    }

    assert_int_equal(run->follows, from - 1);
    assert_int_equal(run->n, to - from + 1);
    assert_int_equal(goim_run_last(run), to);
    assert_true(run->held >= memory + run->n * sizeof(goim_run_item_t));

    part = ngx_goim_run_part(run, 0, run->n);
    data = part->buf->data + part->inner;

    for (seq = from; seq <= to; seq++) {
        assert_int_equal(goim_packet_parse(&packet, data, part->buf->data
                                           + part->buf->len - data, 1000),
                         GOIM_PACKET_OK);
        assert_int_equal(packet.sequence, seq);
        assert_int_equal(packet.body_len, seq - 11);
        data += GOIM_HEADER + packet.body_len;
    }

    goim_run_unref(&ngx_goim_timelines, run);
}


static void
test_pages(void **state)
{
    int          i;
    page_t       p;
    uint64_t     first;
    goim_run_t  *run;

    make_page(&p);
    reads(&p, 5, 11, 15);

    /* one that does not parse, or is of another kind */

    for (i = 0; i < ITEMS; i++) {
        make_page(&p);
        p.item[i].record.len = i % 2 ? 0 : 1;
        reads(&p, 12 + i, i < ITEMS - 1 ? 12 + i : 0, 15);
    }

    make_page(&p);
    p.item[0].record.len = 0;
    memset(p.packed[2], 0xff, 8);
    reads(&p, 14, 14, 15);

    for (i = 0; i < ITEMS; i++) {
        p.item[i].record.len = 0;
    }

    reads(&p, 16, 0, 0);

    /* what does not follow is no page */

    make_page(&p);
    p.item[3].seq = 15;
    first = 5;
    assert_int_equal(ngx_goim_run_page(epoch, &p.page, &of_room, &run, &first),
                     NGX_ERROR);

    for (i = 0; i < ITEMS; i++) {
        p.item[i].seq = i;
    }

    assert_int_equal(ngx_goim_run_page(epoch, &p.page, &of_room, &run, &first),
                     NGX_ERROR);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(test_numbered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
