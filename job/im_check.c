/*
 * Whether the database is the one that it was: first Redis is read, then the
 * database. As it is written before Redis is, it is never behind, unless it went
 * back. Two jobs may find out at once: the epoch that ends is named by who begins
 * another one, so it is done once.
 */

#include "im_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/log.h"


static void im_check_meta(const db_reply_t *reply, void *data);
static void im_check_begin(job_im_t *im, uint64_t generation,
    const char *left);


/* ---- what Redis knows ---- */

static void
im_check_field(job_im_place_t *p, const redisReply *name,
    const redisReply *value)
{
    char       *end;
    im_copy_t  *c;

    if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING
        || name->str[0] < '0' || name->str[0] > '9')
    {
        return;
    }

    c = &p->copy[p->ncopy];
    c->partition = (uint32_t) strtoul(name->str, &end, 10);

    if (*end == '\0' && c->partition < IM_PARTITIONS
        && sscanf(value->str, "%32s %" SCNu64 " %" SCNu64, c->instance,
                  &c->generation, &c->turn) == 3)
    {
        p->ncopy++;
    }
}


static void
im_check_copied(svc_redis_t *r, redisReply *reply, void *data)
{
    size_t           i;
    job_im_t        *im = data;
    job_im_place_t  *p;

    static const db_stmt_t  look[] = {
        { "SELECT name, value FROM meta", NULL, 0 },
        { "SELECT partition, epoch, position, turn FROM place", NULL, 0 }
    };

    p = im->place;
    p->ncopy = 0;

    switch (svc_redis_class(reply)) {

    case SVC_REDIS_OK:
        break;

    case SVC_REDIS_TYPE:
        (void) svc_redis_callf(r, NULL, NULL, "DEL %s" IM_PLACES,
                               svc_redis_prefix(r));
        im->again(im);
        return;

    default:
        im->again(im);
        return;
    }

    if (reply->type == REDIS_REPLY_ARRAY) {
        p->copy = job_realloc(p->copy, (reply->elements / 2 + 1)
                                       * sizeof(im_copy_t));

        for (i = 0; i + 1 < reply->elements; i += 2) {
            im_check_field(p, reply->element[i], reply->element[i + 1]);
        }
    }

    db_run(im->db, look, 2, 0, im_check_meta, im);
}


void
job_im_check(job_im_t *im)
{
    svc_redis_t  *redis;

    redis = im->job->redis;

    if (svc_redis_callf(redis, im_check_copied, im, "HGETALL %s" IM_PLACES,
                        svc_redis_prefix(redis)) != 0)
    {
        im->again(im);
    }
}


/* ---- what the database says ---- */

static void
im_check_named(im_meta_t *meta, const db_value_t *v)
{
    char  name[GOIM_EPOCH_MAX + 1], number[GOIM_EPOCH_MAX + 1];

    job_im_word(name, &v[0]);

    if (strcmp(name, "epoch") == 0) {
        job_im_word(meta->epoch, &v[1]);

    } else if (strcmp(name, "instance") == 0) {
        job_im_word(meta->instance, &v[1]);

    } else if (strcmp(name, "left") == 0) {
        job_im_word(meta->left, &v[1]);

    } else if (strcmp(name, "generation") == 0) {
        job_im_word(number, &v[1]);
        meta->generation = strtoull(number, NULL, 10);
    }
}


static uint64_t
im_check_turn(const db_rows_t *places, uint32_t partition)
{
    size_t             i;
    const db_value_t  *v;

    for (i = 0, v = places->values; i < places->nrows; i++, v += 4) {
        if (v[0].n == partition) {
            return im_number(&v[3]);
        }
    }

    return 0;
}


static int
im_check_lower(job_im_place_t *p, uint32_t partition, uint64_t was,
    uint64_t is)
{
    snprintf(p->why, sizeof(p->why), "the database went back: partition %u had "
             "%" PRIu64 " batches, and has %" PRIu64, partition, was, is);
    return 1;
}


/* Another job may know more than this one, and the other way round. */

static int
im_check_behind(job_im_place_t *p, const db_rows_t *places)
{
    size_t      i;
    uint64_t    turn;
    im_copy_t  *c;
    im_meta_t  *m;

    m = &p->now;

    for (i = 0; i < p->ncopy; i++) {
        c = &p->copy[i];
        turn = im_check_turn(places, c->partition);

        if (strcmp(c->instance, m->instance) == 0
            && (c->generation > m->generation
                || (c->generation == m->generation && c->turn > turn)))
        {
            return im_check_lower(p, c->partition, c->turn, turn);
        }
    }

    if (strcmp(p->meta.instance, m->instance) != 0
        || p->meta.generation < m->generation)
    {
        return 0;                   /* what this process knows is over */
    }

    for (i = 0; i < p->nknown; i++) {
        turn = im_check_turn(places, (uint32_t) i);

        if (p->known[i].known && p->known[i].turn > turn) {
            return im_check_lower(p, (uint32_t) i, p->known[i].turn, turn);
        }
    }

    snprintf(p->why, sizeof(p->why), "the database went back");

    return p->meta.generation > m->generation
           || strcmp(p->meta.epoch, m->epoch) != 0;
}


