/*
 * The Kafka bus: the consumer's clients of librdkafka's, made, made anew when
 * they cannot go on, and ended. One reads; the other asks what there is and
 * tells the group what is done, as reading does not begin while an answer to
 * that is outstanding.
 */

#include "bus_kafka_consumer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>


#define BUS_KAFKA_DESTROY       3           /* s: for the clients to end */
#define BUS_KAFKA_REOPEN        1000        /* ms */


/* ---- connections ---- */

/* Opened or closed, by any client: one that ends may outlive its consumer. */
static uint32_t  bus_kafka_sockets;


static int
bus_kafka_socket(int domain, int type, int protocol, void *data)
{
    (void) data;

    bus_kafka_suspect();

    return socket(domain, type | SOCK_CLOEXEC, protocol);
}


static int
bus_kafka_closesocket(int fd, void *data)
{
    (void) data;

    bus_kafka_suspect();

    return close(fd);
}


void
bus_kafka_suspect(void)
{
    __atomic_add_fetch(&bus_kafka_sockets, 1, __ATOMIC_RELEASE);
}


int
bus_kafka_suspected(bus_kafka_consumer_t *c)
{
    uint32_t  n;

    n = __atomic_load_n(&bus_kafka_sockets, __ATOMIC_ACQUIRE);

    if (n == c->sockets) {
        return 0;
    }

    c->sockets = n;

    return 1;
}


/* ---- making ---- */

static rd_kafka_t *
bus_kafka_client(const bus_conf_t *conf, int reads, char *err, size_t size)
{
    rd_kafka_t       *rk;
    rd_kafka_conf_t  *kc;

    kc = bus_kafka_conf(conf, RD_KAFKA_CONSUMER, err, size);
    if (kc == NULL) {
        return NULL;
    }

    if (reads) {
        rd_kafka_conf_set_socket_cb(kc, bus_kafka_socket);
        rd_kafka_conf_set_closesocket_cb(kc, bus_kafka_closesocket);
        rd_kafka_conf_set_events(kc, RD_KAFKA_EVENT_FETCH
                                     | RD_KAFKA_EVENT_ERROR);
    }

    rk = rd_kafka_new(RD_KAFKA_CONSUMER, kc, err, size);

    if (rk == NULL) {
        rd_kafka_conf_destroy(kc);
        return NULL;
    }

    if (reads) {
        rd_kafka_poll_set_consumer(rk);
    }

    return rk;
}


