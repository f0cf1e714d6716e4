/*
 * Commands: taken from the bus, a batch at a time, carried out and brought to
 * sessions, and only then done. Answers go to the thread of logic that asked; one
 * that gets lost is asked for again by the same command.
 */

#include "im.h"
#include "im_answer.h"
#include "im_check.h"
#include "im_dead.h"
#include "im_exec.h"
#include "im_valid.h"
#include "im_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/log.h"
#include "svc/loop.h"

#define IM_WAITING       (16 * 1024 * 1024)     /* bytes of commands */


static void job_im_next(job_im_t *im);
static void job_im_compare(job_im_t *im);
static void job_im_pass(job_im_t *im);
static void job_im_tables(job_im_t *im);
static void job_im_sent(job_im_t *im);


/* ---- commands ---- */

static void
job_im_cmd_free(job_im_t *im, job_im_cmd_t *cmd)
{
    im->bytes -= cmd->size;
    goim__im_command__free_unpacked(cmd->c, NULL);
    free(cmd->own);
    free(cmd);
}


static void
job_im_record(bus_consumer_t *c, const bus_record_t *rec, void *data)
{
    job_im_t         *im = data;
    job_im_cmd_t     *cmd;
    Goim__ImCommand  *what;

    static log_once_t  once;

    (void) c;

    if (im->draining) {
        return;
    }

    what = rec->len > GOIM_RECORD_MAX
           ? NULL : goim__im_command__unpack(NULL, rec->len, rec->payload);

    if (what == NULL || !im_valid(what)) {
        log_seldom(&once, LOG_ERROR, "im: a record of the bus that is no "
                   "command, skipped");
        metrics_add(im->bad, 1);

        if (what != NULL) {
            goim__im_command__free_unpacked(what, NULL);
        }

        return;
    }

    cmd = job_realloc(NULL, sizeof(job_im_cmd_t));
    memset(cmd, 0, sizeof(job_im_cmd_t));
    cmd->partition = rec->partition;
    cmd->offset = rec->offset;
    cmd->c = what;
    cmd->size = sizeof(job_im_cmd_t) + 2 * rec->len;

    *im->tail = cmd;
    im->tail = &cmd->next;
    im->bytes += cmd->size;
    metrics_add(im->commands, 1);

    if (im->bytes > IM_WAITING && !im->paused) {
        im->paused = 1;
        bus_pause(im->consumer);
    }

    /* at the end of this turn, with what else comes in it */

    if (!im->busy && !evtimer_pending(im->timer, NULL)) {
        event_active(im->timer, EV_TIMEOUT, 0);
    }
}


static void
job_im_forget(job_im_t *im, uint32_t partition)
{
    job_im_cmd_t  *cmd, **place;

    for (place = &im->head; (cmd = *place) != NULL; ) {

        if (cmd->partition != partition) {
            place = &cmd->next;
            continue;
        }

        *place = cmd->next;
        job_im_cmd_free(im, cmd);
    }

    im->tail = place;
}


/* What waits of it is taken again, here or elsewhere; the batch goes on: the
   database knows what it has done. */

static void
job_im_revoked(bus_consumer_t *c, uint32_t partition, void *data)
{
    job_im_t  *im = data;

    (void) c;

    job_im_forget(im, partition);
    job_im_place_lost(im, partition);
}


/* ---- a batch ---- */

static void
job_im_conv_clear(job_im_conv_t *c)
{
    size_t  i;

    for (i = 0; i < c->nmembers; i++) {
        free(c->members[i].ext);
        free(c->members[i].own);
    }

    free(c->members);
    free(c->asking);
    free(c->ext);
}


static void
job_im_batch_clear(job_im_batch_t *b)
{
    size_t  i;

    for (i = 0; i < b->nconvs; i++) {
        job_im_conv_clear(&b->convs[i]);
    }

    free(b->convs);
    free(b->mids);
    free(b->seqs);
    free(b->pushes);
    free(b->entries);

    b->convs = NULL;
    b->mids = NULL;
    b->seqs = NULL;
    b->pushes = NULL;
    b->entries = NULL;
    b->nconvs = 0;
    b->nmids = 0;
    b->nentries = 0;
    b->size_entries = 0;
}


