/*
 * HTTP requests to the application, by libcurl on the thread's loop. curl
 * has the connections: it keeps them, tries every address of a name, repeats
 * what a kept connection took with it when it ended, and passes over 1xx.
 *
 * Names are looked up here and handed to curl: its own resolver waits for
 * its threads when a request is given up, and would have one a request.
 */

#include "hook_int.h"

#include "counters.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/log.h"

#define LOGIC_HOOK_ADDRESS  30000       /* ms that addresses are good */
#define LOGIC_HOOK_ADDRS    16          /* of a name */
#define LOGIC_HOOK_LIFE     60L         /* s that a connection is kept */


static logic_job_t *logic_hook_job(logic_hook_t *h, const char *query,
    const char *const *header, logic_hook_pt cb, void *data);
static void logic_hook_queue(logic_job_t *job);
static void logic_hook_turn(evutil_socket_t fd, short what, void *data);
static void logic_hook_lookup(logic_hook_t *h);
static void logic_hook_resolved(struct addrinfo *list, const char *error,
    void *data);
static char *logic_hook_addresses(logic_hook_t *h, struct addrinfo *list);
static void logic_hook_start(logic_hook_t *h, logic_job_t *job);
static CURL *logic_hook_easy(logic_job_t *job, int64_t left);
static size_t logic_hook_head(char *p, size_t size, size_t n, void *data);
static size_t logic_hook_body(char *p, size_t size, size_t n, void *data);
static int logic_hook_socket(CURL *easy, curl_socket_t fd, int what,
    void *data, void *ev);
static int logic_hook_timer(CURLM *multi, long ms, void *data);
static void logic_hook_ready(evutil_socket_t fd, short what, void *data);
static void logic_hook_timeout(evutil_socket_t fd, short what, void *data);
static void logic_hook_finish(logic_hook_t *h);
static void logic_hook_late(evutil_socket_t fd, short what, void *data);
static void logic_hook_failed(logic_job_t *job, const char *error);
static void logic_hook_done(logic_job_t *job, const logic_answer_t *answer);


int
logic_hook_setup(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -1;
}


logic_hook_t *
logic_hook_new(struct event_base *base, const logic_hook_conf_t *conf)
{
    logic_hook_t     *h;
    struct addrinfo   hints, *list;

    h = calloc(1, sizeof(logic_hook_t));
    if (h == NULL) {
        return NULL;
    }

    h->base = base;
    h->conf = conf;
    h->multi = curl_multi_init();
    h->turn = event_new(base, -1, EV_PERSIST, logic_hook_turn, h);
    h->timer = evtimer_new(base, logic_hook_timeout, h);
    h->late = evtimer_new(base, logic_hook_late, h);

    TAILQ_INIT(&h->waiting);
    TAILQ_INIT(&h->resting);
    TAILQ_INIT(&h->active);

    if (h->multi == NULL || h->turn == NULL || h->timer == NULL
        || h->late == NULL)
    {
        logic_hook_free(h);
        return NULL;
    }

    memset(&hints, 0, sizeof(hints));
    hints.ai_flags = AI_NUMERICHOST;
    list = NULL;

    h->numeric = getaddrinfo(conf->host, NULL, &hints, &list) == 0;

    if (h->numeric) {
        freeaddrinfo(list);
    }

    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, logic_hook_socket);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, logic_hook_timer);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS,
                      (long) conf->connections);

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
        logic_hook_failed(job, "stopping");
    }

    while ((job = TAILQ_FIRST(&h->waiting)) != NULL
           || (job = TAILQ_FIRST(&h->resting)) != NULL)
    {
        logic_hook_failed(job, "stopping");
    }

    if (h->resolve != NULL) {
        svc_resolve_cancel(h->resolve);
    }

    /* it tells of its sockets and its timer once more */

    if (h->multi != NULL) {
        curl_multi_cleanup(h->multi);
    }

    if (h->turn != NULL) {
        event_free(h->turn);
    }

    if (h->timer != NULL) {
        event_free(h->timer);
    }

    if (h->late != NULL) {
        event_free(h->late);
    }

    free(h->addresses);
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
    logic_job_t  *job;

    job = logic_hook_job(h, query, header, cb, data);
    if (job == NULL) {
        return -1;
    }

    job->len = len;
    job->body = malloc(len + 1);

    if (job->body == NULL) {
        logic_job_free(job);
        return -1;
    }

    if (len > 0) {
        memcpy(job->body, body, len);
    }

    logic_hook_queue(job);

    return 0;
}


