/*
 * goim-job: options and configuration, start and end.
 */

#include "job.h"

#include "canary.h"
#include "consume.h"
#include "fanout.h"
#include "http.h"
#include "im.h"
#include "nodes.h"
#include "same.h"

#include <stdio.h>
#include <string.h>

#include "svc/conf.h"
#include "svc/im.h"
#include "svc/log.h"
#include "svc/loop.h"


static int job_kafka(void *conf, const char *name, const char *value,
    char *err, size_t size);
static int job_history(void *conf, const char *name, const char *value,
    char *err, size_t size);
static int job_check(void *conf, char *err, size_t size);
static int job_start(struct event_base *base);
static void job_drain(void);
static void job_reload(void);
static void job_stop(void);
static void job_metrics_init(job_metrics_t *m);
static void job_metrics_history(job_metrics_t *m);
static void job_up(svc_redis_t *r, void *data);


static job_conf_t  job_conf;
static job_t       job;


static const conf_key_t  job_keys[] = {
    { "job", "log", CONF_STR, offsetof(job_conf_t, log), "stderr",
      0, 0, NULL },
    { "job", "log_level", CONF_WORD, offsetof(job_conf_t, log_level),
      "notice", 0, 0, log_names },
    { "job", "http", CONF_STR, offsetof(job_conf_t, http),
      "127.0.0.1:3112", 0, 0, NULL },
    { "job", "drain", CONF_MSEC, offsetof(job_conf_t, drain), "10s",
      0, 600000, NULL },
    { "job", "max_unacked", CONF_SIZE, offsetof(job_conf_t, max_unacked),
      "64m", GOIM_RECORD_MAX, 16LL * 1024 * 1024 * 1024, NULL },
    { "job", "stream_maxlen", CONF_INT, offsetof(job_conf_t, stream_maxlen),
      "10000", 100, 100000000, NULL },
    { "registry", "ttl", CONF_MSEC, offsetof(job_conf_t, ttl), "30s",
      1000, 3600000, NULL },
    { "registry", "renew", CONF_MSEC, offsetof(job_conf_t, renew), "10s",
      100, 3600000, NULL },
    { "history", "dedup", CONF_MSEC, offsetof(job_conf_t, history.dedup),
      "5m", 1000, 86400000, NULL },
    { "im", "db", CONF_STR, offsetof(job_conf_t, im_db), "", 0, 0, NULL },
    { "im", "topic", CONF_STR, offsetof(job_conf_t, im_topic),
      "goim-im-topic", 0, 0, NULL },
    { "im", "dead_topic", CONF_STR, offsetof(job_conf_t, im_dead),
      "goim-dead", 0, 0, NULL },
    { "offline", "max", CONF_INT, offsetof(job_conf_t, offline_max), "0",
      0, 10000000, NULL },
    SVC_REDIS_CONF(job_conf_t, redis),
    BUS_CONF(job_conf_t, bus),
    { NULL, NULL, 0, 0, NULL, 0, 0, NULL }
};

static const conf_free_t  job_free[] = {
    { "kafka", job_kafka },
    { "history", job_history },
    { NULL, NULL }
};

static const conf_schema_t  job_schema = { job_keys, job_free, job_check };

static int
job_warn(char *why, size_t size)
{
    int  n;

    n = snprintf(why, size, "[im] db: ");

    return job_conf.im_db[0] == '\0'
           ? 0 : db_look(job_conf.im_db, why + n, size - (size_t) n);
}


static const svc_t  job_svc = {
    .name = "job",
    .summary = "carries messages from the bus to the nodes' streams",
    .schema = &job_schema,
    .conf = &job_conf,
    .log = &job_conf.log,
    .log_level = &job_conf.log_level,
    .warn = job_warn,
    .start = job_start,
    .drain = job_drain,
    .reload = job_reload,
    .stop = job_stop,
    .drain_time = &job_conf.drain
};


int
main(int argc, char **argv)
{
    return svc_main(&job_svc, argc, argv);
}


static int
job_kafka(void *conf, const char *name, const char *value, char *err,
    size_t size)
{
    job_conf_t  *jcf = conf;

    return bus_conf_kafka(&jcf->bus, name, value, err, size);
}


static int
job_history(void *conf, const char *name, const char *value, char *err,
    size_t size)
{
    job_conf_t  *jcf = conf;

    return history_add(&jcf->history, name, value, err, size);
}


static int
job_check(void *conf, char *err, size_t size)
{
    job_conf_t  *jcf = conf;

    if (jcf->renew * 2 > jcf->ttl) {
        snprintf(err, size, "[registry] renew = %lldms is more than half of "
                 "ttl = %lldms", (long long) jcf->renew,
                 (long long) jcf->ttl);
        return -1;
    }

    if (job_http_check(jcf->http, err, size) != 0
        || svc_redis_check(&jcf->redis, err, size) != 0)
    {
        return -1;
    }

    if (im_check(jcf->im_db, jcf->im_topic, err, size) != 0
        || im_topic_check("dead_topic", jcf->im_dead, err, size) != 0)
    {
        return -1;
    }

    if (strcmp(jcf->im_topic, jcf->im_dead) == 0) {
        snprintf(err, size, "[im] dead_topic = \"%.64s\" is topic, too: what "
                 "is given up would come again", jcf->im_dead);
        return -1;
    }

    return bus_check(&jcf->bus, err, size);
}


