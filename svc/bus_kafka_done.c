/*
 * The Kafka bus: how far it is done. Kept in the Redis that holds the
 * effects; what Kafka is told follows, for the tools that show a group's lag.
 */

#include "bus_kafka_consumer.h"

#include "svc/lua/bus_kafka_save.lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define BUS_KAFKA_SAVE      50              /* ms */
#define BUS_KAFKA_SAVE_ARGS 10              /* of a partition, with its keys */


static svc_script_t  bus_kafka_save_script = { .body = bus_kafka_save_lua };


/* A partition's part in a save. */
typedef struct {
    int32_t     n;
    uint64_t    run;
    int64_t     done;
    char        lease[LEASE_NAME];
    char        lease_key[BUS_KAFKA_KEY];
    char        key[BUS_KAFKA_KEY];
    char        number[12];
    char        place[48];
    char        head[BUS_KAFKA_HEAD];
    char        at[2][12];
} bus_kafka_saving_part_t;

/* A save under way. */
typedef struct {
    bus_kafka_consumer_t     *c;
    size_t                    n;
    bus_kafka_saving_part_t   part[];
} bus_kafka_saving_t;

/* The arguments of a script. */
typedef struct {
    int             n;
    const char    **v;
    size_t         *len;
} bus_kafka_args_t;


static void
bus_kafka_arg(bus_kafka_args_t *args, const void *data, size_t len)
{
    args->v[args->n] = data;
    args->len[args->n] = len;
    args->n++;
}


static void
bus_kafka_saved_part(bus_kafka_consumer_t *c,
    const bus_kafka_saving_part_t *saved, int ok)
{
    bus_kafka_part_t  *part;

    part = bus_kafka_part(c, saved->n);

    if (strcmp(lease_name(c->lease, (uint32_t) saved->n), saved->lease) != 0) {
        return;                 /* of a lease before */
    }

    if (!ok) {
        part->dirty = part->owned;

    } else if (part->run == saved->run && part->summed < saved->done) {
        part->summed = saved->done;
    }
}


static void
bus_kafka_fenced(bus_kafka_consumer_t *c, const redisReply *reply)
{
    size_t             i;
    bus_kafka_part_t  *part;

    if (reply->type != REDIS_REPLY_ARRAY) {
        return;
    }

    for (i = 0; i < reply->elements; i++) {

        part = reply->element[i]->type == REDIS_REPLY_STRING
               ? bus_kafka_part(c, atoi(reply->element[i]->str)) : NULL;

        if (part != NULL && part->leased) {
            bus_kafka_lose(c, part, "another has the lease");
        }
    }
}


static void
bus_kafka_saved(svc_redis_t *r, redisReply *reply, void *data)
{
    int                    ok;
    size_t                 i;
    bus_kafka_saving_t    *call;
    bus_kafka_consumer_t  *c;

    (void) r;

    call = data;
    c = call->c;
    ok = (svc_redis_class(reply) == SVC_REDIS_OK);

    for (i = 0; i < call->n; i++) {
        bus_kafka_saved_part(c, &call->part[i], ok);
    }

    c->calls--;
    free(call);

    if (ok) {
        bus_kafka_fenced(c, reply);

    } else {

        if (svc_redis_class(reply) == SVC_REDIS_ERROR) {
            log_seldom(&c->save_log, LOG_ERROR, "bus: cannot save the "
                       "place: %s", reply->str);
        }

        if (!c->ending) {
            svc_timer(c->save, BUS_KAFKA_AGAIN);
        }
    }

    bus_kafka_check_end(c);
}


/* What has become known of a partition's records since the last save. */
static void
bus_kafka_save_sums(bus_kafka_saving_part_t *save,
    const bus_kafka_part_t *part, bus_kafka_args_t *args)
{
    int      i;
    int64_t  from, at, n, all;

    from = part->summed + 1;

    if (from < part->done + 1 - BUS_KAFKA_SUMS) {
        from = part->done + 1 - BUS_KAFKA_SUMS;
    }

    all = part->done + 1 - from;

    /* what has been overwritten since by newer ones is not known */

    for (i = 0; i < 2; i++) {
        at = (from + BUS_KAFKA_SUMS) % BUS_KAFKA_SUMS;
        n = BUS_KAFKA_SUMS - at < all ? BUS_KAFKA_SUMS - at : all;

        snprintf(save->at[i], sizeof(save->at[i]), "%" PRId64,
                 BUS_KAFKA_HEAD + at * (int64_t) sizeof(uint32_t));
        bus_kafka_arg(args, save->at[i], strlen(save->at[i]));
        bus_kafka_arg(args, part->sums + at, (size_t) n * sizeof(uint32_t));

        from += n;
        all -= n;
    }
}


static void
bus_kafka_save_part(bus_kafka_consumer_t *c, bus_kafka_saving_part_t *save,
    bus_kafka_part_t *part, bus_kafka_args_t *args)
{
    save->n = bus_kafka_number(c, part);
    save->run = part->run;
    save->done = part->done;

    strcpy(save->lease, lease_name(c->lease, (uint32_t) save->n));
    snprintf(save->number, sizeof(save->number), "%d", (int) save->n);

    bus_kafka_arg(args, save->lease, strlen(save->lease));
    bus_kafka_arg(args, save->number, strlen(save->number));

    bus_kafka_place_text(save->place, sizeof(save->place), part);
    snprintf(save->head, sizeof(save->head), "%" PRIu64 "-%" PRId64 " %"
             PRId64, part->run, part->done, part->time);

    bus_kafka_arg(args, save->place, strlen(save->place));
    bus_kafka_arg(args, save->head, sizeof(save->head));
    bus_kafka_save_sums(save, part, args);
}


