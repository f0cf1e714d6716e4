/*
 * Numbers for the items of rooms with history.
 *
 * A partition has one step in flight: all that waits, up to a bound, in one
 * script that numbers and stores the items among it. Behind it everything, of
 * rooms without history too, goes on in its order; so no record reaches a
 * node before all before it in its partition have their numbers. The set of
 * nodes is read after that (fanout.c).
 *
 * A step that failed or got no answer is done once more: what was numbered is
 * found by its position.
 */

#include "number.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fanout.h"
#include "job.h"

#include "job/lua/number.lua.h"
#include "job/lua/number_full.lua.h"
#include "svc/clock.h"
#include "svc/log.h"


#define JOB_STEP        512             /* items a step */
#define JOB_STEP_BYTES  (1024 * 1024)   /* of items; or one */
#define JOB_TIDY        10000           /* ms */

#define JOB_STEP_KEYS   8
#define JOB_STEP_KEY    BUS_NAME            /* bytes of one */
#define JOB_STEP_ARGS   8               /* before those of the items */
#define JOB_ITEM_ARGS   7

#define JOB_AT_MAX      (1LL << 52)     /* Lua's numbers take it */


static svc_script_t  job_number_script = { .body = number_lua };
static svc_script_t  job_number_full_script = { .body = number_full_lua };


struct job_number_part_s {
    job_t          *job;
    uint32_t        partition;
    job_list_t      waiting;
    job_list_t      asked;          /* the step in flight */
    size_t          nitems;         /* of them */
    struct event   *timer;          /* before a repeat */
    int64_t         delay;
    unsigned        inflight:1;
    unsigned        full:1;         /* Redis is, it said last */
};


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
    char            base[512];
    char            key[JOB_STEP_KEYS][JOB_STEP_KEY];
    char            life[24];
    char            dedup[24];
    char            bus[2 * BUS_EPOCH_LEN + 1];
    char            word[JOB_WORD + 1];
    const char     *arg[JOB_STEP_ARGS];
} job_step_t;


static job_number_part_t *job_number_part(job_t *job, uint32_t partition);
static void job_number_turn(evutil_socket_t fd, short what, void *data);
static void job_number_go(job_number_part_t *part);
static size_t job_number_gather(job_number_part_t *part);
static const history_type_t *job_number_type(job_t *job, job_msg_t *msg,
    Goim__PushMsg **push);
static size_t job_number_item(job_item_t *item, const job_msg_t *msg,
    const Goim__PushMsg *push, const history_type_t *type);
static int job_number_step(job_number_part_t *part, size_t n);
static void job_number_fixed(job_number_part_t *part,
    const bus_names_t *names, job_step_t *s);
static int job_number_eval(job_number_part_t *part, size_t n,
    const bus_names_t *names);
static void job_number_answer(svc_redis_t *r, redisReply *reply, void *data);
static int job_number_fits(const job_number_part_t *part,
    const redisReply *reply);
static void job_number_answered(job_number_part_t *part,
    const redisReply *reply);
static void job_number_judged(job_t *job, job_msg_t *msg, int64_t seq,
    const redisReply *epoch);
static void job_number_failed(job_number_part_t *part,
    const redisReply *reply);
static void job_number_back(job_number_part_t *part);
static void job_number_wait(job_number_part_t *part);
static void job_number_full(job_number_part_t *part, int full);
static void job_number_timer(evutil_socket_t fd, short what, void *data);
static void job_number_tidy(evutil_socket_t fd, short what, void *data);


int
job_number_init(job_t *job)
{
    job_number_t  *num;

    num = &job->number;

    num->turn = event_new(job->base, -1, 0, job_number_turn, job);
    num->tidy = event_new(job->base, -1, EV_PERSIST, job_number_tidy, job);

    if (num->turn == NULL || num->tidy == NULL) {
        return -1;
    }

    svc_timer(num->tidy, JOB_TIDY);

    return 0;
}


