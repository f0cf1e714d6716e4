/* LINK: logic/token.c logic/grants.c */

/*
 * Auth tokens: what Go's decoder takes, and what it refuses.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "logic/token.h"


static logic_who_t  who;
static int          limited;        /* as the application's answer */


static int
parse(const char *text)
{
    int          rc;
    const char  *reason;

    reason = NULL;
    rc = limited ? logic_token_answer(text, strlen(text), &who, &reason)
                 : logic_token_parse(text, strlen(text), &who, &reason);

    if (rc != 0) {
        assert_non_null(reason);
    }

    return rc;
}


static void
token_good(void **state)
{
    (void) state;

    assert_int_equal(parse("{\"mid\":123,\"key\":\"k\",\"room_id\":"
                           "\"live://1000\",\"platform\":\"web\","
                           "\"accepts\":[1000,-1,2147483647]}"), 0);
    assert_int_equal(who.mid, 123);
    assert_string_equal(who.key, "k");
    assert_int_equal(who.key_len, 1);
    assert_string_equal(who.room, "live://1000");
    assert_int_equal(who.room_len, 11);
    assert_int_equal(who.naccepts, 3);
    assert_int_equal(who.accepts[1], -1);
    assert_int_equal(who.accepts[2], 2147483647);

    assert_int_equal(parse("{}"), 0);
    assert_int_equal(who.mid, 0);
    assert_int_equal(who.key_len, 0);
    assert_int_equal(who.room_len, 0);
    assert_int_equal(who.naccepts, 0);

    assert_int_equal(parse("null"), 0);
    assert_int_equal(parse(" { \"MID\" : 5 , \"Key\":\"K\",\"rOOM_Id\":"
                           "\"a://b\",\"ACCEPTS\":[] } "), 0);
    assert_int_equal(who.mid, 5);
    assert_string_equal(who.key, "K");
    assert_string_equal(who.room, "a://b");

    assert_int_equal(parse("{\"mid\":null,\"key\":null,\"room_id\":null,"
                           "\"accepts\":null,\"platform\":null}"), 0);
    assert_int_equal(parse("{\"x\":[{\"mid\":\"no\"}],\"y\":1e9,"
                           "\"u\":\"\\u0000\"}"), 0);
    assert_int_equal(parse("{\"mid\":9223372036854775807}"), 0);
    assert_true(who.mid == INT64_MAX);
    assert_int_equal(parse("{\"mid\":-9223372036854775808}"), 0);
    assert_true(who.mid == INT64_MIN);
    assert_int_equal(parse("{\"accepts\":[null,1]}"), 0);
    assert_int_equal(who.naccepts, 2);
    assert_int_equal(who.accepts[0], 0);
    assert_int_equal(parse("{\"room_id\":\"a://b://c\"}"), 0);
}


static void
token_bad(void **state)
{
    size_t  i;

    static const char *bad[] = {
        "", " ", "x", "{", "{\"mid\":1", "{\"mid\":1}x", "[]", "1", "\"a\"",
        "true", "{\"mid\":\"1\"}", "{\"mid\":1.0}", "{\"mid\":1e3}",
        "{\"mid\":9223372036854775808}", "{\"mid\":true}", "{\"key\":1}",
        "{\"key\":[]}", "{\"key\":\"a\\u0000b\"}", "{\"room_id\":1}",
        "{\"room_id\":\"live\"}", "{\"room_id\":\"://1\"}",
        "{\"room_id\":\"live://\"}", "{\"room_id\":\"live:/1\"}",
        "{\"accepts\":1}", "{\"accepts\":\"1\"}", "{\"accepts\":[\"1\"]}",
        "{\"accepts\":[1.5]}", "{\"accepts\":[2147483648]}",
        "{\"accepts\":[-2147483649]}", "{\"accepts\":{}}",
        "{\"platform\":1}", "{'mid':1}", "{\"key\":\"\xff\"}", NULL
    };

    (void) state;

    for (i = 0; bad[i] != NULL; i++) {
        if (parse(bad[i]) != -1) {
            fail_msg("taken: %s", bad[i]);
        }
    }
}