static void
job_im_batch_free(job_im_t *im)
{
    size_t           i;
    job_im_batch_t  *b;

    b = &im->batch;
    job_im_batch_clear(b);

    for (i = 0; i < b->ncmds; i++) {
        job_im_cmd_free(im, b->cmds[i]);
    }

    free(b->cmds);
    b->cmds = NULL;
    b->ncmds = 0;
}


static void
job_im_take(job_im_t *im)
{
    size_t           n, bytes;
    job_im_cmd_t    *cmd;
    job_im_batch_t  *b;

    b = &im->batch;
    b->cmds = job_realloc(NULL, JOB_IM_BATCH * sizeof(job_im_cmd_t *));

    for (n = 0, bytes = 0; (cmd = im->head) != NULL && n < im->most; n++) {

        if (n > 0 && bytes + cmd->size > JOB_IM_BYTES) {
            break;
        }

        im->head = cmd->next;
        bytes += cmd->size;
        b->cmds[n] = cmd;
    }

    if (im->head == NULL) {
        im->tail = &im->head;
    }

    b->ncmds = n;
}


static void
job_im_next(job_im_t *im)
{
    if (im->draining && !im->busy) {

        /* not from inside a callback of Redis's */

        event_active(im->timer, EV_TIMEOUT, 0);
        return;
    }

    if (im->busy || !im->ready || im->head == NULL) {
        return;
    }

    im->busy = 1;
    job_im_take(im);

    if (job_im_unknown(im, &im->batch)) {
        job_im_compare(im);

    } else {
        job_im_exec(im);
    }
}


/* ---- is it the same database? ---- */

static void
job_im_compare(job_im_t *im)
{
    job_im_back(im, 0);
    job_im_batch_free(im);

    free(im->why);
    im->why = NULL;
    im->kept = 0;

    im->comparing = 1;
    im->owned = bus_consumer_owned(im->consumer);
    im->connections = db_connections(im->db);

    job_im_check(im);
}


static void
job_im_compared(job_im_t *im)
{
    im->comparing = 0;
    im->busy = 0;

    job_im_next(im);
}


/* Whoever has partitions compares before there is anything to do, too. */

static void
job_im_on_tick(evutil_socket_t fd, short what, void *data)
{
    uint32_t   owned;
    job_im_t  *im = data;

    (void) fd;
    (void) what;

    owned = bus_consumer_owned(im->consumer);
    job_im_standby(im, owned);

    if (im->busy || !im->ready || im->draining || owned == 0
        || (owned == im->owned && db_connections(im->db) == im->connections))
    {
        return;
    }

    im->busy = 1;
    job_im_compare(im);
}


/* ---- what came of it ---- */

/* Redis knows what is stored before anybody else. */

static void
job_im_tell(job_im_t *im)
{
    job_im_place_tell(im);
    job_im_send(im);
}


static void
job_im_again(job_im_t *im)
{
    metrics_add(im->retries, 1);
    im->failed = 1;

    im->delay = im->delay ? 2 * im->delay : JOB_RETRY_MIN;

    if (im->delay > JOB_RETRY_MAX) {
        im->delay = JOB_RETRY_MAX;
    }

    svc_timer(im->timer, im->delay);
}


static void
job_im_freed(void *data)
{
    job_im_t  *im = data;

    im->consumer = NULL;
    im->drained(im->job);
}


static void
job_im_on_timer(evutil_socket_t fd, short what, void *data)
{
    job_im_t  *im = data;

    (void) fd;
    (void) what;

    if (im->draining && !im->busy) {
        if (!im->freeing) {
            im->freeing = 1;
            bus_consumer_free(im->consumer, job_im_freed, im);
        }

        return;
    }

    /* what is under way goes on: commands that came fire this, too */

    if (!im->failed) {
        job_im_next(im);
        return;
    }

    im->failed = 0;

    if (!im->ready) {
        job_im_tables(im);

    } else if (im->comparing) {
        job_im_compare(im);

    } else if (im->kept) {
        job_im_pass(im);

    } else if (im->why != NULL) {
        im_dead_keep(im);

    } else if (im->send != NULL) {
        job_im_tell(im);

    } else {
        job_im_batch_clear(&im->batch);
        job_im_exec(im);
    }
}


/* The database does nothing: it is away, others are in the way, or it has other
   tables by now. */

