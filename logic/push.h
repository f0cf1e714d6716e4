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
    LOGIC_PUSH_KEYS, LOGIC_PUSH_MIDS, LOGIC_PUSH_ROOM, LOGIC_PUSH_ALL,
    LOGIC_PUSH_END              /* no message: sessions are to end */
} logic_push_kind_t;

/* What became of it: once, and from inside logic_push_*() too. */
typedef void (*logic_push_pt)(logic_thread_t *t, logic_end_t end,
    const char *message, void *data);

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
    logic_push_pt              done;        /* NULL: it has been told, and */
    void                      *data;        /* what it lent is gone: */
    const char                *msg;         /* the message, */
    size_t                     msg_len;
    const logic_query_t       *query;       /* and keys */
    logic_push_kind_t          kind;
    int32_t                    operation;
    int32_t                    speed;
    const char                *room;
    const char                *id;          /* NULL: none */
    const char                *sender;      /* NULL: a backend */
    int                        past;        /* the room's history */
    int64_t                    deadline;
    size_t                     bytes;       /* counted as pending */
    svc_pool_t                 pool;        /* what lives as long */

    /* lookup.c */
    const logic_arg_t        **args;        /* keys */
    int64_t                   *mids;        /* each one once; malloc()ed */
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


/*
 * A push of one message, lent until done() is called. bytes: what it holds
 * besides. NULL: done() has been called.
 */
logic_push_t *logic_push_begin(logic_thread_t *t, logic_push_kind_t kind,
    int32_t operation, const char *msg, size_t len, size_t bytes,
    logic_push_pt done, void *data);

/* That end as the answer's code: 0, -400, -500, -504. */
int logic_push_code(logic_end_t end);

/* To a room: the key is copied. */
void logic_push_to_room(logic_push_t *p, const char *room, size_t len);

/* Answer if that was not yet done, and let go of it. */
void logic_push_answer(logic_push_t *p, logic_end_t end,
    const char *message);
void logic_push_release(logic_push_t *p);

/* Find where the n keys of p->query, or the keys of n of p->mids, are; then
 * write. */
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
