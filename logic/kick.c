/*
 * The word to a node that one of its sessions has been replaced, or is to end:
 * an entry in the node's stream. It is tried again for a while when Redis does
 * not take it; one that is lost after all is made up for by the old session's
 * next renewal, if its key is another's by then. To say it twice does no harm,
 * as it names the session.
 */

#include "kick.h"
#include "rpc.h"

#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/stream.h"

#define LOGIC_KICK_TRIES  8
#define LOGIC_KICK_DELAY  50        /* ms, doubled each time */
#define LOGIC_KICKS       10000     /* under way, a thread */


struct logic_kick_s {
    TAILQ_ENTRY(logic_kick_s)  entry;
    logic_thread_t            *thread;
    struct event              *again;
    unsigned                   tries;
    char                      *server;
    size_t                     size;
    uint8_t                    delivery[];
};


static int logic_kick_parse(const char *holder, size_t len,
    char server[LOGIC_HOLDER_BUF], char **zone, char **session);
static logic_kick_t *logic_kick_new(logic_thread_t *t, const char *server,
    const char *zone, uint64_t session, Goim__Record *record);
static void logic_kick_send(evutil_socket_t fd, short what, void *data);
static void logic_kick_sent(svc_redis_t *r, redisReply *reply, void *data);
static void logic_kick_again(logic_kick_t *kick);
static void logic_kick_end(logic_kick_t *kick);


/* holder: <server>/<zone>/<session>; a server_id may hold slashes */

static int
logic_kick_parse(const char *holder, size_t len,
    char server[LOGIC_HOLDER_BUF], char **zone, char **session)
{
    if (len >= LOGIC_HOLDER_BUF) {
        return -1;
    }

    memcpy(server, holder, len);
    server[len] = '\0';

    *session = strrchr(server, '/');
    if (*session == NULL) {
        return -1;
    }

    *(*session)++ = '\0';

    *zone = strrchr(server, '/');
    if (*zone == NULL) {
        return -1;
    }

    *(*zone)++ = '\0';

    return logic_zone_valid(server, *zone) ? 0 : -1;
}


void
logic_kick(logic_thread_t *t, const char *holder, size_t len,
    const void *key, size_t key_len, unsigned code, const char *reason)
{
    char                  server[LOGIC_HOLDER_BUF], *zone, *session;
    logic_kick_t         *kick;
    ProtobufCBinaryData   keys[1];

    Goim__End     end = GOIM__END__INIT;
    Goim__Record  record = GOIM__RECORD__INIT;

    kick = NULL;

    keys[0].data = (uint8_t *) key;
    keys[0].len = key_len;

    record.n_keys = 1;
    record.keys = keys;

    if (code != 0) {
        end.n_keys = 1;
        end.keys = keys;
        end.code = code;
        end.reason = (char *) reason;
        record.end = &end;
    }

    if (t->nkicks < LOGIC_KICKS
        && logic_kick_parse(holder, len, server, &zone, &session) == 0)
    {
        kick = logic_kick_new(t, server, zone, strtoull(session, NULL, 10),
                              &record);
    }

    if (kick == NULL) {
        metrics_add(logic_m.kick_failed, 1);
        return;
    }

    logic_kick_send(-1, 0, kick);
}


static logic_kick_t *
logic_kick_new(logic_thread_t *t, const char *server, const char *zone,
    uint64_t session, Goim__Record *record)
{
    size_t         size;
    logic_kick_t  *kick;

    Goim__Delivery  delivery = GOIM__DELIVERY__INIT;

    record->kind = GOIM__RECORD__KIND__KICK;
    record->zone.data = (uint8_t *) zone;
    record->zone.len = strlen(zone);
    record->session = session;

    delivery.n_records = 1;
    delivery.records = &record;

    size = goim__delivery__get_packed_size(&delivery);

    kick = calloc(1, sizeof(logic_kick_t) + size);
    if (kick == NULL) {
        return NULL;
    }

    kick->thread = t;
    kick->size = size;
    kick->server = strdup(server);
    kick->again = evtimer_new(t->base, logic_kick_send, kick);

    TAILQ_INSERT_TAIL(&t->kicks, kick, entry);
    t->nkicks++;

    if (kick->server == NULL || kick->again == NULL) {
        logic_kick_end(kick);
        return NULL;
    }

    goim__delivery__pack(&delivery, kick->delivery);

    return kick;
}


static void
logic_kick_send(evutil_socket_t fd, short what, void *data)
{
    logic_kick_t  *kick = data;

    logic_thread_t  *t;

    (void) fd;
    (void) what;

    t = kick->thread;

    if (svc_stream_append(t->redis, kick->server,
                          (size_t) t->conf->stream_maxlen, kick->delivery,
                          kick->size, logic_kick_sent, kick)
        != 0)
    {
        logic_kick_again(kick);
    }
}


static void
logic_kick_sent(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_kick_t  *kick = data;

    (void) r;

    switch (svc_redis_class(reply)) {

    case SVC_REDIS_OK:
        metrics_add(logic_m.kicks, 1);
        logic_kick_end(kick);
        break;

    case SVC_REDIS_AGAIN:
    case SVC_REDIS_LIFE:
        logic_kick_again(kick);
        break;

    default:
        logic_redis_said("kick", reply);
        metrics_add(logic_m.kick_failed, 1);
        logic_kick_end(kick);
        break;
    }
}


static void
logic_kick_again(logic_kick_t *kick)
{
    if (++kick->tries == LOGIC_KICK_TRIES) {
        metrics_add(logic_m.kick_failed, 1);
        logic_kick_end(kick);
        return;
    }

    svc_timer(kick->again, LOGIC_KICK_DELAY << (kick->tries - 1));
}


static void
logic_kick_end(logic_kick_t *kick)
{
    TAILQ_REMOVE(&kick->thread->kicks, kick, entry);
    kick->thread->nkicks--;

    if (kick->again != NULL) {
        event_free(kick->again);
    }

    free(kick->server);
    free(kick);
}


void
logic_kick_free(logic_thread_t *t)
{
    logic_kick_t  *kick;

    while ((kick = TAILQ_FIRST(&t->kicks)) != NULL) {
        logic_kick_end(kick);
    }
}
