/* LINK: ngx_goim_module/ngx_goim_ws.c */

/*
 * RFC 6455 frames: the same bytes give the same messages however they are
 * split, and everything the RFC forbids is found at its first byte.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ngx_goim_module/ngx_goim_ws.h"


#define MAX  (1 << 20)


/* what a parser has said so far, as text: "T5:hello P2:hi !1002" */

typedef struct {
    char           *text;
    size_t          len;
    unsigned char  *message;        /* MAX bytes */
    size_t          size;
    unsigned        code;
} said_t;


typedef struct {
    unsigned char  *data;
    size_t          len;
} bytes_t;


static void
say(said_t *said, char kind, const unsigned char *data, size_t len)
{
    said->text = realloc(said->text, said->len + len + 32);
    said->len += sprintf(said->text + said->len, "%c%zu:", kind, len);
    memcpy(said->text + said->len, data, len);
    said->len += len;
    said->text[said->len++] = ' ';
}


static ngx_goim_ws_rc_t
feed(ngx_goim_ws_t *ws, said_t *said, const unsigned char *data, size_t len)
{
    unsigned char        *copy, *p;
    ngx_goim_ws_rc_t      rc;
    ngx_goim_ws_event_t   ev;

    /* of its exact size, so that reading past its end shows */

    copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    p = copy;

    for ( ;; ) {
        rc = ngx_goim_ws_parse(ws, &p, copy + len, &ev);

        assert_true(p <= copy + len);

        if (rc == NGX_GOIM_WS_MORE) {
            assert_ptr_equal(p, copy + len);
            break;
        }

        if (rc == NGX_GOIM_WS_BAD) {
            said->code = ev.code;
            assert_true(strlen(ev.reason) > 0);
            break;
        }

        if (rc == NGX_GOIM_WS_FRAME) {
            say(said, ev.opcode == GOIM_FRAME_PING ? 'P'
                      : ev.opcode == GOIM_FRAME_PONG ? 'O' : 'C',
                ev.data, ev.len);
            continue;
        }

        if (said->message == NULL) {
            said->message = malloc(MAX);
        }

        assert_true(said->size + ev.len <= MAX);
        memcpy(said->message + said->size, ev.data, ev.len);
        said->size += ev.len;

        if (ev.last) {
            assert_int_equal(ev.left, 0);
            assert_true(ev.fin);
            say(said, ev.opcode == GOIM_FRAME_TEXT ? 'T' : 'B',
                said->message, said->size);
            said->size = 0;
        }
    }

    free(copy);

    return rc;
}


static void
said_free(said_t *said)
{
    free(said->text);
    free(said->message);
    memset(said, 0, sizeof(said_t));
}


/* one frame behind what is there; form is 7, 16, 64, or 0 for the shortest */

static void
frame_form(bytes_t *b, unsigned first, const void *payload, size_t len,
    int form)
{
    size_t                i;
    unsigned char        *p;
    const unsigned char  *from = payload;
    static unsigned char  mask[4] = { 0x37, 0xfa, 0x21, 0x3d };

    b->data = realloc(b->data, b->len + len + 14);
    p = b->data + b->len;

    if (form == 0) {
        form = len < 126 ? 7 : len < 65536 ? 16 : 64;
    }

    *p++ = first;
    *p++ = 0x80 | (form == 7 ? len : form == 16 ? 126 : 127);

    for (i = form == 7 ? 0 : form; i > 0; i -= 8) {
        *p++ = (uint64_t) len >> (i - 8);
    }

    mask[0]++;
    memcpy(p, mask, 4);
    p += 4;

    for (i = 0; i < len; i++) {
        *p++ = from[i] ^ mask[i % 4];
    }

    b->len = p - b->data;
}


static void
frame(bytes_t *b, unsigned first, const char *payload)
{
    frame_form(b, first, payload, strlen(payload), 0);
}


/* a message of each kind, fragments, control frames between them */