static void
token_rooms(void **state)
{
    size_t  i;

    static const char *bad[] = {
        "{\"rooms\":1}", "{\"rooms\":\"a\"}", "{\"rooms\":[1]}",
        "{\"rooms\":[\"\"]}", "{\"rooms\":[null]}", "{\"rooms\":{}}", NULL
    };

    (void) state;

    /* a client's own word does not count */

    for (i = 0; bad[i] != NULL; i++) {
        assert_int_equal(parse(bad[i]), 0);
    }

    assert_int_equal(parse("{\"rooms\":[\"a\"]}"), 0);
    assert_int_equal(who.may.rooms_limited, 0);
    assert_int_equal(who.may.nrooms, 0);

    limited = 1;

    for (i = 0; bad[i] != NULL; i++) {
        assert_int_equal(parse(bad[i]), -1);
    }

    assert_int_equal(parse("{\"mid\":1}"), 0);
    assert_int_equal(who.may.rooms_limited, 1);
    assert_int_equal(who.may.nrooms, 0);

    assert_int_equal(parse("{\"Rooms\":[\"a://b\",\"*\"],\"key\":\"k\"}"), 0);
    assert_int_equal(who.may.nrooms, 2);
    assert_int_equal(who.may.rooms_len[0], 5);
    assert_int_equal(who.may.rooms_len[1], 1);
    assert_memory_equal(who.may.rooms, "a://b*", 6);
    assert_int_equal(parse("{\"rooms\":null,\"mid\":1}"), 0);

    limited = 0;
}


/* n rooms of len bytes */

static int
rooms_of(int n, int len)
{
    char  text[32768], *p;

    p = text + sprintf(text, "{\"mid\":1,\"rooms\":[\"%0*d\"", len, 1);

    while (--n > 0) {
        p += sprintf(p, ",\"%0*d\"", len, 1);
    }

    strcpy(p, "]}");

    return parse(text);
}


static void
token_bounds(void **state)
{
    char  text[4096], *p;
    int   i;

    (void) state;

    sprintf(text, "{\"key\":\"%0256d\"}", 1);
    assert_int_equal(parse(text), 0);
    assert_int_equal(who.key_len, 256);

    sprintf(text, "{\"key\":\"%0257d\"}", 1);
    assert_int_equal(parse(text), -1);

    sprintf(text, "{\"room_id\":\"a://%0252d\"}", 1);
    assert_int_equal(parse(text), 0);
    assert_int_equal(who.room_len, 256);

    sprintf(text, "{\"room_id\":\"a://%0253d\"}", 1);
    assert_int_equal(parse(text), -1);

    limited = 1;
    assert_int_equal(rooms_of(64, 64), 0);
    assert_int_equal(who.may.nrooms, 64);
    assert_int_equal(rooms_of(65, 1), -1);
    assert_int_equal(rooms_of(64, 65), -1);
    assert_int_equal(rooms_of(16, 256), 0);
    assert_int_equal(rooms_of(1, 257), -1);
    limited = 0;

    p = text + sprintf(text, "{\"accepts\":[0");

    for (i = 1; i < 128; i++) {
        p += sprintf(p, ",%d", i);
    }

    sprintf(p, "]}");
    assert_int_equal(parse(text), 0);
    assert_int_equal(who.naccepts, 128);

    sprintf(p, ",1]}");
    assert_int_equal(parse(text), -1);
}


/* Another token of who is in. */

static void
token_same(void **state)
{
    const char      *why;
    logic_packet_t   packet;

    (void) state;

    memset(&packet, 0, sizeof(packet));
    assert_int_equal(parse("{\"mid\":7}"), 0);
    assert_int_equal(logic_token_same(&who, &packet, 7, "key", 3, &why), 0);
    assert_int_equal(logic_token_same(&who, &packet, 8, "key", 3, &why), -1);
    assert_string_equal(why, "the token is another mid's");
    assert_int_equal(logic_token_same(&who, &packet, -7, "", 0, &why), -1);

    assert_int_equal(parse("{\"mid\":7,\"key\":\"key\"}"), 0);
    assert_int_equal(logic_token_same(&who, &packet, 7, "key", 3, &why), 0);
    assert_int_equal(logic_token_same(&who, &packet, 7, "keys", 4, &why), -1);
    assert_int_equal(logic_token_same(&who, &packet, 7, "ke", 2, &why), -1);
    assert_int_equal(logic_token_same(&who, &packet, 7, "Key", 3, &why), -1);
    assert_string_equal(why, "the key is another one");

    packet.who.key_len = 1;
    packet.who.key[0] = 'k';
    assert_int_equal(logic_token_same(&who, &packet, 7, "key", 3, &why), -1);
}


