/*
 * Tokens that are taken no longer (revoked.c).
 */

#ifndef LOGIC_REVOKED_H
#define LOGIC_REVOKED_H

#include "logic.h"
#include "token.h"

#define LOGIC_REVOKED      "the token is revoked"
#define LOGIC_REVOKED_MAX  1000000      /* revocations */

/* All of a user's that were issued up to then, or one by its id. */
typedef struct {
    char     what[GOIM_JTI_MAX + 2];    /* "m" and the mid, "j" and the id */
    size_t   len;
    int64_t  till;                      /* s */
    int64_t  end;                       /* ms; 0: it counts always */
} logic_revoked_t;

int logic_revoked_start(logic_thread_t *t);
void logic_revoked_stop(logic_thread_t *t);

/* The thread's Redis came up: what it may have lost is put back before
 * anything else is asked there. */
void logic_revoked_up(logic_thread_t *t);

/* Write n of them to Redis, at most LOGIC_REVOKED_PUT. -1: it is away, no
 * callback. */
#define LOGIC_REVOKED_PUT  1000

int logic_revoked_put(logic_thread_t *t, const logic_revoked_t *list, size_t n,
    svc_redis_pt cb, void *data);

/* They stand there: this process puts them back when Redis loses them. */
void logic_revoked_know(const logic_revoked_t *list, size_t n);

/* Whether the token with these claims is: 1, 0; -1: Redis did not answer. */
typedef void (*logic_revoked_pt)(int revoked, void *data);

/* -1: Redis is away, no callback. */
int logic_revoked_ask(logic_thread_t *t, const logic_who_t *who,
    logic_revoked_pt cb, void *data);

#endif
