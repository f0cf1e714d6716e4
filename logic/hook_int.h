/*
 * Inside of the calls to the application: one of them, and their queue.
 */

#ifndef LOGIC_HOOK_INT_H
#define LOGIC_HOOK_INT_H

#include "hook.h"

#include <curl/curl.h>
#include <sys/queue.h>

#include "svc/resolve.h"

typedef struct logic_job_s  logic_job_t;

struct logic_job_s {
    TAILQ_ENTRY(logic_job_s)   entry;
    logic_hook_t              *hook;
    CURL                      *easy;        /* NULL: it waits */
    char                      *url;
    struct curl_slist         *header;
    struct curl_slist         *resolve;
    void                      *body;        /* NULL: GET */
    size_t                     len;
    int64_t                    deadline;
    struct event              *timer;       /* of its rest; NULL: none yet */
    int64_t                    tries;       /* that had no answer */
    unsigned                   resting:1;
    logic_hook_pt              cb;
    void                      *data;

    char                      *answer;
    size_t                     answer_len;
    size_t                     header_len;
    const char                *why;         /* it was given up here */
    char                       error[CURL_ERROR_SIZE];
};

TAILQ_HEAD(logic_jobs_s, logic_job_s);

struct logic_hook_s {
    struct event_base         *base;
    const logic_hook_conf_t   *conf;
    CURLM                     *multi;
    struct event              *turn;        /* jobs may be started */
    struct event              *timer;       /* curl's */
    struct event              *late;        /* the first that waits */
    struct logic_jobs_s        waiting;     /* the oldest first */
    struct logic_jobs_s        resting;     /* before another try */
    struct logic_jobs_s        active;
    size_t                     nwaiting;    /* resting ones, too */
    size_t                     nactive;

    svc_resolve_t             *resolve;     /* under way */
    char                      *addresses;   /* as curl takes them */
    int64_t                    resolved;    /* when; 0: anew */
    unsigned                   numeric:1;   /* there is no name */
};


/* ---- hook_request.c: what a request is made of; -1: no memory ---- */

int logic_job_url(logic_job_t *job, const char *query);
int logic_job_header(logic_job_t *job, const char *const *header);
int logic_header_append(struct curl_slist **list, const char *line);
void logic_job_free(logic_job_t *job);


/* ---- hook_retry.c ---- */

/* An active one is to be tried again; -1: no. */
int logic_hook_again(logic_job_t *job, CURLcode rc);

#endif
