/*
 * What a client says of where it was, and what it is told of where it is now:
 * `recover` of the auth packet, the map in operation 12; the body of operation
 * 23.
 *
 *     {"live://1":{"epoch":"k3v9","seq":57}}       it was there
 *     {"live://1":{"last":50}}                     the newest 50, please
 *     {"live://1":{}}  or null                     from now on
 */

#ifndef GOIM_RECOVER_H
#define GOIM_RECOVER_H

#include <stddef.h>
#include <stdint.h>

#include "common/goim_limits.h"
#include "common/goim_timeline.h"


typedef struct {
    const char   *name;             /* of the timeline, its escapes resolved */
    size_t        name_len;
    const char   *epoch;
    size_t        epoch_len;        /* 0: no position */
    uint64_t      seq;
    uint32_t      last;             /* without a position: the newest so many */
} goim_recover_t;


/* An entry, in its order, a name twice, too; it lives during the call. */
typedef void (*goim_recover_pt)(const goim_recover_t *entry, void *data);

/*
 * The text of a map. How many entries it has; -1: it is refused, *reason (a
 * literal) says why, and entries that were told count for nothing. Members that
 * are not known are ignored.
 */
int goim_recover_parse(const void *text, size_t len, goim_recover_pt entry,
    void *data, const char **reason);


/* bytes of an entry of operation 23, and of what is around all of them */
#define GOIM_TOLD_MAX     (6 * (GOIM_ROOM_MAX + GOIM_EPOCH_MAX) + 128)
#define GOIM_TOLD_AROUND  2

typedef struct {
    const char         *name;       /* at most GOIM_ROOM_MAX bytes */
    size_t              name_len;
    const goim_told_t  *told;
} goim_told_entry_t;

/*
 * The body of operation 23: its length. buf has place for n entries and what is
 * around them. Bytes of names that are not ASCII are written as they are.
 */
size_t goim_told_write(char *buf, const goim_told_entry_t *entries, size_t n);

#endif
