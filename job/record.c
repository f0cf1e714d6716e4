/*
 * A record's bytes: checked, and packed for the nodes' streams.
 *
 * What stands in the bus may have been written by anybody who may write
 * there: nothing of it is trusted.
 */

#include "record.h"

#include <stdlib.h>
#include <string.h>

#include "place.h"

#include "svc/clock.h"


#define JOB_ARENA        (64 * 1024)
#define JOB_ARENA_RATIO  32         /* bytes unpacked for a byte packed */


typedef struct job_block_s  job_block_t;

struct job_block_s {
    job_block_t  *next;
};


static void *job_arena_alloc(void *data, size_t size);
static void job_arena_nofree(void *data, void *p);
static job_bad_t job_record_check(const Goim__PushMsg *push);
static size_t job_record_key(const char *key);


const char *const  job_bad_reasons[JOB_BAD_COUNT] = {
    "none",
    "size",
    "parse",
    "type",
    "server",
    "keys",
    "room",
    "order"
};


void
job_arena_init(job_arena_t *arena)
{
    memset(arena, 0, sizeof(job_arena_t));

    arena->allocator.alloc = job_arena_alloc;
    arena->allocator.free = job_arena_nofree;
    arena->allocator.allocator_data = arena;

    arena->size = JOB_ARENA;
    arena->block = job_realloc(NULL, arena->size);
    arena->limit = JOB_ARENA;
}


void
job_arena_reset(job_arena_t *arena)
{
    job_block_t  *b, *next;

    for (b = arena->more; b; b = next) {
        next = b->next;
        free(b);
    }

    arena->more = NULL;
    arena->used = 0;
    arena->total = 0;
    arena->full = 0;
}


void
job_arena_free(job_arena_t *arena)
{
    job_arena_reset(arena);

    free(arena->block);
    arena->block = NULL;
}


static void *
job_arena_alloc(void *data, size_t size)
{
    job_arena_t  *arena = data;

    void         *p;
    job_block_t  *b;

    if (size > arena->limit - arena->total) {
        arena->full = 1;
        return NULL;
    }

    size = (size + 15) & ~(size_t) 15;

    if (size <= arena->size - arena->used) {
        p = arena->block + arena->used;
        arena->used += size;

    } else {

        /* rounded to 16, so that what follows is aligned */

        b = malloc(16 + size);
        if (b == NULL) {
            arena->full = 1;
            return NULL;
        }

        b->next = arena->more;
        arena->more = b;
        p = (uint8_t *) b + 16;
    }

    arena->total += size;

    if (arena->total > arena->limit) {
        arena->total = arena->limit;
    }

    return p;
}


static void
job_arena_nofree(void *data, void *p)
{
    (void) data;
    (void) p;
}


job_bad_t
job_record_parse(job_arena_t *arena, const uint8_t *payload, size_t len,
    Goim__PushMsg **push)
{
    job_arena_reset(arena);

    /* a key of no bytes takes two packed and some thirty unpacked */

    arena->limit = JOB_ARENA + JOB_ARENA_RATIO * len;

    *push = goim__push_msg__unpack(&arena->allocator, len, payload);

    if (*push == NULL) {
        return arena->full ? JOB_BAD_SIZE : JOB_BAD_PARSE;
    }

    return job_record_check(*push);
}


static job_bad_t
job_record_check(const Goim__PushMsg *push)
{
    size_t  i, n;

    switch ((int) push->type) {

    case GOIM__PUSH_MSG__TYPE__PUSH:

        n = strlen(push->server);

        if (n == 0 || n > GOIM_SERVER_MAX) {
            return JOB_BAD_SERVER;
        }

        for (i = 0; i < push->n_keys; i++) {
            if (job_record_key(push->keys[i]) > 0) {
                return JOB_GOOD;
            }
        }

        return JOB_BAD_KEYS;

    case GOIM__PUSH_MSG__TYPE__ROOM:

        n = strlen(push->room);

        return n == 0 || n > GOIM_ROOM_MAX ? JOB_BAD_ROOM : JOB_GOOD;

    case GOIM__PUSH_MSG__TYPE__BROADCAST:
        return JOB_GOOD;

    case GOIM__PUSH_MSG__TYPE__CANARY:

        n = push->canary != NULL ? strlen(push->canary->logic) : 0;

        return n == 0 || n > GOIM_CANARY_ID ? JOB_BAD_TYPE : JOB_GOOD;

    case GOIM__PUSH_MSG__TYPE__END:
        return push->end != NULL ? JOB_GOOD : JOB_BAD_TYPE;

    default:
        return JOB_BAD_TYPE;
    }
}


