/*
 * What clients say of where they were, and are told of where they are.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/goim_json.h"
#include "common/goim_recover.h"


static char  said[65536];


static void
note(const goim_recover_t *r, void *data)
{
    size_t  n;

    (void) data;

    n = strlen(said);
    n += snprintf(said + n, sizeof(said) - n, "%.*s", (int) r->name_len,
                  r->name);

    if (r->epoch_len) {
        n += snprintf(said + n, sizeof(said) - n, "=%.*s.%llu",
                      (int) r->epoch_len, r->epoch,
                      (unsigned long long) r->seq);
    }

    if (r->last) {
        n += snprintf(said + n, sizeof(said) - n, "-%u", r->last);
    }

    snprintf(said + n, sizeof(said) - n, " ");
}


/* parsed where no byte behind may be read */

static int
parse(const char *text, const char **reason)
{
    int     rc;
    char   *copy;
    size_t  len;

    len = strlen(text);
    copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy, text, len);

    said[0] = '\0';
    *reason = NULL;
    rc = goim_recover_parse(copy, len, note, NULL, reason);
    free(copy);

    return rc;
}


static void
test_taken(void **state)
{
    size_t       i;
    const char  *reason;

    static const struct {
        const char  *text;
        int          n;
        const char  *said;
    } cases[] = {
        { "{}", 0, "" },
        { " { } ", 0, "" },
        { "{\"live://1\":{}}", 1, "live://1 " },
        { "{\"live://1\":null}", 1, "live://1 " },
        { "{\"live://1\":{\"epoch\":\"k3\",\"seq\":57}}", 1,
          "live://1=k3.57 " },
        { "{\"live://1\":{\"seq\":0,\"epoch\":\"~!\"}}", 1, "live://1=~!.0 " },
        { "{\"live://1\":{\"last\":1000}}", 1, "live://1-1000 " },
        { "{\"live://1\":{\"last\":0}}", 1, "live://1 " },
        { "{\"a\":{\"epoch\":\"e\",\"seq\":9007199254740991},\"b\":{}}", 2,
          "a=e.9007199254740991 b " },

        /* as it was told, and what may come */

        { "{\"a\":{\"epoch\":\"e\",\"seq\":7,\"first\":1,\"recovered\":true}}",
          1, "a=e.7 " },
        { "{\"a\":{\"what\":[{\"x\":1e9}],\"last\":3,\"lastly\":-1}}", 1,
          "a-3 " },

        /* escapes */

        { "{\"l\\u0069ve:\\/\\/\\u00e9\":{\"\\u0065poch\":\"\\u0041\","
          "\"seq\":1}}", 1, "live://\xc3\xa9=A.1 " },
        { "{\"\\ud83d\\ude00\":{}}", 1, "\xf0\x9f\x98\x80 " },
        { "{\"\\u20ac\\\"\\\\\\n\":{}}", 1, "\xe2\x82\xac\"\\\n " },
        { "{\"a\":{\"epoch\":\"12345678901234567890123456789012\",\"seq\":1}}",
          1, "a=12345678901234567890123456789012.1 " },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (parse(cases[i].text, &reason) != cases[i].n) {
            fail_msg("%s: %s", cases[i].text, reason ? reason : "another n");
        }

        assert_string_equal(said, cases[i].said);
    }
}


static void
test_refused(void **state)
{
    size_t       i;
    const char  *reason;

    static const struct {
        const char  *text;
        const char  *reason;
    } cases[] = {
        { "", "not a map" },
        { "null", "not a map" },
        { "[]", "not a map" },
        { "\"a\"", "not a map" },
        { "{", "not a map" },
        { "{}x", "not a map" },
        { "{\"a\":{},}", "not a map" },
        { "{\"a\":{}", "not a map" },
        { "{\"a\":1}", "entry that is not a map" },
        { "{\"a\":\"x\"}", "entry that is not a map" },
        { "{\"a\":[]}", "entry that is not a map" },
        { "{\"\":{}}", "name" },
        { "{\"\\ud83d\":{}}", "name" },
        { "{\"\\ude00\":{}}", "name" },
        { "{\"\\ud83d\\u0041\":{}}", "name" },
        { "{\"a\":{\"seq\":1}}", "without epoch" },
        { "{\"a\":{\"epoch\":\"e\"}}", "without epoch" },
        { "{\"a\":{\"epoch\":\"\",\"seq\":1}}", "32 visible" },
        { "{\"a\":{\"epoch\":7,\"seq\":1}}", "32 visible" },
        { "{\"a\":{\"epoch\":null,\"seq\":1}}", "32 visible" },
        { "{\"a\":{\"epoch\":\"a b\",\"seq\":1}}", "32 visible" },
        { "{\"a\":{\"epoch\":\"\\u0000\",\"seq\":1}}", "32 visible" },
        { "{\"a\":{\"epoch\":\"\x7f\",\"seq\":1}}", "32 visible" },
        { "{\"a\":{\"epoch\":\"\xc3\xa9\",\"seq\":1}}", "32 visible" },
        { "{\"a\":{\"epoch\":\"123456789012345678901234567890123\",\"seq\":1}}",
          "32 visible" },
        { "{\"a\":{\"epoch\":\"e\",\"seq\":-1}}", "no integer" },
        { "{\"a\":{\"epoch\":\"e\",\"seq\":1.0}}", "no integer" },
        { "{\"a\":{\"epoch\":\"e\",\"seq\":1e2}}", "no integer" },
        { "{\"a\":{\"epoch\":\"e\",\"seq\":\"1\"}}", "no integer" },
        { "{\"a\":{\"epoch\":\"e\",\"seq\":null}}", "no integer" },
        { "{\"a\":{\"epoch\":\"e\",\"seq\":9007199254740992}}", "no integer" },
        { "{\"a\":{\"epoch\":\"e\",\"seq\":18446744073709551617}}",
          "no integer" },
        { "{\"a\":{\"last\":1001}}", "no integer from 0 to 1000" },
        { "{\"a\":{\"last\":-1}}", "no integer from 0 to 1000" },
        { "{\"a\":{\"last\":true}}", "no integer from 0 to 1000" },
        { "{\"a\":{},\"b\":{\"last\":1001}}", "no integer from 0 to 1000" },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (parse(cases[i].text, &reason) != -1) {
            fail_msg("taken: %s", cases[i].text);
        }

        if (strstr(reason, cases[i].reason) == NULL) {
            fail_msg("%s: %s", cases[i].text, reason);
        }
    }
}