int
logic_hook_get(logic_hook_t *h, const char *const *header, logic_hook_pt cb,
    void *data)
{
    logic_job_t  *job;

    job = logic_hook_job(h, "", header, cb, data);
    if (job == NULL) {
        return -1;
    }

    logic_hook_queue(job);

    return 0;
}


static logic_job_t *
logic_hook_job(logic_hook_t *h, const char *query, const char *const *header,
    logic_hook_pt cb, void *data)
{
    logic_job_t  *job;

    if (h->nactive + h->nwaiting
        >= (size_t) h->conf->connections + (size_t) h->conf->waiting)
    {
        return NULL;
    }

    job = calloc(1, sizeof(logic_job_t));
    if (job == NULL) {
        return NULL;
    }

    job->hook = h;
    job->cb = cb;
    job->data = data;
    job->deadline = svc_now() + h->conf->timeout;

    if (logic_job_url(job, query) != 0 || logic_job_header(job, header) != 0)
    {
        logic_job_free(job);
        return NULL;
    }

    return job;
}


static void
logic_hook_queue(logic_job_t *job)
{
    logic_hook_t  *h;

    h = job->hook;

    TAILQ_INSERT_TAIL(&h->waiting, job, entry);
    h->nwaiting++;

    metrics_add(logic_m.hook_requests, 1);
    event_active(h->turn, EV_TIMEOUT, 0);
}


/* ---- the queue, and addresses ------------------------------------------ */

static void
logic_hook_turn(evutil_socket_t fd, short what, void *data)
{
    logic_hook_t  *h = data;

    logic_job_t  *job;

    (void) fd;
    (void) what;

    if (!TAILQ_EMPTY(&h->waiting) && !h->numeric) {
        logic_hook_lookup(h);
    }

    while ((h->numeric || h->addresses != NULL)
           && h->nactive < (size_t) h->conf->connections
           && (job = TAILQ_FIRST(&h->waiting)) != NULL)
    {
        logic_hook_start(h, job);
    }

    job = TAILQ_FIRST(&h->waiting);

    if (job != NULL) {
        svc_timer(h->late, job->deadline - svc_now());
    }
}


/* The addresses that are known serve while newer ones are looked for. */

static void
logic_hook_lookup(logic_hook_t *h)
{
    if (h->resolve != NULL
        || (h->resolved != 0 && svc_now() - h->resolved < LOGIC_HOOK_ADDRESS))
    {
        return;
    }

    h->resolve = svc_resolve(h->base, h->conf->host, h->conf->port,
                             logic_hook_resolved, h);

    if (h->resolve == NULL) {
        logic_hook_resolved(NULL, "no memory or threads", h);
    }
}


static void
logic_hook_resolved(struct addrinfo *list, const char *error, void *data)
{
    logic_hook_t  *h = data;

    char         *addresses;
    logic_job_t  *job;

    static log_once_t  once;

    h->resolve = NULL;
    addresses = list != NULL ? logic_hook_addresses(h, list) : NULL;

    if (list != NULL) {
        freeaddrinfo(list);
    }

    if (addresses != NULL) {
        free(h->addresses);
        h->addresses = addresses;
        h->resolved = svc_now();

    } else {

        log_seldom(&once, LOG_WARN, "\"%s\": %s", h->conf->url,
                   error != NULL ? error : "no address");

        if (h->addresses != NULL) {
            h->resolved = svc_now();
        }

        while (h->addresses == NULL
               && (job = TAILQ_FIRST(&h->waiting)) != NULL)
        {
            logic_hook_failed(job, error != NULL ? error : "no address");
        }
    }

    event_active(h->turn, EV_TIMEOUT, 0);
}


/* host:port:address,address */

