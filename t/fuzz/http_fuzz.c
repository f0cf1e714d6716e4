/* LINK: svc/http_parse.c */

/*
 * What comes from an HTTP client: a head, and a chunked body. In whatever
 * pieces it comes, the outcome is the same, and nothing lies outside.
 */

#include <stdlib.h>
#include <string.h>

#include "svc/http_parse.h"

#define MAX  65536


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
check(int good)
{
    if (!good) {
        abort();
    }
}


static void
span_check(const char *p, const http_head_t *h, http_span_t span)
{
    size_t  i;

    check((size_t) span.at + span.len <= h->end);

    for (i = 0; i < span.len; i++) {
        check(p[span.at + i] != '\0' && p[span.at + i] != '\r'
              && p[span.at + i] != '\n');
    }
}


static int
head(const char *p, size_t n, size_t step)
{
    int          rc, pieces;
    size_t       i;
    unsigned     f;
    http_head_t  h, other;

    http_head_init(&h, MAX);
    rc = http_head_parse(&h, p, n);

    http_head_init(&other, MAX);
    pieces = HTTP_MORE;

    for (i = 0; pieces == HTTP_MORE && i < n; ) {
        i = n - i < step ? n : i + step;
        pieces = http_head_parse(&other, p, i);
    }

    check(rc == pieces);

    if (rc != HTTP_WHOLE) {
        check(rc == HTTP_MORE || (rc >= 400 && h.reason != NULL));
        return 0;
    }

    check(h.end == other.end && h.end <= n && h.nfields == other.nfields);
    check(h.length == other.length && h.chunked == other.chunked);

    span_check(p, &h, h.path);
    span_check(p, &h, h.query);

    for (f = 0; f < h.nfields; f++) {
        span_check(p, &h, h.fields[f].name);
        span_check(p, &h, h.fields[f].value);
        check(h.fields[f].name.len > 0);
    }

    return (int) h.end;
}


static void
chunks(const char *p, size_t n, size_t step)
{
    int            rc, pieces;
    char          *one, *two, *piece;
    size_t         used, made, took, some, at, len, size;
    http_chunks_t  c;

    one = malloc(n + 1);
    two = malloc(n + 1);
    memcpy(one, p, n);

    http_chunks_init(&c, n / 2, n / 2);
    rc = http_chunks_parse(&c, one, n, &used, &made);

    check(used <= n && made <= used && (rc != HTTP_MORE || used == n));

    http_chunks_init(&c, n / 2, n / 2);
    pieces = HTTP_MORE;

    for (at = 0, len = 0; pieces == HTTP_MORE && at < n; ) {
        size = n - at < step ? n - at : step;
        piece = malloc(size);
        memcpy(piece, p + at, size);
        pieces = http_chunks_parse(&c, piece, size, &took, &some);
        memcpy(two + len, piece, some);
        len += some;
        at += took;
        free(piece);
    }

    check(rc == pieces && at == used && len == made
          && memcmp(one, two, len) == 0);

    free(one);
    free(two);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t       n, step;
    const char  *p;

    if (size < 2) {
        return 0;
    }

    step = 1u + data[0] % 16u;
    p = (const char *) data + 1;
    size--;

    n = (size_t) head(p, size, step);
    chunks(p + n, size - n, step);

    return 0;
}