void
job_number_free(job_t *job)
{
    size_t              i;
    job_number_t       *num;
    job_number_part_t  *part;

    num = &job->number;

    for (i = 0; i < num->nparts; i++) {
        part = num->parts[i];

        if (part != NULL) {
            job_list_free(&part->waiting);
            job_list_free(&part->asked);
            event_free(part->timer);
            free(part);
        }
    }

    free(num->parts);
    free(num->items);
    free(num->argv);
    free(num->argvlen);

    event_free(num->turn);
    event_free(num->tidy);
}


static job_number_part_t *
job_number_part(job_t *job, uint32_t partition)
{
    size_t              n;
    job_number_t       *num;
    job_number_part_t  *part;

    num = &job->number;

    if (partition >= num->nparts) {
        n = (size_t) partition + 1;

        num->parts = job_realloc(num->parts, n * sizeof(part));
        memset(num->parts + num->nparts, 0,
               (n - num->nparts) * sizeof(part));
        num->nparts = n;
    }

    if (num->parts[partition] == NULL) {
        part = job_realloc(NULL, sizeof(job_number_part_t));
        memset(part, 0, sizeof(job_number_part_t));

        part->job = job;
        part->partition = partition;
        part->timer = evtimer_new(job->base, job_number_timer, part);

        if (part->timer == NULL) {
            log_write(LOG_EMERG, "no memory for a timer");
            abort();
        }

        job_list_init(&part->waiting);
        job_list_init(&part->asked);
        num->parts[partition] = part;
    }

    return num->parts[partition];
}


void
job_number_take(job_t *job, job_msg_t *msg)
{
    job_number_t  *num;

    num = &job->number;

    if (job->history.known && job->history.now.n == 0 && num->held == 0) {
        job_fanout_take(job, msg);
        return;
    }

    num->held++;
    job_list_push(&job_number_part(job, msg->partition)->waiting, msg);

    /* once for all that the bus gives in this turn of the loop */

    event_active(num->turn, EV_TIMEOUT, 0);
}


void
job_number_purge(job_t *job)
{
    event_active(job->number.turn, EV_TIMEOUT, 0);
}


void
job_number_known(job_t *job)
{
    if (job->number.held > 0) {
        event_active(job->number.turn, EV_TIMEOUT, 0);
    }
}


static void
job_number_turn(evutil_socket_t fd, short what, void *data)
{
    job_t  *job = data;

    size_t  i;

    (void) fd;
    (void) what;

    for (i = 0; i < job->number.nparts; i++) {
        if (job->number.parts[i] != NULL) {
            job_number_go(job->number.parts[i]);
        }
    }
}


/* ---- what a step is made of ---- */

static void
job_number_go(job_number_part_t *part)
{
    size_t  n;
    job_t  *job;

    job = part->job;

    while (!part->inflight && part->waiting.head != NULL && !job->draining
           && !evtimer_pending(part->timer, NULL))
    {
        if (!job->history.known) {
            job_history_need(job);
            return;
        }

        n = job_number_gather(part);

        if (n == 0) {
            job_number_answered(part, NULL);

        } else if (job_number_step(part, n) != 0) {
            job_number_back(part);
            job_number_wait(part);
        }
    }
}


/* From those that wait to the step; how many of them are items. */

static size_t
job_number_gather(job_number_part_t *part)
{
    size_t                 n, bytes;
    job_t                 *job;
    job_msg_t             *msg;
    Goim__PushMsg         *push;
    const history_type_t  *type;

    job = part->job;
    n = 0;
    bytes = 0;

    if (job->number.items == NULL) {
        job->number.items = job_realloc(NULL, JOB_STEP * sizeof(job_item_t));
    }

    while (n < JOB_STEP && bytes < JOB_STEP_BYTES
           && (msg = job_list_pop(&part->waiting)) != NULL)
    {
        if (msg->part == NULL) {            /* revoked */
            job->number.held--;
            job_msg_unref(msg);
            continue;
        }

        type = job_number_type(job, msg, &push);
        msg->item = (type != NULL);

        if (type != NULL) {
            bytes += job_number_item(&job->number.items[n++], msg, push,
                                     type);
        }

        job_list_push(&part->asked, msg);
    }

    part->nitems = n;

    return n;
}


