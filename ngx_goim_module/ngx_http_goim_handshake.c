
/*
 * The opening handshake of RFC 6455, section 4.
 */


#include "ngx_http_goim.h"

#include <ngx_sha1.h>


#define NGX_HTTP_GOIM_UPGRADE_REQUIRED  426

#define NGX_HTTP_GOIM_KEY_LEN           24      /* base64 of 16 bytes */
#define NGX_HTTP_GOIM_GUID              "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


/* name in lower case, a literal */
#define ngx_http_goim_is(h, name)                                            \
    ((h)->key.len == sizeof(name) - 1                                        \
     && ngx_strncmp((h)->lowcase_key, name, sizeof(name) - 1) == 0)


typedef struct {
    ngx_str_t           key;
    ngx_str_t           origin;
    const ngx_str_t    *subprotocol;    /* agreed on */
    ngx_uint_t          keys;           /* how many were sent */
    ngx_uint_t          origins;
    ngx_uint_t          versions;

    unsigned            upgrade:1;      /* Upgrade has "websocket" */
    unsigned            connection:1;   /* Connection has "upgrade" */
    unsigned            version:1;      /* it is 13 */
} ngx_http_goim_handshake_t;


static void ngx_http_goim_read_headers(ngx_http_request_t *r,
    ngx_http_goim_loc_conf_t *glcf, ngx_http_goim_handshake_t *hs);
static ngx_uint_t ngx_http_goim_has_token(ngx_str_t *value, const char *token,
    size_t len);
static ngx_uint_t ngx_http_goim_key_is_good(ngx_str_t *key);
static ngx_int_t ngx_http_goim_switch(ngx_http_request_t *r,
    ngx_http_goim_handshake_t *hs);
static ngx_int_t ngx_http_goim_refuse(ngx_http_request_t *r, ngx_int_t status,
    const char *reason);
static ngx_int_t ngx_http_goim_refuse_version(ngx_http_request_t *r);
static ngx_int_t ngx_http_goim_add_header(ngx_http_request_t *r,
    const char *name, const char *value);


ngx_int_t
ngx_http_goim_handshake(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_http_goim_handshake_t  hs;
    ngx_http_goim_loc_conf_t  *glcf;

    /* an error_page that leads here keeps its status: a 101 cannot be sent */

    if (r != r->main || r->post_action || r->err_status || r->header_sent) {
        return ngx_http_goim_refuse(r, r->err_status ? (ngx_int_t) r->err_status
                                                     : NGX_HTTP_BAD_REQUEST,
                                    "not the client's own request");
    }

    if (r->method != NGX_HTTP_GET) {

        if (ngx_http_goim_add_header(r, "Allow", "GET") != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_goim_refuse(r, NGX_HTTP_NOT_ALLOWED,
                                    "the method is not GET");
    }

    /* a stream of HTTP/2 or HTTP/3 is not a connection that can be taken */

    if (r->http_version != NGX_HTTP_VERSION_11) {
        return ngx_http_goim_refuse(r, NGX_HTTP_BAD_REQUEST,
                                    "the protocol is not HTTP/1.1");
    }

    if (r->headers_in.content_length_n > 0 || r->headers_in.chunked) {
        return ngx_http_goim_refuse(r, NGX_HTTP_BAD_REQUEST,
                                    "the request has a body");
    }

    glcf = ngx_http_get_module_loc_conf(r, ngx_http_goim_module);

    ngx_http_goim_read_headers(r, glcf, &hs);

    if (!hs.upgrade) {
        return ngx_http_goim_refuse(r, NGX_HTTP_BAD_REQUEST,
                                    "no \"websocket\" in \"Upgrade\"");
    }

    if (!hs.connection) {
        return ngx_http_goim_refuse(r, NGX_HTTP_BAD_REQUEST,
                                    "no \"Upgrade\" in \"Connection\"");
    }

    if (!hs.version || hs.versions != 1) {
        return ngx_http_goim_refuse_version(r);
    }

    if (hs.keys != 1 || !ngx_http_goim_key_is_good(&hs.key)) {
        return ngx_http_goim_refuse(r, NGX_HTTP_BAD_REQUEST,
                                    "no good \"Sec-WebSocket-Key\"");
    }

    if (hs.origins > 1
        || !ngx_http_goim_origin_allowed(r, glcf->origins, &hs.origin))
    {
        ngx_goim_count(origin_refused, 1);
        return ngx_http_goim_refuse(r, NGX_HTTP_FORBIDDEN,
                                    "not from this origin");
    }

    if (!ngx_http_goim_upgrade_fits(r)) {
        return ngx_http_goim_refuse(r, NGX_HTTP_BAD_REQUEST,
                                    "cookies, query and headers are too long");
    }

    if (ngx_goim_may_attach() != NGX_OK) {
        return ngx_http_goim_refuse(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                    "no place for another connection");
    }

    if (ngx_goim_addr_full(&r->connection->addr_text)) {
        return ngx_http_goim_refuse(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                    "\"max_per_addr\" is reached");
    }

    rc = ngx_http_goim_switch(r, &hs);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_goim_detach(r, glcf->app);
}


static void
ngx_http_goim_read_headers(ngx_http_request_t *r,
    ngx_http_goim_loc_conf_t *glcf, ngx_http_goim_handshake_t *hs)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    ngx_memzero(hs, sizeof(ngx_http_goim_handshake_t));

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (ngx_http_goim_is(&h[i], "upgrade")) {
            hs->upgrade |= ngx_http_goim_has_token(&h[i].value, "websocket",
                                                   sizeof("websocket") - 1);

        } else if (ngx_http_goim_is(&h[i], "connection")) {
            hs->connection |= ngx_http_goim_has_token(&h[i].value, "upgrade",
                                                      sizeof("upgrade") - 1);

        } else if (ngx_http_goim_is(&h[i], "sec-websocket-key")) {
            hs->key = h[i].value;
            hs->keys++;

        } else if (ngx_http_goim_is(&h[i], "sec-websocket-version")) {
            hs->version = h[i].value.len == 2
                          && ngx_strncmp(h[i].value.data, "13", 2) == 0;
            hs->versions++;

        } else if (ngx_http_goim_is(&h[i], "origin")) {
            hs->origin = h[i].value;
            hs->origins++;

        } else if (ngx_http_goim_is(&h[i], "sec-websocket-protocol")
                   && hs->subprotocol == NULL)
        {
            hs->subprotocol = ngx_http_goim_subprotocol(glcf->subprotocols,
                                                        &h[i].value);
        }
    }
}


