/*
 * The Kafka bus: configuration, and librdkafka's queues in the loop.
 */

#include "bus_kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/goim_hint.h"
#include "common/goim_limits.h"


#define BUS_KAFKA_ERR  512


typedef struct {
    const char  *name;
    const char  *value;
} bus_kafka_prop_t;


/* What the configuration may change. */

static const bus_kafka_prop_t bus_kafka_producer_defaults[] = {
    { "linger.ms", "1" },
    { "message.max.bytes", "5242880" },     /* GOIM_RECORD_MAX */
    { "topic.metadata.refresh.interval.ms", "30000" },
    { "queue.buffering.max.messages", "200000" },
    { "queue.buffering.max.kbytes", "131072" },
    { "reconnect.backoff.max.ms", "500" },
    { NULL, NULL }
};

static const bus_kafka_prop_t bus_kafka_consumer_defaults[] = {
    { "queued.max.messages.kbytes", "16384" },
    { "topic.metadata.refresh.interval.ms", "10000" },
    { "reconnect.backoff.max.ms", "500" },
    { "fetch.error.backoff.ms", "100" },
    { NULL, NULL }
};

/* What the rest relies on. */

static const bus_kafka_prop_t bus_kafka_producer_fixed[] = {
    { "acks", "all" },
    { "enable.idempotence", "true" },
    { "partitioner", "fnv1a_random" },
    { NULL, NULL }
};

static const bus_kafka_prop_t bus_kafka_consumer_fixed[] = {
    { "enable.auto.commit", "false" },
    { "enable.auto.offset.store", "false" },
    { "auto.offset.reset", "error" },
    { "enable.partition.eof", "false" },
    { NULL, NULL }
};

static const bus_kafka_prop_t bus_kafka_refused[] = {
    { "acks", "it is always all" },
    { "request.required.acks", "it is always all" },
    { "enable.idempotence", "it is always on" },
    { "partitioner", "it is always goim's, fnv1a_random" },
    { "enable.auto.commit", "places are kept in Redis" },
    { "enable.auto.offset.store", "places are kept in Redis" },
    { "auto.commit.enable", "places are kept in Redis" },
    { "auto.offset.reset", "it begins behind what is done, else at the "
      "earliest record" },
    { "enable.partition.eof", "it is always off" },
    { "group.id", "set [bus] group" },
    { "message.timeout.ms", "it follows from the timeout of a push" },
    { "delivery.timeout.ms", "it follows from the timeout of a push" },
    { "transactional.id", "transactions are not used" },
    { NULL, NULL }
};


_Static_assert(GOIM_RECORD_MAX == 5242880, "message.max.bytes");


/* ---- configuration ---- */

static char *
bus_kafka_dup(const char *text, size_t len)
{
    char  *copy;

    copy = strndup(text, len);
    if (copy == NULL) {
        abort();
    }

    return copy;
}


int
bus_conf_kafka(bus_conf_t *conf, const char *name, const char *value,
    char *err, size_t size)
{
    char    *text, **props;
    size_t   n, len;

    len = strlen(name);

    if (len > 5 && strcmp(name + len - 5, "_file") == 0) {
        len -= 5;
        text = conf_file(value, err, size);

        if (text == NULL) {
            return -1;
        }

    } else {
        text = bus_kafka_dup(value, strlen(value));
    }

    for (n = 0; conf->props != NULL && conf->props[n] != NULL; n += 2) {
        /* void */
    }

    props = realloc(conf->props, (n + 3) * sizeof(char *));
    if (props == NULL) {
        abort();
    }

    props[n] = bus_kafka_dup(name, len);
    props[n + 1] = text;
    props[n + 2] = NULL;
    conf->props = props;

    return 0;
}


/*
 * librdkafka speaks from threads of its own, and repeats itself as long as a
 * broker is away: each kind of its lines is held to one a minute.
 */
static void
bus_kafka_log(const rd_kafka_t *rk, int level, const char *fac,
    const char *buf)
{
    unsigned     h;
    log_level_t  max;
    const char  *p;

    static log_once_t  once[32];

    (void) rk;

    /* producer and consumer share [kafka]: each ignores the other's; the
     * client that only tries the configuration has no brokers */

    if (strcmp(fac, "CONFWARN") == 0
        && (strstr(buf, "will be ignored") != NULL
            || strstr(buf, "No `bootstrap.servers`") != NULL))
    {
        return;
    }

    for (h = 5381, p = fac; *p != '\0'; p++) {
        h = h * 33 + (unsigned char) *p;
    }

    max = level <= 3 ? LOG_ERROR : level == 4 ? LOG_WARN
          : level == 5 ? LOG_NOTICE : level == 6 ? LOG_INFO : LOG_DEBUG;

    log_seldom(&once[h % 32], max, "kafka: %s: %s", fac, buf);
}