/* NULL: no item. What is wrong with a record the fan-out says. */

static const history_type_t *
job_number_type(job_t *job, job_msg_t *msg, Goim__PushMsg **push)
{
    const job_history_t   *h;
    const history_type_t  *type;

    h = &job->history;

    if (h->now.n == 0
        || job_record_parse(&job->arena, msg->data, msg->len, push)
           != JOB_GOOD
        || (*push)->type != GOIM__PUSH_MSG__TYPE__ROOM || (*push)->past)
    {
        return NULL;
    }

    type = history_find(&h->now, (*push)->room);

    if (type == NULL) {
        return NULL;
    }

    if (h->strange) {
        metrics_add(job->m.unnumbered[JOB_NONE_BUS], 1);
        return NULL;
    }

    if (goim_partition((*push)->room, strlen((*push)->room), h->partitions)
        != msg->partition)
    {
        metrics_add(job->m.unnumbered[JOB_NONE_PARTITION], 1);
        return NULL;
    }

    return type;
}


/* Sender and id, as one; "": no other record is its repeat. */

static size_t
job_number_id(const Goim__PushMsg *push)
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
job_number_item(job_item_t *item, const job_msg_t *msg,
    const Goim__PushMsg *push, const history_type_t *type)
{
    size_t        room_len;
    uint64_t      high, low;
    Goim__Record  record = GOIM__RECORD__INIT;

    record.kind = GOIM__RECORD__KIND__ROOM;
    record.operation = push->operation;
    record.body = push->msg;

    room_len = strlen(push->room) + 1;
    item->id_len = job_number_id(push);
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


/* ---- the step ---- */

static int
job_number_step(job_number_part_t *part, size_t n)
{
    int           rc;
    size_t        i;
    job_t        *job;
    bus_names_t   names;

    job = part->job;

    rc = bus_consumer_holds(job->consumer, part->partition)
         ? bus_consumer_names(job->consumer, part->partition, &names) : -1;

    if (rc == 0) {
        rc = job_number_eval(part, n, &names);
    }

    for (i = 0; i < n; i++) {
        free(job->number.items[i].room);
    }

    if (rc == 0) {
        part->inflight = 1;
        metrics_add(job->m.steps, 1);
    }

    return rc;
}


static void
job_number_arg(job_number_t *num, int *argc, const void *data, size_t len)
{
    num->argv[*argc] = data;
    num->argvlen[*argc] = len;
    (*argc)++;
}


/* Keys and arguments that a step has whatever its items are. */

static void
job_number_fixed(job_number_part_t *part, const bus_names_t *names,
    job_step_t *s)
{
    job_t       *job;
    size_t       len;
    const char  *prefix;

    job = part->job;
    prefix = svc_redis_prefix(job->redis);

    snprintf(s->base, sizeof(s->base), "%.480sgoim:{%" PRIu32 "}:", prefix,
             part->partition);
    snprintf(s->life, sizeof(s->life), "%" PRIu64,
             svc_redis_life(job->redis));
    snprintf(s->dedup, sizeof(s->dedup), "%" PRId64, job->history.now.dedup);
    bus_hex(s->bus, bus_consumer_epoch(job->consumer, &len), BUS_EPOCH_LEN);
    job_history_word(s->word);

    snprintf(s->key[0], JOB_STEP_KEY, "%.480sgoim:life", prefix);
    snprintf(s->key[1], JOB_STEP_KEY, "%.480sgoim:history", prefix);
    snprintf(s->key[2], JOB_STEP_KEY, "%s", names->lease_key);
    snprintf(s->key[3], JOB_STEP_KEY, "%s", names->done_key);
    snprintf(s->key[4], JOB_STEP_KEY, "%srepeats:%s", s->base, s->bus);
    snprintf(s->key[5], JOB_STEP_KEY, "%sjudged", s->base);
    snprintf(s->key[6], JOB_STEP_KEY, "%srooms", s->base);
    snprintf(s->key[7], JOB_STEP_KEY, "%sopen", s->base);

    s->arg[0] = s->life;
    s->arg[1] = job->history.of;
    s->arg[2] = names->lease;
    s->arg[3] = names->done_field;
    s->arg[4] = s->bus;
    s->arg[5] = s->base;
    s->arg[6] = s->word;
    s->arg[7] = s->dedup;
}


static int
job_number_eval(job_number_part_t *part, size_t n, const bus_names_t *names)
{
    int            argc, k;
    size_t         i;
    job_t         *job;
    job_step_t     s;
    job_item_t    *item;
    job_number_t  *num;
    svc_script_t  *script;

    job = part->job;
    num = &job->number;

    if (num->argv == NULL) {
        i = JOB_STEP_KEYS + JOB_STEP_ARGS + JOB_STEP * JOB_ITEM_ARGS;
        num->argv = job_realloc(NULL, i * sizeof(char *));
        num->argvlen = job_realloc(NULL, i * sizeof(size_t));
    }

    job_number_fixed(part, names, &s);
    argc = 0;

    for (k = 0; k < JOB_STEP_KEYS; k++) {
        job_number_arg(num, &argc, s.key[k], strlen(s.key[k]));
    }

    for (k = 0; k < JOB_STEP_ARGS; k++) {
        job_number_arg(num, &argc, s.arg[k], strlen(s.arg[k]));
    }

    for (i = 0; i < n; i++) {
        item = &num->items[i];

        job_number_arg(num, &argc, item->room, strlen(item->room));
        job_number_arg(num, &argc, item->keep, strlen(item->keep));
        job_number_arg(num, &argc, item->ttl, strlen(item->ttl));
        job_number_arg(num, &argc, item->pos, strlen(item->pos));
        job_number_arg(num, &argc, item->record, item->record_len);
        job_number_arg(num, &argc, item->id, item->id_len);
        job_number_arg(num, &argc, item->at, strlen(item->at));
    }

    script = svc_redis_is_full(job->redis) ? &job_number_full_script
                                           : &job_number_script;

    return svc_redis_eval(job->redis, script, job_number_answer, part,
                          JOB_STEP_KEYS, argc, num->argv, num->argvlen);
}


/* ---- its answer ---- */

static void
job_number_answer(svc_redis_t *r, redisReply *reply, void *data)
{
    job_number_part_t  *part = data;

    job_t  *job;

    (void) r;

    job = part->job;
    part->inflight = 0;

    if (job->draining) {
        return;
    }

    if (job_number_fits(part, reply)) {
        part->delay = 0;
        job_number_full(part, 0);
        job_number_answered(part, reply);

    } else {
        job_number_failed(part, reply);
    }

    job_number_go(part);
    job->eased(job);
}


static int
job_number_fits(const job_number_part_t *part, const redisReply *reply)
{
    size_t  i;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != 1 + 2 * part->nitems
        || reply->element[0]->type != REDIS_REPLY_INTEGER)
    {
        return 0;
    }

    for (i = 1; i < reply->elements; i += 2) {
        if (reply->element[i]->type != REDIS_REPLY_INTEGER
            || reply->element[i + 1]->type != REDIS_REPLY_STRING
            || reply->element[i + 1]->len > JOB_EPOCH_MAX)
        {
            return 0;
        }
    }

    return 1;
}