static void
conversation(bytes_t *b)
{
    size_t          i;
    unsigned char  *big;

    big = malloc(70000);

    for (i = 0; i < 70000; i++) {
        big[i] = i * 7;
    }

    frame(b, 0x81, "hello");
    frame(b, 0x82, "");
    frame(b, 0x89, "");
    frame(b, 0x01, "frag");
    frame(b, 0x89, "between");
    frame(b, 0x00, "");
    frame(b, 0x8a, "unasked");
    frame(b, 0x00, "men\xc3");              /* a character in two frames */
    frame(b, 0x80, "\xa9t");
    frame(b, 0x81, "\xe2\x82\xac \xf0\x9d\x84\x9e");
    frame_form(b, 0x82, big, 125, 0);
    frame_form(b, 0x82, big, 126, 0);
    frame_form(b, 0x02, big, 65535, 0);
    frame_form(b, 0x80, big, 65536, 0);
    frame_form(b, 0x89, big, 125, 0);
    frame(b, 0x02, "");
    frame(b, 0x80, "");
    frame(b, 0x88, "\x03\xe8" "bye");

    free(big);
}


static void
test_splits(void **state)
{
    said_t         all = { 0 }, parts = { 0 };
    bytes_t        b = { 0 };
    size_t         n, i, step;
    ngx_goim_ws_t  ws;

    (void) state;

    conversation(&b);

    memset(&ws, 0, sizeof(ws));
    ws.max = MAX;

    assert_int_equal(feed(&ws, &all, b.data, b.len), NGX_GOIM_WS_MORE);
    assert_true(ngx_goim_ws_at_rest(&ws));
    assert_memory_equal(all.text, "T5:hello B0: P0: P7:between O7:unasked "
                        "T10:fragmen\xc3\xa9t ", 53);

    for (step = 1; step < 40; step++) {
        memset(&ws, 0, sizeof(ws));
        ws.max = MAX;

        for (i = 0; i < b.len; i += n) {
            n = b.len - i < step ? b.len - i : step;
            assert_int_equal(feed(&ws, &parts, b.data + i, n),
                             NGX_GOIM_WS_MORE);
        }

        assert_true(ngx_goim_ws_at_rest(&ws));
        assert_int_equal(parts.len, all.len);
        assert_memory_equal(parts.text, all.text, all.len);
        said_free(&parts);
    }

    said_free(&all);
    free(b.data);
}


/* where the parser gives up: the code, and after how many bytes */

static unsigned
bad_at(bytes_t *b, size_t max, size_t *at)
{
    said_t            said = { 0 };
    unsigned          code;
    ngx_goim_ws_t     ws;
    ngx_goim_ws_rc_t  rc;

    memset(&ws, 0, sizeof(ws));
    ws.max = max;
    rc = NGX_GOIM_WS_MORE;

    for (*at = 0; *at < b->len && rc != NGX_GOIM_WS_BAD; (*at)++) {
        rc = feed(&ws, &said, b->data + *at, 1);
    }

    code = said.code;
    said_free(&said);
    free(b->data);
    memset(b, 0, sizeof(bytes_t));

    return code;
}


static void
test_protocol_errors(void **state)
{
    size_t    at;
    bytes_t   b = { 0 };
    unsigned  i;

    (void) state;

    for (i = 1; i < 8; i++) {
        frame(&b, 0x81 | i << 4, "rsv");
        assert_int_equal(bad_at(&b, MAX, &at), 1002);
        assert_int_equal(at, 1);
    }

    for (i = 3; i < 16; i++) {
        if (i > 7 && i < 11) {
            continue;
        }

        frame(&b, 0x80 | i, "opcode");
        assert_int_equal(bad_at(&b, MAX, &at), 1002);
        assert_int_equal(at, 1);
    }

    for (i = 8; i < 11; i++) {
        frame(&b, i, "fin");
        assert_int_equal(bad_at(&b, MAX, &at), 1002);
        assert_int_equal(at, 1);

        frame_form(&b, 0x80 | i, "", 0, 16);
        assert_int_equal(bad_at(&b, MAX, &at), 1002);
        assert_int_equal(at, 2);
    }

    /* not masked */

    b.data = memcpy(malloc(7), "\x81\x05hello", 7);
    b.len = 7;
    assert_int_equal(bad_at(&b, MAX, &at), 1002);
    assert_int_equal(at, 2);

    /* continuation of nothing; after a whole message too */

    frame(&b, 0x80, "x");
    assert_int_equal(bad_at(&b, MAX, &at), 1002);
    assert_int_equal(at, 1);

    frame(&b, 0x01, "x");
    frame(&b, 0x80, "x");
    frame(&b, 0x00, "x");
    assert_int_equal(bad_at(&b, MAX, &at), 1002);
    assert_int_equal(at, 15);

    /* a message within a message */

    for (i = 1; i < 3; i++) {
        frame(&b, 0x01, "x");
        frame(&b, 0x80 | i, "x");
        assert_int_equal(bad_at(&b, MAX, &at), 1002);
        assert_int_equal(at, 8);
    }
}


