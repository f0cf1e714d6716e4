/*
 * Targets of a push, grouped.
 */

#include "group.h"

#include <stdlib.h>
#include <string.h>

#include "common/goim_position.h"

#define LOGIC_GROUP_KEY  4      /* tag and length of a key in PushMsg */


static int
logic_target_same(const logic_target_t *a, const logic_target_t *b)
{
    return a->partition == b->partition && strcmp(a->server, b->server) == 0;
}


static int
logic_target_cmp(const void *one, const void *two)
{
    int                    rc;
    const logic_target_t  *a = one, *b = two;

    if (a->partition != b->partition) {
        return a->partition < b->partition ? -1 : 1;
    }

    rc = strcmp(a->server, b->server);
    if (rc != 0) {
        return rc;
    }

    return a->seq < b->seq ? -1 : a->seq > b->seq;
}


void
logic_group(logic_target_t *targets, size_t n, uint32_t partitions)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        targets[i].partition = goim_partition(targets[i].key, targets[i].len,
                                              partitions);
        targets[i].seq = (uint32_t) i;
    }

    if (n > 1) {
        qsort(targets, n, sizeof(logic_target_t), logic_target_cmp);
    }
}


size_t
logic_group_end(const logic_target_t *targets, size_t n, size_t i, size_t max)
{
    size_t  first, bytes;

    first = i;
    bytes = 0;

    while (i < n && logic_target_same(&targets[first], &targets[i])) {
        bytes += targets[i].len + LOGIC_GROUP_KEY;

        if (bytes > max && i > first) {
            break;
        }

        i++;
    }

    return i;
}
