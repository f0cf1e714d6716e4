/* LINK: logic/group.c */

/*
 * Grouping: one node and one partition a record, keys in their order.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/goim_position.h"
#include "logic/group.h"


static void
group_each_key_once(void **state)
{
    char            keys[1000][8];
    char            seen[1000];
    size_t          i, k, end, n, records;
    unsigned        id, last;
    logic_target_t  targets[1000];

    static const char *servers[] = { "comet-1", "comet-2", "comet-3" };

    (void) state;

    n = 1000;

    for (i = 0; i < n; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
        targets[i].key = keys[i];
        targets[i].len = strlen(keys[i]);
        targets[i].server = servers[i % 3];
    }

    logic_group(targets, n, 8);
    memset(seen, 0, sizeof(seen));
    records = 0;

    for (i = 0; i < n; i = end) {
        end = logic_group_end(targets, n, i, 100000);
        assert_true(end > i);
        records++;
        last = 0;

        for (k = i; k < end; k++) {
            assert_string_equal(targets[k].server, targets[i].server);
            assert_int_equal(goim_partition(targets[k].key, targets[k].len,
                                            8),
                             goim_partition(targets[i].key, targets[i].len,
                                            8));

            id = (unsigned) atoi(targets[k].key + 1);
            assert_int_equal(seen[id], 0);
            seen[id] = 1;

            assert_true(k == i || id > last);
            last = id;
        }
    }

    assert_int_equal(records, 24);
    assert_null(memchr(seen, 0, sizeof(seen)));
}


static void
group_bounds(void **state)
{
    size_t          i, end, n, records;
    char            key[300];
    logic_target_t  targets[100];

    (void) state;

    memset(key, 'x', sizeof(key));

    for (i = 0; i < 100; i++) {
        targets[i].key = key;
        targets[i].len = 250;
        targets[i].server = "s";
    }

    logic_group(targets, 100, 4);

    /* the same key may be there more than once; 4 fit into 1,024 bytes */

    records = 0;

    for (i = 0; i < 100; i = end) {
        end = logic_group_end(targets, 100, i, 1024);
        n = end - i;
        assert_int_equal(n, 4);
        assert_int_equal(targets[i].seq, i);
        records++;
    }

    assert_int_equal(records, 25);

    /* a key that is too long for itself goes alone */

    assert_int_equal(logic_group_end(targets, 100, 0, 10), 1);

    logic_group(targets, 1, 1);
    assert_int_equal(targets[0].partition, 0);
    assert_int_equal(logic_group_end(targets, 1, 0, 10), 1);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_each_key_once),
        cmocka_unit_test(group_bounds),
    };

    return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}
