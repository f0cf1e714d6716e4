
/*
 * POST to the status page: which mids are traced from now on.  Who may do
 * that, nginx has decided before.
 */


#include "ngx_http_goim.h"
#include "ngx_goim_trace.h"


static ngx_int_t ngx_http_goim_trace_args(ngx_http_request_t *r,
    ngx_goim_mids_t *mids, ngx_str_t *error);
static ngx_int_t ngx_http_goim_trace_list(ngx_http_request_t *r, u_char *p,
    size_t len, ngx_goim_mids_t *mids, ngx_str_t *error);
static ngx_int_t ngx_http_goim_trace_error(ngx_http_request_t *r,
    ngx_str_t *error, const char *fmt, ...);


/* what an error says, with a value escaped and quoted */
#define NGX_HTTP_GOIM_TRACE_ERROR       1280


ngx_int_t
ngx_http_goim_trace(ngx_http_request_t *r)
{
    u_char           *list;
    ngx_int_t         rc;
    ngx_buf_t        *b;
    ngx_str_t         type, error;
    ngx_goim_mids_t   mids;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_goim_trace_args(r, &mids, &error);

    if (rc == NGX_DECLINED) {
        return ngx_http_goim_answer_error(r, NGX_HTTP_BAD_REQUEST, &error);
    }

    if (ngx_goim_get_conf((ngx_cycle_t *) ngx_cycle)->trace_log == NULL) {
        ngx_str_set(&error, "no \"trace_log\" in \"goim\"");
        return ngx_http_goim_answer_error(r, NGX_HTTP_CONFLICT, &error);
    }

    b = ngx_create_temp_buf(r->pool, sizeof("{\"trace\":}\n")
                                     + NGX_HTTP_GOIM_TRACE_JSON);

    if (rc != NGX_OK || b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_goim_trace_set(&mids);

    b->last = ngx_sprintf(b->last, "{\"trace\":");
    list = b->last;
    b->last = ngx_http_goim_trace_json(list, b->end, &mids);

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "goim: mids to trace are now %*s",
                  (size_t) (b->last - list), list);

    b->last = ngx_slprintf(b->last, b->end, "}\n");

    ngx_str_set(&type, "application/json");

    return ngx_http_goim_answer(r, NGX_HTTP_OK, &type, b);
}


u_char *
ngx_http_goim_trace_json(u_char *p, u_char *last, const ngx_goim_mids_t *mids)
{
    ngx_uint_t  i;

    p = ngx_slprintf(p, last, "[");

    for (i = 0; i < mids->n; i++) {
        p = ngx_slprintf(p, last, "%s%L", i ? "," : "", mids->mid[i]);
    }

    return ngx_slprintf(p, last, "]");
}


/* NGX_DECLINED: error says why */

static ngx_int_t
ngx_http_goim_trace_args(ngx_http_request_t *r, ngx_goim_mids_t *mids,
    ngx_str_t *error)
{
    u_char      *p, *end, *last;
    ngx_int_t    rc;
    ngx_uint_t   found;

    mids->n = 0;
    found = 0;

    last = r->args.data + r->args.len;

    for (p = r->args.data; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');

        if (end == NULL) {
            end = last;
        }

        if (end - p < 6 || ngx_strncmp(p, "trace=", 6) != 0) {
            continue;
        }

        found = 1;

        rc = ngx_http_goim_trace_list(r, p + 6, end - p - 6, mids, error);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (!found) {
        return ngx_http_goim_trace_error(r, error, "no argument \"trace\" or "
                                         "\"drain\"");
    }

    return NGX_OK;
}


/* numbers with commas between them, or nothing */

static ngx_int_t
ngx_http_goim_trace_list(ngx_http_request_t *r, u_char *p, size_t len,
    ngx_goim_mids_t *mids, ngx_str_t *error)
{
    u_char     *mid, *end, *last;
    ngx_int_t   rc;

    if (len == 0) {
        return NGX_OK;
    }

    mid = ngx_pnalloc(r->pool, len);
    if (mid == NULL) {
        return NGX_ERROR;
    }

    last = mid;
    ngx_unescape_uri(&last, &p, len, 0);

    for ( ;; ) {

        end = ngx_strlchr(mid, last, ',');

        if (end == NULL) {
            end = last;
        }

        rc = ngx_goim_mids_add(mids, mid, end - mid);

        if (rc == NGX_BUSY) {
            return ngx_http_goim_trace_error(r, error, "\"trace\" is longer "
                                             "than %d mids",
                                             NGX_GOIM_TRACE_MIDS);
        }

        if (rc != NGX_OK) {
            return ngx_http_goim_trace_error(r, error, "invalid value \"%V\" "
                                             "in \"trace\"",
                                             ngx_goim_trace_text(mid,
                                                                 end - mid));
        }

        if (end == last) {
            return NGX_OK;
        }

        mid = end + 1;
    }
}


static ngx_int_t
ngx_http_goim_trace_error(ngx_http_request_t *r, ngx_str_t *error,
    const char *fmt, ...)
{
    va_list  args;

    error->data = ngx_pnalloc(r->pool, NGX_HTTP_GOIM_TRACE_ERROR);
    if (error->data == NULL) {
        return NGX_ERROR;
    }

    va_start(args, fmt);
    error->len = ngx_vslprintf(error->data,
                               error->data + NGX_HTTP_GOIM_TRACE_ERROR, fmt,
                               args)
                 - error->data;
    va_end(args);

    return NGX_DECLINED;
}
