/*
 * Appending to a node's stream. Everything that is appended to
 * goim:node:<server> goes through here, job's deliveries and logic's kicks:
 * one script that checks the life, gives the dense id <life>-*, trims to
 * about `maxlen` entries and gives a new stream its expiry.
 *
 * The callback's reply is the new id (a string), or an error for
 * svc_redis_class(); a broken key (WRONGTYPE) is replaced by the script,
 * which then answers with an array { id, "replaced" }.
 *
 * A full Redis (OOM, said once) takes appends up to 10 % above its maxmemory:
 * the caller repeats what was refused.
 */

#ifndef SVC_STREAM_H
#define SVC_STREAM_H

#include "redis.h"

#define SVC_STREAM_EXPIRE   3600        /* s; renewed at each registration */

int svc_stream_append(svc_redis_t *r, const char *server, size_t maxlen,
    const void *delivery, size_t len, svc_redis_pt cb, void *data);

/*
 * A zone of the node has read its stream up to `id`, as it says with each
 * registration; "": it does not say. When Redis fills up, what all zones of
 * the node have read is thrown away.
 */
void svc_stream_read(svc_redis_t *r, const char *server, const char *zone,
    const char *id);

#endif
