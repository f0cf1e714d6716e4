
/*
 * A growing hash table over entries inside other structures.
 */


#include "ngx_goim_index.h"
#include "common/goim_hash.h"


#define NGX_GOIM_INDEX_FIRST  256


static void ngx_goim_index_grow(ngx_goim_index_t *index);


ngx_int_t
ngx_goim_index_init(ngx_goim_index_t *index, const uint64_t *seed,
    ngx_log_t *log)
{
    index->buckets = ngx_calloc(NGX_GOIM_INDEX_FIRST
                                * sizeof(ngx_goim_entry_t *), log);
    if (index->buckets == NULL) {
        return NGX_ERROR;
    }

    index->mask = NGX_GOIM_INDEX_FIRST - 1;
    index->count = 0;
    index->seed[0] = seed[0];
    index->seed[1] = seed[1];

    return NGX_OK;
}


ngx_goim_entry_t *
ngx_goim_index_find(ngx_goim_index_t *index, u_char *key, size_t len)
{
    uint64_t           hash;
    ngx_goim_entry_t  *e;

    hash = goim_hash(index->seed, key, len);

    for (e = index->buckets[hash & index->mask]; e; e = e->next) {

        if (e->hash == hash && e->key->len == len
            && ngx_memcmp(e->key->data, key, len) == 0)
        {
            return e;
        }
    }

    return NULL;
}


void
ngx_goim_index_add(ngx_goim_index_t *index, ngx_goim_entry_t *e)
{
    if (index->count > index->mask) {
        ngx_goim_index_grow(index);
    }

    e->hash = goim_hash(index->seed, e->key->data, e->key->len);
    e->next = index->buckets[e->hash & index->mask];

    index->buckets[e->hash & index->mask] = e;
    index->count++;
}


void
ngx_goim_index_delete(ngx_goim_index_t *index, ngx_goim_entry_t *e)
{
    ngx_goim_entry_t  **p;

    for (p = &index->buckets[e->hash & index->mask]; *p; p = &(*p)->next) {

        if (*p == e) {
            *p = e->next;
            index->count--;
            return;
        }
    }
}


static void
ngx_goim_index_grow(ngx_goim_index_t *index)
{
    ngx_uint_t          i, mask;
    ngx_goim_entry_t   *e, *next, **buckets;

    mask = index->mask * 2 + 1;

    buckets = ngx_calloc((mask + 1) * sizeof(ngx_goim_entry_t *),
                         ngx_cycle->log);
    if (buckets == NULL) {
        return;
    }

    for (i = 0; i <= index->mask; i++) {

        for (e = index->buckets[i]; e; e = next) {
            next = e->next;
            e->next = buckets[e->hash & mask];
            buckets[e->hash & mask] = e;
        }
    }

    ngx_free(index->buckets);

    index->buckets = buckets;
    index->mask = mask;
}
