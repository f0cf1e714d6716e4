/*
 * What a client may do, as its token or the application says: which rooms it
 * may enter, which operations it may accept.
 */

#ifndef LOGIC_GRANTS_H
#define LOGIC_GRANTS_H

#include <jansson.h>

#include <stddef.h>
#include <stdint.h>

#include "common/goim_limits.h"

/* Whether a pattern, not empty ("live://1", or "live://" and a star), takes a
   room. */
int logic_room_like(const char *pattern, size_t n, const char *room,
    size_t len);


typedef struct {
    /* rooms: names one behind the other; one that ends in "*" is all that
       begin so */
    char        rooms[GOIM_ROOMS_BYTES];
    size_t      rooms_len[GOIM_ROOMS_MAX];
    size_t      nrooms;

    /* operations: from, to, from, to */
    int32_t     ops[2 * GOIM_OPS_MAX];
    size_t      nops;               /* numbers in there */

    unsigned    rooms_limited:1;    /* to these; else any */
    unsigned    ops_limited:1;
} logic_grants_t;

/*
 * ["live://1","news*"] and [1000,"2000-2999"]. 0, or -1: it is no such list or
 * too long.
 */
int logic_grants_rooms(logic_grants_t *may, json_t *list);
int logic_grants_ops(logic_grants_t *may, json_t *list);


/* How often, in the place of what is configured. */
typedef struct {
    double      rate;               /* a session's, in s; 0: any */
    double      mid_rate;           /* a user's */
    int64_t     burst;              /* both: 0: as configured */
    int64_t     mid_burst;
    unsigned    has_rate:1;         /* else as configured */
    unsigned    has_mid_rate:1;
} logic_limits_t;

#define LOGIC_RATE_MAX   100000
#define LOGIC_BURST_MAX  100000

/* Whether it is a rate: 0, or at least once an hour. */
int logic_rate_valid(double rate);

/* {"rate":1,"burst":5,"mid_rate":0.5,"mid_burst":10}, each of which may be
   missing. 0, or -1: it is none. */
int logic_grants_limits(logic_limits_t *limits, json_t *value);


/* What a client may send: to the rooms, with the operations of `to`. */
typedef struct {
    logic_grants_t  to;
    unsigned        any:1;          /* anything at all */
    unsigned        mids:1;         /* to users, too */
    unsigned        im:1;           /* messages between people */
} logic_sends_t;

#define LOGIC_SEND_FROM  1000       /* operations, where none are named */

/* {"rooms":["live://1","game://" and a star],"ops":[1000,"2000-2999"],
   "mids":true}, each of which may be missing. 0, or -1: it is none. */
int logic_grants_send(logic_sends_t *sends, json_t *value);

/* One more; -1: there is no place for it. */
int logic_grants_add_room(logic_grants_t *may, const char *room, size_t len);
int logic_grants_add_op(logic_grants_t *may, int32_t op);

int logic_grants_has_room(const logic_grants_t *may, const char *room,
    size_t len);
int logic_grants_has_op(const logic_grants_t *may, int32_t op);

#endif
