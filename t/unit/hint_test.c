/*
 * Hints about wrong values (common/goim_hint.c).
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/goim_hint.h"


static const char *const  names[] = {
    "listen", "log", "db=", "max_body", "max_header", "offline", NULL
};


static const char *
nearest(const char *word)
{
    size_t       i;
    goim_hint_t  hint;

    goim_hint_init(&hint, word, strlen(word));

    for (i = 0; names[i] != NULL; i++) {
        goim_hint_try(&hint, names[i]);
    }

    return hint.name != NULL ? hint.name : "";
}


static void
test_nearest(void **state)
{
    char    word[300];
    size_t  i;

    static const char *const  cases[][2] = {
        { "lisen", "listen" },          /* left out */
        { "listenn", "listen" },        /* put in */
        { "lisden", "listen" },         /* changed */
        { "lsiten", "listen" },         /* in the wrong order */
        { "Listen", "listen" },
        { "listen", "listen" },
        { "LOG", "log" },
        { "lgo", "log" },
        { "dp=", "db=" },
        { "max_bdoyy", "max_body" },    /* two of nine */
        { "maxbody", "max_body" },
        { "maxheadr", "max_header" },
        { "max_bodies", "" },
        { "lsien", "" },                /* two of five */
        { "online", "" },
        { "d", "" },
        { "x", "" },
        { "", "" },
        { "colour", "" }
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(nearest(cases[i][0]), cases[i][1]);
    }

    memset(word, 'l', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    assert_string_equal(nearest(word), "");
    word[64] = '\0';
    assert_string_equal(nearest(word), "");
}


static void
test_numbers(void **state)
{
    char  text[GOIM_HINT_NUMBER];

    (void) state;

    assert_string_equal(goim_hint_time(text, 0), "0");
    assert_string_equal(goim_hint_time(text, 1), "1ms");
    assert_string_equal(goim_hint_time(text, 1500), "1500ms");
    assert_string_equal(goim_hint_time(text, 10000), "10s");
    assert_string_equal(goim_hint_time(text, 3600000), "1h");
    assert_string_equal(goim_hint_time(text, 86400000), "1d");
    assert_string_equal(goim_hint_time(text, 604800000), "7d");

    assert_string_equal(goim_hint_size(text, 0), "0");
    assert_string_equal(goim_hint_size(text, 16), "16");
    assert_string_equal(goim_hint_size(text, 1024), "1k");
    assert_string_equal(goim_hint_size(text, 1536), "1536");
    assert_string_equal(goim_hint_size(text, 512 * 1024), "512k");
    assert_string_equal(goim_hint_size(text, 16LL << 30), "16384m");
    assert_string_equal(goim_hint_size(text, INT64_MAX),
                        "9223372036854775807");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_numbers)
    };

    return cmocka_run_group_tests_name("hint", tests, NULL, NULL);
}