/* NULL: none, or it was left for this one before. */

static const char *
im_check_other(job_im_place_t *p)
{
    size_t       i;
    const char  *other;

    other = NULL;

    for (i = 0; i < p->ncopy; i++) {
        if (strcmp(p->copy[i].instance, p->now.instance) != 0) {
            other = p->copy[i].instance;
        }
    }

    return other != NULL && strcmp(other, p->now.left) != 0 ? other : NULL;
}


static uint64_t
im_check_generation(const job_im_place_t *p)
{
    size_t    i;
    uint64_t  most;

    most = p->now.generation;

    for (i = 0; i < p->ncopy; i++) {
        if (strcmp(p->copy[i].instance, p->now.instance) == 0
            && p->copy[i].generation > most)
        {
            most = p->copy[i].generation;
        }
    }

    if (strcmp(p->meta.instance, p->now.instance) == 0
        && p->meta.generation > most)
    {
        most = p->meta.generation;
    }

    return most + 1;
}


/* ---- it is as it says ---- */

/* Where Redis does not know it, or knows what is over, it learns it. */

static void
im_check_tell(job_im_t *im, const db_rows_t *places)
{
    char               epoch[GOIM_EPOCH_MAX + 1];
    size_t             i;
    uint32_t           k, partition;
    svc_redis_t       *redis;
    goim_offset_t      position;
    job_im_place_t    *p;
    const db_value_t  *v;

    p = im->place;
    redis = im->job->redis;

    for (i = 0; i < p->ncopy; i++) {
        if (strcmp(p->copy[i].instance, p->now.instance) != 0) {
            (void) svc_redis_callf(redis, NULL, NULL, "HDEL %s" IM_PLACES
                                   " %u", svc_redis_prefix(redis),
                                   p->copy[i].partition);
        }
    }

    for (i = 0, v = places->values; i < places->nrows; i++, v += 4) {

        for (k = 0; k < p->ncopy; k++) {
            if (p->copy[k].partition == v[0].n
                && strcmp(p->copy[k].instance, p->now.instance) == 0
                && p->copy[k].generation == p->now.generation)
            {
                break;
            }
        }

        if (k == p->ncopy && v[0].n >= 0 && v[0].n < IM_PARTITIONS
            && v[2].type == DB_BYTES && v[2].len == GOIM_OFFSET_LEN)
        {
            partition = (uint32_t) v[0].n;
            job_im_word(epoch, &v[1]);
            memcpy(position.b, v[2].data, GOIM_OFFSET_LEN);
            job_im_place_copy(im, partition, im_number(&v[3]), epoch,
                              &position);
        }
    }

    (void) svc_redis_callf(redis, NULL, NULL, "HSET %s" IM_PLACES " "
                           IM_INSTANCE " %s", svc_redis_prefix(redis),
                           p->now.instance);
}


/* What is done by the bus and not in the database is taken again, where the bus
   has it yet. */

static void
im_check_back(im_sql_t *q, job_im_t *im, const db_value_t *v)
{
    int64_t         missing;
    uint32_t        partition;
    goim_offset_t  *position;

    static const char  move[] =
        "UPDATE place SET position = $2, turn = turn + 1 WHERE partition = $1";

    partition = (uint32_t) v[0].n;

    if (!bus_consumer_holds(im->consumer, partition)
        || !job_im_place_here(im, &v[1], &v[2]))
    {
        return;
    }

    position = &job_im_known(im->place, partition)->position;
    memcpy(position->b, v[2].data, GOIM_OFFSET_LEN);

    if (!bus_consumer_back(im->consumer, partition, position, &missing)) {
        return;
    }

    im->forget(im, partition);

    if (missing != 0) {
        ADD(q, move, db_int(partition), db_bytes(position->b, GOIM_OFFSET_LEN));
    }

    if (missing > 0) {
        log_write(LOG_ERROR, "im: partition %u: %" PRId64 " commands that were "
                  "carried out are lost: neither the database nor the bus has "
                  "them", partition, missing);
        metrics_add(im->place->missing, missing);

    } else if (missing < 0) {
        log_write(LOG_ERROR, "im: partition %u: commands that were carried out "
                  "are lost, it is not known how many", partition);

    } else {
        log_write(LOG_NOTICE, "im: partition %u: what the database lost is "
                  "taken from the bus again", partition);
    }
}


