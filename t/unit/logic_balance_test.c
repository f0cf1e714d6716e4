/* LINK: logic/balance.c */

/*
 * The balancer: goim's formula, and who comes first.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "logic/balance.h"


static logic_place_t *
places(size_t n, const char *const *server, const char *const *region,
    const int64_t *weight, const int64_t *conns)
{
    size_t          i;
    logic_place_t  *p;

    p = calloc(n + 1, sizeof(logic_place_t));
    assert_non_null(p);

    for (i = 0; i < n; i++) {
        p[i].server = strdup(server[i]);
        p[i].region = strdup(region[i]);
        p[i].hostname = strdup(server[i]);
        p[i].addrs = strdup("");
        p[i].weight = weight[i];
        p[i].conns = conns[i];
        p[i].seen = 1;
    }

    return p;
}


static void
done(logic_balance_t *b)
{
    logic_places_free(b->places, b->nplaces);
    free(b->order);
}


/* Worked out by hand from the formula. */

static void
score(void **state)
{
    (void) state;

    /* no connections at all */
    assert_int_equal(logic_balance_score(10, 0, 30, 0, 1), 0);

    /* alone: r = 1, d = 0.5, m = 50 */
    assert_int_equal(logic_balance_score(10, 100, 10, 100, 1), 60);

    /* r = 1/3, d = 1/3 - 0.25, m = 8.33: floor */
    assert_int_equal(logic_balance_score(10, 50, 30, 100, 1), 18);

    /* r = 1/3, d = 1/3, m = 2.67: its floor is more than 0.5 away */
    assert_int_equal(logic_balance_score(10, 0, 30, 8, 1), 13);

    /* in the own region: f = 16, r = 16 / 36, d = 0.194, m = 19.4 */
    assert_int_equal(logic_balance_score(10, 50, 30, 100, 1.6), 35);

    /* overloaded: d = 0.1 - 0.5, m = -400, at least 1 */
    assert_int_equal(logic_balance_score(1, 1000, 10, 1000, 1), 1);

    /* at most 2^20 */
    assert_int_equal(logic_balance_score(10, 0, 10, 100000000, 1), 1 << 20);

    /* weight 0 divides by nothing */
    assert_int_equal(logic_balance_score(0, 0, 0, 10, 1), 0);
}


static void
pick(void **state)
{
    size_t                n;
    logic_balance_t       b;
    const logic_place_t  *best[LOGIC_BALANCE_BEST];

    static const char *const  server[] = { "a", "b", "c", "d", "e", "f",
                                           "g" };
    static const char *const  region[] = { "sh", "sh", "bj", "bj", "gz",
                                           "gz", "" };
    static const int64_t      weight[] = { 10, 10, 10, 10, 10, 10, 10 };
    static const int64_t      conns[] = { 100, 90, 80, 70, 60, 50, 40 };

    (void) state;

    memset(&b, 0, sizeof(b));

    assert_int_equal(logic_balance_pick(&b, "", 1.6, best), 0);

    assert_int_equal(logic_balance_set(&b, places(7, server, region, weight,
                                                  conns), 7), 0);

    /* the least used first, five at most */

    n = logic_balance_pick(&b, "", 1, best);
    assert_int_equal(n, 5);
    assert_string_equal(best[0]->server, "g");
    assert_string_equal(best[1]->server, "f");
    assert_string_equal(best[4]->server, "c");
    assert_int_equal(best[0]->conns, 41);

    /* the own region first */

    n = logic_balance_pick(&b, "bj", 5, best);
    assert_string_equal(best[0]->server, "d");
    assert_string_equal(best[1]->server, "c");

    /* offline ones are not there */

    b.places[6].offline = 1;
    n = logic_balance_pick(&b, "", 1, best);
    assert_int_equal(n, 5);
    assert_string_equal(best[0]->server, "f");

    for (n = 0; n < 7; n++) {
        b.places[n].offline = 1;
    }

    assert_int_equal(logic_balance_pick(&b, "", 1, best), 0);

    done(&b);
}


/* Each answer counts for the next, so clients spread between two renewals. */

static void
spread(void **state)
{
    size_t                i;
    int64_t               total;
    logic_balance_t       b;
    const logic_place_t  *best[LOGIC_BALANCE_BEST];

    static const char *const  server[] = { "a", "b", "c" };
    static const char *const  region[] = { "", "", "" };
    static const int64_t      weight[] = { 10, 10, 20 };
    static const int64_t      conns[] = { 0, 0, 0 };

    (void) state;

    memset(&b, 0, sizeof(b));
    assert_int_equal(logic_balance_set(&b, places(3, server, region, weight,
                                                  conns), 3), 0);

    for (i = 0; i < 4000; i++) {
        assert_int_equal(logic_balance_pick(&b, "", 1, best), 3);
    }

    total = b.places[0].conns + b.places[1].conns + b.places[2].conns;
    assert_int_equal(total, 4000);
    assert_true(b.places[0].conns > 500 && b.places[1].conns > 500);
    assert_true(b.places[2].conns > b.places[0].conns);

    /* the same report again: what was given away stays counted */

    assert_int_equal(logic_balance_set(&b, places(3, server, region, weight,
                                                  conns), 3), 0);
    assert_int_equal(b.places[0].conns + b.places[1].conns
                     + b.places[2].conns, 4000);

    /* a newer report is the truth; the others of the set keep theirs */

    {
        logic_place_t  *p;

        p = places(3, server, region, weight, conns);
        p[1].seen = 2;
        assert_int_equal(logic_balance_set(&b, p, 3), 0);
        assert_int_equal(b.places[1].conns, 0);
        assert_true(b.places[0].conns > 0);
    }

    done(&b);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(score),
        cmocka_unit_test(pick),
        cmocka_unit_test(spread),
    };

    return cmocka_run_group_tests_name("balance", tests, NULL, NULL);
}