static void
test_lengths(void **state)
{
    size_t    at;
    bytes_t   b = { 0 };

    (void) state;

    /* longer forms than needed */

    frame_form(&b, 0x82, "x", 1, 16);
    assert_int_equal(bad_at(&b, MAX, &at), 1002);

    frame_form(&b, 0x82, "x", 1, 64);
    assert_int_equal(bad_at(&b, MAX, &at), 1002);
    assert_int_equal(at, 14);

    /* the top bit */

    b.data = memcpy(malloc(14), "\x82\xff\x80\0\0\0\0\0\0\0mask", 14);
    b.len = 14;
    assert_int_equal(bad_at(&b, SIZE_MAX, &at), 1002);

    /* huge, and no overflow in sums */

    b.data = memcpy(malloc(14), "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"
                                "mask", 14);
    b.len = 14;
    assert_int_equal(bad_at(&b, MAX, &at), 1009);
    assert_int_equal(at, 14);

    frame(&b, 0x02, "x");
    b.data = realloc(b.data, b.len + 14);
    memcpy(b.data + b.len, "\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xffmask", 14);
    b.len += 14;
    assert_int_equal(bad_at(&b, INT64_MAX, &at), 1009);

    /* the limit, in one frame and over fragments */

    frame(&b, 0x82, "12345678");
    assert_int_equal(bad_at(&b, 8, &at), 0);

    frame(&b, 0x82, "123456789");
    assert_int_equal(bad_at(&b, 8, &at), 1009);
    assert_int_equal(at, 6);

    frame(&b, 0x02, "1234");
    frame(&b, 0x00, "5678");
    frame(&b, 0x89, "control frames do not count");
    frame(&b, 0x80, "");
    frame(&b, 0x82, "12345678");
    assert_int_equal(bad_at(&b, 8, &at), 0);

    frame(&b, 0x02, "1234");
    frame(&b, 0x00, "5678");
    frame(&b, 0x80, "9");
    assert_int_equal(bad_at(&b, 8, &at), 1009);
    assert_int_equal(at, 26);
}


static void
test_text(void **state)
{
    size_t   at;
    bytes_t  b = { 0 };

    (void) state;

    /* at the first byte that is wrong, not at the end */

    frame(&b, 0x81, "ok \xff and much more behind it");
    assert_int_equal(bad_at(&b, MAX, &at), 1007);
    assert_int_equal(at, 6 + 4);

    frame(&b, 0x01, "\xed");
    frame(&b, 0x00, "\xa0");                    /* a surrogate */
    frame(&b, 0x80, "\x80");
    assert_int_equal(bad_at(&b, MAX, &at), 1007);
    assert_int_equal(at, 14);

    /* a character without its end */

    frame(&b, 0x81, "\xe2\x82");
    assert_int_equal(bad_at(&b, MAX, &at), 1007);

    frame(&b, 0x01, "\xe2\x82");
    frame(&b, 0x80, "");
    assert_int_equal(bad_at(&b, MAX, &at), 1007);

    /* binary is not looked at */

    frame(&b, 0x82, "\xff\xfe");
    assert_int_equal(bad_at(&b, MAX, &at), 0);
}


static int
utf8(const char *text, size_t len)
{
    uint32_t  state = 0;

    return ngx_goim_ws_utf8(&state, (const unsigned char *) text, len)
           && state == 0;
}


/* every code point, encoded as it should be and, where possible, too long */

