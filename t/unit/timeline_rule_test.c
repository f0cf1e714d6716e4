/* LINK: t/unit/test_room.c */

/*
 * The rule of timelines, sentence by sentence: what is read, when, how often,
 * and for whom. (timeline_test.c shows that nothing is lost or repeated.)
 */

#include "test_room.h"


/*
 * 10,000 come back to one room within 2 s, from anywhere in its last 300 items,
 * while 20 new ones come a second.
 */

static void
test_crowd(void **state)
{
    uint32_t    i, ms, k;
    uint64_t    head;
    session_t  *s;

    (void) state;

    s = calloc(10000, sizeof(session_t));
    rooms[0].head = 300;

    for (i = 0, ms = 0; ms < 2000; ms++) {

        for (k = 0; k < 5; k++, i++) {
            join(&s[i], &rooms[0], i * 7919 % 301);
            s[i].at = i * 7919 % 301;
        }

        /* a Read takes 2 ms, the primary sees it after 1 */

        head = rooms[0].head;

        if (ms % 50 == 0) {
            rooms[0].head++;
            arrives(&rooms[0], rooms[0].head, s, i);
        }

        pass(1);

        if (nreads && ms % 2) {
            answer_at(&rooms[0], 1, head);
        }
    }

    for (ms = 0; ms < 1000; ms++) {
        pass(1);

        if (nreads) {
            answer(&rooms[0]);
        }
    }

    for (i = 0; i < 10000; i++) {
        assert_int_equal(s[i].told, 1);
        assert_int_equal(s[i].recovered, GOIM_RECOVERED_TRUE);
        assert_int_equal(s[i].at, rooms[0].head);
        goim_follow_leave(&s[i].follow);
    }

    /* pages below the head are logic's */

    print_message("# 10,000 came back: %u Reads, %u of them to the head\n",
                  asked, at_head);
    assert_true(asked < 300);
    assert_true(at_head < 100);

    free(s);
}


/* a room whose items come faster than Reads: one Read, then it is live */

static void
test_busy(void **state)
{
    uint32_t   ms;
    session_t  s[2];

    (void) state;

    join_live(&s[0], &rooms[0]);
    asked = 0;
    join(&s[1], &rooms[0], 0);
    pass(1);

    for (ms = 1; ms < 20; ms++) {
        rooms[0].head++;
        arrives(&rooms[0], rooms[0].head, s, 2);
    }

    answer_at(&rooms[0], 1, 3);
    assert_int_equal(s[1].follow.state, GOIM_FOLLOW_LIVE);
    assert_int_equal(s[1].at, 19);
    assert_int_equal(s[0].at, 19);

    pass(1000);
    assert_int_equal(asked, 1);
    assert_true(rooms[0].timeline.kept == NULL);

    goim_follow_leave(&s[0].follow);
    goim_follow_leave(&s[1].follow);
}


/* more than is kept: it is read again, at last all of it is there */

static void
test_busy_big(void **state)
{
    uint32_t   i, n;
    session_t  s;

    (void) state;

    rooms[0].size = 30000;
    join(&s, &rooms[0], 0);
    pass(1);

    for (n = 0; n < 40; n++) {
        rooms[0].head++;
        arrives(&rooms[0], rooms[0].head, &s, 1);
        assert_true(rooms[0].timeline.kept_bytes <= GOIM_KEPT_MAX);
    }

    assert_true(rooms[0].timeline.kept_lost);
    answer_at(&rooms[0], 1, 0);

    for (i = 0; i < 100 && s.at < 40; i++) {
        pass(100);
        assert_true(s.queued <= GOIM_FOLLOW_QUEUE);
        s.queued = 0;
        goim_follow_drained(&s.follow);
        pass(100);

        if (nreads) {
            answer(&rooms[0]);
        }
    }

    assert_int_equal(s.at, 40);
    assert_int_equal(s.told, 1);
    goim_follow_leave(&s.follow);
}


/* pages of one who is far behind follow each other at once */

