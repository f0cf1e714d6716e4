/*
 * What a node says by operation 6, and the members of JSON by which clients ask
 * for it.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/goim_answer.h"
#include "common/goim_json.h"


static void
test_bye(void **state)
{
    char  buf[GOIM_ANSWER_MAX + 1];

    (void) state;

    buf[goim_answer_bye(buf, 1012, "leaving", 1)] = '\0';
    assert_string_equal(buf, "{\"code\":1012,\"reason\":\"leaving\","
                        "\"again\":true}");

    buf[goim_answer_bye(buf, 1008, "a \"b\"", 0)] = '\0';
    assert_string_equal(buf, "{\"code\":1008,\"reason\":\"a \\\"b\\\"\","
                        "\"again\":false}");
}


static void
test_refused(void **state)
{
    char  buf[GOIM_ANSWER_MAX + 1];

    (void) state;

    buf[goim_answer_refused(buf, GOIM_FORBIDDEN, "no", 12, -3)] = '\0';
    assert_string_equal(buf, "{\"code\":-403,\"reason\":\"no\","
                        "\"operation\":12,\"seq\":-3}");
}


static void
test_token(void **state)
{
    size_t   i;
    char     buf[GOIM_ANSWER_OPS + 1], reason[300];
    int32_t  ops[GOIM_ACCEPTS_MAX] = { 1000, -1 };

    (void) state;

    buf[goim_answer_expires(buf, 60)] = '\0';
    assert_string_equal(buf, "{\"code\":-4003,\"in\":60}");

    buf[goim_answer_lost(buf, "no", ops, 2)] = '\0';
    assert_string_equal(buf, "{\"code\":-403,\"reason\":\"no\","
                        "\"operation\":14,\"seq\":0,"
                        "\"operations\":[1000,-1]}");

    memset(reason, 1, sizeof(reason));
    reason[299] = '\0';

    for (i = 0; i < GOIM_ACCEPTS_MAX; i++) {
        ops[i] = INT32_MIN;
    }

    assert_in_range(goim_answer_lost(buf, reason, ops, GOIM_ACCEPTS_MAX),
                    6 * GOIM_ANSWER_REASON + 12 * GOIM_ACCEPTS_MAX,
                    GOIM_ANSWER_OPS);
}


static void
test_longest(void **state)
{
    char    buf[GOIM_ANSWER_MAX + 1], reason[300];
    size_t  i, len;

    (void) state;

    memset(reason, 1, sizeof(reason));
    reason[299] = '\0';

    assert_in_range(goim_answer_bye(buf, UINT32_MAX, reason, 0),
                    6 * GOIM_ANSWER_REASON, GOIM_ANSWER_MAX);
    assert_in_range(goim_answer_refused(buf, INT32_MIN, reason, INT32_MIN,
                                        INT32_MIN),
                    6 * GOIM_ANSWER_REASON, GOIM_ANSWER_MAX);

    /* whole characters, wherever the end falls */

    for (i = 0; i < 4; i++) {
        memset(reason, 'x', i);
        reason[i] = '\0';

        while (strlen(reason) < 200) {
            strcat(reason, "\xf0\x9f\x98\x80");
        }

        len = goim_answer_bye(buf, 1, reason, 0);
        buf[len] = '\0';

        assert_memory_equal(strstr(buf, "\",\"again\"") - 4,
                            "\xf0\x9f\x98\x80", 4);
    }
}


static void
test_member(void **state)
{
    size_t       i, n;
    const char  *value;

    static const struct {
        const char  *text;
        const char  *value;         /* NULL: none */
    } t[] = {
        { "{\"errors\":1}", "1" },
        { " {\"mid\":7, \"errors\" : 1 }", "1" },
        { "{\"errors\":1,\"errors\":2}", "2" },
        { "{\"errors\":{\"errors\":3}}", "{\"errors\":3}" },
        { "{\"x\":{\"errors\":1}}", NULL },
        { "{\"x\":\"errors\"}", NULL },
        { "{\"Errors\":1}", "1" },
        { "{\"\\u0065rror\\u0053\":1}", "1" },
        { "{\"errors\":1,\"ERRORS\":2}", "2" },
        { "{\"errors\":1,\"errors\":null}", "1" },
        { "{\"\\ud800errors\":1}", NULL },
        { "{\"errors\":null}", NULL },
        { "{\"errors\":1", NULL },
        { "[\"errors\",1]", NULL },
        { "{\"errors2\":1}", NULL },
        { "{}", NULL },
        { "", NULL },
        { "errors", NULL },
    };

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        n = goim_json_member(t[i].text, strlen(t[i].text), "errors", &value);

        if (t[i].value == NULL) {
            assert_int_equal(n, 0);
            continue;
        }

        assert_int_equal(n, strlen(t[i].value));
        assert_memory_equal(value, t[i].value, n);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_bye),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_member),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
