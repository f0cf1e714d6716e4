/*
 * Where sessions are kept: one interface in front of what keeps them, as
 * svc/bus.h is for the bus. store_redis.c keeps them in Redis:
 *
 *     sess_<key>   hash: holder = <server>/<zone>/<session>, mid, at (ms)
 *     key_<key>    the server, as goim keeps it
 *     mid_<mid>    hash: key -> server, as goim keeps it; mid over 0 only
 *
 * A change is made at once or not at all, compares who holds the key, and is
 * refused after its deadline: what somebody else may have done since is not
 * undone by a command that came late. Of one zone the larger session id is
 * the newer session.
 *
 * A store belongs to a thread. Callbacks come exactly once, never from inside
 * the call; what they are given is valid during the callback. All that is
 * passed by pointer must live until then, unless said otherwise.
 */

#ifndef LOGIC_STORE_H
#define LOGIC_STORE_H

#include "proto/goim.pb-c.h"

#include "logic.h"
#include "token.h"

typedef enum {
    STORE_OK,
    STORE_NEWER,        /* connect: a newer session of the zone has the key */
    STORE_TAKEN,        /* connect: another mid has the key */
    STORE_CROWDED,      /* connect: the mid has as many as it may */
    STORE_REVOKED,      /* connect: the token is taken no longer */
    STORE_KICKED,       /* connect: the device was closed, by this token */
    STORE_FAILED        /* away, late, or it is not known whether it was done */
} store_code_t;

typedef struct {
    const char      *key;
    size_t           key_len;
    const char      *holder;
    size_t           holder_len;
} store_kicked_t;

typedef struct {
    store_code_t     code;
    uint64_t         life;      /* what it was done in: one that is lost takes
                                   it along */
    size_t           count;     /* renewed: restored; ended: had their key;
                                   missing: removed */
    const char      *holder;    /* connect: who had the key, or has it */
    size_t           holder_len;
    store_kicked_t  *kicked;    /* connect: sessions that are to end */
    size_t           nkicked;
} store_answer_t;

typedef void (*store_pt)(const store_answer_t *a, void *data);

/* a session of a list has been replaced, by its index */
typedef void (*store_replaced_pt)(size_t i, void *data);

typedef struct {
    const char      *server;
    const char      *zone;
    int64_t          deadline;  /* by svc_now(); nothing is done later */
    uint64_t         worker;    /* of the zone; 0: it does not say */
    store_pt         cb;
    void            *data;
} store_ask_t;                  /* copied; what it points to is not */

store_t *store_new(logic_thread_t *t);
void store_free(store_t *st);

/* -1: it is away, no callback; order: the room is listed too, 0: it is not;
 * who: whether its key is guarded, what its token is revoked by, and
 * when it ends; the class of its device */
int store_connect(store_t *st, const store_ask_t *ask,
    const Goim__Session *session, uint64_t order,
    const ProtobufCBinaryData *room, const logic_who_t *who);
int store_renew(store_t *st, const store_ask_t *ask,
    Goim__Session *const *sessions, size_t n, store_replaced_pt replaced);
int store_end(store_t *st, const store_ask_t *ask,
    Goim__Session *const *sessions, size_t n);
int store_missing(store_t *st, const store_ask_t *ask,
    const ProtobufCBinaryData *keys, size_t n);


/* ---- who is found ---- */

typedef struct {
    const char      *key;       /* of a mid's keys */
    size_t           key_len;
    const char      *server;    /* NULL: on no node */
    size_t           len;
} store_place_t;

/* n places, in the order asked for; NULL: no answer */
typedef void (*store_found_pt)(const store_place_t *place, size_t n,
    void *data);

#define STORE_KEYS  500         /* of a call */

/* keys are copied; -1: it is away, no callback */
int store_find_keys(store_t *st, size_t n, const char *const *keys,
    const size_t *len, store_found_pt cb, void *data);
int store_find_mid(store_t *st, int64_t mid, store_found_pt cb, void *data);


/* ---- a new life ---- */

/*
 * Whether one who was not found before this call is nowhere, for sure: 1; 0:
 * what keeps the sessions may have lost some, and nodes are yet to announce
 * theirs; -1: no answer.
 */
typedef void (*store_sure_pt)(int sure, void *data);

int store_sure(store_t *st, store_sure_pt cb, void *data);

/* The thread's Redis came up: nodes it knew are awaited. */
void store_up(store_t *st);

/* All sessions of the zone are known in this life. -1: it is away, or in
 * another life; no callback. */
int store_announced(store_t *st, const store_ask_t *ask, uint64_t life);

/* A zone that knew another life and is yet to announce its sessions; or, gone,
 * has none. */
void store_await(store_t *st, const char *server, const char *zone,
    int gone);

#endif