static void
test_pages(void **state)
{
    uint32_t   i;
    session_t  s;

    (void) state;

    rooms[0].head = 250;
    join(&s, &rooms[0], 0);

    for (i = 1; i <= 3; i++) {
        pass(1);
        assert_int_equal(nreads, 1);
        answer(&rooms[0]);
        assert_int_equal(s.at, i < 3 ? i * 100 : 250);
    }

    assert_int_equal(s.follow.state, GOIM_FOLLOW_LIVE);
    assert_int_equal(s.told, 1);
    pass(3000);
    assert_int_equal(asked, 3);

    goim_follow_leave(&s.follow);
}


/*
 * Slow readers of one room read it in bites, in rounds that they share; who
 * comes anew does not wait for them all, and a round has no more Reads than
 * pages.
 */

static void
test_slow(void **state)
{
    uint32_t   i, ms, came;
    session_t  s[51];

    (void) state;

    rooms[0].head = 300;
    rooms[0].size = 1000;
    came = 0;

    for (i = 0; i < 50; i++) {
        join(&s[i], &rooms[0], i);
        s[i].at = i;
    }

    for (ms = 0; ms < 1000; ms++) {
        pass(1);

        if (nreads) {
            answer(&rooms[0]);
        }

        /* each takes all at a time of its own */

        for (i = ms % 10; i < 50 + came; i += 10) {
            assert_true(s[i].queued <= GOIM_FOLLOW_QUEUE);
            s[i].queued = 0;
            goim_follow_drained(&s[i].follow);
        }

        if (ms == 120) {
            came = 1;
            join(&s[50], &rooms[0], 0);
            s[50].at = 0;
        }

        if (ms == 250) {
            assert_int_equal(s[50].told, 1);
            assert_true(s[50].at > 0);
        }
    }

    for (i = 0; i < 51; i++) {
        assert_int_equal(s[i].at, 300);
        goim_follow_leave(&s[i].follow);
    }

    assert_in_range(asked, 5, 60);
}


/* the newest come with the first answer */

static void
test_newest(void **state)
{
    session_t  s;

    (void) state;

    rooms[0].head = 250;
    memset(&s, 0, sizeof(session_t));
    goim_follow_join(&s.follow, &rooms[0].timeline, NULL, 0, 50);
    pass(1);
    assert_int_equal(reads[0]->limit, 50);
    answer(&rooms[0]);

    assert_int_equal(s.told, 1);
    assert_int_equal(s.recovered, GOIM_RECOVERED_NONE);
    assert_int_equal(s.sent, 50);
    assert_int_equal(s.at, 250);

    goim_follow_leave(&s.follow);
}


static void
test_in_flight(void **state)
{
    uint32_t   i;
    session_t  s[ROOMS];

    (void) state;

    for (i = 0; i < ROOMS; i++) {
        join(&s[i], &rooms[i], 0);
    }

    pass(1000);
    assert_int_equal(nreads, GOIM_READS_MAX);

    /* one comes back, another goes; that of a room which was left, too */

    answer(&rooms[0]);
    pass(1);
    assert_int_equal(nreads, GOIM_READS_MAX);
    assert_int_equal(asked, GOIM_READS_MAX + 1);

    goim_follow_leave(&s[1].follow);
    goim_timeline_close(&rooms[1].timeline);
    goim_timeline_open(&w, &rooms[1].timeline, 1);
    freed = 0;
    answer(&rooms[1]);
    pass(1);
    assert_int_equal(asked, GOIM_READS_MAX + 2);
    assert_int_equal(s[1].told, 0);

    for (i = 0; i < ROOMS; i++) {
        goim_follow_leave(&s[i].follow);
    }
}


/* those who have missed much leave place for others */

