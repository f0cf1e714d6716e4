
/*
 * POST to the status page: the node lets everybody go, or takes connections
 * again.  Who may do that, nginx has decided before.
 */


#include "ngx_http_goim.h"
#include "ngx_goim_trace.h"
#include "ngx_goim_zone.h"


ngx_int_t
ngx_http_goim_drain(ngx_http_request_t *r, ngx_str_t *value)
{
    ngx_int_t    rc;
    ngx_uint_t   on;
    ngx_buf_t   *b;
    ngx_str_t    type, error;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    on = value->len == 2 && ngx_strncmp(value->data, "on", 2) == 0;

    if (!on && (value->len != 3 || ngx_strncmp(value->data, "off", 3) != 0)) {
        ngx_str_set(&error, "\"drain\" must be \"on\" or \"off\"");
        return ngx_http_goim_answer_error(r, NGX_HTTP_BAD_REQUEST, &error);
    }

    b = ngx_create_temp_buf(r->pool, sizeof("{\"drain\":\"off\"}\n"));
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_goim_zone->drain != on) {
        ngx_goim_zone->drain = on;

        ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                      "goim: the node %s",
                      on ? "drains, it takes no connections"
                         : "takes connections again");
    }

    b->last = ngx_sprintf(b->last, "{\"drain\":\"%s\"}\n", on ? "on" : "off");

    ngx_str_set(&type, "application/json");

    return ngx_http_goim_answer(r, NGX_HTTP_OK, &type, b);
}
