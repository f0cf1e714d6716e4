#include "common/goim_epoch.h"

#include <string.h>

#include "common/goim_hash.h"


#define GOIM_EPOCHS_FIRST  64


static int goim_epochs_grow(goim_epochs_t *t);


void
goim_epochs_init(goim_epochs_t *t, void *(*alloc)(size_t size),
    void (*free)(void *p), const uint64_t seed[2])
{
    memset(t, 0, sizeof(goim_epochs_t));

    t->alloc = alloc;
    t->free = free;
    t->seed[0] = seed[0];
    t->seed[1] = seed[1];
}


void
goim_epochs_free(goim_epochs_t *t)
{
    if (t->buckets) {
        t->free(t->buckets);
        t->buckets = NULL;
    }
}


goim_epoch_t *
goim_epoch_get(goim_epochs_t *t, const void *word, size_t len)
{
    uint32_t       hash;
    goim_epoch_t  *e, **at;

    if (len == 0 || len > GOIM_EPOCH_MAX) {
        return NULL;
    }

    if (t->count >= t->size && goim_epochs_grow(t) != 0
        && t->buckets == NULL)
    {
        return NULL;
    }

    hash = (uint32_t) goim_hash(t->seed, word, len);
    at = &t->buckets[hash & (t->size - 1)];

    for (e = *at; e; e = e->next) {
        if (e->hash == hash && e->len == len
            && memcmp(e->word, word, len) == 0)
        {
            e->refs++;
            return e;
        }
    }

    e = t->alloc(offsetof(goim_epoch_t, word) + len);
    if (e == NULL) {
        return NULL;
    }

    e->hash = hash;
    e->refs = 1;
    e->len = len;
    memcpy(e->word, word, len);

    e->next = *at;
    *at = e;
    t->count++;

    return e;
}


/* without memory the old table serves on, with longer chains */

static int
goim_epochs_grow(goim_epochs_t *t)
{
    uint32_t        i, size;
    goim_epoch_t   *e, *next, **buckets;

    size = t->size ? t->size * 2 : GOIM_EPOCHS_FIRST;

    buckets = t->alloc(size * sizeof(goim_epoch_t *));
    if (buckets == NULL) {
        return -1;
    }

    memset(buckets, 0, size * sizeof(goim_epoch_t *));

    for (i = 0; i < t->size; i++) {
        for (e = t->buckets[i]; e; e = next) {
            next = e->next;
            e->next = buckets[e->hash & (size - 1)];
            buckets[e->hash & (size - 1)] = e;
        }
    }

    if (t->buckets) {
        t->free(t->buckets);
    }

    t->buckets = buckets;
    t->size = size;

    return 0;
}


goim_epoch_t *
goim_epoch_ref(goim_epoch_t *e)
{
    if (e) {
        e->refs++;
    }

    return e;
}


void
goim_epoch_unref(goim_epochs_t *t, goim_epoch_t *e)
{
    goim_epoch_t  **at;

    if (e == NULL || --e->refs) {
        return;
    }

    at = &t->buckets[e->hash & (t->size - 1)];

    while (*at != e) {
        at = &(*at)->next;
    }

    *at = e->next;
    t->count--;
    t->free(e);
}
