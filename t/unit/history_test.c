/*
 * [history]: what a line may say, the text that stands in Redis, and what is
 * made of it.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "svc/history.h"


static int
add(history_t *h, const char *name, const char *value)
{
    char  err[128];

    err[0] = '\0';

    if (history_add(h, name, value, err, sizeof(err)) != 0) {
        assert_true(err[0] != '\0');
        return -1;
    }

    return 0;
}


static void
test_lines(void **state)
{
    char       name[80];
    int        i;
    history_t  h = { 0 };

    static const char *const  wrong[] = {
        "", "300", "300 ", " 300 10m", "0 10m", "-1 10m", "100001 10m", "x 10m",
        "300 10m x", "300 10y", "300 0", "300 999ms", "300 31d", "300x 10m",
        "99999999999999999999 10m"
    };

    (void) state;

    for (i = 0; i < (int) (sizeof(wrong) / sizeof(wrong[0])); i++) {
        assert_int_equal(add(&h, "live", wrong[i]), -1);
    }

    assert_int_equal(add(&h, "", "300 10m"), -1);
    assert_int_equal(add(&h, "a b", "300 10m"), -1);
    assert_int_equal(add(&h, "a://b", "300 10m"), -1);
    assert_int_equal(add(&h, "\xc3\xa4", "300 10m"), -1);

    memset(name, 'x', sizeof(name));
    name[HISTORY_TYPE_MAX + 1] = '\0';
    assert_int_equal(add(&h, name, "300 10m"), -1);
    name[HISTORY_TYPE_MAX] = '\0';
    assert_int_equal(add(&h, name, "1  1s"), 0);
    assert_int_equal(add(&h, "live", "100000 30d"), 0);
    assert_int_equal(h.n, 2);

    for (i = 2; i < HISTORY_TYPES; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        assert_int_equal(add(&h, name, "1 1"), 0);
    }

    assert_int_equal(add(&h, "more", "1 1"), -1);
}


static void
test_text(void **state)
{
    char                   text[HISTORY_TEXT], again[HISTORY_TEXT];
    history_t              one = { 0 }, two = { 0 };
    const history_type_t  *type;

    (void) state;

    one.dedup = 300000;
    two.dedup = 300000;

    history_text(&one, text);
    assert_string_equal(text, "");

    assert_int_equal(add(&one, "live", "300 10m"), 0);
    assert_int_equal(add(&one, "chat", "20 1h"), 0);
    assert_int_equal(add(&two, "chat", "20 60m"), 0);
    assert_int_equal(add(&two, "live", "300 600"), 0);

    history_text(&one, text);
    history_text(&two, again);
    assert_string_equal(text, "dedup 300000\nchat 20 3600000\n"
                        "live 300 600000\n");
    assert_string_equal(text, again);

    memset(&two, 0, sizeof(two));
    assert_int_equal(history_parse(&two, text), 0);
    assert_int_equal(two.dedup, 300000);

    type = history_find(&two, "live://1");
    assert_non_null(type);
    assert_int_equal(type->keep, 300);
    assert_int_equal(type->ttl, 600000);
    assert_non_null(history_find(&two, "chat://"));
    assert_null(history_find(&two, "live"));
    assert_null(history_find(&two, "liv://1"));
    assert_null(history_find(&two, "live2://1"));
    assert_null(history_find(&two, "://1"));
    assert_null(history_find(&two, ""));
}


static void
test_wrong_text(void **state)
{
    size_t     i;
    history_t  h;

    static const char *const  wrong[] = {
        "x", "dedup", "dedup 0\n", "dedup 300000\nlive\n",
        "dedup 300000\nlive 0 600000\n", "dedup 300000\nlive 300 0\n",
        "dedup 300000\nlive 300 600000\nlive 300 600000\n",
        "dedup 300000\nlive 4294967596 600000\n"
    };

    (void) state;

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(history_parse(&h, wrong[i]), -1);
        assert_int_equal(h.n, 0);
    }

    assert_int_equal(history_parse(&h, ""), 0);
    assert_int_equal(h.n, 0);
}


static void
test_id(void **state)
{
    char  id[HISTORY_ID_MAX + 2];

    (void) state;

    memset(id, '~', sizeof(id));
    id[HISTORY_ID_MAX + 1] = '\0';
    assert_false(history_id(id));
    id[HISTORY_ID_MAX] = '\0';
    assert_true(history_id(id));

    assert_true(history_id("!"));
    assert_false(history_id(""));
    assert_false(history_id("a b"));
    assert_false(history_id("a\x7f"));
    assert_false(history_id("\xc3\xa4"));
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_wrong_text),
        cmocka_unit_test(test_id)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
