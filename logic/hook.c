/*
 * HTTP requests to the application: a few kept connections a thread, a queue
 * for what finds none free, and one time limit for all of it.
 *
 * Jobs start and broken connections end in an event of their own: libevent
 * may run a request's callback inside the call that makes it, and goes on
 * using a connection after the callback of its failure.
 */

#include "hook.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/log.h"
#include "svc/resolve.h"

#define LOGIC_HOOK_ADDRESS  30000           /* ms that an address is good */
#define LOGIC_HOOK_BODY     (64 * 1024)     /* of an answer */
#define LOGIC_HOOK_HEADERS  (16 * 1024)
#define LOGIC_HOOK_FIELDS   8


typedef struct logic_job_s   logic_job_t;
typedef struct logic_conn_s  logic_conn_t;

struct logic_job_s {
    TAILQ_ENTRY(logic_job_s)     entry;
    logic_hook_t                *hook;
    logic_conn_t                *conn;      /* while active */
    struct evhttp_request       *req;
    struct event                *late;
    char                        *path;
    char                        *field[2 * LOGIC_HOOK_FIELDS];
    size_t                       nfields;
    void                        *body;
    size_t                       len;
    logic_hook_pt                cb;
    void                        *data;
    enum evhttp_request_error    error;
    unsigned                     active:1;  /* in that list, else waiting */
    unsigned                     reused:1;  /* the connection was no new one */
    unsigned                     retried:1;
};

struct logic_conn_s {
    TAILQ_ENTRY(logic_conn_s)    entry;     /* idle or broken */
    struct evhttp_connection    *evcon;
    unsigned                     used:1;
};

TAILQ_HEAD(logic_jobs_s, logic_job_s);
TAILQ_HEAD(logic_conns_s, logic_conn_s);

struct logic_hook_s {
    logic_thread_t              *thread;
    const logic_hook_conf_t     *conf;
    struct event                *turn;
    struct logic_jobs_s          waiting;
    struct logic_jobs_s          active;
    struct logic_conns_s         idle;
    struct logic_conns_s         broken;
    size_t                       nwaiting;
    size_t                       nactive;

    svc_resolve_t               *resolve;   /* under way */
    char                         address[NI_MAXHOST];
    int64_t                      resolved;  /* when; 0: never or in vain */
    unsigned                     choice;    /* of several addresses */
};


static void logic_hook_turn(evutil_socket_t fd, short what, void *data);
static void logic_hook_resolved(struct addrinfo *list, const char *error,
    void *data);
static void logic_hook_start(logic_hook_t *h, logic_job_t *job);
static logic_conn_t *logic_hook_conn(logic_hook_t *h);
static void logic_hook_answered(struct evhttp_request *req, void *data);
static void logic_hook_error(enum evhttp_request_error error, void *data);
static void logic_hook_late(evutil_socket_t fd, short what, void *data);
static void logic_hook_done(logic_job_t *job, int status, const char *body,
    size_t len);
static void logic_hook_job_free(logic_job_t *job);
static void logic_hook_conns_free(struct logic_conns_s *conns);


logic_hook_t *
logic_hook_new(logic_thread_t *t, const logic_hook_conf_t *conf)
{
    logic_hook_t  *h;

    h = calloc(1, sizeof(logic_hook_t));
    if (h == NULL) {
        return NULL;
    }

    h->thread = t;
    h->conf = conf;
    h->turn = event_new(t->base, -1, EV_PERSIST, logic_hook_turn, h);

    TAILQ_INIT(&h->waiting);
    TAILQ_INIT(&h->active);
    TAILQ_INIT(&h->idle);
    TAILQ_INIT(&h->broken);

    if (h->turn == NULL) {
        free(h);
        return NULL;
    }

    return h;
}


void
logic_hook_free(logic_hook_t *h)
{
    logic_job_t  *job;

    if (h == NULL) {
        return;
    }

    while ((job = TAILQ_FIRST(&h->active)) != NULL) {
        evhttp_cancel_request(job->req);
        TAILQ_INSERT_TAIL(&h->broken, job->conn, entry);
        logic_hook_done(job, 0, NULL, 0);
    }

    while ((job = TAILQ_FIRST(&h->waiting)) != NULL) {
        logic_hook_done(job, 0, NULL, 0);
    }

    if (h->resolve != NULL) {
        svc_resolve_cancel(h->resolve);
    }

    logic_hook_conns_free(&h->idle);
    logic_hook_conns_free(&h->broken);
    event_free(h->turn);
    free(h);
}


size_t
logic_hook_busy(const logic_hook_t *h)
{
    return h->nwaiting + h->nactive;
}


