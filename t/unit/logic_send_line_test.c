/* LINK: logic/send_line.c logic/token.c logic/grants.c */

/*
 * The first line of what a client sends, and the grant to send.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "logic/grants.h"
#include "logic/send_line.h"


static logic_send_line_t  line;


static int
parse(const char *text, size_t len)
{
    int          rc;
    const char  *reason;

    reason = NULL;
    rc = logic_send_line(text, len, &line, &reason);

    assert_int_equal(rc == 0, reason == NULL);

    return rc;
}


#define good(text)   assert_int_equal(parse(text, sizeof(text) - 1), 0)
#define wrong(text)  assert_int_equal(parse(text, sizeof(text) - 1), -1)


static void
line_good(void **state)
{
    (void) state;

    good("{\"to\":\"live://1\",\"operation\":1000,\"id\":\"a1\"}\na\0b\n");
    assert_string_equal(line.room, "live://1");
    assert_int_equal(line.room_len, 8);
    assert_int_equal(line.operation, 1000);
    assert_string_equal(line.id, "a1");
    assert_int_equal(line.nmids, 0);
    assert_int_equal(line.len, 4);
    assert_memory_equal(line.payload, "a\0b\n", 4);

    good(" { \"more\" : [1] , \"mids\" : [7,9007199254740993] , "
         "\"operation\" : -5 }\r\n");
    assert_int_equal(line.room_len, 0);
    assert_int_equal(line.nmids, 2);
    assert_true(line.mids[1] == 9007199254740993);
    assert_int_equal(line.operation, -5);
    assert_string_equal(line.id, "");
    assert_int_equal(line.len, 0);

    good("{\"to\":\"a://b\",\"operation\":24}\n");
    good("{\"to\":\"a://b\",\"operation\":2147483647}\n");
}


static void
line_wrong(void **state)
{
    (void) state;

    /* no line */
    wrong("");
    wrong("{\"to\":\"a://b\",\"operation\":1000}");
    wrong("\n");
    wrong("[]\n");
    wrong("{}\n");
    wrong("{\"to\":\"a://b\",\"operation\":1000} x\n");
    wrong("{\"to\":\"a://b\",\n\"operation\":1000}\n");
    wrong("{\"to\":\"a://b\",\"operation\":1000,\"to\":\"a://c\"}\n");

    /* whom */
    wrong("{\"operation\":1000}\n");
    wrong("{\"to\":\"a://b\",\"mids\":[1],\"operation\":1000}\n");
    wrong("{\"to\":null,\"operation\":1000}\n");
    wrong("{\"to\":\"\",\"operation\":1000}\n");
    wrong("{\"to\":\"a\",\"operation\":1000}\n");
    wrong("{\"to\":\"a://\",\"operation\":1000}\n");
    wrong("{\"to\":\"a://b\\u0000\",\"operation\":1000}\n");
    wrong("{\"to\":\"im://b\",\"operation\":1000}\n");
    wrong("{\"mids\":[],\"operation\":1000}\n");
    wrong("{\"mids\":7,\"operation\":1000}\n");
    wrong("{\"mids\":[0],\"operation\":1000}\n");
    wrong("{\"mids\":[-1],\"operation\":1000}\n");
    wrong("{\"mids\":[1.5],\"operation\":1000}\n");
    wrong("{\"mids\":[\"1\"],\"operation\":1000}\n");
    wrong("{\"mids\":[9223372036854775808],\"operation\":1000}\n");

    /* what */
    wrong("{\"to\":\"a://b\"}\n");
    wrong("{\"to\":\"a://b\",\"operation\":\"1000\"}\n");
    wrong("{\"to\":\"a://b\",\"operation\":2147483648}\n");
    wrong("{\"to\":\"a://b\",\"operation\":0}\n");
    wrong("{\"to\":\"a://b\",\"operation\":6}\n");
    wrong("{\"to\":\"a://b\",\"operation\":9}\n");
    wrong("{\"to\":\"a://b\",\"operation\":23}\n");
    wrong("{\"to\":\"a://b\",\"operation\":1000,\"id\":\"\"}\n");
    wrong("{\"to\":\"a://b\",\"operation\":1000,\"id\":\"a b\"}\n");
    wrong("{\"to\":\"a://b\",\"operation\":1000,\"id\":1}\n");
    wrong("{\"mids\":[1],\"operation\":1000,\"id\":\"a\"}\n");
}


/* Each at its bound, and one beyond. */

