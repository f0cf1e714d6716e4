/*
 * Rooms and how many are in them.
 */

#include "rooms.h"

#include <stdlib.h>
#include <string.h>


typedef struct logic_entry_s  logic_entry_t;

struct logic_entry_s {
    logic_entry_t  *next;
    int64_t         count;
    int64_t         last;           /* of it, told by zone */
    uint32_t        zone;
    uint32_t        hash;
    uint32_t        len;
    char            room[];
};

struct logic_rooms_s {
    logic_entry_t  **buckets;
    size_t           nbuckets;      /* a power of two */
    size_t           nrooms;
    size_t           max;
};


static int logic_rooms_grow(logic_rooms_t *r);
static int logic_room_cmp(const void *one, const void *two);


logic_rooms_t *
logic_rooms_new(size_t max)
{
    logic_rooms_t  *r;

    r = calloc(1, sizeof(logic_rooms_t));
    if (r == NULL) {
        return NULL;
    }

    r->max = max;
    r->nbuckets = 64;
    r->buckets = calloc(r->nbuckets, sizeof(logic_entry_t *));

    if (r->buckets == NULL) {
        free(r);
        return NULL;
    }

    return r;
}


void
logic_rooms_free(logic_rooms_t *r)
{
    size_t          i;
    logic_entry_t  *e, *next;

    if (r == NULL) {
        return;
    }

    for (i = 0; i < r->nbuckets; i++) {
        for (e = r->buckets[i]; e != NULL; e = next) {
            next = e->next;
            free(e);
        }
    }

    free(r->buckets);
    free(r);
}


int
logic_rooms_add(logic_rooms_t *r, const char *room, size_t len,
    uint32_t zone, int64_t count)
{
    size_t          i;
    uint32_t        hash;
    logic_entry_t  *e;

    hash = 2166136261u;

    for (i = 0; i < len; i++) {
        hash = (hash ^ (uint8_t) room[i]) * 16777619u;
    }

    for (e = r->buckets[hash & (r->nbuckets - 1)]; e; e = e->next) {
        if (e->hash == hash && e->len == len
            && memcmp(e->room, room, len) == 0)
        {
            break;
        }
    }

    if (e == NULL) {

        if (r->nrooms >= r->max
            || (r->nrooms >= r->nbuckets && logic_rooms_grow(r) != 0))
        {
            return -1;
        }

        e = calloc(1, sizeof(logic_entry_t) + len + 1);
        if (e == NULL) {
            return -1;
        }

        e->hash = hash;
        e->len = (uint32_t) len;
        memcpy(e->room, room, len);

        e->next = r->buckets[hash & (r->nbuckets - 1)];
        r->buckets[hash & (r->nbuckets - 1)] = e;
        r->nrooms++;
    }

    if (e->zone == zone) {
        e->count -= e->last;
    }

    e->zone = zone;
    e->last = count;
    e->count += count;

    return 0;
}


static int
logic_rooms_grow(logic_rooms_t *r)
{
    size_t           i, n;
    logic_entry_t   *e, *next, **buckets;

    n = r->nbuckets * 2;

    buckets = calloc(n, sizeof(logic_entry_t *));
    if (buckets == NULL) {
        return -1;
    }

    for (i = 0; i < r->nbuckets; i++) {
        for (e = r->buckets[i]; e != NULL; e = next) {
            next = e->next;
            e->next = buckets[e->hash & (n - 1)];
            buckets[e->hash & (n - 1)] = e;
        }
    }

    free(r->buckets);
    r->buckets = buckets;
    r->nbuckets = n;

    return 0;
}


logic_room_t *
logic_rooms_top(const logic_rooms_t *r, const char *prefix, size_t limit,
    size_t *n)
{
    size_t                i, len;
    logic_room_t         *top;
    const logic_entry_t  *e;

    *n = 0;
    len = strlen(prefix);

    top = calloc(r->nrooms + 1, sizeof(logic_room_t));
    if (top == NULL) {
        return NULL;
    }

    for (i = 0; i < r->nbuckets; i++) {
        for (e = r->buckets[i]; e != NULL; e = e->next) {

            if (e->count <= 0 || e->len < len
                || memcmp(e->room, prefix, len) != 0)
            {
                continue;
            }

            top[*n].room = e->room;
            top[*n].len = e->len;
            top[(*n)++].count = e->count;
        }
    }

    qsort(top, *n, sizeof(logic_room_t), logic_room_cmp);

    if (*n > limit) {
        *n = limit;
    }

    return top;
}


static int
logic_room_cmp(const void *one, const void *two)
{
    int                  rc;
    const logic_room_t  *a = one, *b = two;

    if (a->count != b->count) {
        return a->count > b->count ? -1 : 1;
    }

    rc = memcmp(a->room, b->room, a->len < b->len ? a->len : b->len);

    return rc != 0 ? rc : (a->len > b->len) - (a->len < b->len);
}
