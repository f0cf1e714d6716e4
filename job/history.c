/*
 * [history] as it stands in Redis.
 *
 * A room's records come from one partition at a time, but the next one may
 * have another job: all must number alike, so none goes by its own file. Each
 * looks once a second; a step with what stood there before is refused.
 */

#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"

#include "job/lua/history.lua.h"
#include "svc/clock.h"
#include "svc/log.h"


#define JOB_HISTORY_LOOK  1000      /* ms */


static svc_script_t  job_history_script = { .body = history_lua };


static void job_history_ask(job_t *job);
static void job_history_asked(svc_redis_t *r, redisReply *reply, void *data);
static void job_history_learn(job_t *job, redisReply **e);
static void job_history_look(evutil_socket_t fd, short what, void *data);


int
job_history_init(job_t *job)
{
    job->history.look = event_new(job->base, -1, EV_PERSIST, job_history_look,
                                  job);

    if (job->history.look == NULL) {
        return -1;
    }

    svc_timer(job->history.look, JOB_HISTORY_LOOK);

    return 0;
}


void
job_history_free(job_t *job)
{
    event_free(job->history.look);
}


void
job_history_again(job_t *job)
{
    job->history.known = 0;
    job_history_need(job);
}


void
job_history_need(job_t *job)
{
    if (!job->history.known) {
        job_history_ask(job);
    }
}


static void
job_history_look(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;

    job_history_ask(data);
}


static void
job_history_ask(job_t *job)
{
    char            key[512], text[HISTORY_TEXT], word[HISTORY_WORD + 1];
    char            bus[2 * BUS_EPOCH_LEN + 1], n[12];
    size_t          len;
    const char     *argv[7];
    bus_names_t     names;
    job_history_t  *h;

    h = &job->history;

    if (h->asking || job->draining || job->consumer == NULL
        || bus_consumer_names(job->consumer, 0, &names) != 0)
    {
        return;
    }

    /* the bus may be another one in this life, which it has yet to find out */

    if (names.life != 0 && names.life != svc_redis_life(job->redis)) {
        return;
    }

    snprintf(key, sizeof(key), "%.480sgoim:history",
             svc_redis_prefix(job->redis));
    history_word(word);
    history_text(&job->conf->history, text);
    bus_hex(bus, bus_consumer_epoch(job->consumer, &len), BUS_EPOCH_LEN);
    snprintf(n, sizeof(n), "%u", names.partitions);

    argv[0] = key;
    argv[1] = strcmp(h->started, bus) != 0 ? "1" : "0";
    argv[2] = text;
    argv[3] = word;
    argv[4] = bus;
    argv[5] = names.life != 0 ? "1" : "0";
    argv[6] = n;

    h->asking = (svc_redis_eval(job->redis, &job_history_script,
                                job_history_asked, job, 1, 7, argv, NULL)
                 == 0);
}


static void
job_history_asked(svc_redis_t *r, redisReply *reply, void *data)
{
    job_t  *job = data;

    size_t  i;

    (void) r;

    job->history.asking = 0;

    if (svc_redis_class(reply) != SVC_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY || reply->elements != 4)
    {
        return;                         /* asked again in a second */
    }

    for (i = 0; i < 4; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING) {
            return;
        }
    }

    if (!job->draining) {
        job_history_learn(job, reply->element);
    }
}


/* [history], `of`, number of partitions, the bus epoch that was told */

static void
job_history_learn(job_t *job, redisReply **e)
{
    static log_once_t  wrong;

    const char     *stamp;
    job_history_t  *h;

    h = &job->history;
    stamp = strrchr(e[1]->str, ' ');

    if (stamp == NULL || e[1]->len >= JOB_HISTORY_OF
        || e[3]->len >= sizeof(h->started))
    {
        return;
    }

    if (strcmp(h->of, e[1]->str) != 0) {
        h->version++;

        if (history_parse(&h->now, e[0]->str) != 0) {
            log_seldom(&wrong, LOG_ERROR, "goim:history in Redis is wrong: "
                       "no room has a history");
        }

        log_write(LOG_INFO, "history: %zu room types", h->now.n);
    }

    h->never = (strcmp(stamp, " 0") == 0);
    strcpy(h->of, e[1]->str);
    strcpy(h->started, e[3]->str);

    h->partitions = (uint32_t) strtoul(e[2]->str, NULL, 10);
    h->strange = (strncmp(h->of, h->started, strlen(h->started)) != 0);
    h->known = 1;

    h->learnt(job);
}
