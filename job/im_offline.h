/*
 * Messages for users without a session: noted in Redis for logic, which tells
 * the application (im_offline.c).
 */

#ifndef JOB_IM_OFFLINE_H
#define JOB_IM_OFFLINE_H

#include "job.h"

typedef struct job_im_offline_s  job_im_offline_t;

/* NULL: the application is not told, and nothing is to be noted. epoch: of inboxes,
 * the caller's */
job_im_offline_t *im_offline_new(job_t *job, const char *epoch);

/* Nothing comes of what is under way. */
void im_offline_free(job_im_offline_t *o);

/* Whether a user with these keys, each followed by its node, has no session. */
int im_offline_away(job_im_offline_t *o, const redisReply *keys);

/* A message, its number, for one who has none. */
void im_offline_add(job_im_offline_t *o, int64_t mid, const char *conv,
    uint64_t seq);

/* Note them all: 1: cb comes; 0: there are none; -1: Redis is away. */
int im_offline_note(job_im_offline_t *o, svc_redis_pt cb, void *data);

/* What it was answered; -1: it is to be noted again. */
int im_offline_noted(job_im_offline_t *o, const redisReply *reply);

#endif
