/*
 * The grammar of RFC 9112: heads of requests and the chunked coding, whole
 * and byte by byte, what is right and what is refused with which status.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/http_parse.h"

#define MAX   4096
#define HOST  "Host: x\r\n"
#define END   HOST "\r\n"


/* Parse text[0..n), at once and byte by byte: both say the same. */

static int
head_parse(http_head_t *h, const char *text, size_t n)
{
    int          rc, slow;
    size_t       i;
    http_head_t  other;

    http_head_init(h, MAX);
    rc = http_head_parse(h, text, n);

    http_head_init(&other, MAX);
    slow = HTTP_MORE;

    for (i = 0; i <= n && slow == HTTP_MORE; i++) {
        slow = http_head_parse(&other, text, i);
    }

    assert_int_equal(rc, slow);

    if (rc == HTTP_WHOLE) {
        assert_int_equal(h->end, other.end);
        assert_int_equal(h->nfields, other.nfields);
        assert_memory_equal(h->fields, other.fields,
                            h->nfields * sizeof(http_field_t));

    } else if (rc != HTTP_MORE) {
        assert_non_null(h->reason);
    }

    return rc;
}


static int
head_is(const char *text, http_span_t span, const char *expected)
{
    return span.len == strlen(expected)
           && memcmp(text + span.at, expected, span.len) == 0;
}


static void
heads_good(void **state)
{
    http_head_t   h;
    const char   *text;

    (void) state;

    text = "POST /a/b?c=d&e HTTP/1.1\r\nHost: x:80\r\nX-A:  b c\t \r\n"
           "Content-Length: 12\r\nEmpty:\r\n\r\nrest";

    assert_int_equal(head_parse(&h, text, strlen(text)), HTTP_WHOLE);
    assert_int_equal(h.end, strlen(text) - 4);
    assert_int_equal(h.method, HTTP_POST);
    assert_true(head_is(text, h.path, "/a/b"));
    assert_true(head_is(text, h.query, "c=d&e"));
    assert_int_equal(h.nfields, 4);
    assert_true(head_is(text, h.fields[1].name, "X-A"));
    assert_true(head_is(text, h.fields[1].value, "b c"));
    assert_true(head_is(text, h.fields[3].value, ""));
    assert_int_equal(h.length, 12);
    assert_true(h.keep);
    assert_false(h.chunked || h.old || h.expects);

    text = "\r\n\r\nGET http://h.example:80?q HTTP/1.1\r\n" END;
    assert_int_equal(head_parse(&h, text, strlen(text)), HTTP_WHOLE);
    assert_int_equal(h.path.len, 0);
    assert_true(head_is(text, h.query, "q"));

    text = "GET https://h/p HTTP/1.9\r\nhOST:\r\ncONNECTION: x, Close\r\n\r\n";
    assert_int_equal(head_parse(&h, text, strlen(text)), HTTP_WHOLE);
    assert_true(head_is(text, h.path, "/p"));
    assert_false(h.keep);

    text = "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n"
           "Expect: 100-Continue\r\n\r\n";
    assert_int_equal(head_parse(&h, text, strlen(text)), HTTP_WHOLE);
    assert_true(h.chunked && h.expects);

    text = "GET / HTTP/1.0\r\nExpect: anything\r\n\r\n";
    assert_int_equal(head_parse(&h, text, strlen(text)), HTTP_WHOLE);
    assert_true(h.old && !h.keep && !h.expects);

    text = "GET / HTTP/1.0\r\nConnection: , keep-alive\r\n\r\n";
    assert_int_equal(head_parse(&h, text, strlen(text)), HTTP_WHOLE);
    assert_true(h.keep);

    text = "OPTIONS * HTTP/1.1\r\n" END;
    assert_int_equal(head_parse(&h, text, strlen(text)), HTTP_WHOLE);
    assert_true(head_is(text, h.path, "*"));

    text = "GET /\xe4\xb8\xad HTTP/1.1\r\n" HOST "X: \xff\r\n\r\n";
    assert_int_equal(head_parse(&h, text, strlen(text)), HTTP_WHOLE);

    text = "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: "
           "18446744073709551615\r\n\r\n";
    assert_int_equal(head_parse(&h, text, strlen(text)), HTTP_WHOLE);
    assert_true(h.length == UINT64_MAX);
}


