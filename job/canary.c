/*
 * Each logic sends a canary to every partition every few seconds. While a logic
 * is there, a partition without one for a while is one through which nothing
 * comes, whatever the bus says of itself.
 */

#include "canary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/goim_limits.h"
#include "svc/clock.h"


void
job_canary_came(job_t *job, uint32_t partition)
{
    size_t  n;

    metrics_add(job->m.canaries, 1);

    if (partition >= job->ncanary) {
        n = (size_t) partition + 1;

        job->canary = job_realloc(job->canary, n * sizeof(int64_t));
        memset(job->canary + job->ncanary, 0,
               (n - job->ncanary) * sizeof(int64_t));
        job->ncanary = n;
    }

    job->canary[partition] = svc_now();
}


void
job_canary_revoked(job_t *job, uint32_t partition)
{
    if (partition < job->ncanary) {
        job->canary[partition] = 0;
    }
}


const char *
job_canary_missing(job_t *job, char *why, size_t size)
{
    size_t    i;
    int64_t   now;
    uint32_t  come, owned;

    /* nobody sends any */

    if (!here_seen(job->here)) {
        return NULL;
    }

    come = 0;
    now = svc_now();
    owned = bus_consumer_owned(job->consumer);

    for (i = 0; i < job->ncanary; i++) {
        come += job->canary[i] != 0
                && now - job->canary[i] <= GOIM_CANARY_LATE;
    }

    if (come >= owned) {
        return NULL;
    }

    snprintf(why, size, "bus: no canary in %d s through %" PRIu32 " of %"
             PRIu32 " partitions", GOIM_CANARY_LATE / 1000, owned - come,
             owned);

    return why;
}


void
job_canary_free(job_t *job)
{
    free(job->canary);
    job->canary = NULL;
    job->ncanary = 0;
}