/* Of the properties the one that may have been meant: each is a line of what
   librdkafka shows of them, aliases too. */

static void
bus_kafka_unknown(const char *name, char *err, size_t size)
{
    char         *text, *line, *rest;
    FILE         *f;
    size_t        len;
    goim_hint_t   hint;

    f = open_memstream(&text, &len);
    if (f == NULL) {
        abort();
    }

    rd_kafka_conf_properties_show(f);
    fclose(f);

    goim_hint_init(&hint, name, strlen(name));

    for (line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest))
    {
        line[strcspn(line, " |")] = '\0';
        goim_hint_try(&hint, line);
    }

    if (hint.name != NULL) {
        snprintf(err, size, "[kafka] %s is no property of librdkafka, did you "
                 "mean \"%s\"?", name, hint.name);

    } else {
        snprintf(err, size, "[kafka] %s is no property of librdkafka", name);
    }

    free(text);
}


static int
bus_kafka_set(rd_kafka_conf_t *kc, const char *name, const char *value,
    char *err, size_t size)
{
    char                 why[BUS_KAFKA_ERR];
    rd_kafka_conf_res_t  rc;

    rc = rd_kafka_conf_set(kc, name, value, why, sizeof(why));

    if (rc == RD_KAFKA_CONF_UNKNOWN) {
        bus_kafka_unknown(name, err, size);
        return -1;
    }

    if (rc != RD_KAFKA_CONF_OK) {
        snprintf(err, size, "[kafka] %s: %s", name, why);
        return -1;
    }

    return 0;
}