static char *
logic_hook_addresses(logic_hook_t *h, struct addrinfo *list)
{
    char     *text, *p, addr[NI_MAXHOST];
    unsigned  n;

    text = malloc(strlen(h->conf->host) + 16
                  + LOGIC_HOOK_ADDRS * (NI_MAXHOST + 3));
    if (text == NULL) {
        return NULL;
    }

    p = text + sprintf(text, "%s:%u:", h->conf->host, h->conf->port);

    for (n = 0; list != NULL && n < LOGIC_HOOK_ADDRS; list = list->ai_next) {

        if (getnameinfo(list->ai_addr, list->ai_addrlen, addr, sizeof(addr),
                        NULL, 0, NI_NUMERICHOST)
            == 0)
        {
            p += sprintf(p, list->ai_family == AF_INET6 ? "%s[%s]" : "%s%s",
                         n++ > 0 ? "," : "", addr);
        }
    }

    if (n == 0) {
        free(text);
        return NULL;
    }

    return text;
}


static void
logic_hook_late(evutil_socket_t fd, short what, void *data)
{
    logic_hook_t  *h = data;

    int64_t       now;
    logic_job_t  *job;

    (void) fd;
    (void) what;

    now = svc_now();

    while ((job = TAILQ_FIRST(&h->waiting)) != NULL && job->deadline <= now) {
        logic_hook_failed(job, h->resolve != NULL
                               ? "its name was not found in time"
                               : "no connection was free in time");
    }

    event_active(h->turn, EV_TIMEOUT, 0);
}


/* ---- a request --------------------------------------------------------- */

static void
logic_hook_start(logic_hook_t *h, logic_job_t *job)
{
    int64_t  left;

    left = job->deadline - svc_now();

    if (left <= 0) {
        logic_hook_failed(job, "no connection was free in time");
        return;
    }

    job->easy = logic_hook_easy(job, left);

    if (job->easy == NULL
        || curl_multi_add_handle(h->multi, job->easy) != CURLM_OK)
    {
        if (job->easy != NULL) {
            curl_easy_cleanup(job->easy);
            job->easy = NULL;
        }

        logic_hook_failed(job, "no memory");
        return;
    }

    TAILQ_REMOVE(&h->waiting, job, entry);
    TAILQ_INSERT_TAIL(&h->active, job, entry);
    h->nwaiting--;
    h->nactive++;
}


/* curl's defaults verify certificates, follow nothing, and keep no cookies. */

static CURL *
logic_hook_easy(logic_job_t *job, int64_t left)
{
    CURL          *easy;
    logic_hook_t  *h;

    h = job->hook;

    easy = curl_easy_init();
    if (easy == NULL) {
        return NULL;
    }

    if (!h->numeric) {
        job->resolve = curl_slist_append(NULL, h->addresses);

        if (job->resolve == NULL) {
            curl_easy_cleanup(easy);
            return NULL;
        }

        curl_easy_setopt(easy, CURLOPT_RESOLVE, job->resolve);
    }

    if (curl_easy_setopt(easy, CURLOPT_URL, job->url) != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_PROXY, "") != CURLE_OK
        || curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https")
           != CURLE_OK
        || (h->conf->ca[0] != '\0'
            && curl_easy_setopt(easy, CURLOPT_CAINFO, h->conf->ca)
               != CURLE_OK))
    {
        curl_easy_cleanup(easy);
        return NULL;
    }

    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) left);
    curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, LOGIC_HOOK_LIFE);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);

    /* so many requests are so many connections */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);

    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, job->header);

    if (job->body != NULL) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, job->body);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t) job->len);
    }

    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, logic_hook_head);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, job);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, logic_hook_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, job);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, job->error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, job);

    return easy;
}


static size_t
logic_hook_head(char *p, size_t size, size_t n, void *data)
{
    logic_job_t  *job = data;

    (void) p;

    job->header_len += size * n;

    if (job->header_len > LOGIC_HOOK_HEADERS) {
        job->why = "the headers of its answer are too long";
        return 0;
    }

    return size * n;
}


static size_t
logic_hook_body(char *p, size_t size, size_t n, void *data)
{
    logic_job_t  *job = data;

    char  *answer;

    n *= size;

    if (n > LOGIC_HOOK_BODY - job->answer_len) {
        job->why = "its answer is too long";
        return 0;
    }

    answer = realloc(job->answer, job->answer_len + n + 1);
    if (answer == NULL) {
        job->why = "no memory";
        return 0;
    }

    memcpy(answer + job->answer_len, p, n);

    job->answer = answer;
    job->answer_len += n;

    return n;
}


