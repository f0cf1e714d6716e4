/*
 * Requests that had no answer, tried again after a rest and within their time.
 */

#include "hook_int.h"

#include "counters.h"

#include <stdlib.h>

#include "svc/clock.h"

#define LOGIC_HOOK_REST  100        /* ms; twice as long each time */


static void logic_hook_rested(evutil_socket_t fd, short what, void *data);


/* Nothing came back: not even the beginning of an answer. */

static int
logic_hook_unanswered(const logic_job_t *job, CURLcode rc)
{
    return job->why == NULL && job->header_len == 0
           && (rc == CURLE_COULDNT_CONNECT || rc == CURLE_SEND_ERROR
               || rc == CURLE_RECV_ERROR || rc == CURLE_GOT_NOTHING);
}


int
logic_hook_again(logic_job_t *job, CURLcode rc)
{
    int64_t        rest;
    logic_hook_t  *h;

    h = job->hook;
    rest = (int64_t) LOGIC_HOOK_REST << job->tries;

    if (job->tries >= h->conf->retries || !logic_hook_unanswered(job, rc)
        || svc_now() + rest >= job->deadline)
    {
        return -1;
    }

    if (job->timer == NULL) {
        job->timer = evtimer_new(h->base, logic_hook_rested, job);

        if (job->timer == NULL) {
            return -1;
        }
    }

    TAILQ_REMOVE(&h->active, job, entry);
    h->nactive--;

    curl_multi_remove_handle(h->multi, job->easy);
    curl_easy_cleanup(job->easy);
    curl_slist_free_all(job->resolve);

    job->easy = NULL;
    job->resolve = NULL;
    job->error[0] = '\0';
    job->tries++;
    job->resting = 1;

    TAILQ_INSERT_TAIL(&h->resting, job, entry);
    h->nwaiting++;

    metrics_add(logic_m.hook_retried, 1);
    svc_timer(job->timer, rest);
    event_active(h->turn, EV_TIMEOUT, 0);

    return 0;
}


/* It is older than those that wait. */

static void
logic_hook_rested(evutil_socket_t fd, short what, void *data)
{
    logic_job_t  *job = data;

    (void) fd;
    (void) what;

    job->resting = 0;

    TAILQ_REMOVE(&job->hook->resting, job, entry);
    TAILQ_INSERT_HEAD(&job->hook->waiting, job, entry);

    event_active(job->hook->turn, EV_TIMEOUT, 0);
}
