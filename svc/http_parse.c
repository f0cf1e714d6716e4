/*
 * The head of a request, and the chunked coding.
 */

#include "http_parse.h"

#include <string.h>
#include <strings.h>

#define HTTP_BLANKS        4    /* empty lines before a request */
#define HTTP_CHUNK_DIGITS  16   /* with zeros before */

#define HTTP_C_TOKEN   1
#define HTTP_C_VALUE   2        /* in a field's value */
#define HTTP_C_TARGET  4
#define HTTP_C_HOST    8

#define HTTP_C_ALL                                                           \
    (HTTP_C_TOKEN | HTTP_C_VALUE | HTTP_C_TARGET | HTTP_C_HOST)


static int http_line(http_head_t *h, const char *base, const char *p,
    const char *end);
static int http_request_line(http_head_t *h, const char *base,
    const char *p, const char *end);
static int http_field_line(const char *p, const char *end, http_field_t *f,
    const char *base, const char **reason);
static int http_known(http_head_t *h, const char *base,
    const http_field_t *f);
static int http_whole(http_head_t *h);


static const uint8_t  http_class[256] = {
    ['\t'] = HTTP_C_VALUE,
    [' '] = HTTP_C_VALUE,
    ['!'] = HTTP_C_ALL,
    ['"'] = HTTP_C_VALUE | HTTP_C_TARGET,
    ['#'] = HTTP_C_TOKEN | HTTP_C_VALUE,
    ['$' ... '\''] = HTTP_C_ALL,
    ['(' ... ')'] = HTTP_C_VALUE | HTTP_C_TARGET | HTTP_C_HOST,
    ['*' ... '+'] = HTTP_C_ALL,
    [','] = HTTP_C_VALUE | HTTP_C_TARGET,
    ['-' ... '.'] = HTTP_C_ALL,
    ['/'] = HTTP_C_VALUE | HTTP_C_TARGET,
    ['0' ... '9'] = HTTP_C_ALL,
    [':' ... ';'] = HTTP_C_VALUE | HTTP_C_TARGET | HTTP_C_HOST,
    ['<'] = HTTP_C_VALUE | HTTP_C_TARGET,
    ['='] = HTTP_C_VALUE | HTTP_C_TARGET | HTTP_C_HOST,
    ['>' ... '@'] = HTTP_C_VALUE | HTTP_C_TARGET,
    ['A' ... 'Z'] = HTTP_C_ALL,
    ['['] = HTTP_C_VALUE | HTTP_C_TARGET | HTTP_C_HOST,
    ['\\'] = HTTP_C_VALUE | HTTP_C_TARGET,
    [']'] = HTTP_C_VALUE | HTTP_C_TARGET | HTTP_C_HOST,
    ['^'] = HTTP_C_TOKEN | HTTP_C_VALUE | HTTP_C_TARGET,
    ['_'] = HTTP_C_ALL,
    ['`'] = HTTP_C_TOKEN | HTTP_C_VALUE | HTTP_C_TARGET,
    ['a' ... 'z'] = HTTP_C_ALL,
    ['{'] = HTTP_C_VALUE | HTTP_C_TARGET,
    ['|'] = HTTP_C_TOKEN | HTTP_C_VALUE | HTTP_C_TARGET,
    ['}'] = HTTP_C_VALUE | HTTP_C_TARGET,
    ['~'] = HTTP_C_ALL,
    [0x80 ... 0xff] = HTTP_C_VALUE | HTTP_C_TARGET
};

static const char *const  http_methods[HTTP_METHODS] = {
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT",
    "PATCH"
};


/* Where the bytes of a class, from p on, end. */

static const char *
http_skip(const char *p, const char *end, int class)
{
    while (p < end && (http_class[(uint8_t) *p] & class)) {
        p++;
    }

    return p;
}