/* Redis and the bus are there. */
static int
job_ready(void *data)
{
    (void) data;

    return svc_redis_is_up(job.redis) && job.consumer != NULL
           && bus_consumer_healthy(job.consumer);
}


static int
job_start(struct event_base *base)
{
    char                err[256];
    svc_redis_events_t  events;

    job.base = base;
    job.conf = &job_conf;

    job_metrics_init(&job.m);

    events.up = job_up;
    events.down = NULL;
    events.data = NULL;

    job.redis = svc_redis_new(base, &job_conf.redis, &events);
    if (job.redis == NULL) {
        snprintf(err, sizeof(err), "no memory for the Redis connection");
        goto failed;
    }

    job.registry = registry_new(base, job.redis, job_conf.ttl,
                                job_conf.renew);

    if (job.registry == NULL || job_fanout_init(&job) != 0
        || job_history_init(&job) != 0 || job_number_init(&job) != 0)
    {
        snprintf(err, sizeof(err), "no memory for the set of nodes");
        goto failed;
    }

    if (job_http_start(&job, err, sizeof(err)) != 0
        || job_consume_start(&job, err, sizeof(err)) != 0
        || job_im_start(&job, err, sizeof(err)) != 0)
    {
        goto failed;
    }

    job_same_start(&job);

    job.notify = notify_new(base, job_ready, NULL);

    log_write(LOG_NOTICE, "job " SVC_VERSION ": bus %s, redis %s",
              job_conf.bus.driver, job_conf.redis.addr);

    return 0;

failed:

    log_write(LOG_EMERG, "%s", err);

    return -1;
}


/* Messages between people first: they use what the rest gives up. */

static void
job_drain(void)
{
    here_leave(job.here);

    if (job.im != NULL) {
        job_im_drain(job.im, job_consume_drain);

    } else {
        job_consume_drain(&job);
    }
}


static void
job_reload(void)
{
    svc_redis_reload(&job_conf.redis);
}


static void
job_stop(void)
{
    notify_free(job.notify);

    job_http_stop(&job);

    /* what Redis still owes is told to those that asked */

    here_leave(job.here);
    svc_redis_free(job.redis);
    job_im_free(job.im);
    job_same_stop(&job);
    registry_free(job.registry);

    job_nodes_free(&job);
    job_number_free(&job);
    job_step_free(&job);
    job_history_free(&job);
    job_fanout_free(&job);
    job_canary_free(&job);
    job_consume_stop(&job);
}


static void
job_up(svc_redis_t *r, void *data)
{
    (void) r;
    (void) data;

    job_same_up(&job);
    job_consume_up(&job);
}


