/*
 * Pages of histories that are kept for everybody: full ones below the head
 * never change. What is kept longest unasked goes first.
 */

#ifndef LOGIC_PAGES_H
#define LOGIC_PAGES_H

#include <stddef.h>
#include <stdint.h>


typedef struct {
    const char     *room;
    const char     *epoch;
    uint64_t        after;
    uint32_t        limit;
} logic_page_key_t;

typedef struct {
    const uint8_t  *data;
    size_t          len;
} logic_page_item_t;

/* its items follow `after` without a gap */
typedef struct {
    size_t                    n;
    const logic_page_item_t  *items;
} logic_page_t;

typedef struct logic_pages_s  logic_pages_t;


/* max: bytes, all that it takes. Threads share it. NULL: no memory. */
logic_pages_t *logic_pages_new(size_t max);
void logic_pages_free(logic_pages_t *p);

/* A reference, to be given back; NULL: it is not kept. */
const logic_page_t *logic_pages_get(logic_pages_t *p,
    const logic_page_key_t *key);
void logic_page_unref(const logic_page_t *page);

/* A copy; nothing when it is kept already, or there is no memory. */
void logic_pages_put(logic_pages_t *p, const logic_page_key_t *key,
    const logic_page_item_t *items, size_t n);

size_t logic_pages_bytes(logic_pages_t *p);

#endif