static int
bus_kafka_to_save(const bus_kafka_part_t *part)
{
    return part->leased && part->dirty;
}


static int
bus_kafka_save_all(bus_kafka_consumer_t *c, bus_kafka_saving_t *call,
    bus_kafka_args_t *args)
{
    int                       keys, rc;
    char                      life[24];
    size_t                    i, n;
    bus_kafka_saving_part_t  *save;

    snprintf(life, sizeof(life), "%" PRIu64, c->life);

    bus_kafka_arg(args, c->life_key, strlen(c->life_key));
    bus_kafka_arg(args, c->done_key, strlen(c->done_key));

    for (i = 0, n = 0; i < c->nparts; i++) {

        if (!bus_kafka_to_save(&c->parts[i])) {
            continue;
        }

        save = &call->part[n++];
        lease_key(c->lease, (uint32_t) i, save->lease_key,
                  sizeof(save->lease_key));
        bus_kafka_sums_key(c, save->key, (int32_t) i);

        bus_kafka_arg(args, save->lease_key, strlen(save->lease_key));
        bus_kafka_arg(args, save->key, strlen(save->key));
    }

    keys = args->n;

    bus_kafka_arg(args, life, strlen(life));
    bus_kafka_arg(args, BUS_KAFKA_EXPIRE, strlen(BUS_KAFKA_EXPIRE));

    for (i = 0; i < c->nparts; i++) {
        if (bus_kafka_to_save(&c->parts[i])) {
            bus_kafka_save_part(c, &call->part[call->n++], &c->parts[i],
                                args);
        }
    }

    rc = svc_redis_eval(c->r, &bus_kafka_save_script, bus_kafka_saved, call,
                        keys, args->n, args->v, args->len);

    for (i = 0; rc == 0 && i < call->n; i++) {
        bus_kafka_part(c, call->part[i].n)->dirty = 0;
    }

    return rc;
}


int
bus_kafka_save(bus_kafka_consumer_t *c)
{
    int                  rc;
    size_t               i, n, max;
    bus_kafka_args_t     args;
    bus_kafka_saving_t  *call;

    for (i = 0, n = 0; i < c->nparts; i++) {
        n += bus_kafka_to_save(&c->parts[i]);
    }

    if (n == 0 || !svc_redis_is_up(c->r)) {
        return -1;
    }

    max = 4 + n * BUS_KAFKA_SAVE_ARGS;
    args.n = 0;
    args.v = malloc(max * sizeof(char *));
    args.len = malloc(max * sizeof(size_t));
    call = calloc(1, sizeof(*call) + n * sizeof(call->part[0]));

    if (args.v == NULL || args.len == NULL || call == NULL) {
        abort();
    }

    call->c = c;

    rc = bus_kafka_save_all(c, call, &args);

    if (rc == 0) {
        c->calls++;

    } else {
        free(call);
    }

    free(args.v);
    free(args.len);

    return rc;
}


static void
bus_kafka_on_save(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;

    bus_kafka_save(data);
}


void
bus_kafka_done(bus_consumer_t *base, uint32_t partition,
    const goim_offset_t *offset)
{
    uint64_t               high, low;
    bus_kafka_part_t      *part;
    bus_kafka_consumer_t  *c;

    c = (bus_kafka_consumer_t *) base;
    part = bus_kafka_part(c, (int32_t) partition);

    if (part == NULL || !part->owned) {
        return;
    }

    goim_offset_get(offset, &high, &low);

    if (high != part->run || (int64_t) low <= part->done) {
        return;
    }

    part->done = (int64_t) low;
    part->dirty = 1;

    if (!event_pending(c->save, EV_TIMEOUT, NULL)) {
        svc_timer(c->save, BUS_KAFKA_SAVE);
    }

    bus_kafka_drained(c, part);
}


/*
 * Of partitions that are ours: what was done of others long ago would take
 * back what another job has told since. By another client than the one that
 * reads: that one begins nothing while an answer to this is outstanding.
 */
rd_kafka_topic_partition_list_t *
bus_kafka_to_commit(bus_kafka_consumer_t *c)
{
    char                              run[24];
    size_t                            i;
    bus_kafka_part_t                 *part;
    rd_kafka_topic_partition_t       *p;
    rd_kafka_topic_partition_list_t  *list;

    list = rd_kafka_topic_partition_list_new(8);

    for (i = 0; i < c->nparts; i++) {
        part = &c->parts[i];

        if (!part->owned || part->done < 0 || part->done == part->committed) {
            continue;
        }

        part->committed = part->done;

        p = rd_kafka_topic_partition_list_add(list, c->conf->topic,
                                              (int32_t) i);
        p->offset = part->done + 1;

        if (part->run > 0) {
            snprintf(run, sizeof(run), "%" PRIu64, part->run);
            p->metadata = strdup(run);
            p->metadata_size = strlen(run);
        }
    }

    if (list->cnt == 0) {
        rd_kafka_topic_partition_list_destroy(list);
        return NULL;
    }

    return list;
}


void
bus_kafka_commit(bus_kafka_consumer_t *c)
{
    rd_kafka_topic_partition_list_t  *list;

    list = c->rk != NULL ? bus_kafka_to_commit(c) : NULL;

    if (list != NULL) {
        rd_kafka_commit(c->teller, list, 1);
        rd_kafka_topic_partition_list_destroy(list);
    }
}


void
bus_kafka_save_init(bus_kafka_consumer_t *c)
{
    c->save = evtimer_new(c->loop, bus_kafka_on_save, c);

    if (c->save == NULL) {
        abort();
    }
}
