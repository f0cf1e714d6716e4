/*
 * Inside of the store in Redis: store_redis.c (changes), store_find.c (who is
 * where, and whether that is all).
 */

#ifndef LOGIC_STORE_REDIS_H
#define LOGIC_STORE_REDIS_H

#include "store.h"

typedef struct store_doubt_s  store_doubt_t;

struct store_s {
    logic_thread_t   *thread;
    svc_redis_t      *redis;
    char              life_key[LOGIC_KEY_BUF];

    struct event     *tick;
    uint64_t          life;         /* the last one seen; 0: none yet */
    int               whole;        /* nobody is awaited */

    store_doubt_t    *asking;       /* their answer is on its way */
    store_doubt_t    *doubts;       /* came after that was asked */
};

#endif
