/*
 * Whether a database is the one that job writes: its instance is compared with
 * that which job wrote to Redis (im_same.c).
 */

#ifndef SVC_IM_SAME_H
#define SVC_IM_SAME_H

#include "db.h"
#include "metrics.h"
#include "redis.h"

#include "common/goim_limits.h"

/* The owner's; both handles live as long, and their callbacks come from one loop. */
typedef struct {
    db_t         *db;
    svc_redis_t  *redis;
    metric_t     *other;            /* gauge, 1: it is another one */
    char          mine[GOIM_EPOCH_MAX + 1];
    unsigned      looking:1;
    unsigned      said:1;
} im_same_t;

/* Look, and say in the log when that has changed. Whoever does not answer is
 * asked with the next look. */
void im_same_look(im_same_t *s);

#endif
