
/*
 * Whole answers, of the status page.
 */


#include "ngx_http_goim.h"


ngx_int_t
ngx_http_goim_answer(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, ngx_buf_t *b)
{
    ngx_int_t    rc;
    ngx_chain_t  out;

    b->last_buf = r == r->main;
    b->last_in_chain = 1;

    r->headers_out.status = status;
    r->headers_out.content_length_n = b->last - b->pos;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_goim_answer_error(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *error)
{
    size_t      escape;
    ngx_buf_t  *b;
    ngx_str_t   type;

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "goim: %V", error);

    escape = ngx_escape_json(NULL, error->data, error->len);

    b = ngx_create_temp_buf(r->pool, sizeof("{\"error\":\"\"}\n")
                                     + error->len + escape);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = ngx_sprintf(b->last, "{\"error\":\"");
    b->last = (u_char *) ngx_escape_json(b->last, error->data, error->len);
    b->last = ngx_sprintf(b->last, "\"}\n");

    ngx_str_set(&type, "application/json");

    return ngx_http_goim_answer(r, status, &type, b);
}
