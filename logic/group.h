/*
 * Targets of a push, grouped: one record of the bus for each node and
 * partition, so that everything for one key travels in one partition.
 */

#ifndef LOGIC_GROUP_H
#define LOGIC_GROUP_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char  *server;
    const char  *key;
    size_t       len;
    uint32_t     partition;
    uint32_t     seq;           /* place in the request */
} logic_target_t;

/*
 * Set partition and seq, and bring together what belongs into one record;
 * in each group the order of the request remains.
 */
void logic_group(logic_target_t *targets, size_t n, uint32_t partitions);

/*
 * The end of the record that begins at `i`: the same node and partition,
 * and its keys take at most max bytes (or it is one key).
 */
size_t logic_group_end(const logic_target_t *targets, size_t n, size_t i,
    size_t max);

#endif