static void
job_im_failed(job_im_t *im, const db_reply_t *reply)
{
    log_text_t  t;

    if (strncmp(im->said, reply->err, sizeof(im->said) - 1) != 0) {
        snprintf(im->said, sizeof(im->said), "%s", reply->err);
        log_write(LOG_WARN, "im: %s; trying again", log_text(&t, reply->err));
    }

    if (reply->status == DB_TABLES) {
        im->ready = 0;
    }

    job_im_again(im);
}


/* ---- a command that the database refuses ---- */

static void
job_im_passed(const db_reply_t *reply, void *data)
{
    job_im_t  *im = data;

    if (reply->status != DB_OK) {
        job_im_failed(im, reply);
        return;
    }

    job_im_place_written(im, reply->rows);
    job_im_place_tell(im);

    metrics_add(im->given_up, 1);
    im_refuse(im->batch.cmds[0], -500, "the database refuses it");
    job_im_answer(im, im->batch.cmds, 1);

    free(im->why);
    im->why = NULL;
    im->kept = 0;

    job_im_sent(im);
}


/* The database's place goes behind it, as that of the bus does. */

static void
job_im_pass(job_im_t *im)
{
    im_sql_t  q;

    memset(&q, 0, sizeof(q));
    job_im_place_write(&q, im);
    im_sql_run(&q, im, 0, job_im_passed);
}


static void
job_im_buried(job_im_t *im)
{
    im->kept = 1;
    job_im_pass(im);
}


/* One command breaks its batch: half of them are tried, and so on, until it is
   alone, and is given up. */

static void
job_im_refused(job_im_t *im, const db_reply_t *reply)
{
    log_text_t       t;
    job_im_batch_t  *b;

    b = &im->batch;
    job_im_batch_clear(b);

    if (b->ncmds > 1) {
        im->most = b->ncmds / 2;
        job_im_back(im, 0);
        job_im_batch_free(im);

        im->busy = 0;
        job_im_next(im);
        return;
    }

    log_write(LOG_ERROR, "im: a command of %" PRId64 " is given up: %s",
              b->cmds[0]->c->mid, log_text(&t, reply->err));

    im->why = strdup(reply->err);

    if (im->why == NULL) {
        abort();
    }

    im_dead_keep(im);
}


static void
job_im_done(job_im_t *im, const db_reply_t *reply)
{
    size_t           i;
    job_im_batch_t  *b;

    b = &im->batch;

    if (reply->status == DB_REFUSED) {
        job_im_refused(im, reply);
        return;
    }

    if (reply->status != DB_OK) {
        job_im_failed(im, reply);
        return;
    }

    im->delay = 0;
    im->said[0] = '\0';

    for (i = 0; i < b->ncmds; i++) {
        metrics_add(b->cmds[i]->code ? im->refused : im->repeats,
                    b->cmds[i]->code || b->cmds[i]->repeat);
    }

    job_im_answer(im, b->cmds, b->ncmds);
    metrics_add(im->batches, 1);
    metrics_add(im->entries, (int64_t) b->nentries);
    job_im_tell(im);
}


static void
job_im_sent(job_im_t *im)
{
    size_t           i;
    job_im_batch_t  *b;

    job_im_send_free(im);
    job_im_place_told(im);

    b = &im->batch;

    for (i = 0; i < b->ncmds; i++) {
        bus_done(im->consumer, b->cmds[i]->partition, &b->cmds[i]->offset);
    }

    job_im_batch_free(im);

    im->busy = 0;
    im->delay = 0;
    im->most = 2 * im->most < JOB_IM_BATCH ? 2 * im->most : JOB_IM_BATCH;

    if (im->paused && im->bytes < IM_WAITING / 2 && !im->draining) {
        im->paused = 0;
        bus_resume(im->consumer);
    }

    job_im_next(im);
}


/* ---- start and end ---- */

/* Tables that were made anew under a batch: it is another database. */

static void
job_im_made(job_im_t *im)
{
    if (im->busy) {
        job_im_compare(im);

    } else {
        job_im_next(im);
    }
}


