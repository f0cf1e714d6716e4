/* LINK: logic/rooms.c */

/*
 * Sums of rooms, and the largest of them.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "logic/rooms.h"


static void
add(logic_rooms_t *r, const char *room, uint32_t zone, int64_t count)
{
    assert_int_equal(logic_rooms_add(r, room, strlen(room), zone, count), 0);
}


static void
rooms_sum(void **state)
{
    size_t          n;
    logic_room_t   *top;
    logic_rooms_t  *r;

    (void) state;

    r = logic_rooms_new(100);

    add(r, "live://1", 1, 5);
    add(r, "live://2", 1, 7);
    add(r, "chat://1", 1, 100);
    add(r, "live://1", 2, 3);
    add(r, "live://3", 2, 8);

    /* told twice by one zone: the last count holds */

    add(r, "live://3", 2, 6);
    add(r, "live://3", 3, 1);

    top = logic_rooms_top(r, "live", 10, &n);
    assert_int_equal(n, 3);
    assert_memory_equal(top[0].room, "live://1", 8);
    assert_int_equal(top[0].count, 8);
    assert_memory_equal(top[1].room, "live://2", 8);
    assert_int_equal(top[1].count, 7);
    assert_memory_equal(top[2].room, "live://3", 8);
    assert_int_equal(top[2].count, 7);
    free(top);

    top = logic_rooms_top(r, "", 1, &n);
    assert_int_equal(n, 1);
    assert_memory_equal(top[0].room, "chat://1", 8);
    free(top);

    top = logic_rooms_top(r, "none", 1, &n);
    assert_int_equal(n, 0);
    free(top);

    logic_rooms_free(r);
}


static void
rooms_many(void **state)
{
    int             i;
    char            room[32];
    size_t          n;
    logic_room_t   *top;
    logic_rooms_t  *r;

    (void) state;

    r = logic_rooms_new(10000);

    for (i = 0; i < 10000; i++) {
        sprintf(room, "live://%d", i);
        add(r, room, 1, i);
    }

    assert_int_equal(logic_rooms_add(r, "x", 1, 1, 1), -1);
    add(r, "live://5", 2, 20000);

    top = logic_rooms_top(r, "live://", 3, &n);
    assert_int_equal(n, 3);
    assert_int_equal(top[0].count, 20005);
    assert_int_equal(top[1].count, 9999);
    assert_int_equal(top[2].count, 9998);
    free(top);

    /* empty rooms are not listed */

    top = logic_rooms_top(r, "live://", 100000, &n);
    assert_int_equal(n, 9999);
    free(top);

    logic_rooms_free(r);
    logic_rooms_free(NULL);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rooms_sum),
        cmocka_unit_test(rooms_many),
    };

    return cmocka_run_group_tests_name("rooms", tests, NULL, NULL);
}
