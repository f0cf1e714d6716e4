/*
 * HTTP/1.1 messages as bytes (RFC 9112): the head of a request and the
 * chunked coding. No network here.
 *
 * Written by hand because nothing that is kept up and packaged is strict:
 * http_parser (2.9, the last one) and libmicrohttpd take bare line feeds and
 * folded headers, and what stands before this server in production may read
 * those differently: then one request is two. Here whatever the grammar does
 * not know is refused, the way of the least surprise being to say so. Bytes
 * above 0x7f are taken in targets too, as many clients send them.
 */

#ifndef SVC_HTTP_PARSE_H
#define SVC_HTTP_PARSE_H

#include <stddef.h>
#include <stdint.h>

#define HTTP_FIELDS    100      /* of a head */
#define HTTP_MORE      0
#define HTTP_WHOLE     1        /* more than that: the status to refuse with */


typedef enum {
    HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_OPTIONS,
    HTTP_TRACE, HTTP_CONNECT, HTTP_PATCH, HTTP_METHODS
} http_method_t;

/* Offsets, as the buffer may move while a request comes in. */
typedef struct {
    uint32_t          at;
    uint32_t          len;
} http_span_t;

typedef struct {
    http_span_t       name;
    http_span_t       value;        /* without the white space around it */
} http_field_t;

typedef struct {
    size_t            max;          /* bytes, all lines */

    /* valid when whole */
    size_t            end;          /* bytes of the head */
    http_method_t     method;
    http_span_t       path;         /* len 0: none in the target */
    http_span_t       query;        /* behind the "?" */
    http_field_t      fields[HTTP_FIELDS];
    uint32_t          nfields;
    uint64_t          length;       /* of the body, when not chunked */
    unsigned          chunked:1;
    unsigned          keep:1;       /* the connection goes on */
    unsigned          old:1;        /* HTTP/1.0 */
    unsigned          expects:1;    /* 100-continue */

    const char       *reason;       /* of a refusal */

    /* on the way */
    unsigned          started:1;    /* the request line has come */
    unsigned          measured:1;   /* Content-Length has */
    unsigned          closing:1;
    unsigned          keeping:1;
    unsigned          hosts:2;
    unsigned          blank:3;      /* empty lines before it */
    size_t            line;
    size_t            seen;
} http_head_t;

void http_head_init(http_head_t *h, size_t max);

/*
 * Go on with the n bytes at p, those of earlier calls among them. HTTP_MORE,
 * HTTP_WHOLE, or a status; what stands behind `end` is not looked at.
 */
int http_head_parse(http_head_t *h, const char *p, size_t n);


typedef struct {
    size_t            max;          /* bytes of the body still allowed */
    size_t            extra;        /* of extensions and trailers */
    size_t            left;         /* of the chunk */
    int               state;
    int               digits;
    const char       *reason;
} http_chunks_t;

void http_chunks_init(http_chunks_t *c, size_t max, size_t extra);

/*
 * Decode the n bytes at p in place: *made bytes of body stand at p then, and
 * *used bytes have been taken: all, unless it is whole.
 */
int http_chunks_parse(http_chunks_t *c, char *p, size_t n, size_t *used,
    size_t *made);

#endif
