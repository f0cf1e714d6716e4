/* LINK: logic/query.c */

/*
 * The query: pairs, escapes, numbers at their bounds.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "logic/query.h"


static void
query_pairs(void **state)
{
    char           err[128];
    logic_query_t  q;

    (void) state;

    assert_int_equal(logic_query_parse(&q, "a=1&keys=x&keys=y%20z&b&&c=",
                                       10, err, sizeof(err)), 0);

    assert_int_equal(q.nargs, 5);
    assert_string_equal(logic_query_find(&q, "a")->value, "1");
    assert_string_equal(logic_query_find(&q, "keys")->value, "x");
    assert_int_equal(logic_query_count(&q, "keys"), 2);
    assert_string_equal(q.args[2].value, "y z");
    assert_int_equal(q.args[2].len, 3);
    assert_string_equal(logic_query_find(&q, "b")->value, "");
    assert_int_equal(logic_query_find(&q, "c")->len, 0);
    assert_null(logic_query_find(&q, "Keys"));

    logic_query_free(&q);

    assert_int_equal(logic_query_parse(&q, NULL, 10, err, sizeof(err)), 0);
    assert_int_equal(q.nargs, 0);
    logic_query_free(&q);

    assert_int_equal(logic_query_parse(&q, "", 10, err, sizeof(err)), 0);
    assert_int_equal(q.nargs, 0);
    logic_query_free(&q);
}


static void
query_escapes(void **state)
{
    char           err[128];
    size_t         i;
    logic_query_t  q;

    static const char *broken[] = {
        "a=%", "a=%1", "a=%g0", "a=%0g", "%=1", "a=x%", "a=%00",
        "a=x%00y", "%00=1", "a=1&b=%", NULL
    };

    (void) state;

    assert_int_equal(logic_query_parse(&q, "k%65y=a+b%2Bc%26%3d%ff%E4=",
                                       10, err, sizeof(err)), 0);
    assert_string_equal(q.args[0].name, "key");
    assert_string_equal(q.args[0].value, "a b+c&=\xff\xe4=");
    logic_query_free(&q);

    for (i = 0; broken[i] != NULL; i++) {
        err[0] = '\0';
        assert_int_equal(logic_query_parse(&q, broken[i], 10, err,
                                           sizeof(err)), -1);
        assert_string_not_equal(err, "");
        assert_null(q.args);
    }
}


static void
query_bounds(void **state)
{
    char           err[128];
    logic_query_t  q;

    (void) state;

    assert_int_equal(logic_query_parse(&q, "a&b&c", 3, err, sizeof(err)), 0);
    logic_query_free(&q);

    assert_int_equal(logic_query_parse(&q, "a&b&c&d", 3, err, sizeof(err)),
                     -1);
    assert_non_null(strstr(err, "4 parameters"));
}


static void
query_numbers(void **state)
{
    char         text[64];
    size_t       i;
    int64_t      n;
    logic_arg_t  arg;

    static const struct {
        const char  *text;
        int64_t      n;
    } good[] = {
        { "0", 0 }, { "", 0 }, { "7", 7 }, { "-7", -7 }, { "+7", 7 },
        { "007", 7 }, { "2147483648", 2147483648LL },
        { "9223372036854775807", INT64_MAX },
        { "-9223372036854775808", INT64_MIN }, { "-0", 0 },
        { NULL, 0 }
    };

    static const char *bad[] = {
        "x", "1x", " 1", "1 ", "-", "+", "--1", "1.0", "0x10", "1e3",
        "9223372036854775808", "-9223372036854775809",
        "99999999999999999999999", NULL
    };

    (void) state;

    arg.name = "n";
    arg.value = text;

    for (i = 0; good[i].text != NULL; i++) {
        snprintf(text, sizeof(text), "%s", good[i].text);
        assert_int_equal(logic_query_number(&arg, INT64_MIN, INT64_MAX, &n),
                         0);
        assert_true(n == good[i].n);
    }

    for (i = 0; bad[i] != NULL; i++) {
        snprintf(text, sizeof(text), "%s", bad[i]);
        assert_int_equal(logic_query_number(&arg, INT64_MIN, INT64_MAX, &n),
                         -1);
    }

    snprintf(text, sizeof(text), "2147483647");
    assert_int_equal(logic_query_number(&arg, INT32_MIN, INT32_MAX, &n), 0);

    snprintf(text, sizeof(text), "2147483648");
    assert_int_equal(logic_query_number(&arg, INT32_MIN, INT32_MAX, &n), -1);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(query_pairs),
        cmocka_unit_test(query_escapes),
        cmocka_unit_test(query_bounds),
        cmocka_unit_test(query_numbers),
    };

    return cmocka_run_group_tests_name("query", tests, NULL, NULL);
}
