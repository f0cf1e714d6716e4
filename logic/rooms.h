/*
 * Rooms and how many are in them, summed over the zones of the cluster.
 */

#ifndef LOGIC_ROOMS_H
#define LOGIC_ROOMS_H

#include <stddef.h>
#include <stdint.h>

typedef struct logic_rooms_s  logic_rooms_t;

typedef struct {
    const char  *room;
    size_t       len;
    int64_t      count;
} logic_room_t;

/* max: rooms kept, at most. */
logic_rooms_t *logic_rooms_new(size_t max);
void logic_rooms_free(logic_rooms_t *r);

/*
 * `count` in the room of one zone. The same zone (a number over 0 that only
 * grows) may tell a room twice, then the last count holds. -1: full or no
 * memory.
 */
int logic_rooms_add(logic_rooms_t *r, const char *room, size_t len,
    uint32_t zone, int64_t count);

/*
 * The largest rooms whose name begins with prefix, largest first, at most
 * limit; malloc()ed, *n of them, names owned by r. NULL: no memory.
 */
logic_room_t *logic_rooms_top(const logic_rooms_t *r, const char *prefix,
    size_t limit, size_t *n);

#endif
