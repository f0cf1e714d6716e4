
/*
 * goim_status: the node's state as JSON, or for Prometheus; by POST, what is
 * traced, and whether the node drains.
 */


#include "ngx_http_goim.h"
#include "ngx_goim_trace.h"


/* X(name in the JSON and of the metric, field, help): numbers of the node */
#define NGX_HTTP_GOIM_GAUGES(X)                                              \
    X("started", started, "Time the node's zone was made, in seconds.")      \
    X("registered", registered, "Whether logic confirmed the node.")         \
    X("ready", ready, "Whether pushes get through this node.")               \
    X("offline", offline, "Whether the node takes no new clients.")          \
    X("drain", drain, "Whether the node was told to let everybody go.")      \
    X("sessions", sessions, "Connections held.")                             \
    X("authorized", authorized, "Connections held that are authenticated.")  \
    X("addrs", addrs, "Distinct addresses of clients.")                      \
    X("rooms", rooms, "Rooms with members on this node.")                    \
    X("listed", listed, "Whether only their messages are sent here.")        \
    X("workers", workers, "Worker processes alive.")                         \
    X("draining", draining, "Worker processes of older generations.")        \
    X("reader_pid", reader_pid, "Process that reads the node's stream.")     \
    X("reader_epoch", reader_epoch, "How often that role was given away.")   \
    X("reader_connected", reader_connected,                                  \
      "Whether the reader is connected to Redis.")                           \
    X("ring_size", ring_size, "Size of the ring, in bytes.")                 \
    X("ring_written", ring_written, "Written to the ring so far, in bytes.") \
    X("ring_lag", ring_lag,                                                  \
      "How far the slowest worker is behind in the ring, in bytes.")         \
    X("zone_free", zone_free, "Free memory in the zone, in bytes.")

#define NGX_HTTP_GOIM_LINE  512     /* bytes, the longest text of one figure */


static ngx_uint_t ngx_http_goim_status_format(ngx_http_request_t *r);
static u_char *ngx_http_goim_status_json(u_char *p, u_char *last,
    ngx_goim_stats_t *st);
static u_char *ngx_http_goim_status_prometheus(u_char *p, u_char *last,
    ngx_goim_stats_t *st);
static u_char *ngx_http_goim_status_label(u_char *p, u_char *last,
    ngx_str_t *value);


typedef struct {
    const char          *name;
    const char          *help;
    uint64_t             value;
} ngx_http_goim_gauge_t;