static http_span_t
http_span(const char *base, const char *p, const char *end)
{
    http_span_t  span;

    span.at = (uint32_t) (p - base);
    span.len = (uint32_t) (end - p);

    return span;
}


static int
http_is(const char *base, const http_span_t *span, const char *text)
{
    return span->len == strlen(text)
           && strncasecmp(base + span->at, text, span->len) == 0;
}


static int
http_refuse(http_head_t *h, int status, const char *reason)
{
    h->reason = reason;

    return status;
}


void
http_head_init(http_head_t *h, size_t max)
{
    /* the fields are written before they are read */

    memset(h, 0, offsetof(http_head_t, fields));
    memset((char *) h + offsetof(http_head_t, nfields), 0,
           sizeof(http_head_t) - offsetof(http_head_t, nfields));

    h->max = max < UINT32_MAX ? max : UINT32_MAX;
}


int
http_head_parse(http_head_t *h, const char *p, size_t n)
{
    int          rc;
    size_t       end;
    const char  *lf;

    for ( ;; ) {

        lf = h->seen < n ? memchr(p + h->seen, '\n', n - h->seen) : NULL;
        end = lf != NULL ? (size_t) (lf - p) + 1 : n;

        if (end > h->max) {
            return h->started
                   ? http_refuse(h, 431, "the headers are too large")
                   : http_refuse(h, 414, "the request line is too long");
        }

        if (lf == NULL) {
            h->seen = n;

            /* what is no HTTP at all need not end its line */

            if (!h->started && n > h->line && p[h->line] != '\r'
                && !(http_class[(uint8_t) p[h->line]] & HTTP_C_TOKEN))
            {
                return http_refuse(h, 400, "this is no HTTP");
            }

            return HTTP_MORE;
        }

        if (lf == p + h->line || lf[-1] != '\r') {
            return http_refuse(h, 400, "a line ends without CR");
        }

        rc = http_line(h, p, p + h->line, lf - 1);

        h->line = end;
        h->seen = end;

        if (rc != HTTP_MORE) {
            h->end = end;
            return rc;
        }
    }
}


static int
http_line(http_head_t *h, const char *base, const char *p, const char *end)
{
    int            rc;
    http_field_t  *f;

    if (!h->started) {

        if (p < end) {
            return http_request_line(h, base, p, end);
        }

        return ++h->blank <= HTTP_BLANKS
               ? HTTP_MORE : http_refuse(h, 400, "a request is missing");
    }

    if (p == end) {
        return http_whole(h);
    }

    if (h->nfields == HTTP_FIELDS) {
        return http_refuse(h, 431, "there are too many headers");
    }

    f = &h->fields[h->nfields++];

    rc = http_field_line(p, end, f, base, &h->reason);

    return rc != HTTP_MORE ? rc : http_known(h, base, f);
}


/* An absolute target is reduced to its path; its host is Host's. */

static int
http_target(http_head_t *h, const char *base, const char *p, const char *end)
{
    const char  *mark;

    if (*p != '/' && h->method != HTTP_CONNECT
        && !(h->method == HTTP_OPTIONS && end - p == 1 && *p == '*'))
    {
        if (end - p > 7 && strncasecmp(p, "http://", 7) == 0) {
            p += 7;

        } else if (end - p > 8 && strncasecmp(p, "https://", 8) == 0) {
            p += 8;

        } else {
            return http_refuse(h, 400, "the target is neither path nor URL");
        }

        mark = http_skip(p, end, HTTP_C_HOST);

        if (mark == p || (mark < end && *mark != '/' && *mark != '?')) {
            return http_refuse(h, 400, "the host of the URL is not valid");
        }

        p = mark;
    }

    mark = memchr(p, '?', (size_t) (end - p));

    if (mark != NULL) {
        h->query = http_span(base, mark + 1, end);
        end = mark;
    }

    h->path = http_span(base, p, end);

    return HTTP_MORE;
}