static void
line_bounds(void **state)
{
    int     i, n;
    size_t  len;
    char    text[8192], word[512];

    (void) state;

    for (n = 0; n < 2; n++) {
        memset(word, 'r', sizeof(word));
        memcpy(word, "a://", 4);
        word[GOIM_ROOM_MAX + n] = '\0';
        len = (size_t) sprintf(text, "{\"to\":\"%s\",\"operation\":1000}\n",
                               word);
        assert_int_equal(parse(text, len), -n);

        word[HISTORY_ID_MAX + n] = '\0';
        len = (size_t) sprintf(text, "{\"to\":\"a://b\",\"operation\":1000,"
                               "\"id\":\"%s\"}\n", word);
        assert_int_equal(parse(text, len), -n);

        len = (size_t) sprintf(text, "{\"operation\":1000,\"mids\":[1");

        for (i = 1; i < LOGIC_SEND_MIDS + n; i++) {
            len += (size_t) sprintf(text + len, ",1");
        }

        len += (size_t) sprintf(text + len, "]}\n");
        assert_int_equal(parse(text, len), -n);

        len = (size_t) sprintf(text, "{\"to\":\"a://b\",\"operation\":1000}");
        memset(text + len, ' ', sizeof(text) - len);
        text[LOGIC_SEND_LINE + n] = '\n';
        assert_int_equal(parse(text, sizeof(text)), -n);
    }
}


static int
grant(logic_sends_t *sends, const char *text)
{
    int      rc;
    json_t  *json;

    json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    rc = logic_grants_send(sends, json);
    json_decref(json);

    return rc;
}


static void
grants(void **state)
{
    logic_sends_t  s;

    (void) state;

    assert_int_equal(grant(&s, "{\"rooms\":[\"a://1\",\"b://*\"]}"), 0);
    assert_true(s.any && !s.mids);
    assert_true(logic_grants_has_room(&s.to, "a://1", 5));
    assert_true(logic_grants_has_room(&s.to, "b://77", 6));
    assert_false(logic_grants_has_room(&s.to, "a://11", 6));
    assert_true(logic_grants_has_op(&s.to, 1000));
    assert_true(logic_grants_has_op(&s.to, INT32_MAX));
    assert_false(logic_grants_has_op(&s.to, 999));
    assert_false(logic_grants_has_op(&s.to, -1));

    assert_int_equal(grant(&s, "{\"mids\":true,\"ops\":[5,\"7-8\"]}"), 0);
    assert_true(s.any && s.mids);
    assert_false(logic_grants_has_room(&s.to, "a://1", 5));
    assert_true(logic_grants_has_op(&s.to, 5));
    assert_true(logic_grants_has_op(&s.to, 8));
    assert_false(logic_grants_has_op(&s.to, 6));
    assert_false(logic_grants_has_op(&s.to, 1000));

    assert_int_equal(grant(&s, "{}"), 0);
    assert_false(s.any);
    assert_int_equal(grant(&s, "{\"rooms\":[],\"mids\":false}"), 0);
    assert_false(s.any);
    assert_int_equal(grant(&s, "{\"rooms\":[\"a://1\"],\"ops\":[]}"), 0);
    assert_false(logic_grants_has_op(&s.to, 1000));

    assert_int_equal(grant(&s, "true"), -1);
    assert_int_equal(grant(&s, "[\"a://1\"]"), -1);
    assert_int_equal(grant(&s, "{\"rooms\":\"a://1\"}"), -1);
    assert_int_equal(grant(&s, "{\"rooms\":[1]}"), -1);
    assert_int_equal(grant(&s, "{\"ops\":[\"x\"]}"), -1);
    assert_int_equal(grant(&s, "{\"mids\":1}"), -1);
}


static int
limit(logic_limits_t *limits, const char *text)
{
    int      rc;
    json_t  *json;

    json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    rc = logic_grants_limits(limits, json);
    json_decref(json);

    return rc;
}


static void
limits(void **state)
{
    logic_limits_t  l;

    (void) state;

    assert_int_equal(limit(&l, "{\"rate\":0.5,\"burst\":1,\"mid_rate\":0,"
                           "\"mid_burst\":100000}"), 0);
    assert_true(l.has_rate && l.rate == 0.5 && l.burst == 1);
    assert_true(l.has_mid_rate && l.mid_rate == 0 && l.mid_burst == 100000);

    assert_int_equal(limit(&l, "{}"), 0);
    assert_false(l.has_rate || l.has_mid_rate);
    assert_true(l.burst == 0 && l.mid_burst == 0);

    assert_int_equal(limit(&l, "7"), -1);
    assert_int_equal(limit(&l, "{\"rate\":\"1\"}"), -1);
    assert_int_equal(limit(&l, "{\"mid_rate\":null}"), -1);
    assert_int_equal(limit(&l, "{\"rate\":-1}"), -1);
    assert_int_equal(limit(&l, "{\"rate\":0.0001}"), -1);
    assert_int_equal(limit(&l, "{\"mid_rate\":100001}"), -1);
    assert_int_equal(limit(&l, "{\"burst\":0}"), -1);
    assert_int_equal(limit(&l, "{\"burst\":1.5}"), -1);
    assert_int_equal(limit(&l, "{\"mid_burst\":100001}"), -1);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(line_good),
        cmocka_unit_test(line_wrong),
        cmocka_unit_test(line_bounds),
        cmocka_unit_test(grants),
        cmocka_unit_test(limits)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