static void
heads_refused(void **state)
{
    size_t        i;
    http_head_t   h;

#define GET(more)   "GET / HTTP/1.1\r\n" HOST more "\r\n\r\n"

    static const struct {
        int          status;
        const char  *text;
        size_t       len;
    } t[] = {
#define T(status, text)  { status, text, sizeof(text) - 1 }

        /* the request line */
        T(400, "GET /\r\n" END),
        T(400, "GET  / HTTP/1.1\r\n" END),
        T(400, "GET / HTTP/1.1 \r\n" END),
        T(400, "GET /  HTTP/1.1\r\n" END),
        T(400, " GET / HTTP/1.1\r\n" END),
        T(400, "GET\t/ HTTP/1.1\r\n" END),
        T(400, "GET / http/1.1\r\n" END),
        T(400, "GET / HTTP/1.10\r\n" END),
        T(400, "GET / HTTP/11\r\n" END),
        T(400, "GET / HTTP/x.1\r\n" END),
        T(400, "GET /a b HTTP/1.1\r\n" END),
        T(400, "GET /a\0b HTTP/1.1\r\n" END),
        T(400, "GET /a\x7f HTTP/1.1\r\n" END),
        T(400, "GET /a#b HTTP/1.1\r\n" END),
        T(400, "GET a HTTP/1.1\r\n" END),
        T(400, "GET * HTTP/1.1\r\n" END),
        T(400, "GET http:// HTTP/1.1\r\n" END),
        T(400, "GET http://u@h/ HTTP/1.1\r\n" END),
        T(400, "G(T / HTTP/1.1\r\n" END),
        T(400, "\0GET / HTTP/1.1\r\n" END),
        T(400, "\x16\x03\x01"),
        T(400, "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" END),
        T(501, "get / HTTP/1.1\r\n" END),
        T(501, "FOO / HTTP/1.1\r\n" END),
        T(505, "GET / HTTP/2.0\r\n" END),
        T(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),

        /* lines */
        T(400, "GET / HTTP/1.1\n" END),
        T(400, "\nGET / HTTP/1.1\r\n" END),
        T(400, "GET / HTTP/1.1\r\nHost: x\n\r\n"),
        T(400, "GET / HTTP/1.1\r\nHost: x\r\n\n"),
        T(400, "GET / HTTP/1.1\r\r\n" END),
        T(400, GET("X: a\rb")),
        T(400, GET("X: a\r")),
        T(400, GET("X: a\r X: b")),

        /* fields */
        T(400, GET("X : a")),
        T(400, GET("X\t: a")),
        T(400, GET(": a")),
        T(400, GET("X")),
        T(400, GET("X\0: a")),
        T(400, GET("X: a\0b")),
        T(400, GET("X: a\x01")),
        T(400, GET("X: a\x7f")),
        T(400, GET("X: a\r\n b")),
        T(400, GET("X: a\r\n\tb")),
        T(400, GET("X\xc3\xa4: a")),
        T(400, "GET / HTTP/1.1\r\n Host: x\r\n\r\n"),

        /* Host */
        T(400, "GET / HTTP/1.1\r\n\r\n"),
        T(400, GET("Host: x")),
        T(400, "GET / HTTP/1.1\r\nHost: x y\r\n\r\n"),
        T(400, "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n"),
        T(400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        T(400, "GET / HTTP/1.1\r\nHost: u@x\r\n\r\n"),
        T(400, "GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n"),

        /* where the request ends */
        T(400, GET("Content-Length:")),
        T(400, GET("Content-Length: +5")),
        T(400, GET("Content-Length: -5")),
        T(400, GET("Content-Length: 0x5")),
        T(400, GET("Content-Length: 5 5")),
        T(400, GET("Content-Length: 5, 5")),
        T(400, GET("Content-Length: 5;")),
        T(400, GET("Content-Length: 5\0 9")),
        T(400, GET("Content-Length: \xb2")),
        T(400, GET("Content-Length: 18446744073709551616")),
        T(400, GET("Content-Length: 5\r\nContent-Length: 5")),
        T(400, GET("Content-Length: 5\r\ncontent-length: 6")),
        T(400, GET("Content-Length:\r\n 5")),
        T(400, GET("Content-Length : 5")),
        T(400, GET("Content-Length: 5\r\nTransfer-Encoding: chunked")),
        T(400, GET("Transfer-Encoding: chunked\r\nContent-Length: 5")),
        T(400, GET("Transfer-Encoding: chunked\r\n"
                   "Transfer-Encoding: chunked")),
        T(400, GET("Transfer-Encoding:")),
        T(400, GET("Transfer-Encoding\t: chunked")),
        T(400, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        T(501, GET("Transfer-Encoding: gzip")),
        T(501, GET("Transfer-Encoding: gzip, chunked")),
        T(501, GET("Transfer-Encoding: chunked, identity")),
        T(501, GET("Transfer-Encoding: xchunked")),
        T(501, GET("Transfer-Encoding: \"chunked\"")),

        T(417, GET("Expect: miracle")),
        T(417, GET("Expect:"))
#undef T
    };

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {

        if (head_parse(&h, t[i].text, t[i].len) != t[i].status) {
            fail_msg("%zu: %s", i, t[i].text);
        }
    }
}


static void
heads_bounds(void **state)
{
    int           i, n;
    char          text[2 * MAX];
    http_head_t   h;

    (void) state;

    /* the request line, ended or not */

    memset(text, 'x', sizeof(text));
    memcpy(text, "GET /", 5);
    assert_int_equal(head_parse(&h, text, MAX), HTTP_MORE);
    assert_int_equal(head_parse(&h, text, MAX + 1), 414);

    /* all of it, to the byte */

    n = sprintf(text, "GET / HTTP/1.1\r\n" HOST "X: ");
    memset(text + n, 'x', sizeof(text) - (size_t) n);
    assert_int_equal(head_parse(&h, text, MAX + 1), 431);

    memcpy(text + MAX - 4, "\r\n\r\n", 4);
    assert_int_equal(head_parse(&h, text, sizeof(text)), HTTP_WHOLE);
    assert_int_equal(h.end, MAX);

    memset(text + MAX - 4, 'x', 4);
    memcpy(text + MAX - 3, "\r\n\r\n", 4);
    assert_int_equal(head_parse(&h, text, sizeof(text)), 431);

    /* the number of headers */

    n = sprintf(text, "GET / HTTP/1.1\r\n" HOST);

    for (i = 1; i < HTTP_FIELDS; i++) {
        n += sprintf(text + n, "X: y\r\n");
    }

    sprintf(text + n, "\r\n");
    assert_int_equal(head_parse(&h, text, (size_t) n + 2), HTTP_WHOLE);
    sprintf(text + n, "X: y\r\n\r\n");
    assert_int_equal(head_parse(&h, text, (size_t) n + 8), 431);
}


/* Decode in pieces of `step` bytes. The body, or a status. */

static int
chunks_parse(const char *text, size_t n, size_t step, char *body,
    size_t *len, size_t *used)
{
    int            rc;
    char          *piece;
    size_t         took, made, size;
    http_chunks_t  c;

    http_chunks_init(&c, 100, 40);

    *len = 0;
    *used = 0;
    rc = HTTP_MORE;

    while (rc == HTTP_MORE && *used < n) {
        size = n - *used < step ? n - *used : step;
        piece = malloc(size);
        memcpy(piece, text + *used, size);

        rc = http_chunks_parse(&c, piece, size, &took, &made);

        assert_true(took <= size && made <= took);
        assert_true(rc != HTTP_MORE || took == size);

        memcpy(body + *len, piece, made);
        *len += made;
        *used += took;
        free(piece);
    }

    return rc;
}


static void
chunks(void **state)
{
    int     rc;
    char    body[128];
    size_t  i, step, len, used;

    static const struct {
        int          status;        /* or HTTP_WHOLE with this body */
        const char  *body;
        const char  *text;
        size_t       len;
    } t[] = {
#define T(status, body, text)  { status, body, text, sizeof(text) - 1 }
        T(HTTP_WHOLE, "", "0\r\n\r\nrest"),
        T(HTTP_WHOLE, "abcde", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nrest"),
        T(HTTP_WHOLE, "0123456789", "a\r\n0123456789\r\n000\r\n\r\n"),
        T(HTTP_WHOLE, "0123456789", "0A\r\n0123456789\r\n0\r\n\r\n"),
        T(HTTP_WHOLE, "\r\n\r\n", "4\r\n\r\n\r\n\r\n0\r\n\r\n"),
        T(HTTP_WHOLE, "abc", "3;x=y\r\nabc\r\n0;z\r\n\r\n"),
        T(HTTP_WHOLE, "abc", "3 \t; x=\"a;b\"\r\nabc\r\n0\r\n\r\n"),
        T(HTTP_WHOLE, "a", "1\r\na\r\n0\r\nTrailer: x y\r\nB:\r\n\r\n"),
        T(HTTP_MORE, "abc", "3\r\nabc\r\n0\r\n"),
        T(413, NULL, "65\r\n"),
        T(413, NULL, "60\r\n"
          "0123456789012345678901234567890123456789012345678901234567890123"
          "01234567890123456789012345678901\r\n5\r\n"),
        T(413, NULL, "fffffff\r\n"),
        T(431, NULL, "1;0123456789012345678901234567890123456789x\r\n"),
        T(431, NULL, "0\r\nX:0123456789012345678901234567890123456789\r\n"),
        T(400, NULL, "fffffffffffffffff\r\n"),
        T(400, NULL, "ffffffffffffffff\r\n"),
        T(400, NULL, "100000000\r\n"),
        T(400, NULL, "00000000000000001\r\n"),
        T(400, NULL, "\r\n"),
        T(400, NULL, "x\r\n"),
        T(400, NULL, "-1\r\n"),
        T(400, NULL, "+1\r\n"),
        T(400, NULL, "0x5\r\n"),
        T(400, NULL, " 5\r\n"),
        T(400, NULL, "5 \r\n"),
        T(400, NULL, "5 5\r\n"),
        T(400, NULL, ";x\r\n"),
        T(400, NULL, "3\nabc\r\n0\r\n\r\n"),
        T(400, NULL, "3\rabc"),
        T(400, NULL, "3;a\nabc"),
        T(400, NULL, "3;a\rb\r\n"),
        T(400, NULL, "3;a\0\r\nabc"),
        T(400, NULL, "3\r\nabcd\r\n0\r\n\r\n"),
        T(400, NULL, "3\r\nabc\n0\r\n\r\n"),
        T(400, NULL, "3\r\nabc0\r\n\r\n"),
        T(400, NULL, "3\r\nabc\rx"),
        T(400, NULL, "0\r\n\n"),
        T(400, NULL, "0\r\nX y\r\n\r\n"),
        T(400, NULL, "0\r\nX : y\r\n\r\n"),
        T(400, NULL, "0\r\n: y\r\n\r\n"),
        T(400, NULL, "0\r\nX\r\n\r\n"),
        T(400, NULL, "0\r\nX: y\r\n z\r\n\r\n"),
        T(400, NULL, "0\r\nX: y\n\r\n"),
        T(400, NULL, "0\r\nX: \0\r\n\r\n"),
        T(400, NULL, "0\r\n\rx")
#undef T
    };

    (void) state;

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {

        for (step = 1; step <= t[i].len; step++) {
            rc = chunks_parse(t[i].text, t[i].len, step, body, &len, &used);

            if (rc != t[i].status) {
                fail_msg("%zu, %zu at once: %d: %s", i, step, rc, t[i].text);
            }

            if (t[i].body != NULL) {
                assert_int_equal(len, strlen(t[i].body));
                assert_memory_equal(body, t[i].body, len);
                assert_int_equal(used, strstr(t[i].text, "rest") != NULL
                                       ? t[i].len - 4 : t[i].len);
            }
        }
    }
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_good),
        cmocka_unit_test(heads_refused),
        cmocka_unit_test(heads_bounds),
        cmocka_unit_test(chunks),
    };

    return cmocka_run_group_tests_name("http_parse", tests, NULL, NULL);
}