static int
http_request_line(http_head_t *h, const char *base, const char *p,
    const char *end)
{
    int           method;
    const char   *target, *version;
    http_span_t   name;

    target = http_skip(p, end, HTTP_C_TOKEN);

    if (target == p || target == end || *target != ' ') {
        return http_refuse(h, 400, "the request line has no method");
    }

    name = http_span(base, p, target++);
    version = http_skip(target, end, HTTP_C_TARGET);

    if (version == target || version == end || *version != ' ') {
        return http_refuse(h, 400, "the target is not valid");
    }

    p = version + 1;

    if (end - p != 8 || memcmp(p, "HTTP/", 5) != 0
        || p[5] < '0' || p[5] > '9' || p[6] != '.'
        || p[7] < '0' || p[7] > '9')
    {
        return http_refuse(h, 400, "the request line has no version");
    }

    if (p[5] != '1') {
        return http_refuse(h, 505, "only HTTP/1 is spoken here");
    }

    for (method = 0; method < HTTP_METHODS; method++) {

        if (name.len == strlen(http_methods[method])
            && memcmp(base + name.at, http_methods[method], name.len) == 0)
        {
            break;
        }
    }

    if (method == HTTP_METHODS) {
        return http_refuse(h, 501, "the method is unknown");
    }

    h->started = 1;
    h->method = (http_method_t) method;
    h->old = p[7] == '0';

    return http_target(h, base, target, version);
}


static int
http_field_line(const char *p, const char *end, http_field_t *f,
    const char *base, const char **reason)
{
    const char  *colon;

    /* a blank before the colon, or before the name (a fold) ends here too */

    colon = http_skip(p, end, HTTP_C_TOKEN);

    if (colon == p || colon == end || *colon != ':') {
        *reason = "a header has no valid name";
        return 400;
    }

    f->name = http_span(base, p, colon);

    p = colon + 1;

    if (http_skip(p, end, HTTP_C_VALUE) != end) {
        *reason = "a header has bytes that it may not have";
        return 400;
    }

    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (p < end && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }

    f->value = http_span(base, p, end);

    return HTTP_MORE;
}


/* ---- headers that decide where the request ends ------------------------ */

static int
http_known_length(http_head_t *h, const char *p, size_t n)
{
    size_t  i;

    if (h->measured) {
        return http_refuse(h, 400, "the length of the body is told twice");
    }

    if (n == 0) {
        return http_refuse(h, 400, "Content-Length is no number");
    }

    for (i = 0; i < n; i++) {

        if (p[i] < '0' || p[i] > '9') {
            return http_refuse(h, 400, "Content-Length is no number");
        }

        if (__builtin_mul_overflow(h->length, 10, &h->length)
            || __builtin_add_overflow(h->length, (uint64_t) (p[i] - '0'),
                                      &h->length))
        {
            return http_refuse(h, 400, "Content-Length is too long");
        }
    }

    h->measured = 1;

    return HTTP_MORE;
}


static int
http_known_coding(http_head_t *h, const char *p, size_t n)
{
    if (h->chunked || n == 0) {
        return http_refuse(h, 400, "the transfer coding is told twice");
    }

    if (n != 7 || strncasecmp(p, "chunked", 7) != 0) {
        return http_refuse(h, 501, "the only transfer coding is chunked");
    }

    h->chunked = 1;

    return HTTP_MORE;
}


static void
http_known_connection(http_head_t *h, const char *p, size_t n)
{
    size_t       len;
    const char  *end, *comma, *token;

    end = p + n;

    while (p < end) {
        comma = memchr(p, ',', n);

        if (comma == NULL) {
            comma = end;
        }

        for (token = p; token < comma && (*token == ' ' || *token == '\t'); ) {
            token++;
        }

        len = (size_t) (http_skip(token, comma, HTTP_C_TOKEN) - token);

        if (len == 5 && strncasecmp(token, "close", 5) == 0) {
            h->closing = 1;

        } else if (len == 10 && strncasecmp(token, "keep-alive", 10) == 0) {
            h->keeping = 1;
        }

        if (comma == end) {
            return;
        }

        n -= (size_t) (comma + 1 - p);
        p = comma + 1;
    }
}