static void
test_much_missed(void **state)
{
    uint32_t   i, much;
    session_t  s[ROOMS];

    (void) state;

    much = ROOMS - 20;

    for (i = 0; i < much; i++) {
        rooms[i].head = 10000;
        join(&s[i], &rooms[i], 0);
    }

    pass(1);
    assert_int_equal(nreads, GOIM_READS_MAX);

    for (i = 0; i < 2 * much; i++) {
        answer((room_t *) reads[0]->timeline);
        pass(1);
    }

    assert_int_equal(nreads, GOIM_READS_MORE);

    for (i = much; i < ROOMS; i++) {
        rooms[i].head = 10000;
        join(&s[i], &rooms[i], 9999);
    }

    pass(1);
    assert_int_equal(nreads, GOIM_READS_MORE + 20);

    /* and nobody is held up by them */

    while (nreads > 0) {
        answer((room_t *) reads[0]->timeline);
        pass(1);
    }

    for (i = 0; i < ROOMS; i++) {
        assert_int_equal(s[i].at, 10000);
        goim_follow_leave(&s[i].follow);
    }
}


/* nobody answers: it is asked again, rarely, and goes on when somebody does */

static void
test_later(void **state)
{
    session_t  s;

    (void) state;

    refuse = 1;
    join(&s, &rooms[0], 0);
    pass(60000);
    assert_in_range(asked, 25, 60);

    refuse = 0;
    pass(3000);
    assert_int_equal(nreads, 1);

    goim_read_answer(reads[--nreads], GOIM_READ_LATER, NULL, 0, 0, NULL);
    assert_int_equal(s.told, 0);
    pass(3000);
    answer(&rooms[0]);
    assert_int_equal(s.follow.state, GOIM_FOLLOW_LIVE);

    goim_follow_leave(&s.follow);
}


/* answers that contradict themselves */

static void
test_insane(void **state)
{
    uint32_t     i;
    session_t    s;
    goim_run_t  *page;

    (void) state;

    rooms[0].head = 9;
    join(&s, &rooms[0], 3);

    for (i = 0; i < 7; i++) {
        pass(3000);
        assert_int_equal(nreads, 1);
        page = run_new(&rooms[0], 4, 9);
        page->items[2].seq -= i == 0;           /* twice */
        page->items[0].seq -= i == 1 ? 1 : 0;   /* what it follows */
        page->epoch = i == 2 ? rooms[1].epoch : page->epoch;
        page->n = i == 3 ? 0 : page->n;

        goim_read_answer(reads[--nreads], GOIM_READ_OK,
                         i == 4 ? NULL : rooms[0].epoch, i == 5 ? 0 : 1,
                         i == 6 ? 8 : 9, page);
        assert_int_equal(s.told, 0);
        page->refs = 1;
        goim_run_unref(&w, page);
    }

    pass(3000);
    answer(&rooms[0]);
    assert_int_equal(s.at, 9);

    goim_follow_leave(&s.follow);
}


/* ---- what does not follow ---- */

/* it came before the Read began, and is of another epoch: of no use */

static void
test_stale(void **state)
{
    session_t    s;
    goim_run_t  *run;

    (void) state;

    rooms[0].head = 5;
    join_live(&s, &rooms[0]);

    run = run_new(&rooms[1], 7, 7);
    goim_timeline_arrived(&rooms[0].timeline, run);

    goim_follow_lost(&s.follow);
    pass(100);
    answer(&rooms[0]);
    assert_int_equal(s.follow.state, GOIM_FOLLOW_LIVE);

    asked = 0;
    assert_int_equal(goim_follow_run(&s.follow, run), 0);
    pass(1000);
    assert_int_equal(asked, 0);
    assert_int_equal(s.told, 1);

    /* one that comes later may be the newer one */

    goim_timeline_arrived(&rooms[0].timeline, run);
    assert_int_equal(goim_follow_run(&s.follow, run), 0);
    pass(100);
    assert_int_equal(asked, 1);
    answer(&rooms[0]);
    assert_int_equal(s.told, 1);

    goim_run_unref(&w, run);
    goim_follow_leave(&s.follow);
}


/* to all who follow: who is ahead of it is asked before */

