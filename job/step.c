/*
 * A step that numbers: which records are items, and what the script is given
 * of them.
 */

#include "step.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"

#include "job/lua/number.lua.h"
#include "job/lua/number_full.lua.h"


#define JOB_STEP_KEYS   8
#define JOB_STEP_ARGS   9               /* before those of the items */
#define JOB_ITEM_ARGS   7
#define JOB_STEP_BASE   (GOIM_PREFIX_MAX + 32)

#define JOB_AT_MAX      (1LL << 52)     /* Lua's numbers take it */


static svc_script_t  job_step_script = { .body = number_lua };
static svc_script_t  job_step_full_script = { .body = number_full_lua };


/* An item's arguments. */
struct job_item_s {
    char            keep[12];
    char            ttl[24];
    char            pos[44];
    char            at[24];
    char           *room;           /* all three are one block */
    char           *id;
    uint8_t        *record;
    size_t          id_len;
    size_t          record_len;
};


/* What a step has beside its items. */
typedef struct {
    char            base[JOB_STEP_BASE];
    char            key[JOB_STEP_KEYS][BUS_NAME];
    char            life[24];
    char            dedup[24];
    char            bus[2 * BUS_EPOCH_LEN + 1];
    char            word[HISTORY_WORD + 1];
    const char     *arg[JOB_STEP_ARGS];
} job_fixed_t;


/* What keys of a partition begin with. */

static int
job_step_base(job_t *job, uint32_t partition, char *base, size_t size)
{
    return snprintf(base, size, "%sgoim:{%" PRIu32 "}:",
                    svc_redis_prefix(job->redis), partition);
}


/* NULL: no item. What is wrong with a record the fan-out says. */

static const history_type_t *
job_step_type(job_t *job, job_msg_t *msg, Goim__PushMsg **push)
{
    const job_history_t  *h;

    h = &job->history;

    if (h->now.n == 0
        || job_record_parse(&job->arena, msg->data, msg->len, push)
           != JOB_GOOD
        || (*push)->type != GOIM__PUSH_MSG__TYPE__ROOM || (*push)->past)
    {
        return NULL;
    }

    return history_find(&h->now, (*push)->room);
}


/* Whether it came where its room is numbered; counted once where not. */

static int
job_step_home(job_t *job, job_msg_t *msg, uint32_t home)
{
    if (!job->history.strange && home == msg->partition) {
        return 1;
    }

    if (!msg->loose) {
        msg->loose = 1;
        metrics_add(job->m.unnumbered[job->history.strange
                                      ? JOB_NONE_BUS : JOB_NONE_PARTITION], 1);
    }

    return 0;
}


/* Sender and id, as one; "": no other record is its repeat. */

static size_t
job_step_id(const Goim__PushMsg *push)
{
    if (!history_id(push->id) || push->at <= 0 || push->at >= JOB_AT_MAX
        || strlen(push->sender) > HISTORY_ID_MAX)
    {
        return 0;
    }

    return strlen(push->sender) + 1 + strlen(push->id);
}


/* Its bytes. */

static size_t
job_step_item(job_item_t *item, const job_msg_t *msg,
    const Goim__PushMsg *push, const history_type_t *type)
{
    size_t        room_len;
    uint64_t      high, low;
    Goim__Record  record = GOIM__RECORD__INIT;

    record.kind = GOIM__RECORD__KIND__ROOM;
    record.operation = push->operation;
    record.body = push->msg;

    room_len = strlen(push->room) + 1;
    item->id_len = job_step_id(push);
    item->record_len = goim__record__get_packed_size(&record);

    item->room = job_realloc(NULL, room_len + item->id_len + 1
                                   + item->record_len);
    memcpy(item->room, push->room, room_len);

    item->id = item->room + room_len;
    item->id[0] = '\0';

    if (item->id_len > 0) {
        sprintf(item->id, "%s %s", push->sender, push->id);
    }

    item->record = (uint8_t *) item->id + item->id_len + 1;
    goim__record__pack(&record, item->record);

    goim_offset_get(&msg->offset, &high, &low);

    snprintf(item->keep, sizeof(item->keep), "%" PRIu32, type->keep);
    snprintf(item->ttl, sizeof(item->ttl), "%" PRId64, type->ttl);
    snprintf(item->pos, sizeof(item->pos), "%" PRIu64 "-%" PRIu64, high, low);
    snprintf(item->at, sizeof(item->at), "%" PRId64, push->at);

    return item->record_len;
}


/* One that gets no number: its room's epoch ends. */

static void
job_step_stray(job_t *job, job_item_t *item, const char *room, uint32_t home)
{
    char    base[JOB_STEP_BASE];
    size_t  len;

    memset(item, 0, sizeof(job_item_t));

    len = strlen(room) + 1;
    item->id_len = (size_t) job_step_base(job, home, base, sizeof(base));

    item->room = job_realloc(NULL, len + item->id_len + 1);
    memcpy(item->room, room, len);

    item->id = item->room + len;
    memcpy(item->id, base, item->id_len + 1);

    item->record = (uint8_t *) item->id + item->id_len;     /* none */
}