static void
test_bounds(void **state)
{
    int          n, i;
    char         text[4096];
    size_t       at;
    const char  *reason;

    (void) state;

    for (n = 63; n <= 65; n++) {
        at = snprintf(text, sizeof(text), "{");

        for (i = 0; i < n; i++) {
            at += snprintf(text + at, sizeof(text) - at, "%s\"%d\":{}",
                           i ? "," : "", i);
        }

        snprintf(text + at, sizeof(text) - at, "}");
        assert_int_equal(parse(text, &reason), n <= 64 ? n : -1);
    }

    assert_non_null(strstr(reason, "64 entries"));

    for (n = 255; n <= 257; n++) {
        snprintf(text, sizeof(text), "{\"%0*d\":{}}", n, 7);
        assert_int_equal(parse(text, &reason), n <= 256 ? 1 : -1);
    }

    assert_non_null(strstr(reason, "256 bytes"));
}


/* ---- what is told ---- */

static void
test_told(void **state)
{
    char                   buf[2 * GOIM_TOLD_MAX + GOIM_TOLD_AROUND + 1];
    size_t                 n;
    goim_told_t            a, b;
    goim_epochs_t          words;
    goim_told_entry_t      e[2];
    static const uint64_t  seed[2] = { 1, 2 };

    (void) state;

    goim_epochs_init(&words, malloc, free, seed);

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    a.epoch = goim_epoch_get(&words, "k3\"9", 4);
    a.seq = 57;
    a.first = 1;

    e[0] = (goim_told_entry_t) { "live://1", 8, &a };
    e[1] = (goim_told_entry_t) { "a\"\\\n\xc3\xa9", 6, &b };

    n = goim_told_write(buf, e, 0);
    assert_int_equal(n, 2);
    assert_memory_equal(buf, "{}", 2);

    buf[goim_told_write(buf, e, 1)] = '\0';
    assert_string_equal(buf, "{\"live://1\":{\"epoch\":\"k3\\\"9\",\"seq\":57,"
                        "\"first\":1}}");

    a.recovered = GOIM_RECOVERED_TRUE;
    a.head = 60;
    buf[goim_told_write(buf, e, 1)] = '\0';
    assert_non_null(strstr(buf, ",\"head\":60,\"recovered\":true}}"));

    a.recovered = GOIM_RECOVERED_BEYOND;
    buf[goim_told_write(buf, e, 2)] = '\0';
    assert_string_equal(buf, "{\"live://1\":{\"epoch\":\"k3\\\"9\",\"seq\":57,"
                        "\"first\":1,\"recovered\":false},"
                        "\"a\\\"\\\\\\u000a\xc3\xa9\":null}");

    goim_epoch_unref(&words, (goim_epoch_t *) a.epoch);
    goim_epochs_free(&words);
}


/* the longest that there may be has its place */

static void
test_told_longest(void **state)
{
    char                   *buf, name[GOIM_ROOM_MAX], word[GOIM_EPOCH_MAX];
    size_t                  i, n;
    goim_told_t             told;
    const char             *reason;
    goim_epochs_t           words;
    goim_told_entry_t       e[GOIM_RECOVER_MAX];
    static const uint64_t   seed[2] = { 1, 2 };

    (void) state;

    goim_epochs_init(&words, malloc, free, seed);

    /* a word is of visible characters, but Redis may say anything */

    memset(name, 1, sizeof(name));
    memset(word, 1, sizeof(word));
    told.epoch = goim_epoch_get(&words, word, sizeof(word));
    told.seq = GOIM_SEQ_MAX;
    told.first = GOIM_SEQ_MAX;
    told.head = GOIM_SEQ_MAX;
    told.recovered = GOIM_RECOVERED_TRUE;

    for (i = 0; i < GOIM_RECOVER_MAX; i++) {
        e[i] = (goim_told_entry_t) { name, sizeof(name), &told };
    }

    n = GOIM_RECOVER_MAX * GOIM_TOLD_MAX + GOIM_TOLD_AROUND;
    buf = malloc(n);
    assert_non_null(buf);
    assert_in_range(goim_told_write(buf, e, GOIM_RECOVER_MAX),
                    GOIM_RECOVER_MAX * 6 * GOIM_ROOM_MAX, n);

    /* and is taken when a client comes with it */

    goim_epoch_unref(&words, (goim_epoch_t *) told.epoch);
    memset(word, '"', sizeof(word));
    told.epoch = goim_epoch_get(&words, word, sizeof(word));

    n = goim_told_write(buf, e, GOIM_RECOVER_MAX);
    said[0] = '\0';
    assert_int_equal(goim_recover_parse(buf, n, note, NULL, &reason),
                     GOIM_RECOVER_MAX);

    free(buf);
    goim_epoch_unref(&words, (goim_epoch_t *) told.epoch);
    goim_epochs_free(&words);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_told_longest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
