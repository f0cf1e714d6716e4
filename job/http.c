/*
 * For operators: /metrics and /health, nothing else.
 */

#include "http.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/log.h"


#define JOB_HTTP_TIMEOUT  10            /* s */
#define JOB_HTTP_HEADERS  8192
#define JOB_HTTP_BODY     1024


static void job_http_metrics(struct evhttp_request *req, void *data);
static void job_http_health(struct evhttp_request *req, void *data);
static void job_http_reply(struct evhttp_request *req, int code,
    const char *reason, const char *type, const char *text, size_t len);


int
job_http_check(const char *addr, char *err, size_t size)
{
    char      host[256];
    uint16_t  port;

    if (addr[0] == '\0' || conf_addr(addr, host, sizeof(host), &port) == 0) {
        return 0;
    }

    snprintf(err, size, "[job] http = \"%s\" is not host:port", addr);

    return -1;
}


int
job_http_start(job_t *job, char *err, size_t size)
{
    char      host[256];
    uint16_t  port;

    if (job->conf->http[0] == '\0') {
        return 0;
    }

    if (conf_addr(job->conf->http, host, sizeof(host), &port) != 0) {
        return job_http_check(job->conf->http, err, size);
    }

    job->http = evhttp_new(job->base);
    if (job->http == NULL) {
        snprintf(err, size, "no memory for the HTTP server");
        return -1;
    }

    evhttp_set_timeout(job->http, JOB_HTTP_TIMEOUT);
    evhttp_set_max_headers_size(job->http, JOB_HTTP_HEADERS);
    evhttp_set_max_body_size(job->http, JOB_HTTP_BODY);
    evhttp_set_allowed_methods(job->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);

    evhttp_set_cb(job->http, "/metrics", job_http_metrics, job);
    evhttp_set_cb(job->http, "/health", job_http_health, job);

    if (evhttp_bind_socket(job->http, host[0] ? host : "0.0.0.0", port) != 0)
    {
        snprintf(err, size, "[job] http = \"%s\": cannot listen: %s",
                 job->conf->http,
                 evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
        return -1;
    }

    return 0;
}


void
job_http_stop(job_t *job)
{
    if (job->http != NULL) {
        evhttp_free(job->http);
        job->http = NULL;
    }
}


static int
job_bus_healthy(job_t *job)
{
    return job->consumer != NULL && !job->freeing
           && bus_consumer_healthy(job->consumer);
}


static void
job_http_metrics(struct evhttp_request *req, void *data)
{
    job_t  *job = data;

    char    *text;
    size_t   len;

    if (job->consumer != NULL && !job->freeing) {
        metrics_set(job->m.lag, bus_consumer_lag(job->consumer));
        metrics_set(job->m.owned, bus_consumer_owned(job->consumer));
        metrics_set(job->m.stuck, bus_consumer_stuck(job->consumer));
    }

    metrics_set(job->m.unacked, (int64_t) job->used);
    metrics_set(job->m.outstanding, (int64_t) job->place.count);
    metrics_set(job->m.paused, job->paused);
    metrics_set(job->m.full, (int64_t) job->full);
    metrics_set(job->m.up, svc_redis_is_up(job->redis));
    metrics_set(job->m.bus_up, job_bus_healthy(job));

    text = metrics_text(&len);
    if (text == NULL) {
        evhttp_send_error(req, HTTP_INTERNAL, NULL);
        return;
    }

    job_http_reply(req, HTTP_OK, "OK", "text/plain; version=0.0.4", text,
                   len);
    free(text);
}


/* Whether records can move now; that there are none to move is health. */

static void
job_http_health(struct evhttp_request *req, void *data)
{
    job_t  *job = data;

    char         why[64];
    const char  *text;

    if (job->draining) {
        text = "draining\n";

    } else if (!svc_redis_is_up(job->redis)) {
        text = "redis is away\n";

    } else if (!job_bus_healthy(job)) {
        snprintf(why, sizeof(why), "the bus is away: %s\n",
                 job->conf->bus.driver);
        text = why;

    } else if (bus_consumer_stuck(job->consumer) > 0) {
        snprintf(why, sizeof(why), "%u partitions stand still\n",
                 (unsigned) bus_consumer_stuck(job->consumer));
        text = why;

    } else {
        text = NULL;
    }

    if (text != NULL) {
        job_http_reply(req, HTTP_SERVUNAVAIL, "Service Unavailable",
                       "text/plain", text, strlen(text));
        return;
    }

    job_http_reply(req, HTTP_OK, "OK", "text/plain", "ok\n", 3);
}


static void
job_http_reply(struct evhttp_request *req, int code, const char *reason,
    const char *type, const char *text, size_t len)
{
    struct evbuffer  *out;

    evhttp_add_header(evhttp_request_get_output_headers(req),
                      "Content-Type", type);

    out = evbuffer_new();

    if (out == NULL || evbuffer_add(out, text, len) != 0) {
        evhttp_send_error(req, HTTP_INTERNAL, NULL);

    } else {
        evhttp_send_reply(req, code, reason, out);
    }

    if (out != NULL) {
        evbuffer_free(out);
    }
}
