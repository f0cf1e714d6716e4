/*
 * Words that name epochs of timelines, each kept once: two are the same word
 * if they are the same pointer. They come from clients, too, so the table has
 * a secret seed.
 */

#ifndef GOIM_EPOCH_H
#define GOIM_EPOCH_H

#include <stddef.h>
#include <stdint.h>

#include "common/goim_limits.h"


typedef struct goim_epoch_s  goim_epoch_t;

struct goim_epoch_s {
    goim_epoch_t   *next;
    uint32_t        hash;
    uint32_t        refs;
    uint8_t         len;
    char            word[];
};


typedef struct {
    void         *(*alloc)(size_t size);
    void          (*free)(void *p);
    uint64_t        seed[2];
    goim_epoch_t  **buckets;        /* NULL: none was made yet */
    uint32_t        size;           /* of buckets, a power of two */
    uint32_t        count;
} goim_epochs_t;


void goim_epochs_init(goim_epochs_t *t, void *(*alloc)(size_t size),
    void (*free)(void *p), const uint64_t seed[2]);

/* nobody has a word of it any more */
void goim_epochs_free(goim_epochs_t *t);

/* One reference, the caller's. NULL: no memory, or no word of 1 to 32 bytes. */
goim_epoch_t *goim_epoch_get(goim_epochs_t *t, const void *word, size_t len);

/* both take NULL */
goim_epoch_t *goim_epoch_ref(goim_epoch_t *e);
void goim_epoch_unref(goim_epochs_t *t, goim_epoch_t *e);

#endif