static int
http_known(http_head_t *h, const char *base, const http_field_t *f)
{
    size_t       n;
    const char  *value;

    value = base + f->value.at;
    n = f->value.len;

    switch (f->name.len) {

    case 4:

        if (http_is(base, &f->name, "Host")) {

            if (h->hosts++ > 0
                || http_skip(value, value + n, HTTP_C_HOST) != value + n)
            {
                return http_refuse(h, 400, "a request has one Host header");
            }
        }

        break;

    case 6:

        if (http_is(base, &f->name, "Expect") && !h->old) {

            if (!http_is(base, &f->value, "100-continue")) {
                return http_refuse(h, 417, "the only expectation that is "
                                   "met is 100-continue");
            }

            h->expects = 1;
        }

        break;

    case 10:

        if (http_is(base, &f->name, "Connection")) {
            http_known_connection(h, value, n);
        }

        break;

    case 14:

        if (http_is(base, &f->name, "Content-Length")) {
            return http_known_length(h, value, n);
        }

        break;

    case 17:

        if (http_is(base, &f->name, "Transfer-Encoding")) {
            return http_known_coding(h, value, n);
        }

        break;
    }

    return HTTP_MORE;
}


static int
http_whole(http_head_t *h)
{
    if (h->chunked && (h->measured || h->old)) {
        return http_refuse(h, 400, h->measured
                           ? "the length of the body is told twice"
                           : "HTTP/1.0 has no transfer codings");
    }

    if (h->hosts == 0 && !h->old) {
        return http_refuse(h, 400, "a request has one Host header");
    }

    h->keep = !h->closing && (!h->old || h->keeping);

    return HTTP_WHOLE;
}


/* ---- chunked ----------------------------------------------------------- */

enum {
    CHUNK_SIZE, CHUNK_BLANK, CHUNK_EXT, CHUNK_SIZE_LF, CHUNK_DATA,
    CHUNK_DATA_CR, CHUNK_DATA_LF, CHUNK_NAME, CHUNK_TRAILER,
    CHUNK_TRAILER_LF, CHUNK_LAST_LF
};


void
http_chunks_init(http_chunks_t *c, size_t max, size_t extra)
{
    memset(c, 0, sizeof(*c));

    c->max = max;
    c->extra = extra;
}


static int
http_chunks_refuse(http_chunks_t *c, int status, const char *reason)
{
    c->reason = reason;

    return status;
}


static int
http_chunk_digit(http_chunks_t *c, uint8_t ch)
{
    int  d;

    d = ch >= '0' && ch <= '9' ? ch - '0'
        : (ch | 0x20) >= 'a' && (ch | 0x20) <= 'f' ? (ch | 0x20) - 'a' + 10
        : -1;

    if (d == -1) {
        return -1;
    }

    if (++c->digits > HTTP_CHUNK_DIGITS || c->left >> 28 != 0) {
        return http_chunks_refuse(c, 400, "the size of a chunk is too long");
    }

    c->left = c->left << 4 | (size_t) d;

    return HTTP_MORE;
}


/* The line that tells a chunk's size. */

static int
http_chunk_size(http_chunks_t *c, uint8_t ch)
{
    int  rc;

    if (c->state == CHUNK_SIZE) {

        rc = http_chunk_digit(c, ch);

        if (rc != -1) {
            return rc;
        }

        if (c->digits == 0) {
            return http_chunks_refuse(c, 400, "a chunk has no size");
        }

        if (ch == '\r') {
            c->state = CHUNK_SIZE_LF;
            return HTTP_MORE;
        }

        c->state = CHUNK_BLANK;
    }

    if (c->state == CHUNK_BLANK) {

        if (ch == ' ' || ch == '\t') {
            return HTTP_MORE;
        }

        if (ch == ';') {
            c->state = CHUNK_EXT;
            return HTTP_MORE;
        }

        return http_chunks_refuse(c, 400, "a chunk has no valid size");
    }

    if (ch == '\r') {
        c->state = CHUNK_SIZE_LF;
        return HTTP_MORE;
    }

    if (http_class[ch] & HTTP_C_VALUE) {
        return HTTP_MORE;
    }

    return http_chunks_refuse(c, 400, "a chunk has no valid extension");
}