static void
job_im_tables_made(db_status_t status, const char *err, void *data)
{
    job_im_t  *im = data;
    char       text[512];

    if (status == DB_OK) {
        im->ready = 1;
        job_im_made(im);
        return;
    }

    if (status == DB_REFUSED || status == DB_TABLES) {
        snprintf(text, sizeof(text), "[im] db: %s", err);
        svc_loop_fail(text);
        return;
    }

    job_im_again(im);
}


static void
job_im_tables(job_im_t *im)
{
    im_schema(im->db, job_im_tables_made, im);
}


static void
job_im_metrics(job_im_t *im)
{
    im->commands = metrics_counter("goim_job_im_commands_total", NULL,
                                   "Commands between people taken.");
    im->refused = metrics_counter("goim_job_im_refused_total", NULL,
                                  "Of them, those that were answered with an "
                                  "error.");
    im->repeats = metrics_counter("goim_job_im_repeats_total", NULL,
                                  "Of them, repeats, by their id.");
    im->partitions = metrics_gauge("goim_job_im_partitions", NULL,
                                   "Partitions of commands that this job has: "
                                   "with SQLite all, or none.");
    im->bad = metrics_counter("goim_job_im_skipped_total", NULL,
                              "Records that are no commands, left out.");
    im->given_up = metrics_counter("goim_job_im_given_up_total", NULL,
                                   "Commands that the database refused.");
    im->batches = metrics_counter("goim_job_im_batches_total", NULL,
                                  "Transactions of them.");
    im->retries = metrics_counter("goim_job_im_retries_total", NULL,
                                  "Times the database or Redis had to be "
                                  "asked again.");
    im->entries = metrics_counter("goim_job_im_entries_total", NULL,
                                  "Entries written to inboxes.");
}


int
job_im_start(job_t *job, char *err, size_t size)
{
    job_im_t               *im;
    bus_consumer_events_t   events;

    static const struct timeval  every = { 1, 0 };

    if (job->conf->im_db[0] == '\0') {
        return 0;
    }

    im = job_realloc(NULL, sizeof(job_im_t));
    memset(im, 0, sizeof(job_im_t));
    job->im = im;

    im->job = job;
    im->tail = &im->head;
    im->most = JOB_IM_BATCH;
    im->done = job_im_done;
    im->sent = job_im_sent;
    im->again = job_im_again;
    im->buried = job_im_buried;
    im->strange = job_im_compare;
    im->compared = job_im_compared;
    im->failed_db = job_im_failed;
    im->forget = job_im_forget;
    im->bus = job->conf->bus;
    im->bus.name = "im";
    im->bus.topic = job->conf->im_topic;
    im->bus.whole = db_local(job->conf->im_db);
    im->timer = evtimer_new(job->base, job_im_on_timer, im);
    im->tick = event_new(job->base, -1, EV_PERSIST, job_im_on_tick, im);
    im->db = db_open(job->base, job->conf->im_db);

    if (im->timer == NULL || im->tick == NULL || im->db == NULL) {
        snprintf(err, size, "no memory or no thread for [im]");
        return -1;
    }

    job_im_metrics(im);
    job_im_place_init(im);
    im->same.db = im->db;
    im->same.redis = job->redis;
    im->same.other = metrics_gauge("goim_job_im_other_database", NULL,
                                   "1: the database is not the one that the "
                                   "other job writes.");

    events.record = job_im_record;
    events.revoked = job_im_revoked;
    events.data = im;

    im->consumer = bus_consumer_new(job->base, &im->bus, job->redis, &events,
                                    err, size);
    if (im->consumer == NULL || im_dead_start(im, err, size) != 0) {
        return -1;
    }

    event_add(im->tick, &every);
    job_im_tables(im);

    return 0;
}


void
job_im_drain(job_im_t *im, void (*done)(job_t *job))
{
    if (im->draining) {
        return;
    }

    im->draining = 1;
    bus_pause(im->consumer);
    im->drained = done;
    job_im_next(im);
}


void
job_im_free(job_im_t *im)
{
    if (im == NULL) {
        return;
    }

    while (im->head != NULL) {
        job_im_cmd_t  *cmd = im->head;

        im->head = cmd->next;
        job_im_cmd_free(im, cmd);
    }

    im_dead_free(im);
    job_im_send_free(im);
    job_im_batch_free(im);
    free(im->why);
    db_close(im->db);
    job_im_place_free(im);
    event_free(im->timer);
    event_free(im->tick);
    free(im);
}