/* What Go's decoder takes in a field that does not count. */

static void
token_ignored(void **state)
{
    char    text[256];
    size_t  i;

    static const char *value[] = {
        "\"\\ud800\"", "\"\\udc00\\ud800\"", "\"\\u0000\"", "\"\xff\xfe\"",
        "\"\xc3\"", "\"\xed\xa0\x80\"", "99999999999999999999", "1e400", "-1E+400",
        "-0", "0.1e-9", "[1e999,{\"a\":\"\\ud800\"}]", "{\"\xff\":1}",
        "{\"mid\":\"x\"}", "[]", "{}", "[[],{}]", "[ ]", "{ }", "true",
        "\"\\/\\b\\f\\n\\r\\t\\\\\\\"\"", "\"\x7f\"", NULL
    };

    static const char *wrong[] = {
        "01", "-", "1.", ".5", "1e", "1e+", "+1", "0x1", "NaN", "tru", "True",
        "\"\\x\"", "\"\\u12g4\"", "\"\t\"", "\"a", "[1,]", "[,1]", "[1 2]",
        "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "[}", "{]", "[", "1]",
        "'a'", "", "1,", "/**/1", NULL
    };

    static const char *place[] = {
        "{\"mid\":7,\"x\":%s}", "{ \"x\" : %s , \"mid\" : 7 }",
        "\t{\"\xff\\ud800\":%s,\"mid\":7}\n", NULL
    };

    (void) state;

    for (limited = 0; limited < 2; limited++) {

        for (i = 0; value[i / 3] != NULL; i++) {
            sprintf(text, place[i % 3], value[i / 3]);

            if (parse(text) != 0 || who.mid != 7) {
                fail_msg("refused: %s", text);
            }
        }

        for (i = 0; wrong[i / 3] != NULL; i++) {
            sprintf(text, place[i % 3], wrong[i / 3]);

            if (parse(text) != -1) {
                fail_msg("taken: %s", text);
            }
        }
    }

    limited = 0;

    /* of the platform only that it is text */
    assert_int_equal(parse("{\"platform\":\"\\ud800\"}"), 0);
    assert_int_equal(parse("{\"platform\":[]}"), -1);

    /* those that count are judged */
    assert_int_equal(parse("{\"key\":\"\\ud800\"}"), -1);
    assert_int_equal(parse("{\"mid\":1e400}"), -1);
    assert_int_equal(parse("{\"accepts\":[99999999999999999999]}"), -1);
}


static void
token_names(void **state)
{
    (void) state;

    assert_int_equal(parse("{\"\\u006did\":5,\"k\\u0065Y\":\"x\"}"), 0);
    assert_int_equal(who.mid, 5);
    assert_string_equal(who.key, "x");

    /* the last one counts, each is judged, null is nothing */
    assert_int_equal(parse("{\"mid\":5,\"MID\":6,\"mid\":null}"), 0);
    assert_int_equal(who.mid, 6);
    assert_int_equal(parse("{\"key\":\"long\",\"key\":\"k\"}"), 0);
    assert_string_equal(who.key, "k");
    assert_int_equal(parse("{\"accepts\":[1,2],\"accepts\":[3]}"), 0);
    assert_int_equal(who.naccepts, 1);
    assert_int_equal(who.accepts[0], 3);
    assert_int_equal(parse("{\"mid\":\"x\",\"mid\":6}"), -1);

    assert_int_equal(parse("{\"mid\\u0000\":\"x\",\"mi\":1,\"midd\":\"y\","
                           "\"a name that is longer than any\":1}"), 0);
    assert_int_equal(who.mid, 0);
}