static int
http_chunk_begin(http_chunks_t *c)
{
    if (c->left > c->max) {
        return http_chunks_refuse(c, 413, "the body is too large");
    }

    c->max -= c->left;
    c->state = c->left > 0 ? CHUNK_DATA : CHUNK_NAME;
    c->digits = 0;

    return HTTP_MORE;
}


/* Trailers are read past, by the rules of headers. */

static int
http_chunk_trailer(http_chunks_t *c, uint8_t ch)
{
    if (c->state == CHUNK_NAME) {

        if (http_class[ch] & HTTP_C_TOKEN) {
            c->digits = 1;
            return HTTP_MORE;
        }

        if (c->digits == 0 && ch == '\r') {
            c->state = CHUNK_LAST_LF;
            return HTTP_MORE;
        }

        if (c->digits == 1 && ch == ':') {
            c->state = CHUNK_TRAILER;
            return HTTP_MORE;
        }

    } else if (ch == '\r') {
        c->state = CHUNK_TRAILER_LF;
        return HTTP_MORE;

    } else if (http_class[ch] & HTTP_C_VALUE) {
        return HTTP_MORE;
    }

    return http_chunks_refuse(c, 400, "a trailer is not valid");
}


/* A byte that is no body. */

static int
http_chunk_byte(http_chunks_t *c, uint8_t ch)
{
    switch (c->state) {

    case CHUNK_BLANK:
    case CHUNK_EXT:
    case CHUNK_NAME:
    case CHUNK_TRAILER:

        if (c->extra == 0) {
            return http_chunks_refuse(c, 431, "extensions and trailers of "
                                      "the chunks are too large");
        }

        c->extra--;

        return c->state <= CHUNK_EXT ? http_chunk_size(c, ch)
                                     : http_chunk_trailer(c, ch);

    case CHUNK_SIZE:
        return http_chunk_size(c, ch);

    case CHUNK_DATA_CR:

        if (ch == '\r') {
            c->state = CHUNK_DATA_LF;
            return HTTP_MORE;
        }

        return http_chunks_refuse(c, 400, "a chunk is longer than its size");
    }

    if (ch != '\n') {
        return http_chunks_refuse(c, 400, "a line ends without LF");
    }

    switch (c->state) {

    case CHUNK_SIZE_LF:
        return http_chunk_begin(c);

    case CHUNK_DATA_LF:
        c->state = CHUNK_SIZE;
        return HTTP_MORE;

    case CHUNK_TRAILER_LF:
        c->state = CHUNK_NAME;
        c->digits = 0;
        return HTTP_MORE;

    default:
        return HTTP_WHOLE;
    }
}


int
http_chunks_parse(http_chunks_t *c, char *p, size_t n, size_t *used,
    size_t *made)
{
    int     rc;
    size_t  i, out, len;

    out = 0;
    rc = HTTP_MORE;

    for (i = 0; i < n && rc == HTTP_MORE; ) {

        if (c->state != CHUNK_DATA) {
            rc = http_chunk_byte(c, (uint8_t) p[i++]);
            continue;
        }

        len = n - i < c->left ? n - i : c->left;

        memmove(p + out, p + i, len);
        out += len;
        i += len;
        c->left -= len;

        if (c->left == 0) {
            c->state = CHUNK_DATA_CR;
        }
    }

    *used = i;
    *made = out;

    return rc;
}