static void
test_give(void **state)
{
    uint32_t     i;
    session_t    s[3];
    goim_run_t  *run, *next;

    (void) state;

    rooms[0].head = 5;

    for (i = 0; i < 2; i++) {
        join_live(&s[i], &rooms[0]);
    }

    asked = 0;
    join(&s[2], &rooms[0], 3);              /* is behind */
    s[2].at = 3;

    run = run_new(&rooms[0], 6, 6);
    next = run_new(&rooms[0], 7, 7);
    assert_false(goim_timeline_ahead(&rooms[0].timeline, run));
    assert_true(goim_timeline_ahead(&rooms[0].timeline, next));

    rooms[0].head = 7;
    assert_int_equal(goim_timeline_give(&rooms[0].timeline, run), 0);
    assert_false(goim_timeline_ahead(&rooms[0].timeline, next));
    assert_int_equal(goim_timeline_give(&rooms[0].timeline, next), 0);

    /* one that names what it follows: the numbers between are nobody's */

    next->items[0].seq = 10;
    next->follows = 7;
    assert_false(goim_timeline_ahead(&rooms[0].timeline, next));
    next->follows = 8;
    assert_true(goim_timeline_ahead(&rooms[0].timeline, next));

    for (i = 0; i < 2; i++) {
        assert_int_equal(s[i].follow.state, GOIM_FOLLOW_LIVE);
        assert_int_equal(s[i].at, 7);
    }

    assert_int_equal(s[2].at, 3);
    pass(100);
    answer(&rooms[0]);
    assert_int_equal(s[2].at, 7);
    assert_int_equal(asked, 1);

    goim_timeline_lost(&rooms[0].timeline);

    for (i = 0; i < 3; i++) {
        assert_int_equal(s[i].follow.state, GOIM_FOLLOW_BEHIND);
        goim_follow_leave(&s[i].follow);
    }

    goim_run_unref(&w, run);
    goim_run_unref(&w, next);
}


/* the primary lacks what came by: later; not for ever */

static void
test_back(void **state)
{
    uint32_t   n;
    session_t  s[2];

    (void) state;

    rooms[0].head = 5;
    join_live(&s[0], &rooms[0]);
    rooms[0].head = 6;
    arrives(&rooms[0], 6, s, 1);

    join(&s[1], &rooms[0], 3);
    pass(100);
    answer_at(&rooms[0], 1, 4);
    assert_int_equal(s[1].told, 0);
    pass(5000);
    answer_at(&rooms[0], 1, 6);
    assert_int_equal(s[1].at, 6);
    assert_int_equal(s[1].recovered, GOIM_RECOVERED_TRUE);

    goim_follow_leave(&s[1].follow);
    join(&s[1], &rooms[0], 3);

    for (n = 0; n < GOIM_BEYOND_MAX; n++) {
        pass(1);

        if (nreads) {
            answer_at(&rooms[0], 1, 4);
            assert_true(n < GOIM_BEYOND_MAX - 3000 ? s[1].told == 0 : 1);
        }
    }

    pass(3000);

    if (nreads) {
        answer_at(&rooms[0], 1, 4);
    }

    assert_int_equal(s[1].told, 1);
    assert_int_equal(s[1].at, 4);
    assert_int_equal(s[1].follow.state, GOIM_FOLLOW_LIVE);

    goim_follow_leave(&s[0].follow);
    goim_follow_leave(&s[1].follow);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        ROOM_CASE(test_crowd),
        ROOM_CASE(test_busy),
        ROOM_CASE(test_busy_big),
        ROOM_CASE(test_pages),
        ROOM_CASE(test_slow),
        ROOM_CASE(test_newest),
        ROOM_CASE(test_in_flight),
        ROOM_CASE(test_much_missed),
        ROOM_CASE(test_later),
        ROOM_CASE(test_insane),
        ROOM_CASE(test_stale),
        ROOM_CASE(test_give),
        ROOM_CASE(test_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