/* ---- curl on libevent -------------------------------------------------- */

static int
logic_hook_socket(CURL *easy, curl_socket_t fd, int what, void *data,
    void *ev)
{
    logic_hook_t  *h = data;

    short  events;

    (void) easy;

    if (what == CURL_POLL_REMOVE) {
        if (ev != NULL) {
            curl_multi_assign(h->multi, fd, NULL);
            event_free(ev);
        }

        return 0;
    }

    events = EV_PERSIST
             | (what == CURL_POLL_OUT ? 0 : EV_READ)
             | (what == CURL_POLL_IN ? 0 : EV_WRITE);

    if (ev != NULL) {
        event_del(ev);
        event_assign(ev, h->base, fd, events, logic_hook_ready, h);

    } else {
        ev = event_new(h->base, fd, events, logic_hook_ready, h);
        if (ev == NULL) {
            return -1;
        }

        curl_multi_assign(h->multi, fd, ev);
    }

    event_add(ev, NULL);

    return 0;
}


static int
logic_hook_timer(CURLM *multi, long ms, void *data)
{
    logic_hook_t  *h = data;

    (void) multi;

    if (ms < 0) {
        event_del(h->timer);

    } else {
        svc_timer(h->timer, ms);
    }

    return 0;
}


static void
logic_hook_ready(evutil_socket_t fd, short what, void *data)
{
    logic_hook_t  *h = data;

    int  running;

    curl_multi_socket_action(h->multi, fd,
                             (what & EV_READ ? CURL_CSELECT_IN : 0)
                             | (what & EV_WRITE ? CURL_CSELECT_OUT : 0),
                             &running);
    logic_hook_finish(h);
}


static void
logic_hook_timeout(evutil_socket_t fd, short what, void *data)
{
    logic_hook_t  *h = data;

    int  running;

    (void) fd;
    (void) what;

    curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    logic_hook_finish(h);
}


/* ---- the end of a request ---------------------------------------------- */

static void
logic_hook_finish(logic_hook_t *h)
{
    int              n;
    long             status;
    CURLMsg         *msg;
    CURLcode         rc;
    logic_job_t     *job;
    logic_answer_t   answer;

    while ((msg = curl_multi_info_read(h->multi, &n)) != NULL) {

        if (msg->msg != CURLMSG_DONE) {
            continue;
        }

        rc = msg->data.result;
        status = 0;

        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &job);
        curl_easy_getinfo(msg->easy_handle, CURLINFO_RESPONSE_CODE, &status);

        if (rc != CURLE_OK || status == 0) {

            if (rc == CURLE_COULDNT_CONNECT || rc == CURLE_OPERATION_TIMEDOUT)
            {
                /* perhaps it has moved */
                h->resolved = 0;
            }

            if (logic_hook_again(job, rc) == 0) {
                continue;
            }

            logic_hook_failed(job, job->why != NULL ? job->why
                                   : job->error[0] != '\0' ? job->error
                                   : curl_easy_strerror(rc));
            continue;
        }

        answer.status = (int) status;
        answer.error = NULL;
        answer.body = job->answer != NULL ? job->answer : "";
        answer.len = job->answer_len;

        logic_hook_done(job, &answer);
    }
}


static void
logic_hook_failed(logic_job_t *job, const char *error)
{
    logic_answer_t  answer;

    metrics_add(logic_m.hook_failed, 1);

    memset(&answer, 0, sizeof(answer));
    answer.error = error;

    logic_hook_done(job, &answer);
}


static void
logic_hook_done(logic_job_t *job, const logic_answer_t *answer)
{
    logic_hook_t  *h;

    h = job->hook;

    if (job->easy != NULL) {
        TAILQ_REMOVE(&h->active, job, entry);
        h->nactive--;

        curl_multi_remove_handle(h->multi, job->easy);
        curl_easy_cleanup(job->easy);

    } else {
        if (job->resting) {
            TAILQ_REMOVE(&h->resting, job, entry);

        } else {
            TAILQ_REMOVE(&h->waiting, job, entry);
        }

        h->nwaiting--;
    }

    event_active(h->turn, EV_TIMEOUT, 0);

    job->cb(answer, job->data);
    logic_job_free(job);
}
