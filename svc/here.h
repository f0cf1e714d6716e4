/*
 * Whether logic and job have the same Redis, database and prefix. Each keeps
 * a mark there that lives for seconds, and looks for the other's; the mark
 * names the bus, so that those of another system are not taken for it.
 */

#ifndef SVC_HERE_H
#define SVC_HERE_H

#include "bus.h"
#include "redis.h"

#define HERE_FROM   512
#define HERE_GRACE  10000       /* ms */

typedef struct here_s  here_t;

/* the other has not been there for HERE_GRACE though Redis was; or is again */
typedef void (*here_pt)(int seen, void *data);

/* me, other: "logic" and "job" */
here_t *here_new(struct event_base *base, svc_redis_t *r,
    const bus_conf_t *bus, const char *me, const char *other, here_pt cb,
    void *data);

/*
 * Where that is, for the other one: "<run_id> <db> <prefix>". Records carry it
 * (bus_message_t), so that job can compare it with its own.
 */
void here_from(char from[HERE_FROM], svc_redis_t *r);

/* Before the end of Redis: this one's mark goes, others of its kind renew it.
 * Nothing is called any more. */
void here_leave(here_t *h);

/* After it: nothing is outstanding. */
void here_free(here_t *h);

/* Whether the other was there when this was looked at last; 0: or it is not
 * known. */
int here_seen(here_t *h);

#endif