static void
test_utf8(void **state)
{
    char      c[4];
    uint32_t  u;

    (void) state;

    for (u = 0; u < 0x120000; u++) {
        c[0] = 0xf0 | u >> 18;
        c[1] = 0x80 | (u >> 12 & 0x3f);
        c[2] = 0x80 | (u >> 6 & 0x3f);
        c[3] = 0x80 | (u & 0x3f);
        assert_int_equal(utf8(c, 4), u >= 0x10000 && u <= 0x10ffff);

        if (u > 0xffff) {
            continue;
        }

        c[1] = 0xe0 | u >> 12;
        assert_int_equal(utf8(c + 1, 3),
                         u >= 0x800 && (u < 0xd800 || u > 0xdfff));

        if (u > 0x7ff) {
            continue;
        }

        c[2] = 0xc0 | u >> 6;
        assert_int_equal(utf8(c + 2, 2), u >= 0x80);

        if (u <= 0xff) {
            c[3] = u;
            assert_int_equal(utf8(c + 3, 1), u < 0x80);
        }
    }

    /* around the whole words of the quick way */

    assert_true(utf8("0123456789abcdef\xc3\xa9" "0123456789", 28));
    assert_false(utf8("0123456789abcde\x80" "0123456789", 26));
    assert_false(utf8("\xc3" "0123456789", 11));
    assert_true(utf8("", 0));
}


static void
test_unmask(void **state)
{
    size_t         i, n, from;
    unsigned char  data[64], plain[64];

    static const unsigned char  mask[4] = { 1, 20, 130, 255 };

    (void) state;

    for (n = 0; n < 40; n++) {
        for (from = 0; from < 9; from++) {

            for (i = 0; i < sizeof(data); i++) {
                data[i] = plain[i] = i * 3;
            }

            for (i = 0; i < n; i++) {
                plain[from + i] ^= mask[i % 4];
            }

            ngx_goim_ws_unmask(data + from, n, mask);
            assert_memory_equal(data, plain, sizeof(data));
        }
    }
}


static void
test_head(void **state)
{
    unsigned char  head[GOIM_FRAME_HEAD];

    (void) state;

    assert_int_equal(goim_frame_head(head, GOIM_FRAME_TEXT, 0), 2);
    assert_memory_equal(head, "\x81\x00", 2);
    assert_int_equal(goim_frame_head(head, GOIM_FRAME_BINARY, 125), 2);
    assert_memory_equal(head, "\x82\x7d", 2);
    assert_int_equal(goim_frame_head(head, GOIM_FRAME_BINARY, 126), 4);
    assert_memory_equal(head, "\x82\x7e\x00\x7e", 4);
    assert_int_equal(goim_frame_head(head, GOIM_FRAME_BINARY, 65535), 4);
    assert_memory_equal(head, "\x82\x7e\xff\xff", 4);
    assert_int_equal(goim_frame_head(head, GOIM_FRAME_BINARY, 65536), 10);
    assert_memory_equal(head, "\x82\x7f\0\0\0\0\0\x01\0\0", 10);
}


static unsigned
close_code(const char *payload, size_t len, int *good)
{
    unsigned  code = 0;

    *good = ngx_goim_ws_close_code((const unsigned char *) payload, len,
                                   &code);
    return code;
}


static void
test_close(void **state)
{
    int            good;
    char           payload[2], reason[200];
    unsigned       n, code, valid;
    unsigned char  out[4 + NGX_GOIM_WS_CONTROL];

    (void) state;

    assert_int_equal(close_code("", 0, &good), 1000);
    assert_true(good);
    assert_int_equal(close_code("\x03", 1, &good), 1002);
    assert_false(good);
    assert_int_equal(close_code("\x03\xe8\xc3\xa9", 4, &good), 1000);
    assert_true(good);
    assert_int_equal(close_code("\x03\xe8\xc3", 3, &good), 1007);
    assert_false(good);
    assert_int_equal(close_code("\x03\xea", 2, &good), 1002);
    assert_true(good);

    for (n = 0; n < 65536; n++) {
        payload[0] = n >> 8;
        payload[1] = n;
        valid = (n >= 1000 && n <= 1003) || (n >= 1007 && n <= 1011)
                || (n >= 3000 && n <= 4999);

        code = close_code(payload, 2, &good);
        assert_int_equal(good, valid);
        assert_int_equal(code, valid ? n : 1002);
    }

    assert_int_equal(ngx_goim_ws_close_frame(out, 1001, "gone"), 8);
    assert_memory_equal(out, "\x88\x06\x03\xe9gone", 8);

    memset(reason, 'r', sizeof(reason) - 1);
    reason[sizeof(reason) - 1] = '\0';
    assert_int_equal(ngx_goim_ws_close_frame(out, 1001, reason), 127);
    assert_int_equal(out[1], 125);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_protocol_errors),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_unmask),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_close),
    };

    return cmocka_run_group_tests_name("ws", tests, NULL, NULL);
}