int
logic_hook_post(logic_hook_t *h, const char *query,
    const char *const *header, const void *body, size_t len,
    logic_hook_pt cb, void *data)
{
    size_t        n;
    logic_job_t  *job;

    if (h->nactive >= (size_t) h->conf->connections
        && h->nwaiting >= (size_t) h->conf->waiting)
    {
        return -1;
    }

    job = calloc(1, sizeof(logic_job_t));
    if (job == NULL) {
        return -1;
    }

    n = strlen(h->conf->path) + strlen(query) + 2;

    job->hook = h;
    job->cb = cb;
    job->data = data;
    job->len = len;
    job->path = malloc(n);
    job->body = malloc(len + 1);
    job->late = evtimer_new(h->thread->base, logic_hook_late, job);

    if (job->path == NULL || job->body == NULL || job->late == NULL) {
        goto failed;
    }

    snprintf(job->path, n, "%s%s%s", h->conf->path,
             query[0] == '\0' ? ""
                              : strchr(h->conf->path, '?') ? "&" : "?",
             query);

    if (len > 0) {
        memcpy(job->body, body, len);
    }

    for ( /* void */ ; *header != NULL; header++) {
        job->field[job->nfields] = strdup(*header);

        if (job->field[job->nfields++] == NULL) {
            goto failed;
        }
    }

    TAILQ_INSERT_TAIL(&h->waiting, job, entry);
    h->nwaiting++;

    metrics_add(logic_m.hook_requests, 1);

    svc_timer(job->late, h->conf->timeout);
    event_active(h->turn, EV_TIMEOUT, 0);

    return 0;

failed:

    logic_hook_job_free(job);

    return -1;
}


/* ---- jobs and connections ---------------------------------------------- */

static void
logic_hook_turn(evutil_socket_t fd, short what, void *data)
{
    logic_hook_t  *h = data;

    logic_job_t  *job;

    (void) fd;
    (void) what;

    logic_hook_conns_free(&h->broken);

    if (TAILQ_EMPTY(&h->waiting) || h->resolve != NULL) {
        return;
    }

    if (h->resolved == 0 || svc_now() - h->resolved > LOGIC_HOOK_ADDRESS) {

        h->resolve = svc_resolve(h->thread->base, h->conf->host,
                                 h->conf->port, logic_hook_resolved, h);

        if (h->resolve == NULL) {
            logic_hook_resolved(NULL, "no memory or threads", h);
        }

        return;
    }

    while (h->nactive < (size_t) h->conf->connections
           && (job = TAILQ_FIRST(&h->waiting)) != NULL)
    {
        logic_hook_start(h, job);
    }
}


static void
logic_hook_resolved(struct addrinfo *list, const char *error, void *data)
{
    logic_hook_t  *h = data;

    char              address[NI_MAXHOST];
    unsigned          n;
    logic_job_t      *job;
    struct addrinfo  *ai;

    static log_once_t  once;

    h->resolve = NULL;

    for (n = 0, ai = list; ai != NULL; ai = ai->ai_next) {
        n++;
    }

    for (n = n > 0 ? h->choice % n : 0, ai = list; n > 0; n--) {
        ai = ai->ai_next;
    }

    if (ai == NULL
        || getnameinfo(ai->ai_addr, ai->ai_addrlen, address,
                       sizeof(address), NULL, 0, NI_NUMERICHOST) != 0)
    {
        log_seldom(&once, LOG_WARN, "\"%s\": %s", h->conf->url,
                   error != NULL ? error : "no address");

        while ((job = TAILQ_FIRST(&h->waiting)) != NULL) {
            logic_hook_done(job, 0, NULL, 0);
        }

    } else {

        if (strcmp(address, h->address) != 0) {
            logic_hook_conns_free(&h->idle);
            memcpy(h->address, address, sizeof(address));
        }

        h->resolved = svc_now();
        event_active(h->turn, EV_TIMEOUT, 0);
    }

    if (list != NULL) {
        freeaddrinfo(list);
    }
}


static void
logic_hook_start(logic_hook_t *h, logic_job_t *job)
{
    size_t              i;
    struct evkeyvalq   *headers;

    job->conn = logic_hook_conn(h);
    job->req = evhttp_request_new(logic_hook_answered, job);

    if (job->conn == NULL || job->req == NULL) {
        if (job->req != NULL) {
            evhttp_request_free(job->req);
        }

        if (job->conn != NULL) {
            TAILQ_INSERT_TAIL(&h->broken, job->conn, entry);
        }

        logic_hook_done(job, 0, NULL, 0);
        return;
    }

    TAILQ_REMOVE(&h->waiting, job, entry);
    TAILQ_INSERT_TAIL(&h->active, job, entry);
    h->nwaiting--;
    h->nactive++;

    job->active = 1;
    job->error = EVREQ_HTTP_TIMEOUT;
    job->reused = job->conn->used;
    job->conn->used = 1;

    evhttp_request_set_error_cb(job->req, logic_hook_error);

    headers = evhttp_request_get_output_headers(job->req);
    evhttp_add_header(headers, "Host", h->conf->authority);

    for (i = 0; i + 1 < job->nfields; i += 2) {
        evhttp_add_header(headers, job->field[i], job->field[i + 1]);
    }

    evbuffer_add(evhttp_request_get_output_buffer(job->req), job->body,
                 job->len);

    if (evhttp_make_request(job->conn->evcon, job->req, EVHTTP_REQ_POST,
                            job->path)
        != 0)
    {
        /* the request is freed, and no callback came */
        job->req = NULL;
        TAILQ_INSERT_TAIL(&h->broken, job->conn, entry);
        event_active(h->turn, EV_TIMEOUT, 0);
        logic_hook_done(job, 0, NULL, 0);
    }
}