/* The key's length; 0: no session has such a key. */

static size_t
job_record_key(const char *key)
{
    size_t  n;

    n = strlen(key);

    return n > GOIM_KEY_MAX ? 0 : n;
}


size_t
job_record_wrong(const Goim__PushMsg *push)
{
    size_t  i, n;

    n = 0;

    if (push->type == GOIM__PUSH_MSG__TYPE__PUSH) {
        for (i = 0; i < push->n_keys; i++) {
            n += job_record_key(push->keys[i]) == 0;
        }
    }

    return n;
}


job_bad_t
job_record_pack(job_arena_t *arena, const Goim__PushMsg *push,
    const job_msg_t *msg, size_t nodes, uint64_t sessions, uint8_t **data,
    size_t *len)
{
    size_t                 i, n;
    Goim__Record           record = GOIM__RECORD__INIT, *records[1];
    Goim__Delivery         delivery = GOIM__DELIVERY__INIT;
    ProtobufCBinaryData   *keys;

    record.partition = msg->partition;
    record.offset.data = (uint8_t *) msg->offset.b;
    record.offset.len = GOIM_OFFSET_LEN;
    record.operation = push->operation;
    record.body = push->msg;

    switch (push->type) {

    case GOIM__PUSH_MSG__TYPE__PUSH:

        keys = job_arena_alloc(arena, push->n_keys * sizeof(*keys));
        if (keys == NULL) {
            return JOB_BAD_SIZE;
        }

        /* a bad key is left out and harms none of the others */

        for (i = 0; i < push->n_keys; i++) {
            n = job_record_key(push->keys[i]);

            if (n > 0) {
                keys[record.n_keys].data = (uint8_t *) push->keys[i];
                keys[record.n_keys].len = n;
                record.n_keys++;
            }
        }

        record.kind = GOIM__RECORD__KIND__KEYS;
        record.keys = keys;
        break;

    case GOIM__PUSH_MSG__TYPE__ROOM:
        record.kind = GOIM__RECORD__KIND__ROOM;
        record.room.data = (uint8_t *) push->room;
        record.room.len = strlen(push->room);

        if (msg->seq != NULL) {
            record.timeline = msg->seq->epoch;
            record.seq = msg->seq->seq;
        }

        break;

    case GOIM__PUSH_MSG__TYPE__CANARY:
        record.kind = GOIM__RECORD__KIND__KEYS;
        record.canary = push->canary;
        record.canary->taken = (uint64_t) msg->came;
        record.canary->appended = (uint64_t) svc_date();
        break;

    case GOIM__PUSH_MSG__TYPE__END:
        record.kind = GOIM__RECORD__KIND__KEYS;
        record.end = push->end;
        break;

    default:
        record.kind = GOIM__RECORD__KIND__ALL;

        /*
         * The pace is the cluster's. A worker knows how many sessions it has
         * now; of how many, it is told here.
         */

        if (push->speed > 0) {
            record.speed = (uint32_t) push->speed;
            record.sessions = sessions < UINT32_MAX ? (uint32_t) sessions
                                                    : UINT32_MAX;
            record.nodes = (uint32_t) nodes;
        }
    }

    records[0] = &record;
    delivery.n_records = 1;
    delivery.records = records;

    *data = job_realloc(NULL, goim__delivery__get_packed_size(&delivery));
    *len = goim__delivery__pack(&delivery, *data);

    return JOB_GOOD;
}
