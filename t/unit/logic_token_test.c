/* LINK: logic/token.c */

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
    rc = logic_token_parse(text, strlen(text), limited, &who, &reason);

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
    assert_int_equal(who.limited, 0);
    assert_int_equal(who.nrooms, 0);

    limited = 1;

    for (i = 0; bad[i] != NULL; i++) {
        assert_int_equal(parse(bad[i]), -1);
    }

    assert_int_equal(parse("{}"), 0);
    assert_int_equal(who.limited, 1);
    assert_int_equal(who.nrooms, 0);

    assert_int_equal(parse("{\"Rooms\":[\"a://b\",\"*\"]}"), 0);
    assert_int_equal(who.nrooms, 2);
    assert_int_equal(who.rooms_len[0], 5);
    assert_int_equal(who.rooms_len[1], 1);
    assert_memory_equal(who.rooms, "a://b*", 6);
    assert_int_equal(parse("{\"rooms\":null}"), 0);

    limited = 0;
}


/* n rooms of len bytes */

static int
rooms_of(int n, int len)
{
    char  text[32768], *p;

    p = text + sprintf(text, "{\"rooms\":[\"%0*d\"", len, 1);

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
    assert_int_equal(who.nrooms, 64);
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
        cmocka_unit_test(key_uuid),
    };

    return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