int
job_step_add(job_t *job, job_msg_t *msg)
{
    uint32_t               home;
    job_step_t            *step;
    Goim__PushMsg         *push;
    const history_type_t  *type;

    step = &job->step;
    type = job_step_type(job, msg, &push);

    if (type == NULL) {
        return 0;
    }

    if (step->items == NULL) {
        step->items = job_realloc(NULL, JOB_STEP * sizeof(job_item_t));
    }

    home = goim_partition(push->room, strlen(push->room),
                          job->history.partitions);

    if (job_step_home(job, msg, home)) {
        step->bytes += job_step_item(&step->items[step->n++], msg, push, type);

    } else {
        job_step_stray(job, &step->items[step->n++], push->room, home);
    }

    return 1;
}


/* ---- sent ---- */

static void
job_step_arg(job_step_t *step, int *argc, const void *data, size_t len)
{
    step->argv[*argc] = data;
    step->argvlen[*argc] = len;
    (*argc)++;
}


/* Keys and arguments that a step has whatever its items are. */

static void
job_step_fixed(job_t *job, uint32_t partition, const bus_names_t *names,
    job_fixed_t *s)
{
    size_t       len;
    const char  *prefix;

    prefix = svc_redis_prefix(job->redis);

    job_step_base(job, partition, s->base, sizeof(s->base));
    snprintf(s->life, sizeof(s->life), "%" PRIu64,
             svc_redis_life(job->redis));
    snprintf(s->dedup, sizeof(s->dedup), "%" PRId64, job->history.now.dedup);
    bus_hex(s->bus, bus_consumer_epoch(job->consumer, &len), BUS_EPOCH_LEN);
    history_word(s->word);

    snprintf(s->key[0], BUS_NAME, "%.480sgoim:life", prefix);
    snprintf(s->key[1], BUS_NAME, "%.480sgoim:history", prefix);
    snprintf(s->key[2], BUS_NAME, "%s", names->lease_key);
    snprintf(s->key[3], BUS_NAME, "%s", names->done_key);
    snprintf(s->key[4], BUS_NAME, "%srepeats:%s", s->base, s->bus);
    snprintf(s->key[5], BUS_NAME, "%sjudged", s->base);
    snprintf(s->key[6], BUS_NAME, "%srooms", s->base);
    snprintf(s->key[7], BUS_NAME, "%sopen", s->base);

    s->arg[0] = s->life;
    s->arg[1] = job->history.of;
    s->arg[2] = names->lease;
    s->arg[3] = names->done_field;
    s->arg[4] = s->bus;
    s->arg[5] = s->base;
    s->arg[6] = s->word;
    s->arg[7] = s->dedup;
    s->arg[8] = names->since;
}


static int
job_step_eval(job_t *job, uint32_t partition, const bus_names_t *names,
    svc_redis_pt cb, void *data)
{
    int            argc, k;
    size_t         i;
    job_item_t    *item;
    job_step_t    *step;
    job_fixed_t    s;
    svc_script_t  *script;

    step = &job->step;

    if (step->argv == NULL) {
        i = JOB_STEP_KEYS + JOB_STEP_ARGS + JOB_STEP * JOB_ITEM_ARGS;
        step->argv = job_realloc(NULL, i * sizeof(char *));
        step->argvlen = job_realloc(NULL, i * sizeof(size_t));
    }

    job_step_fixed(job, partition, names, &s);
    argc = 0;

    for (k = 0; k < JOB_STEP_KEYS; k++) {
        job_step_arg(step, &argc, s.key[k], strlen(s.key[k]));
    }

    for (k = 0; k < JOB_STEP_ARGS; k++) {
        job_step_arg(step, &argc, s.arg[k], strlen(s.arg[k]));
    }

    for (i = 0; i < step->n; i++) {
        item = &step->items[i];

        job_step_arg(step, &argc, item->room, strlen(item->room));
        job_step_arg(step, &argc, item->keep, strlen(item->keep));
        job_step_arg(step, &argc, item->ttl, strlen(item->ttl));
        job_step_arg(step, &argc, item->pos, strlen(item->pos));
        job_step_arg(step, &argc, item->record, item->record_len);
        job_step_arg(step, &argc, item->id, item->id_len);
        job_step_arg(step, &argc, item->at, strlen(item->at));
    }

    script = svc_redis_is_full(job->redis) ? &job_step_full_script
                                           : &job_step_script;

    return svc_redis_eval(job->redis, script, cb, data, JOB_STEP_KEYS, argc,
                          step->argv, step->argvlen);
}


int
job_step_send(job_t *job, uint32_t partition, svc_redis_pt cb, void *data)
{
    int           rc;
    size_t        i;
    bus_names_t   names;

    rc = bus_consumer_holds(job->consumer, partition)
         ? bus_consumer_names(job->consumer, partition, &names) : -1;

    if (rc == 0) {
        rc = job_step_eval(job, partition, &names, cb, data);
    }

    for (i = 0; i < job->step.n; i++) {
        free(job->step.items[i].room);
    }

    job->step.n = 0;
    job->step.bytes = 0;

    return rc;
}


void
job_step_free(job_t *job)
{
    free(job->step.items);
    free(job->step.argv);
    free(job->step.argvlen);
}
