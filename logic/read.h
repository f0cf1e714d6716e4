/*
 * Items of a room's history: one step in Redis (read.c), for backends
 * (read_http.c) and for nodes (read_rpc.c).
 */

#ifndef LOGIC_READ_H
#define LOGIC_READ_H

#include "http.h"
#include "rpc.h"

#define LOGIC_READ_LIMIT  100           /* items a page, of backends */
#define LOGIC_READ_KEY    (GOIM_PREFIX_MAX + GOIM_ROOM_MAX + 64)


typedef enum {
    LOGIC_READ_OK,
    LOGIC_READ_CANNOT,      /* of another epoch, or not all of it is kept */
    LOGIC_READ_LATER,       /* it begins beyond the newest */
    LOGIC_READ_NONE,        /* the room has no history */
    LOGIC_READ_FAILED       /* Redis did not do it */
} logic_read_status_t;

typedef struct logic_read_s  logic_read_t;

/* one on its way: the caller's memory, who sets all up to `data` */
struct logic_read_s {
    logic_thread_t       *thread;
    const char           *room;         /* its key */
    const char           *want;         /* an epoch, "": any */
    const char           *what;         /* "after", "before", "last" */
    uint64_t              number;
    uint32_t              limit;        /* items; 0: only where it stands */
    uint32_t              bytes;        /* or one item */
    void                (*done)(logic_read_t *rd);
    void                 *data;

    unsigned              tries;

    /* for done(), as long as that takes; none of them when NONE or FAILED */
    logic_read_status_t   status;
    const char           *error;        /* FAILED: why */
    const char           *epoch;        /* the room's, whatever was wanted */
    uint64_t              first;        /* the oldest kept and whole, */
    uint64_t              head;         /* and the newest number */
    size_t                n;            /* of items */
    redisReply          **items;        /* a number and a packed goim.Record
                                           that parses, and again; without a
                                           gap */
};

/* done() comes once, perhaps at once */
void logic_read(logic_read_t *rd);

/* key: of LOGIC_READ_KEY bytes; what is "meta:", "items:" ... */
void logic_read_key(logic_thread_t *t, char *key, const char *room,
    const char *what, const char *of);

/* Reads of nodes that are under way: one that has begun is over once */
void logic_read_over(void);

/* before there are threads */
int logic_read_init(void);

/* the routes */
void logic_room_position(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);
void logic_room_history(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);

/* the calls; heads.c */
void logic_read_call(logic_call_t *call);
void logic_heads_call(logic_call_t *call);

#endif
