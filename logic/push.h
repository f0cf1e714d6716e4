/*
 * A push on its way through push.c (request and answer), lookup.c (targets)
 * and produce.c (records).
 */

#ifndef LOGIC_PUSH_H
#define LOGIC_PUSH_H

#include "group.h"
#include "http.h"
#include "svc/pool.h"

/* the routes */
void logic_push_keys(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);
void logic_push_mids(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);
void logic_push_room(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);
void logic_push_all(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);

int logic_push_init(logic_thread_t *t);
void logic_push_free(logic_thread_t *t);


typedef enum {
    LOGIC_PUSH_KEYS, LOGIC_PUSH_MIDS, LOGIC_PUSH_ROOM, LOGIC_PUSH_ALL
} logic_push_kind_t;

typedef struct logic_server_s  logic_server_t;

struct logic_server_s {
    logic_server_t  *next;
    char             name[];
};

/* one at the bus */
typedef struct {
    logic_push_t    *push;
    size_t           bytes;
} logic_record_t;

#define LOGIC_PUSH_SERVERS  64      /* buckets, a power of two */

struct logic_push_s {
    TAILQ_ENTRY(logic_push_s)  entry;
    logic_thread_t            *thread;
    http_request_t            *req;         /* NULL: answered, and gone */
    logic_query_t              query;       /* the request's, as its message */
    logic_push_kind_t          kind;
    int32_t                    operation;
    int32_t                    speed;
    const char                *room;
    const char                *id;          /* NULL: none */
    int                        past;        /* the room's history */
    int64_t                    deadline;
    size_t                     bytes;       /* counted as pending */
    svc_pool_t                 pool;        /* what lives as long */

    /* lookup.c */
    const logic_arg_t        **args;        /* keys */
    int64_t                   *mids;        /* each one once */
    size_t                     nwanted;
    size_t                     next;        /* to look up */
    unsigned                   lookups;     /* under way */
    logic_target_t            *targets;
    size_t                     ntargets;
    size_t                     size;
    logic_server_t            *servers[LOGIC_PUSH_SERVERS];

    /* produce.c */
    size_t                     written;     /* of the targets */
    unsigned                   writes;      /* under way */
    size_t                     window;      /* bytes under way */
    logic_record_t             first;       /* push NULL: not in use */
    unsigned                   ok;
    unsigned                   failed;
    unsigned                   unknown;

    unsigned                   broken:1;    /* a lookup failed */
    unsigned                   missing:1;   /* one was not found */
    unsigned                   crowded:1;   /* more targets than allowed */
    unsigned                   producing:1;
    unsigned                   away:1;      /* the bus is known to be down */
};


/* Answer if that was not yet done, and let go of it. */
void logic_push_answer(logic_push_t *p, logic_end_t end,
    const char *message);
void logic_push_release(logic_push_t *p);

/* Find where the n keys, or the keys of the n mids, are; then write. */
void logic_lookup_keys(logic_push_t *p, size_t n);
void logic_lookup_mids(logic_push_t *p, size_t n);

/* Hand a record to the bus: msg says whom it is for, the rest is set here. */
void logic_push_produce(logic_push_t *p, Goim__PushMsg *msg, const char *key,
    size_t len);

/* Write records for the targets as far as the window allows, and answer when
 * all are told of. */
void logic_push_write(logic_push_t *p);
void logic_push_settle(logic_push_t *p);

#endif