/* On to the nodes, in order; reply NULL: there were no items. */

static void
job_number_answered(job_number_part_t *part, const redisReply *reply)
{
    static log_once_t  replaced;

    size_t      i;
    job_t      *job;
    job_msg_t  *msg;

    job = part->job;
    i = 1;

    if (reply != NULL && reply->element[0]->integer > 0) {
        metrics_add(job->m.history_replaced, reply->element[0]->integer);
        log_seldom(&replaced, LOG_ERROR, "partition %u: %lld keys of "
                   "histories were of another type or wrong, replaced",
                   part->partition, reply->element[0]->integer);
    }

    while ((msg = job_list_pop(&part->asked)) != NULL) {
        job->number.held--;

        if (msg->item) {
            job_number_judged(job, msg, reply->element[i]->integer,
                              reply->element[i + 1]);
            i += 2;

        } else {
            job_fanout_take(job, msg);
        }
    }
}


static void
job_number_judged(job_t *job, job_msg_t *msg, int64_t seq,
    const redisReply *epoch)
{
    static log_once_t  lost;

    if (seq < 0) {
        metrics_add(seq == -1 ? job->m.repeats : job->m.stale, 1);
        job_place_ack(&job->place, msg);
        job_msg_unref(msg);
        return;
    }

    if (seq > 0) {
        metrics_add(job->m.numbered, 1);
        job_msg_number(msg, (uint64_t) seq, epoch->str, epoch->len);

    } else {
        metrics_add(job->m.unnumbered[JOB_NONE_LOST], 1);
        log_seldom(&lost, LOG_ERROR, "partition %u: an item is done again "
                   "whose number is not known any more, as its history was "
                   "deleted; who recovers in its room is told so",
                   msg->partition);
    }

    job_fanout_take(job, msg);
}