static int
bus_kafka_set_all(rd_kafka_conf_t *kc, const bus_kafka_prop_t *props,
    char *err, size_t size)
{
    for ( /* void */ ; props->name != NULL; props++) {
        if (bus_kafka_set(kc, props->name, props->value, err, size) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
bus_kafka_set_props(rd_kafka_conf_t *kc, const bus_conf_t *conf, char *err,
    size_t size)
{
    int                      brokers;
    size_t                   i;
    const char              *name;
    const bus_kafka_prop_t  *refused;

    brokers = 0;

    for (i = 0; conf->props != NULL && conf->props[i] != NULL; i += 2) {
        name = conf->props[i];

        for (refused = bus_kafka_refused; refused->name != NULL; refused++) {
            if (strcmp(name, refused->name) == 0) {
                snprintf(err, size, "[kafka] %s cannot be set: %s", name,
                         refused->value);
                return -1;
            }
        }

        if (strcmp(name, "bootstrap.servers") == 0
            || strcmp(name, "metadata.broker.list") == 0)
        {
            brokers = 1;
        }

        if (bus_kafka_set(kc, name, conf->props[i + 1], err, size) != 0) {
            return -1;
        }
    }

    if (!brokers) {
        snprintf(err, size, "[bus] driver = \"kafka\" needs "
                 "bootstrap.servers in [kafka]");
        return -1;
    }

    return 0;
}


rd_kafka_conf_t *
bus_kafka_conf(const bus_conf_t *conf, rd_kafka_type_t type, char *err,
    size_t size)
{
    int               producer;
    rd_kafka_conf_t  *kc;

    producer = (type == RD_KAFKA_PRODUCER);
    kc = rd_kafka_conf_new();

    rd_kafka_conf_set_log_cb(kc, bus_kafka_log);

    if (bus_kafka_set(kc, "client.id", "ngx_goim", err, size) != 0
        || bus_kafka_set_all(kc, producer ? bus_kafka_producer_defaults
                                          : bus_kafka_consumer_defaults,
                             err, size) != 0
        || bus_kafka_set_props(kc, conf, err, size) != 0
        || bus_kafka_set_all(kc, producer ? bus_kafka_producer_fixed
                                          : bus_kafka_consumer_fixed,
                             err, size) != 0)
    {
        goto failed;
    }

    if (!producer
        && bus_kafka_set(kc, "group.id", conf->group, err, size) != 0)
    {
        goto failed;
    }

    return kc;

failed:

    rd_kafka_conf_destroy(kc);

    return NULL;
}


/*
 * Properties that contradict each other show only when a client is made of
 * them; without brokers it has nobody to talk to.
 */
static int
bus_kafka_try(const bus_conf_t *conf, rd_kafka_type_t type, char *err,
    size_t size)
{
    char              why[BUS_KAFKA_ERR];
    rd_kafka_t       *rk;
    rd_kafka_conf_t  *kc;

    kc = bus_kafka_conf(conf, type, err, size);
    if (kc == NULL) {
        return -1;
    }

    rd_kafka_conf_set(kc, "bootstrap.servers", "", why, sizeof(why));
    rk = rd_kafka_new(type, kc, why, sizeof(why));

    if (rk == NULL) {
        snprintf(err, size, "[kafka]: %s", why);
        rd_kafka_conf_destroy(kc);
        return -1;
    }

    rd_kafka_destroy(rk);

    return 0;
}


static int
bus_kafka_check(const bus_conf_t *conf, char *err, size_t size)
{
    if (conf->topic[0] == '\0' || strlen(conf->topic) > 249) {
        snprintf(err, size, "[bus] topic = \"%.64s\" is not 1 to 249 bytes",
                 conf->topic);
        return -1;
    }

    if (conf->group[0] == '\0') {
        snprintf(err, size, "[bus] group = \"\" is empty");
        return -1;
    }

    if (bus_kafka_try(conf, RD_KAFKA_PRODUCER, err, size) != 0) {
        return -1;
    }

    return bus_kafka_try(conf, RD_KAFKA_CONSUMER, err, size);
}


/* ---- queues ---- */

void
bus_kafka_queue_poll(bus_kafka_queue_t *q)
{
    int                n;
    rd_kafka_event_t  *ev;

    for (n = 0; n < BUS_KAFKA_TURN; n++) {
        ev = rd_kafka_queue_poll(q->queue, 0);

        if (ev == NULL) {
            return;
        }

        q->event(ev, q->data);

        if (q->queue == NULL) {
            return;                     /* the owner has ended it */
        }
    }

    /* it wakes the loop only when it was empty: come back by ourselves */

    svc_wake(&q->wake);
}


static void
bus_kafka_queue_ready(void *data)
{
    bus_kafka_queue_poll(data);
}


int
bus_kafka_queue_init(bus_kafka_queue_t *q, struct event_base *base,
    rd_kafka_queue_t *queue, void (*event)(rd_kafka_event_t *ev, void *data),
    void *data)
{
    static const uint64_t  one = 1;

    q->queue = queue;
    q->event = event;
    q->data = data;

    if (svc_wake_init(&q->wake, base, bus_kafka_queue_ready, q) != 0) {
        return -1;
    }

    rd_kafka_queue_io_event_enable(queue, q->wake.fd, &one, sizeof(one));

    /* what has come before */

    svc_wake(&q->wake);

    return 0;
}


void
bus_kafka_queue_done(bus_kafka_queue_t *q)
{
    rd_kafka_queue_io_event_enable(q->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(q->queue);
    q->queue = NULL;

    svc_wake_done(&q->wake);
}


const bus_driver_t  bus_kafka_driver = {
    .name = "kafka",
    .topics = 1,
    .check = bus_kafka_check,
    .producer_new = bus_kafka_producer_new,
    .producer_partitions = bus_kafka_producer_partitions,
    .produce = bus_kafka_produce,
    .producer_reaches = bus_kafka_producer_healthy,
    .producer_healthy = bus_kafka_producer_healthy,
    .producer_free = bus_kafka_producer_free,
    .consumer_new = bus_kafka_consumer_new,
    .consumer_epoch = bus_kafka_consumer_epoch,
    .consumer_holds = bus_kafka_consumer_holds,
    .consumer_names = bus_kafka_consumer_names,
    .done = bus_kafka_done,
    .back = bus_kafka_back,
    .pause = bus_kafka_pause,
    .resume = bus_kafka_resume,
    .consumer_lag = bus_kafka_consumer_lag,
    .consumer_owned = bus_kafka_consumer_owned,
    .consumer_stuck = bus_kafka_consumer_stuck,
    .consumer_healthy = bus_kafka_consumer_healthy,
    .consumer_free = bus_kafka_consumer_free
};
