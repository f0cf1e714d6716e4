/* LINK: logic/query.c */

/*
 * Parameters: pairs, escapes, numbers at their bounds.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "logic/query.h"


static char         query_text[256];
static logic_arg_t  query_args[16];


static int
query_parse(logic_query_t *q, const char *text, size_t len, char *err)
{
    assert_true(len < sizeof(query_text));

    memcpy(query_text, text, len);
    query_text[len] = '\0';

    assert_true(logic_query_pairs(query_text, len) <= 16);

    return logic_query_parse(q, query_text, len, query_args, err, 128);
}


static void
query_pairs(void **state)
{
    char           err[128];
    logic_query_t  q;

    static const char  text[] = "a=1&keys=x&keys=y%20z&b&&c=";

    (void) state;

    assert_int_equal(logic_query_pairs(text, strlen(text)), 6);
    assert_int_equal(logic_query_pairs("", 0), 1);

    assert_int_equal(query_parse(&q, text, strlen(text), err), 0);

    assert_int_equal(q.nargs, 5);
    assert_string_equal(logic_query_find(&q, "a")->value, "1");
    assert_string_equal(logic_query_find(&q, "keys")->value, "x");
    assert_int_equal(logic_query_count(&q, "keys"), 2);
    assert_string_equal(q.args[2].value, "y z");
    assert_int_equal(q.args[2].len, 3);
    assert_string_equal(logic_query_find(&q, "b")->value, "");
    assert_int_equal(logic_query_find(&q, "c")->len, 0);
    assert_null(logic_query_find(&q, "Keys"));

    assert_int_equal(query_parse(&q, "", 0, err), 0);
    assert_int_equal(q.nargs, 0);

    assert_int_equal(query_parse(&q, "&", 1, err), 0);
    assert_int_equal(q.nargs, 0);
}


static void
query_escapes(void **state)
{
    char           err[128];
    size_t         i;
    const char    *text;
    logic_query_t  q;

    static const char *broken[] = {
        "a=%", "a=%1", "a=%g0", "a=%0g", "%=1", "a=x%", "a=%00",
        "a=x%00y", "%00=1", "a=1&b=%", "msg%00=1", NULL
    };

    (void) state;

    text = "k%65y=a+b%2Bc%26%3d%ff%E4=";

    assert_int_equal(query_parse(&q, text, strlen(text), err), 0);
    assert_string_equal(q.args[0].name, "key");
    assert_string_equal(q.args[0].value, "a b+c&=\xff\xe4=");

    for (i = 0; broken[i] != NULL; i++) {
        err[0] = '\0';
        assert_int_equal(query_parse(&q, broken[i], strlen(broken[i]), err),
                         -1);
        assert_string_not_equal(err, "");
    }

    assert_int_equal(query_parse(&q, "a=x\0y", 5, err), -1);
    assert_int_equal(query_parse(&q, "a\0=x", 4, err), -1);

    /* but for the message of a form, which is bytes */

    assert_int_equal(query_parse(&q, "msg=x%00y\0z&a=1", 15, err), 0);
    assert_int_equal(q.args[0].len, 5);
    assert_memory_equal(q.args[0].value, "x\0y\0z", 6);
    assert_string_equal(q.args[1].value, "1");
}


static void
query_brackets(void **state)
{
    char           err[128];
    size_t         i;
    logic_query_t  q;

    static const char *wrong[] = {
        "mids[]=1", "keys[]=a", "rooms%5B%5D=1", "mids[0]=1", NULL
    };

    (void) state;

    for (i = 0; wrong[i] != NULL; i++) {
        assert_int_equal(query_parse(&q, wrong[i], strlen(wrong[i]), err),
                         -1);
        assert_memory_equal(err, wrong[i], 4);
        assert_non_null(strstr(err, "["));
    }

    assert_int_equal(query_parse(&q, "other[]=1&mids]=2&]=3", 21, err), 0);
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
        cmocka_unit_test(query_brackets),
        cmocka_unit_test(query_numbers),
    };

    return cmocka_run_group_tests_name("query", tests, NULL, NULL);
}