ngx_int_t
ngx_http_goim_status(ngx_http_request_t *r)
{
    size_t             size;
    ngx_int_t          rc;
    ngx_buf_t         *b;
    ngx_str_t          type, value;
    ngx_table_elt_t   *allow;
    ngx_goim_conf_t   *gcf;
    ngx_goim_stats_t   st;

    if (r->method == NGX_HTTP_POST) {

        if (ngx_http_arg(r, (u_char *) "drain", 5, &value) == NGX_OK) {
            return ngx_http_goim_drain(r, &value);
        }

        return ngx_http_goim_trace(r);
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {

        allow = ngx_list_push(&r->headers_out.headers);
        if (allow == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_memzero(allow, sizeof(ngx_table_elt_t));

        allow->hash = 1;
        ngx_str_set(&allow->key, "Allow");
        ngx_str_set(&allow->value, "GET, HEAD, POST");

        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_memzero(&st, sizeof(ngx_goim_stats_t));
    ngx_goim_get_stats(&st);

    gcf = ngx_goim_get_conf((ngx_cycle_t *) ngx_cycle);

    st.server_id = gcf->server_id;
    st.offline = gcf->offline || st.drain;

    /* escaped, a byte of server_id is six at most */

    size = (NGX_GOIM_C_COUNT + 32) * NGX_HTTP_GOIM_LINE
           + 6 * st.server_id.len + NGX_HTTP_GOIM_TRACE_JSON;

    b = ngx_create_temp_buf(r->pool, size);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_goim_status_format(r)) {
        b->last = ngx_http_goim_status_prometheus(b->pos, b->end, &st);
        ngx_str_set(&type, "text/plain; version=0.0.4; charset=utf-8");

    } else {
        b->last = ngx_http_goim_status_json(b->pos, b->end, &st);
        ngx_str_set(&type, "application/json");
    }

    return ngx_http_goim_answer(r, NGX_HTTP_OK, &type, b);
}


static ngx_uint_t
ngx_http_goim_status_format(ngx_http_request_t *r)
{
    ngx_str_t  value;

    return ngx_http_arg(r, (u_char *) "format", 6, &value) == NGX_OK
           && value.len == sizeof("prometheus") - 1
           && ngx_strncmp(value.data, "prometheus", value.len) == 0;
}


#define NGX_HTTP_GOIM_GAUGE(name, field, help)                               \
    { name, help, (uint64_t) st->field },


static u_char *
ngx_http_goim_status_json(u_char *p, u_char *last, ngx_goim_stats_t *st)
{
    size_t           escape;
    ngx_uint_t       i;
    ngx_goim_mids_t  mids;

    const ngx_http_goim_gauge_t  gauges[] = {
        NGX_HTTP_GOIM_GAUGES(NGX_HTTP_GOIM_GAUGE)
    };

    p = ngx_slprintf(p, last, "{\"version\":\"%s\",\"server_id\":\"",
                     NGX_GOIM_VERSION);

    escape = ngx_escape_json(NULL, st->server_id.data, st->server_id.len);

    if ((size_t) (last - p) >= st->server_id.len + escape) {
        p = (u_char *) ngx_escape_json(p, st->server_id.data,
                                       st->server_id.len);
    }

    p = ngx_slprintf(p, last, "\",\"zone_id\":\"%s\",\"stream_id\":\"%s\""
                     ",\"unready\":\"%s\"", st->zone_id, st->stream_id,
                     st->unready);

    ngx_goim_trace_get(&mids);

    p = ngx_slprintf(p, last, ",\"trace\":");
    p = ngx_http_goim_trace_json(p, last, &mids);

    for (i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
        p = ngx_slprintf(p, last, ",\"%s\":%uL", gauges[i].name,
                         gauges[i].value);
    }

    p = ngx_slprintf(p, last, ",\"counters\":{");

    for (i = 0; i < NGX_GOIM_C_COUNT; i++) {
        p = ngx_slprintf(p, last, "%s\"%s\":%uL", i ? "," : "",
                         ngx_goim_counter_names[i], st->counters[i]);
    }

    return ngx_slprintf(p, last, "}}\n");
}


static u_char *
ngx_http_goim_status_prometheus(u_char *p, u_char *last, ngx_goim_stats_t *st)
{
    ngx_uint_t  i;

    const ngx_http_goim_gauge_t  gauges[] = {
        NGX_HTTP_GOIM_GAUGES(NGX_HTTP_GOIM_GAUGE)
    };

    p = ngx_slprintf(p, last,
                     "# HELP goim_comet_info The node; always 1.\n"
                     "# TYPE goim_comet_info gauge\n"
                     "goim_comet_info{version=\"%s\",server_id=\"",
                     NGX_GOIM_VERSION);

    p = ngx_http_goim_status_label(p, last, &st->server_id);

    p = ngx_slprintf(p, last, "\",zone_id=\"%s\"} 1\n", st->zone_id);

    for (i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
        p = ngx_slprintf(p, last,
                         "# HELP goim_comet_%s %s\n"
                         "# TYPE goim_comet_%s gauge\n"
                         "goim_comet_%s %uL\n",
                         gauges[i].name, gauges[i].help, gauges[i].name,
                         gauges[i].name, gauges[i].value);
    }

    for (i = 0; i < NGX_GOIM_C_COUNT; i++) {
        p = ngx_slprintf(p, last,
                         "# HELP goim_comet_%s_total %s\n"
                         "# TYPE goim_comet_%s_total counter\n"
                         "goim_comet_%s_total %uL\n",
                         ngx_goim_counter_names[i], ngx_goim_counter_help[i],
                         ngx_goim_counter_names[i], ngx_goim_counter_names[i],
                         st->counters[i]);
    }

    return p;
}


static u_char *
ngx_http_goim_status_label(u_char *p, u_char *last, ngx_str_t *value)
{
    size_t  i;

    for (i = 0; i < value->len && last - p > 1; i++) {

        if (value->data[i] == '\\' || value->data[i] == '"') {
            *p++ = '\\';
        }

        *p++ = value->data[i];
    }

    return p;
}
