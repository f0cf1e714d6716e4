/*
 * Places. The database has them, and writes them with the transaction that they
 * belong to; with each goes the number of batches of its partition, its turn. A
 * copy goes to Redis before anybody is told what was stored, so that a database
 * that went back shows: a restored one, or a replica that lost the end, has a
 * lower turn, another one has another instance. Its inboxes would give numbers a
 * second time: they begin a new epoch, of which clients are told. A Redis that
 * went back, or is empty, shows nothing, and nothing comes of it.
 *
 *     goim:im:places    hash: partition -> "<instance> <generation> <turn>
 *                       <bus epoch> <position>"; db -> "<instance>"
 *
 * Generations count the epochs of a database, so that one that is behind is told
 * from a Redis that is.
 */

#include "im_place.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/log.h"

#define IM_IDLE  3          /* looks: then it stands by */


void
job_im_place_init(job_im_t *im)
{
    im->place = job_realloc(NULL, sizeof(job_im_place_t));
    memset(im->place, 0, sizeof(job_im_place_t));

    im->place->epochs = metrics_counter("goim_job_im_epochs_total", NULL,
        "New epochs of inboxes, as the database went back or is another one.");
    im->place->missing = metrics_counter("goim_job_im_missing_total", NULL,
        "Commands that were carried out, and neither the database nor the bus "
        "has any more.");
}


void
job_im_place_free(job_im_t *im)
{
    free(im->place->known);
    free(im->place->copy);
    free(im->place);
}


/* NULL: beyond what is kept */

im_known_t *
job_im_known(job_im_place_t *p, uint32_t partition)
{
    size_t  n;

    if (partition >= IM_PARTITIONS) {
        return NULL;
    }

    if (partition >= p->nknown) {
        n = partition + 1;
        p->known = job_realloc(p->known, n * sizeof(im_known_t));
        memset(p->known + p->nknown, 0, (n - p->nknown) * sizeof(im_known_t));
        p->nknown = n;
    }

    return &p->known[partition];
}


int
job_im_unknown(const job_im_t *im, const job_im_batch_t *b)
{
    size_t                 i;
    const job_im_place_t  *p;

    p = im->place;

    for (i = 0; i < b->ncmds; i++) {
        if (b->cmds[i]->partition < IM_PARTITIONS
            && (b->cmds[i]->partition >= p->nknown
                || !p->known[b->cmds[i]->partition].known))
        {
            return 1;
        }
    }

    return 0;
}


void
job_im_place_lost(job_im_t *im, uint32_t partition)
{
    if (partition < im->place->nknown) {
        im->place->known[partition].known = 0;
        im->place->known[partition].tell = 0;
    }
}


/* ---- columns ---- */

void
job_im_word(char word[GOIM_EPOCH_MAX + 1], const db_value_t *v)
{
    size_t  len;

    len = v->type == DB_TEXT && v->len <= GOIM_EPOCH_MAX ? v->len : 0;

    if (len > 0) {
        memcpy(word, v->data, len);
    }

    word[len] = '\0';
}


int
job_im_place_here(job_im_t *im, const db_value_t *epoch, const db_value_t *position)
{
    size_t          len;
    char            hex[2 * BUS_EPOCH_LEN + 1];
    const uint8_t  *bus;

    bus = bus_consumer_epoch(im->consumer, &len);
    bus_hex(hex, bus, len);

    return epoch->type == DB_TEXT && epoch->len == 2 * len
           && memcmp(epoch->data, hex, epoch->len) == 0
           && position->type == DB_BYTES && position->len == GOIM_OFFSET_LEN;
}


/* ---- in a batch ---- */

void
job_im_place_look(im_sql_t *q, job_im_batch_t *b, size_t at)
{
    size_t         i;
    job_im_cmd_t  *cmd;

    cmd = b->cmds[at];

    for (i = at; i > 0; i--) {
        if (b->cmds[i - 1]->partition == cmd->partition) {
            cmd->place = b->cmds[i - 1]->place;
            return;
        }
    }

    cmd->place = ADD(q, "SELECT epoch, position, turn FROM place "
                     "WHERE partition = $1", db_int(cmd->partition));
}


/* The database went back since, under this process, or another began an epoch. */

static int
im_place_as_was(const job_im_t *im, const job_im_cmd_t *cmd,
    const db_rows_t *rows)
{
    const im_known_t  *known;

    if (cmd->partition >= im->place->nknown) {
        return 1;
    }

    known = &im->place->known[cmd->partition];

    return (rows->nrows == 1 ? im_number(&rows->values[2]) : 0) >= known->turn;
}


int
job_im_place_found(job_im_t *im, const db_rows_t *epoch,
    const db_rows_t *rows)
{
    size_t             i;
    job_im_cmd_t      *cmd;
    job_im_batch_t    *b;
    const db_rows_t   *place;
    const db_value_t  *v;

    b = &im->batch;

    if (epoch->nrows == 0) {
        return 0;
    }

    job_im_word(b->epoch, &epoch->values[0]);

    if (strcmp(b->epoch, im->place->meta.epoch) != 0) {
        return 0;
    }

    for (i = 0; i < b->ncmds; i++) {
        cmd = b->cmds[i];
        place = &rows[cmd->place];
        v = place->values;

        if (!im_place_as_was(im, cmd, place)) {
            return 0;
        }

        cmd->old = place->nrows == 1 && job_im_place_here(im, &v[0], &v[1])
                   && memcmp(cmd->offset.b, v[1].data, GOIM_OFFSET_LEN) <= 0;
    }

    return 1;
}


