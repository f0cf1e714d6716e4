/*
 * For operators: /metrics, /health and /ready, nothing else.
 */

#include "canary.h"
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/http.h"
#include "svc/listen.h"


#define JOB_HTTP_TIMEOUT      10000     /* ms */
#define JOB_HTTP_HEADERS      8192
#define JOB_HTTP_BODY         1024
#define JOB_HTTP_CONNECTIONS  1000


static void job_http_metrics(http_request_t *req, void *data);
static void job_http_health(http_request_t *req, void *data);
static void job_http_ready(http_request_t *req, void *data);
static const char *job_http_unhealthy(job_t *job, char *why, size_t size);
static void job_http_say(job_t *job, http_request_t *req, const char *why);
static void job_http_missing(http_request_t *req, void *data);


static const http_route_t  job_routes[] = {
    { HTTP_GET, "/metrics", job_http_metrics },
    { HTTP_GET, "/health", job_http_health },
    { HTTP_GET, "/ready", job_http_ready },
    { 0, NULL, job_http_missing }
};


int
job_http_check(const char *addr, char *err, size_t size)
{
    char  why[256];

    if (addr[0] == '\0' || svc_listen_check(addr, why, sizeof(why)) == 0) {
        return 0;
    }

    snprintf(err, size, "[job] http = %s", why);

    return -1;
}


int
job_http_start(job_t *job, char *err, size_t size)
{
    int          fd;
    char         why[256];
    http_conf_t  conf;

    if (job->conf->http[0] == '\0') {
        return 0;
    }

    memset(&conf, 0, sizeof(conf));

    conf.max_head = JOB_HTTP_HEADERS;
    conf.max_body = JOB_HTTP_BODY;
    conf.max_connections = JOB_HTTP_CONNECTIONS;
    conf.timeout = JOB_HTTP_TIMEOUT;
    conf.keepalive = JOB_HTTP_TIMEOUT;

    job->http = http_server_new(job->base, &conf);
    if (job->http == NULL) {
        snprintf(err, size, "no memory for the HTTP server");
        return -1;
    }

    fd = svc_listen(job->conf->http, 0, why, sizeof(why));
    if (fd == -1) {
        snprintf(err, size, "[job] http = %s", why);
        return -1;
    }

    if (http_server_listen(job->http, fd, job_routes, job) != 0) {
        snprintf(err, size, "no memory for the HTTP server");
        return -1;
    }

    return 0;
}


void
job_http_stop(job_t *job)
{
    if (job->http != NULL) {
        http_server_free(job->http);
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
job_http_metrics(http_request_t *req, void *data)
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
    metrics_set(job->m.elsewhere, job->elsewhere != 0);

    text = metrics_text(&len);
    if (text == NULL) {
        http_answer(req, 500, "text/plain", "no memory\n", 10);
        return;
    }

    http_answer(req, 200, "text/plain; version=0.0.4", text, len);
    free(text);
}


/* Whether records can move now; that there are none to move is health. */

static void
job_http_health(http_request_t *req, void *data)
{
    job_t  *job = data;

    char  why[sizeof(job->why)];

    job_http_say(job, req, job_http_unhealthy(job, why, sizeof(why)));
}


/* Whether they do: what logic sends to see that comes. */

static void
job_http_ready(http_request_t *req, void *data)
{
    job_t  *job = data;

    char         why[sizeof(job->why)];
    const char  *text;

    text = job_http_unhealthy(job, why, sizeof(why));

    if (text == NULL) {
        text = job_canary_missing(job, why, sizeof(why));
    }

    job_http_say(job, req, text);
}


static const char *
job_http_unhealthy(job_t *job, char *why, size_t size)
{
    if (job->draining) {
        return "draining";
    }

    if (!svc_redis_is_up(job->redis)) {
        return "redis is away";
    }

    if (!job_bus_healthy(job)) {
        snprintf(why, size, "the bus is away: %s", job->conf->bus.driver);
        return why;
    }

    if (job->elsewhere != 0) {
        return job->why;
    }

    if (bus_consumer_stuck(job->consumer) > 0) {
        snprintf(why, size, "%u partitions stand still",
                 (unsigned) bus_consumer_stuck(job->consumer));
        return why;
    }

    return NULL;
}


static void
job_http_say(job_t *job, http_request_t *req, const char *why)
{
    int   status;
    char  text[sizeof(job->why) + 1];

    status = 503;

    if (why == NULL) {
        status = 200;
        why = metrics_get(job->m.no_logic) ? "ok, but no logic is seen in "
                                             "this Redis, database and prefix"
                                           : "ok";
    }

    snprintf(text, sizeof(text), "%s\n", why);
    http_answer(req, status, "text/plain", text, strlen(text));
}


static void
job_http_missing(http_request_t *req, void *data)
{
    (void) data;

    http_answer(req, 404, "text/plain", "no such route or method\n", 24);
}