static void
im_check_moved(const db_reply_t *reply, void *data)
{
    job_im_t  *im = data;

    if (reply->status != DB_OK) {
        im->failed_db(im, reply);
        return;
    }

    im->compared(im);
}


static void
im_check_same(job_im_t *im, const db_rows_t *places)
{
    size_t             i;
    im_sql_t           q;
    im_known_t        *known;
    job_im_cmd_t      *cmd;
    job_im_place_t    *p;
    const db_value_t  *v;

    p = im->place;
    p->meta = p->now;
    memset(&q, 0, sizeof(q));

    /* all of them, so that they stay where they are */

    for (i = 0, v = places->values; i < places->nrows; i++, v += 4) {
        if (v[0].n >= 0 && v[0].n < IM_PARTITIONS) {
            (void) job_im_known(p, (uint32_t) v[0].n);
        }
    }

    for (i = 0; i < p->nknown; i++) {
        p->known[i].known = 0;
        p->known[i].turn = 0;
    }

    im_check_tell(im, places);

    for (i = 0, v = places->values; i < places->nrows; i++, v += 4) {

        known = v[0].n >= 0 && v[0].n < IM_PARTITIONS
                ? job_im_known(p, (uint32_t) v[0].n) : NULL;

        if (known != NULL) {
            known->turn = im_number(&v[3]);
            known->known = bus_consumer_holds(im->consumer,
                                              (uint32_t) v[0].n) != 0;
            im_check_back(&q, im, v);
        }
    }

    for (cmd = im->head; cmd != NULL; cmd = cmd->next) {
        known = job_im_known(p, cmd->partition);

        if (known != NULL) {
            known->known = 1;
        }
    }

    if (q.n > 0) {
        im_sql_run(&q, im, 0, im_check_moved);

    } else {
        im->compared(im);
    }
}


static void
im_check_meta(const db_reply_t *reply, void *data)
{
    size_t            i;
    const char       *other;
    job_im_t         *im = data;
    job_im_place_t   *p;
    const db_rows_t  *rows;

    if (reply->status != DB_OK) {
        im->failed_db(im, reply);
        return;
    }

    p = im->place;
    rows = reply->rows;
    memset(&p->now, 0, sizeof(im_meta_t));

    for (i = 0; i < rows[0].nrows; i++) {
        im_check_named(&p->now, &rows[0].values[2 * i]);
    }

    other = im_check_other(p);

    if (im_check_behind(p, &rows[1])) {
        im_check_begin(im, im_check_generation(p), p->now.left);

    } else if (other != NULL) {
        snprintf(p->why, sizeof(p->why), "another database: %s, it was %s",
                 p->now.instance, other);
        im_check_begin(im, im_check_generation(p), other);

    } else {
        im_check_same(im, &rows[1]);
    }
}


/* ---- a new epoch ---- */

static void
im_check_begun(const db_reply_t *reply, void *data)
{
    job_im_t  *im = data;

    if (reply->status != DB_OK) {
        im->failed_db(im, reply);
        return;
    }

    if (reply->rows[1].changed > 0) {
        log_write(LOG_ERROR, "im: %s: a new epoch begins for all inboxes",
                  im->place->why);
        metrics_add(im->place->epochs, 1);
    }

    job_im_check(im);
}


/* The places are locked first: who is writing ends by the epoch that it was. */

static void
im_check_begin(job_im_t *im, uint64_t generation, const char *left)
{
    char         number[24], epoch[33];
    uint8_t      random[16];
    db_stmt_t    st[4];
    db_value_t   arg[6];

    evutil_secure_rng_get_bytes(random, sizeof(random));
    bus_hex(epoch, random, sizeof(random));
    snprintf(number, sizeof(number), "%" PRIu64, generation);

    arg[0] = im_str(epoch);
    arg[1] = im_str(im->place->now.epoch);
    arg[2] = im_str(number);
    arg[3] = arg[0];
    arg[4] = im_str(left);
    arg[5] = arg[0];

    st[0] = (db_stmt_t) { "UPDATE place SET turn = turn + 1", NULL, 0 };
    st[1] = (db_stmt_t) { "UPDATE meta SET value = $1 WHERE name = 'epoch' "
                          "AND value = $2", &arg[0], 2 };
    st[2] = (db_stmt_t) { "UPDATE meta SET value = $1 WHERE name = "
                          "'generation' AND EXISTS (SELECT 1 FROM meta AS e "
                          "WHERE e.name = 'epoch' AND e.value = $2)",
                          &arg[2], 2 };
    st[3] = (db_stmt_t) { "UPDATE meta SET value = $1 WHERE name = 'left' "
                          "AND EXISTS (SELECT 1 FROM meta AS e "
                          "WHERE e.name = 'epoch' AND e.value = $2)",
                          &arg[4], 2 };

    db_run(im->db, st, 4, 0, im_check_begun, im);
}