/*
 * The epoch is read behind the places: whoever begins a new one has them locked
 * before, so no number goes by an epoch that was over when it was stored.
 */

void
job_im_place_write(im_sql_t *q, job_im_t *im)
{
    size_t           i, k, at, len;
    char            *epoch;
    job_im_batch_t  *b;

    static const char  place[] =
        "INSERT INTO place AS p (partition, epoch, position, turn) "
        "VALUES ($1, $2, $3, 1) ON CONFLICT (partition) DO UPDATE SET "
        "epoch = excluded.epoch, position = excluded.position, "
        "turn = p.turn + 1 "
        "WHERE p.epoch <> excluded.epoch OR p.position < excluded.position "
        "RETURNING partition, turn, position";

    b = &im->batch;
    im->place->first = q->n;
    epoch = im->place->bus;
    bus_hex(epoch, bus_consumer_epoch(im->consumer, &len), BUS_EPOCH_LEN);

    for (i = 0; i < b->ncmds; i++) {

        for (k = i + 1; k < b->ncmds; k++) {
            if (b->cmds[k]->partition == b->cmds[i]->partition) {
                break;
            }
        }

        if (k == b->ncmds) {
            at = ADD(q, place, db_int(b->cmds[i]->partition), im_str(epoch),
                     db_bytes(b->cmds[i]->offset.b, GOIM_OFFSET_LEN));
            b->nplaces = at + 1 - im->place->first;
        }
    }

    ADD(q, "SELECT value FROM meta WHERE name = $1", im_str("epoch"));
}


void
job_im_place_written(job_im_t *im, const db_rows_t *rows)
{
    size_t             i;
    im_known_t        *known;
    job_im_batch_t    *b;
    const db_value_t  *v;

    b = &im->batch;
    rows += im->place->first;

    for (i = 0; i < b->nplaces; i++) {
        v = rows[i].values;

        if (rows[i].nrows == 0
            || (known = job_im_known(im->place, (uint32_t) v[0].n)) == NULL
            || v[2].type != DB_BYTES || v[2].len != GOIM_OFFSET_LEN)
        {
            continue;
        }

        known->turn = im_number(&v[1]);
        known->tell = 1;
        memcpy(known->position.b, v[2].data, GOIM_OFFSET_LEN);
    }

    if (rows[i].nrows == 1) {
        job_im_word(b->epoch, &rows[i].values[0]);
    }
}


void
job_im_place_copy(job_im_t *im, uint32_t partition, uint64_t turn,
    const char *bus, const goim_offset_t *position)
{
    char           value[4 * GOIM_EPOCH_MAX + 128];
    uint64_t       high, low;
    svc_redis_t   *redis;
    im_meta_t     *meta;

    redis = im->job->redis;
    meta = &im->place->meta;
    goim_offset_get(position, &high, &low);

    snprintf(value, sizeof(value), "%s %" PRIu64 " %" PRIu64 " %.32s %" PRIu64
             "-%" PRIu64, meta->instance, meta->generation, turn, bus, high,
             low);

    (void) svc_redis_callf(redis, NULL, NULL, "HSET %s" IM_PLACES " %u %s",
                           svc_redis_prefix(redis), partition, value);
}


void
job_im_place_tell(job_im_t *im)
{
    char             bus[2 * BUS_EPOCH_LEN + 1];
    size_t           len;
    uint32_t         i;
    job_im_place_t  *p;

    p = im->place;
    bus_hex(bus, bus_consumer_epoch(im->consumer, &len), BUS_EPOCH_LEN);

    for (i = 0; i < p->nknown; i++) {
        if (p->known[i].tell) {
            job_im_place_copy(im, i, p->known[i].turn, bus,
                              &p->known[i].position);
        }
    }
}


void
job_im_place_told(job_im_t *im)
{
    size_t  i;

    for (i = 0; i < im->place->nknown; i++) {
        im->place->known[i].tell = 0;
    }
}


/* A database for one machine has one job. */

void
job_im_standby(job_im_t *im, uint32_t owned)
{
    metrics_set(im->partitions, owned);

    if (!im->bus.whole || im->draining) {
        return;
    }

    if (owned > 0) {
        if (im->idle >= IM_IDLE) {
            log_write(LOG_NOTICE, "im: this job has all commands now");
        }

        im->idle = 0;
        im->same.said = 0;
        metrics_set(im->same.other, 0);

    } else if (++im->idle == IM_IDLE) {
        log_write(LOG_NOTICE, "im: another job has the commands, this one "
                  "stands by");
    }

    if (im->idle >= IM_IDLE && im->ready) {
        im_same_look(&im->same);
    }
}
