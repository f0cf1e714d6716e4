/* LINK: t/unit/test_room.c */

/*
 * The rule of timelines: suspicion, what is known of the node, clocks, words.
 */

#include "test_room.h"


static void
test_heads(void **state)
{
    session_t  s;

    (void) state;

    rooms[0].head = 5;
    join_live(&s, &rooms[0]);
    asked = 0;

    /* on its way: no alarm */

    goim_timelines_suspect(&w);
    pass(1);
    assert_int_equal(asked_heads, 1);
    answer_heads(rooms[0].epoch, 6);
    pass(GOIM_SHORT_MAX - 1);
    arrives(&rooms[0], 6, &s, 1);
    pass(GOIM_SHORT_MAX);
    assert_int_equal(asked, 0);

    /* lost; the round comes by itself */

    rooms[0].head = 7;
    pass(GOIM_HEADS_EVERY * 5 / 4);
    assert_int_equal(asked_heads, 2);
    answer_heads(rooms[0].epoch, 7);
    pass(GOIM_SHORT_MAX - 1);
    assert_int_equal(asked, 0);
    pass(1);
    assert_int_equal(asked, 1);
    answer(&rooms[0]);
    assert_int_equal(s.at, 7);
    assert_int_equal(s.told, 1);

    /* another epoch: at once; this one was asked for before 8 came */

    goim_timelines_suspect(&w);
    pass(1);
    arrives(&rooms[0], 8, &s, 1);
    answer_heads(rooms[1].epoch, 1);
    pass(100);
    assert_int_equal(asked, 1);

    pass(GOIM_HEADS_AGAIN);
    goim_timelines_suspect(&w);
    pass(1);
    answer_heads(rooms[1].epoch, 1);
    pass(100);
    assert_int_equal(asked, 2);

    goim_follow_leave(&s.follow);
}


static void
test_heads_often(void **state)
{
    uint32_t   i;
    session_t  s;

    (void) state;

    join_live(&s, &rooms[0]);

    for (i = 0; i < 5000; i++) {
        goim_timelines_suspect(&w);
        pass(1);

        if (w.heads.n) {
            answer_heads(rooms[0].epoch, 0);
        }
    }

    assert_in_range(asked_heads, 4, 6);

    refuse = 1;
    asked_heads = 0;
    goim_timelines_suspect(&w);
    pass(20000);
    assert_in_range(asked_heads, 9, 21);

    goim_follow_leave(&s.follow);
}


/* nothing is read before the node is known; then what was there is suspect */

static void
test_known(void **state)
{
    session_t  s;

    (void) state;

    goim_timeline_known(&rooms[0].timeline, 0);
    join(&s, &rooms[0], 0);
    pass(5000);
    assert_int_equal(asked, 0);

    goim_timeline_known(&rooms[0].timeline, 1);
    pass(1);
    answer(&rooms[0]);
    assert_int_equal(s.follow.state, GOIM_FOLLOW_LIVE);

    goim_timeline_known(&rooms[0].timeline, 0);
    pass(5000);
    assert_int_equal(asked_heads, 0);
    goim_timeline_known(&rooms[0].timeline, 1);
    pass(1);
    assert_int_equal(asked_heads, 1);
    answer_heads(rooms[0].epoch, 0);

    goim_follow_leave(&s.follow);
}


/* ---- times that wrap, long silence ---- */

static void
test_wrap(void **state)
{
    session_t  s[2];

    (void) state;

    rooms[0].head = 5;
    join_live(&s[0], &rooms[0]);

    w.now += INT32_MAX;
    pass(1);

    if (w.heads.n) {
        answer_heads(rooms[0].epoch, 5);
    }

    w.now += INT32_MAX;
    join(&s[1], &rooms[0], 5);
    pass(GOIM_READ_PACE + GOIM_WHEEL_STEP);
    answer(&rooms[0]);
    assert_int_equal(s[1].follow.state, GOIM_FOLLOW_LIVE);

    goim_follow_leave(&s[0].follow);
    goim_follow_leave(&s[1].follow);
}


/* ---- words ---- */

static void
test_epochs(void **state)
{
    char           word[16];
    uint32_t       i;
    goim_epoch_t  *a, *b, *many[1000];

    (void) state;

    a = goim_epoch_get(&w.epochs, "one", 3);
    b = goim_epoch_get(&w.epochs, "one", 3);
    assert_ptr_equal(a, b);
    assert_null(goim_epoch_get(&w.epochs, "", 0));
    assert_null(goim_epoch_get(&w.epochs,
                               "123456789012345678901234567890123", 33));

    for (i = 0; i < 1000; i++) {
        snprintf(word, sizeof(word), "%u", i);
        many[i] = goim_epoch_get(&w.epochs, word, strlen(word));
    }

    for (i = 0; i < 1000; i++) {
        snprintf(word, sizeof(word), "%u", i);
        assert_ptr_equal(goim_epoch_get(&w.epochs, word, strlen(word)),
                         many[i]);
        goim_epoch_unref(&w.epochs, many[i]);
        goim_epoch_unref(&w.epochs, many[i]);
    }

    assert_ptr_equal(goim_epoch_get(&w.epochs, "one", 3), a);

    no_memory = 1;
    assert_null(goim_epoch_get(&w.epochs, "two", 3));
    no_memory = 0;

    for (i = 0; i < 3; i++) {
        goim_epoch_unref(&w.epochs, a);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        ROOM_CASE(test_heads),
        ROOM_CASE(test_heads_often),
        ROOM_CASE(test_known),
        ROOM_CASE(test_wrap),
        ROOM_CASE(test_epochs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
