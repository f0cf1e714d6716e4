/*
 * Pages of histories: a hash table, and a list by use.
 */

#include "pages.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/goim_hash.h"

#define LOGIC_PAGES_BUCKETS  65536      /* a power of two */


typedef struct logic_kept_s  logic_kept_t;

struct logic_kept_s {
    logic_page_t               page;    /* the first: what others hold */
    TAILQ_ENTRY(logic_kept_s)  used;
    logic_kept_t              *next;
    uint32_t                   hash;
    uint32_t                   limit;
    uint64_t                   after;
    size_t                     size;
    int                        refs;    /* atomic */
    const char                *room;
    const char                *epoch;
};

TAILQ_HEAD(logic_kept_list_s, logic_kept_s);

struct logic_pages_s {
    pthread_mutex_t            lock;
    size_t                     max;
    size_t                     bytes;
    struct logic_kept_list_s   used;    /* the last used first */
    logic_kept_t              *buckets[LOGIC_PAGES_BUCKETS];
};


logic_pages_t *
logic_pages_new(size_t max)
{
    logic_pages_t  *p;

    p = calloc(1, sizeof(logic_pages_t));
    if (p == NULL) {
        return NULL;
    }

    p->max = max;
    TAILQ_INIT(&p->used);

    if (pthread_mutex_init(&p->lock, NULL) != 0) {
        free(p);
        return NULL;
    }

    return p;
}


static uint32_t
logic_pages_hash(const logic_page_key_t *key)
{
    uint32_t  h;

    h = goim_fnv1a(key->room, strlen(key->room));
    h = h * 31 + goim_fnv1a(key->epoch, strlen(key->epoch));
    h = h * 31 + goim_fnv1a(&key->after, sizeof(key->after));

    return h * 31 + key->limit;
}


static logic_kept_t **
logic_pages_find(logic_pages_t *p, const logic_page_key_t *key, uint32_t hash)
{
    logic_kept_t  **k;

    k = &p->buckets[hash & (LOGIC_PAGES_BUCKETS - 1)];

    while (*k != NULL
           && ((*k)->hash != hash || (*k)->after != key->after
               || (*k)->limit != key->limit
               || strcmp((*k)->epoch, key->epoch) != 0
               || strcmp((*k)->room, key->room) != 0))
    {
        k = &(*k)->next;
    }

    return k;
}


static void
logic_kept_unref(logic_kept_t *k)
{
    if (__atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        free(k);
    }
}


void
logic_page_unref(const logic_page_t *page)
{
    logic_kept_unref((logic_kept_t *) page);
}


/* with the lock */

static void
logic_pages_drop(logic_pages_t *p, logic_kept_t *k)
{
    logic_kept_t  **at;

    at = &p->buckets[k->hash & (LOGIC_PAGES_BUCKETS - 1)];

    while (*at != k) {
        at = &(*at)->next;
    }

    *at = k->next;
    TAILQ_REMOVE(&p->used, k, used);
    p->bytes -= k->size;

    logic_kept_unref(k);
}


void
logic_pages_free(logic_pages_t *p)
{
    while (!TAILQ_EMPTY(&p->used)) {
        logic_pages_drop(p, TAILQ_FIRST(&p->used));
    }

    pthread_mutex_destroy(&p->lock);
    free(p);
}


const logic_page_t *
logic_pages_get(logic_pages_t *p, const logic_page_key_t *key)
{
    uint32_t       hash;
    logic_kept_t  *k;

    hash = logic_pages_hash(key);

    pthread_mutex_lock(&p->lock);

    k = *logic_pages_find(p, key, hash);

    if (k != NULL) {
        TAILQ_REMOVE(&p->used, k, used);
        TAILQ_INSERT_HEAD(&p->used, k, used);
        __atomic_add_fetch(&k->refs, 1, __ATOMIC_RELAXED);
    }

    pthread_mutex_unlock(&p->lock);

    return k != NULL ? &k->page : NULL;
}


static logic_kept_t *
logic_kept_new(const logic_page_key_t *key, const logic_page_item_t *items,
    size_t n)
{
    char               *text;
    size_t              i, size, room, epoch;
    logic_kept_t       *k;
    logic_page_item_t  *copy;

    room = strlen(key->room) + 1;
    epoch = strlen(key->epoch) + 1;
    size = sizeof(logic_kept_t) + n * sizeof(logic_page_item_t) + room + epoch;

    for (i = 0; i < n; i++) {
        size += items[i].len;
    }

    k = malloc(size);
    if (k == NULL) {
        return NULL;
    }

    copy = (logic_page_item_t *) (k + 1);
    text = (char *) (copy + n);

    k->page.n = n;
    k->page.items = copy;
    k->limit = key->limit;
    k->after = key->after;
    k->size = size;
    k->refs = 1;
    k->room = memcpy(text, key->room, room);
    k->epoch = memcpy(text + room, key->epoch, epoch);
    text += room + epoch;

    for (i = 0; i < n; i++) {
        copy[i].data = memcpy(text, items[i].data, items[i].len);
        copy[i].len = items[i].len;
        text += items[i].len;
    }

    return k;
}


void
logic_pages_put(logic_pages_t *p, const logic_page_key_t *key,
    const logic_page_item_t *items, size_t n)
{
    logic_kept_t  *k, **at;

    k = logic_kept_new(key, items, n);
    if (k == NULL) {
        return;
    }

    k->hash = logic_pages_hash(key);

    pthread_mutex_lock(&p->lock);

    at = logic_pages_find(p, key, k->hash);

    if (*at != NULL || k->size > p->max) {
        logic_kept_unref(k);            /* another thread had asked, too */

    } else {
        k->next = NULL;
        *at = k;
        p->bytes += k->size;
        TAILQ_INSERT_HEAD(&p->used, k, used);

        while (p->bytes > p->max) {
            logic_pages_drop(p, TAILQ_LAST(&p->used, logic_kept_list_s));
        }
    }

    pthread_mutex_unlock(&p->lock);
}


size_t
logic_pages_bytes(logic_pages_t *p)
{
    size_t  bytes;

    pthread_mutex_lock(&p->lock);
    bytes = p->bytes;
    pthread_mutex_unlock(&p->lock);

    return bytes;
}