static int
bus_kafka_teller_open(bus_kafka_consumer_t *c, char *err, size_t size)
{
    rd_kafka_topic_t  *topic;

    c->teller = bus_kafka_client(c->conf, 0, err, size);

    if (c->teller == NULL) {
        return -1;
    }

    topic = rd_kafka_topic_new(c->teller, c->conf->topic, NULL);

    if (topic == NULL) {
        snprintf(err, size, "[bus] topic = \"%.64s\": %s", c->conf->topic,
                 rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_destroy(c->teller);
        return -1;
    }

    c->asker = bus_kafka_asker_new(c->teller, topic, 0);

    if (c->asker == NULL) {
        snprintf(err, size, "out of threads");
        rd_kafka_topic_destroy(topic);
        rd_kafka_destroy(c->teller);
        return -1;
    }

    return 0;
}


int
bus_kafka_client_open(bus_kafka_consumer_t *c, char *err, size_t size)
{
    c->rk = bus_kafka_client(c->conf, 1, err, size);

    if (c->rk == NULL) {
        return -1;
    }

    if (bus_kafka_queue_init(&c->queue, c->loop,
                             rd_kafka_queue_get_consumer(c->rk),
                             bus_kafka_event, c) != 0)
    {
        snprintf(err, size, "out of descriptors");
        goto failed;
    }

    if (bus_kafka_teller_open(c, err, size) != 0) {
        bus_kafka_queue_done(&c->queue);
        goto failed;
    }

    return 0;

failed:

    rd_kafka_destroy(c->rk);
    c->rk = NULL;

    return -1;
}


/* ---- the end ---- */

/* Both clients, and what belongs to them. */
typedef struct {
    rd_kafka_t                       *rk;
    rd_kafka_t                       *teller;
    bus_kafka_asker_t                *asker;
    rd_kafka_topic_partition_list_t  *last;     /* still to be told */
} bus_kafka_ended_t;


static void
bus_kafka_destroy(void *data)
{
    bus_kafka_ended_t  *ended;

    ended = data;

    if (ended->last != NULL) {
        rd_kafka_commit(ended->teller, ended->last, 0);
        rd_kafka_topic_partition_list_destroy(ended->last);
    }

    bus_kafka_asker_destroy(ended->asker);
    rd_kafka_destroy_flags(ended->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    free(ended);
}


/*
 * Ending them may take long, and librdkafka 2.0.2 may wait for ever then: a
 * thread does it, for which the process waits a little when it ends.
 */
static void
bus_kafka_client_end(bus_kafka_consumer_t *c, int seconds)
{
    bus_kafka_ended_t  *ended;

    ended = malloc(sizeof(bus_kafka_ended_t));
    if (ended == NULL) {
        abort();
    }

    ended->rk = c->rk;
    ended->teller = c->teller;
    ended->asker = c->asker;
    ended->last = c->last;

    bus_kafka_queue_done(&c->queue);
    c->rk = NULL;

    if (!svc_run(bus_kafka_destroy, ended, seconds) && seconds > 0) {
        log_write(LOG_NOTICE, "kafka: the client did not end in %d s, left",
                  seconds);
    }
}


/* ---- making anew ---- */

static void
bus_kafka_on_again(evutil_socket_t fd, short what, void *data)
{
    char                   err[512];
    size_t                 i;
    bus_kafka_part_t      *part;
    bus_kafka_consumer_t  *c;

    (void) fd;
    (void) what;

    c = data;

    if (c->ending) {
        return;
    }

    if (c->rk != NULL) {
        bus_kafka_cancel(c);

        if (c->marks != NULL) {
            svc_timer(c->again, BUS_KAFKA_AGAIN);
            return;
        }

        /* leases stay; where each goes on is known */

        for (i = 0; i < c->nparts; i++) {
            part = &c->parts[i];

            if (part->leased && !part->want) {
                bus_kafka_restart(c, part, 0);
            }
        }

        bus_kafka_client_end(c, 0);
    }

    if (bus_kafka_client_open(c, err, sizeof(err)) != 0) {
        log_write(LOG_ERROR, "kafka: %s", err);
        svc_timer(c->again, BUS_KAFKA_REOPEN);
        return;
    }

    bus_kafka_begin(c, 0);
}


void
bus_kafka_client_again(bus_kafka_consumer_t *c, const char *why)
{
    if (c->ending || event_pending(c->again, EV_TIMEOUT, NULL)) {
        return;
    }

    log_write(LOG_ERROR, "kafka: the consumer cannot go on and is made anew: "
              "%s", why);

    /* not from inside one of its events */

    svc_timer(c->again, 0);
}


void
bus_kafka_client_init(bus_kafka_consumer_t *c)
{
    c->again = evtimer_new(c->loop, bus_kafka_on_again, c);

    if (c->again == NULL) {
        abort();
    }
}


/* ---- the consumer's end ---- */

static void
bus_kafka_on_end(evutil_socket_t fd, short what, void *data)
{
    void                 (*freed)(void *data);
    void                  *freed_data;
    bus_kafka_consumer_t  *c;

    (void) fd;
    (void) what;

    c = data;
    freed = c->freed;
    freed_data = c->freed_data;

    if (c->rk != NULL) {
        bus_kafka_client_end(c, BUS_KAFKA_DESTROY);
    }

    event_free(c->tick);
    event_free(c->again);
    event_free(c->step);
    event_free(c->end);
    done_free(c->done);
    lease_free(c->lease);
    free(c->parts);
    free(c);

    freed(freed_data);
}


/* Redis answers everything, with NULL at last; marks have a bound too. */
void
bus_kafka_check_end(bus_kafka_consumer_t *c)
{
    if (c->left && !done_busy(c->done) && c->marks == NULL) {
        event_active(c->end, EV_TIMEOUT, 0);
    }
}


void
bus_kafka_consumer_free(bus_consumer_t *base, void (*freed)(void *data),
    void *data)
{
    bus_kafka_consumer_t  *c;

    c = (bus_kafka_consumer_t *) base;

    c->freed = freed;
    c->freed_data = data;

    c->end = evtimer_new(c->loop, bus_kafka_on_end, c);
    if (c->end == NULL) {
        abort();
    }

    svc_redis_unwatch(c->r, c->watch);
    event_del(c->tick);

    c->last = c->rk != NULL ? bus_kafka_to_commit(c) : NULL;

    bus_kafka_cancel(c);
    c->ending = 1;
    lease_end(c->lease);
}
