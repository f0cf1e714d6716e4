/*
 * From goim's PushMsg, as it stands in the bus, to a packed goim.Delivery
 * with one Record. Messages of protobuf merge when their bytes are put one
 * behind the other, so an append is the Delivery with the epoch, then those
 * of its records: each is packed once, whatever the number of nodes.
 */

#ifndef JOB_RECORD_H
#define JOB_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "common/goim_limits.h"
#include "common/goim_position.h"
#include "proto/goim.pb-c.h"

#include "place.h"


typedef enum {
    JOB_GOOD,
    JOB_BAD_SIZE,       /* over GOIM_RECORD_MAX, or absurd when unpacked */
    JOB_BAD_PARSE,
    JOB_BAD_TYPE,
    JOB_BAD_SERVER,     /* PUSH: none, or too long */
    JOB_BAD_KEYS,       /* PUSH: none, or only empty and too long ones */
    JOB_BAD_ROOM,       /* ROOM: none, or too long */
    JOB_BAD_ORDER,      /* its offset was taken before */
    JOB_BAD_COUNT
} job_bad_t;

/* For labels and log lines. */
extern const char *const  job_bad_reasons[JOB_BAD_COUNT];

/* Memory for unpacking: given back as a whole, and bounded. */
typedef struct {
    ProtobufCAllocator  allocator;
    uint8_t            *block;
    size_t              size;
    size_t              used;
    size_t              limit;
    size_t              total;
    void               *more;       /* single blocks, when one is not enough */
    int                 full;
} job_arena_t;

void job_arena_init(job_arena_t *arena);
void job_arena_reset(job_arena_t *arena);
void job_arena_free(job_arena_t *arena);

/* The message lives in the arena, until its reset. */
job_bad_t job_record_parse(job_arena_t *arena, const uint8_t *payload,
    size_t len, Goim__PushMsg **push);

/* Keys that no session can have: they are left out. */
size_t job_record_wrong(const Goim__PushMsg *push);

/*
 * Pack what msg is for the nodes' streams; *data is malloc()ed. A broadcast's
 * speed is shared by `sessions` of `nodes`.
 */
job_bad_t job_record_pack(job_arena_t *arena, const Goim__PushMsg *push,
    const job_msg_t *msg, size_t nodes, uint64_t sessions, uint8_t **data,
    size_t *len);

#endif