/* whether a comma-separated list has the token, in any case */

static ngx_uint_t
ngx_http_goim_has_token(ngx_str_t *value, const char *token, size_t len)
{
    ngx_str_t  list, item;

    list = *value;

    while (ngx_http_goim_next_token(&list, &item)) {
        if (item.len == len
            && ngx_strncasecmp(item.data, (u_char *) token, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_goim_next_token(ngx_str_t *list, ngx_str_t *item)
{
    u_char  *p, *end, *last;

    if (list->len == 0) {
        return 0;
    }

    p = list->data;
    last = p + list->len;
    end = ngx_strlchr(p, last, ',');

    if (end == NULL) {
        end = last;
    }

    list->data = ngx_min(end + 1, last);
    list->len = last - list->data;

    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (p < end && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }

    item->data = p;
    item->len = end - p;

    return 1;
}


static ngx_uint_t
ngx_http_goim_key_is_good(ngx_str_t *key)
{
    u_char     buf[18];
    ngx_str_t  nonce;

    if (key->len != NGX_HTTP_GOIM_KEY_LEN
        || key->data[NGX_HTTP_GOIM_KEY_LEN - 1] != '='
        || key->data[NGX_HTTP_GOIM_KEY_LEN - 2] != '=')
    {
        return 0;
    }

    nonce.data = buf;

    return ngx_decode_base64(&nonce, key) == NGX_OK && nonce.len == 16;
}


static ngx_int_t
ngx_http_goim_switch(ngx_http_request_t *r, ngx_http_goim_handshake_t *hs)
{
    u_char      digest[20], *accept;
    ngx_int_t   rc;
    ngx_str_t   src, dst;
    ngx_sha1_t  sha1;

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, hs->key.data, hs->key.len);
    ngx_sha1_update(&sha1, NGX_HTTP_GOIM_GUID, sizeof(NGX_HTTP_GOIM_GUID) - 1);
    ngx_sha1_final(digest, &sha1);

    accept = ngx_pcalloc(r->pool, ngx_base64_encoded_length(20) + 1);
    if (accept == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    src.len = 20;
    src.data = digest;
    dst.data = accept;
    ngx_encode_base64(&dst, &src);

    /* nginx itself adds "Connection: upgrade" to a 101 */

    if (ngx_http_goim_add_header(r, "Upgrade", "websocket") != NGX_OK
        || ngx_http_goim_add_header(r, "Sec-WebSocket-Accept",
                                    (const char *) accept)
           != NGX_OK
        || (hs->subprotocol
            && ngx_http_goim_add_header(r, "Sec-WebSocket-Protocol",
                                        (const char *) hs->subprotocol->data)
               != NGX_OK))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* nginx has a reason phrase for none of 1xx, but clients read one */

    r->headers_out.status = NGX_HTTP_SWITCHING_PROTOCOLS;
    ngx_str_set(&r->headers_out.status_line, "101 Switching Protocols");
    r->keepalive = 0;

    /* limit_rate would leave a timer and wev->delayed behind */

    r->limit_rate = 0;
    r->limit_rate_set = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return rc;
    }

    if (ngx_http_send_special(r, NGX_HTTP_FLUSH) == NGX_ERROR) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_goim_refuse(ngx_http_request_t *r, ngx_int_t status,
    const char *reason)
{
    ngx_goim_count(refused, 1);

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "goim: upgrade refused: %s", reason);

    return status;
}


/* nginx has no page and no status line for 426 */

static ngx_int_t
ngx_http_goim_refuse_version(ngx_http_request_t *r)
{
    ngx_str_t                 type;
    ngx_http_complex_value_t  cv;

    (void) ngx_http_goim_refuse(r, NGX_HTTP_GOIM_UPGRADE_REQUIRED,
                                "\"Sec-WebSocket-Version\" is not 13");

    if (ngx_http_goim_add_header(r, "Upgrade", "websocket") != NGX_OK
        || ngx_http_goim_add_header(r, "Sec-WebSocket-Version", "13")
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_str_set(&r->headers_out.status_line, "426 Upgrade Required");
    ngx_str_set(&type, "text/plain");

    ngx_memzero(&cv, sizeof(ngx_http_complex_value_t));
    ngx_str_set(&cv.value, "WebSocket version 13 is required\n");

    return ngx_http_send_response(r, NGX_HTTP_GOIM_UPGRADE_REQUIRED, &type,
                                  &cv);
}


/* name and value are not copied */

static ngx_int_t
ngx_http_goim_add_header(ngx_http_request_t *r, const char *name,
    const char *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.len = ngx_strlen(name);
    h->key.data = (u_char *) name;
    h->value.len = ngx_strlen(value);
    h->value.data = (u_char *) value;

    return NGX_OK;
}