static logic_conn_t *
logic_hook_conn(logic_hook_t *h)
{
    logic_conn_t    *conn;
    struct timeval   tv;

    conn = TAILQ_FIRST(&h->idle);

    if (conn != NULL) {
        TAILQ_REMOVE(&h->idle, conn, entry);
        return conn;
    }

    conn = calloc(1, sizeof(logic_conn_t));
    if (conn == NULL) {
        return NULL;
    }

    conn->evcon = evhttp_connection_base_new(h->thread->base, NULL,
                                             h->address, h->conf->port);
    if (conn->evcon == NULL) {
        free(conn);
        return NULL;
    }

    tv.tv_sec = (time_t) (h->conf->timeout / 1000 + 1);
    tv.tv_usec = 0;

    evhttp_connection_set_timeout_tv(conn->evcon, &tv);
    evhttp_connection_set_retries(conn->evcon, 0);
    evhttp_connection_set_max_body_size(conn->evcon, LOGIC_HOOK_BODY);
    evhttp_connection_set_max_headers_size(conn->evcon, LOGIC_HOOK_HEADERS);

    return conn;
}


static void
logic_hook_answered(struct evhttp_request *req, void *data)
{
    logic_job_t  *job = data;

    int               status;
    logic_hook_t     *h;
    struct evbuffer  *body;

    h = job->hook;
    status = req != NULL ? evhttp_request_get_response_code(req) : 0;
    job->req = NULL;

    event_active(h->turn, EV_TIMEOUT, 0);

    if (status == 0) {
        TAILQ_INSERT_TAIL(&h->broken, job->conn, entry);

        if (job->error == EVREQ_HTTP_EOF && job->reused && !job->retried) {
            /* the kept connection had ended just then */
            job->retried = 1;
            job->active = 0;
            TAILQ_REMOVE(&h->active, job, entry);
            TAILQ_INSERT_HEAD(&h->waiting, job, entry);
            h->nactive--;
            h->nwaiting++;
            return;
        }

        /* another address, perhaps, next time */
        h->choice++;
        h->resolved = 0;

        logic_hook_done(job, 0, NULL, 0);
        return;
    }

    body = evhttp_request_get_input_buffer(req);

    TAILQ_INSERT_HEAD(&h->idle, job->conn, entry);
    logic_hook_done(job, status, (char *) evbuffer_pullup(body, -1),
                    evbuffer_get_length(body));
}


static void
logic_hook_error(enum evhttp_request_error error, void *data)
{
    logic_job_t  *job = data;

    job->error = error;
}


static void
logic_hook_late(evutil_socket_t fd, short what, void *data)
{
    logic_job_t  *job = data;

    logic_hook_t  *h;

    (void) fd;
    (void) what;

    h = job->hook;

    if (job->active) {
        evhttp_cancel_request(job->req);
        TAILQ_INSERT_TAIL(&h->broken, job->conn, entry);
        event_active(h->turn, EV_TIMEOUT, 0);
    }

    logic_hook_done(job, 0, NULL, 0);
}


/* Its connection is in another list by now. */

static void
logic_hook_done(logic_job_t *job, int status, const char *body, size_t len)
{
    void           *data;
    logic_hook_t   *h;
    logic_hook_pt   cb;

    h = job->hook;
    cb = job->cb;
    data = job->data;

    if (job->active) {
        TAILQ_REMOVE(&h->active, job, entry);
        h->nactive--;

    } else {
        TAILQ_REMOVE(&h->waiting, job, entry);
        h->nwaiting--;
    }

    logic_hook_job_free(job);

    if (status == 0) {
        metrics_add(logic_m.hook_failed, 1);
    }

    cb(status, body, len, data);
}


static void
logic_hook_job_free(logic_job_t *job)
{
    size_t  i;

    for (i = 0; i < job->nfields; i++) {
        free(job->field[i]);
    }

    if (job->late != NULL) {
        event_free(job->late);
    }

    free(job->path);
    free(job->body);
    free(job);
}


static void
logic_hook_conns_free(struct logic_conns_s *conns)
{
    logic_conn_t  *conn;

    while ((conn = TAILQ_FIRST(conns)) != NULL) {
        TAILQ_REMOVE(conns, conn, entry);
        evhttp_connection_free(conn->evcon);
        free(conn);
    }
}