static void
job_metrics_init(job_metrics_t *m)
{
    int   i;
    char  label[64];

    static const char *const  kinds[] = {
        "kind=\"keys\"", "kind=\"room\"", "kind=\"all\""
    };

    for (i = 0; i < 3; i++) {
        m->records[i] = metrics_counter("goim_job_records_total", kinds[i],
                                        "Records taken, by kind.");
    }

    for (i = JOB_GOOD + 1; i < JOB_BAD_COUNT; i++) {
        snprintf(label, sizeof(label), "reason=\"%s\"", job_bad_reasons[i]);
        m->skipped[i] = metrics_counter("goim_job_skipped_total", label,
                                        "Wrong records left out.");
    }

    m->ends = metrics_counter("goim_job_ends_total", NULL,
                              "Records taken that end sessions.");
    m->canaries = metrics_counter("goim_job_canaries_total", NULL,
                                  "Canaries of logic taken: no records.");
    m->wrong_keys = metrics_counter("goim_job_skipped_keys_total", NULL,
                                    "Keys of records that no session can "
                                    "have, left out.");
    m->unknown_node = metrics_counter("goim_job_undeliverable_total",
                                      "reason=\"unknown_node\"",
                                      "Records that had no node.");
    m->no_nodes = metrics_counter("goim_job_undeliverable_total",
                                  "reason=\"no_nodes\"", "");
    m->dropped = metrics_counter("goim_job_dropped_total",
                                 "reason=\"node_gone\"",
                                 "Records dropped from a node's queue.");
    m->missed = metrics_counter("goim_job_missed_records_total", NULL,
                                "Records for nodes that were not renewed in "
                                "time, counted for them.");
    m->rooms = metrics_counter("goim_job_rooms_looked_up_total", NULL,
                               "Rooms whose nodes were looked up.");
    m->spared = metrics_counter("goim_job_spared_records_total", NULL,
                                "Records for rooms not appended, as the node "
                                "has no member.");
    m->nodes_listed = metrics_gauge("goim_job_nodes_listed", NULL,
                                    "Nodes whose rooms are listed.");
    m->revoked = metrics_counter("goim_job_revoked_total", NULL,
                                 "Partitions that went to another job or "
                                 "began anew.");
    m->batches = metrics_counter("goim_job_batches_total", NULL,
                                 "Groups of records handed to the nodes.");
    m->held = metrics_counter("goim_job_held_total", NULL,
                              "Times a group waited because the set of "
                              "nodes was not known.");
    m->appends = metrics_counter("goim_job_appends_total", NULL,
                                 "Appends sent to the nodes' streams.");
    m->appended = metrics_counter("goim_job_appended_records_total", NULL,
                                  "Records in acknowledged appends.");
    m->bytes = metrics_counter("goim_job_appended_bytes_total", NULL,
                               "Bytes of records in acknowledged appends.");
    m->retries = metrics_counter("goim_job_retries_total", NULL,
                                 "Appends that failed or were not answered, "
                                 "and were tried again.");
    job_metrics_history(m);

    m->replaced = metrics_counter("goim_job_replaced_total", NULL,
                                  "Keys of nodes' streams that were none "
                                  "and were replaced.");
    m->lives = metrics_counter("goim_job_lives_total", NULL,
                               "Times Redis came back as another run.");
    m->lag = metrics_gauge("goim_job_lag", NULL,
                           "Records in the bus not yet consumed, about.");
    m->owned = metrics_gauge("goim_job_partitions", NULL,
                             "Partitions this job owns.");
    m->stuck = metrics_gauge("goim_job_stuck_partitions", NULL,
                             "Of them, those that have something to read and "
                             "whose place has not moved for some seconds.");
    m->nodes = metrics_gauge("goim_job_nodes", NULL, "Live nodes.");
    m->nodes_lapsed = metrics_gauge("goim_job_nodes_lapsed", NULL,
                                    "Nodes not renewed in time: what is for "
                                    "them is counted, not appended.");
    m->nodes_silent = metrics_gauge("goim_job_nodes_silent", NULL,
                                    "Of them, not renewed in time but kept, "
                                    "as too many fell silent together.");
    m->unacked = metrics_gauge("goim_job_unacked_bytes", NULL,
                               "Memory of records not acknowledged.");
    m->outstanding = metrics_gauge("goim_job_unacked_records", NULL,
                                   "Records not acknowledged.");
    m->paused = metrics_gauge("goim_job_paused", NULL,
                              "1: no records are taken until some are "
                              "acknowledged.");
    m->full = metrics_gauge("goim_job_full", NULL,
                            "Nodes whose last append Redis refused as it is "
                            "full; no records are taken meanwhile.");
    m->up = metrics_gauge("goim_job_redis_up", NULL, "1: Redis is there.");
    m->bus_up = metrics_gauge("goim_job_bus_up", NULL, "1: the bus is there.");
    m->no_logic = metrics_gauge("goim_job_no_logic", NULL,
                                "1: no logic is seen in this Redis, database "
                                "and prefix.");
    m->elsewhere = metrics_gauge("goim_job_elsewhere", NULL,
                                 "1: records wait, as the logic that wrote "
                                 "them has another Redis, database or "
                                 "prefix.");
    m->other = metrics_counter("goim_job_other_records_total", NULL,
                               "Records delivered though the logic that "
                               "wrote them had another database or prefix.");
    m->offline = metrics_counter("goim_job_im_offline_total", NULL,
                                 "Messages noted for users without a session.");
    m->offline_dropped = metrics_counter("goim_job_im_offline_dropped_total",
                                         NULL, "Such that were not, as too many "
                                         "are known.");
}


static void
job_metrics_history(job_metrics_t *m)
{
    int  i;

    static const char *const  reasons[JOB_NONE_COUNT] = {
        "reason=\"lost\"", "reason=\"partition\"", "reason=\"bus\""
    };

    m->steps = metrics_counter("goim_job_number_steps_total", NULL,
                               "Steps that numbered and stored items.");
    m->step_retries = metrics_counter("goim_job_number_retries_total", NULL,
                                      "Steps that failed or were not "
                                      "answered, and were tried again.");
    m->numbered = metrics_counter("goim_job_numbered_total", NULL,
                                  "Items of rooms with history that got a "
                                  "number, or had one already.");
    m->repeats = metrics_counter("goim_job_repeats_total", NULL,
                                 "Records left out as repeats, by their id.");
    m->stale = metrics_counter("goim_job_stale_total", NULL,
                               "Records left out as they were done before.");

    for (i = 0; i < JOB_NONE_COUNT; i++) {
        m->unnumbered[i] = metrics_counter("goim_job_unnumbered_total",
                                           reasons[i],
                                           "Items that went out without a "
                                           "number.");
    }

    m->history_replaced = metrics_counter("goim_job_history_replaced_total",
                                          NULL, "Keys of histories that were "
                                          "of another type and were "
                                          "replaced.");
}
