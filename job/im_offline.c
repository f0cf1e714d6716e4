/*
 * A message is stored, and one whom it is for has no session: that is noted in
 * Redis, once for a user and a conversation, with a count. A logic looks after it
 * later (logic/offline.c). No more are known than [offline] max; what is more is
 * counted.
 */

#include "im_offline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/log.h"

#include "job/lua/im_offline.lua.h"

/* <mid>/<conversation>/<epoch> */
#define IM_OFFLINE_WHO  (20 + 1 + GOIM_IM_CONV + 1 + GOIM_EPOCH_MAX + 1)


typedef struct {
    char  who[IM_OFFLINE_WHO];
    char  seq[24];
} im_offline_one_t;

struct job_im_offline_s {
    job_t             *job;
    const char        *epoch;
    im_offline_one_t  *list;
    size_t             n, size;
};


static svc_script_t  im_offline_script = { .body = im_offline_lua };


job_im_offline_t *
im_offline_new(job_t *job, const char *epoch)
{
    job_im_offline_t  *o;

    if (job->conf->offline_max == 0) {
        return NULL;
    }

    o = job_realloc(NULL, sizeof(job_im_offline_t));
    memset(o, 0, sizeof(job_im_offline_t));
    o->job = job;
    o->epoch = epoch;

    return o;
}


void
im_offline_free(job_im_offline_t *o)
{
    if (o != NULL) {
        free(o->list);
        free(o);
    }
}


/* Keys of a node that is gone stay for a while. */

int
im_offline_away(job_im_offline_t *o, const redisReply *keys)
{
    size_t  i;

    for (i = 1; i < keys->elements; i += 2) {
        if (keys->element[i]->type == REDIS_REPLY_STRING
            && registry_find(o->job->registry, keys->element[i]->str)
               != NULL)
        {
            return 0;
        }
    }

    return 1;
}


void
im_offline_add(job_im_offline_t *o, int64_t mid, const char *conv, uint64_t seq)
{
    im_offline_one_t  *one;

    if (o->n == o->size) {
        o->size = 2 * o->size + 16;
        o->list = job_realloc(o->list, o->size * sizeof(im_offline_one_t));
    }

    one = &o->list[o->n++];
    snprintf(one->who, sizeof(one->who), "%" PRId64 "/%s/%s", mid, conv,
             o->epoch);
    snprintf(one->seq, sizeof(one->seq), "%" PRIu64, seq);
}


int
im_offline_note(job_im_offline_t *o, svc_redis_pt cb, void *data)
{
    int           rc;
    char          keys[2][GOIM_PREFIX_MAX + 32], max[24];
    size_t        i, n;
    svc_redis_t  *redis;
    const char  **argv;

    if (o->n == 0) {
        return 0;
    }

    redis = o->job->redis;
    snprintf(keys[0], sizeof(keys[0]), "%sgoim:away",
             svc_redis_prefix(redis));
    snprintf(keys[1], sizeof(keys[1]), "%sgoim:away:state",
             svc_redis_prefix(redis));
    snprintf(max, sizeof(max), "%" PRId64, o->job->conf->offline_max);

    argv = job_realloc(NULL, (3 + 2 * o->n) * sizeof(char *));
    argv[0] = keys[0];
    argv[1] = keys[1];
    argv[2] = max;

    for (i = 0, n = 3; i < o->n; i++) {
        argv[n++] = o->list[i].who;
        argv[n++] = o->list[i].seq;
    }

    rc = svc_redis_eval(redis, &im_offline_script, cb, data, 2, (int) n, argv,
                        NULL);
    free(argv);

    return rc == 0 ? 1 : -1;
}


/* A Redis that takes no more is no reason to deliver nothing. */

int
im_offline_noted(job_im_offline_t *o, const redisReply *reply)
{
    int64_t  out;

    static log_once_t  once;

    if (reply == NULL) {
        return -1;
    }

    out = reply->type == REDIS_REPLY_INTEGER ? reply->integer : (int64_t) o->n;

    metrics_add(o->job->m.offline, (int64_t) o->n - out);

    if (out > 0) {
        metrics_add(o->job->m.offline_dropped, out);
        log_seldom(&once, LOG_ERROR, "offline: the application will not be told "
                   "of %" PRId64 " messages: %.200s", out,
                   reply->type == REDIS_REPLY_ERROR ? reply->str
                   : "[offline] max are known");
    }

    return 0;
}