static void
job_number_failed(job_number_part_t *part, const redisReply *reply)
{
    static log_once_t  refused;

    int     full;
    job_t  *job;

    job = part->job;
    full = 0;

    metrics_add(job->m.step_retries, 1);

    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        full = (strncmp(reply->str, "OOM", 3) == 0);

        if (svc_redis_class(reply) != SVC_REDIS_LIFE) {
            log_seldom(&refused, svc_redis_class(reply) == SVC_REDIS_ERROR
                       ? LOG_ERROR : LOG_WARN, "partition %u: numbering "
                       "refused: %.*s; trying again", part->partition,
                       (int) reply->len, reply->str);
        }
    }

    job_number_full(part, full);
    job_number_back(part);

    if (reply != NULL && reply->type == REDIS_REPLY_STRING
        && strcmp(reply->str, "HISTORY") == 0)
    {
        job_history_again(job);         /* then job_number_known() */
        return;
    }

    job_number_wait(part);
}


/* The step's records wait again, before the others. */

static void
job_number_back(job_number_part_t *part)
{
    job_list_t  all;

    job_list_init(&all);
    job_list_join(&all, &part->asked);
    job_list_join(&all, &part->waiting);
    job_list_join(&part->waiting, &all);
}


static void
job_number_wait(job_number_part_t *part)
{
    part->delay = part->delay ? 2 * part->delay : JOB_RETRY_MIN;

    if (part->delay > JOB_RETRY_MAX) {
        part->delay = JOB_RETRY_MAX;
    }

    svc_timer(part->timer, part->delay);
}


/* As in node.c: nothing is taken from the bus meanwhile. */

static void
job_number_full(job_number_part_t *part, int full)
{
    if (part->full != full) {
        part->full = full;
        part->job->full += full ? 1 : -1;
    }
}


static void
job_number_timer(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;

    job_number_go(data);
}


/*
 * Steps without records: what is done has its time from now on, also where
 * nothing more comes.
 */

static void
job_number_tidy(evutil_socket_t fd, short what, void *data)
{
    job_t  *job = data;

    uint32_t            n;
    job_number_part_t  *part;

    (void) fd;
    (void) what;

    if (!job->history.known || job->history.of[0] == '\0'
        || job->history.strange || job->draining)
    {
        return;
    }

    for (n = 0; n < job->history.partitions; n++) {

        if (!bus_consumer_holds(job->consumer, n)) {
            continue;
        }

        part = job_number_part(job, n);

        if (!part->inflight && part->waiting.head == NULL) {
            part->nitems = 0;
            (void) job_number_step(part, 0);
        }
    }
}