/* n arrays within one another, in an object */

static int
nested(size_t n)
{
    int          rc;
    char        *text;
    size_t       len;
    const char  *reason;

    text = malloc(2 * n + 32);
    assert_non_null(text);

    len = (size_t) sprintf(text, "{\"mid\":1,\"x\":");
    memset(text + len, '[', n);
    memset(text + len + n, ']', n);
    text[len + 2 * n] = '}';

    rc = logic_token_parse(text, len + 2 * n + 1, &who, &reason);
    free(text);

    return rc;
}


static void
token_depth(void **state)
{
    (void) state;

    assert_int_equal(nested(2000), 0);
    assert_int_equal(nested(9999), 0);
    assert_int_equal(nested(10000), -1);
    assert_int_equal(nested(1000000), -1);
}


/* The application's word. */

static void
token_answer(void **state)
{
    size_t  i;

    static const char *bad[] = {
        "", " ", "null", "[]", "true", "7", "\"a\"", "<html>", "\x1f\x8b",
        "\xef\xbb\xbf{\"mid\":1}", "{}", "{\"mid\":null,\"key\":null}",
        "{\"mid\":0,\"key\":\"\"}", "{\"code\":401,\"message\":\"no\"}",
        "{\"guest\":false}", "{\"guest\":\"yes\",\"mid\":1}",
        "{\"guest\":1}", "{\"mid\":\"\"}", "{\"mid\":\"x\"}",
        "{\"mid\":\"1 \"}", "{\"mid\":\" 1\"}", "{\"mid\":\"+1\"}",
        "{\"mid\":\"1.0\"}", "{\"mid\":\"-\"}", "{\"mid\":\"1-1\"}",
        "{\"mid\":\"1\\u0000\"}", "{\"mid\":\"9223372036854775808\"}",
        "{\"mid\":1.5}", "{\"mid\":true}", NULL
    };

    (void) state;

    limited = 1;

    for (i = 0; bad[i] != NULL; i++) {
        if (parse(bad[i]) != -1) {
            fail_msg("taken: %s", bad[i]);
        }
    }

    assert_int_equal(parse("{\"guest\":true}"), 0);
    assert_int_equal(who.mid, 0);
    assert_int_equal(who.key_len, 0);
    assert_int_equal(parse("{\"guest\":true,\"mid\":5}"), 0);
    assert_int_equal(who.mid, 5);
    assert_int_equal(parse("{\"key\":\"k\"}"), 0);
    assert_int_equal(parse("{\"mid\":\"5\"}"), 0);
    assert_int_equal(who.mid, 5);
    assert_int_equal(parse("{\"mid\":\"9223372036854775807\"}"), 0);
    assert_true(who.mid == INT64_MAX);
    assert_int_equal(parse("{\"mid\":\"-9223372036854775808\"}"), 0);
    assert_true(who.mid == INT64_MIN);

    limited = 0;

    assert_int_equal(parse("{\"guest\":1}"), 0);
    assert_int_equal(parse("{\"mid\":\"5\"}"), -1);
}


static void
key_uuid(void **state)
{
    char    first[64];
    size_t  i;

    (void) state;

    memset(&who, 0, sizeof(who));
    assert_int_equal(logic_key_make(&who), 0);
    assert_int_equal(who.key_len, 36);
    assert_int_equal(strlen(who.key), 36);

    for (i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            assert_int_equal(who.key[i], '-');
        } else {
            assert_non_null(strchr("0123456789abcdef", who.key[i]));
        }
    }

    assert_int_equal(who.key[14], '4');
    assert_non_null(strchr("89ab", who.key[19]));

    strcpy(first, who.key);
    assert_int_equal(logic_key_make(&who), 0);
    assert_string_not_equal(first, who.key);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_good),
        cmocka_unit_test(token_bad),
        cmocka_unit_test(token_rooms),
        cmocka_unit_test(token_bounds),
        cmocka_unit_test(token_same),
        cmocka_unit_test(token_ignored),
        cmocka_unit_test(token_names),
        cmocka_unit_test(token_depth),
        cmocka_unit_test(token_answer),
        cmocka_unit_test(key_uuid),
    };

    return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
