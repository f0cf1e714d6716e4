
/*
 * Which worker has which key: hashes only, so that a session takes 32 bytes of
 * the zone.  Two keys of one hash would cost a worker a needless wake-up.
 */


#include "ngx_goim_zone.h"
#include "common/goim_hash.h"


static uint64_t ngx_goim_key_hash(ngx_str_t *key);
static void ngx_goim_key_unlink(ngx_goim_key_t *k);


void
ngx_goim_key_add(ngx_str_t *key, ngx_goim_key_t **k)
{
    ngx_goim_lock();
    ngx_goim_key_add_locked(key, k);
    ngx_goim_unlock();
}


void
ngx_goim_key_add_locked(ngx_str_t *key, ngx_goim_key_t **k)
{
    uint64_t          hash;
    ngx_goim_key_t  **bucket;

    hash = ngx_goim_key_hash(key);
    bucket = &ngx_goim_zone->keys.buckets[hash & ngx_goim_zone->keys.mask];

    *k = ngx_slab_alloc_locked(ngx_goim_zone->arena, sizeof(ngx_goim_key_t));

    if (*k == NULL) {
        ngx_goim_slot->unplaced++;
        ngx_goim_count(zone_full, 1);
        return;
    }

    (*k)->hash = hash;
    (*k)->slot = ngx_goim_slot_n;
    (*k)->next = *bucket;
    *bucket = *k;

    ngx_goim_slot->keys++;
}


void
ngx_goim_key_delete(ngx_goim_key_t **k)
{
    ngx_goim_lock();

    if (*k) {
        ngx_goim_key_unlink(*k);
        ngx_goim_slot->keys--;
        *k = NULL;

    } else {
        ngx_goim_slot->unplaced--;
    }

    ngx_goim_unlock();
}


static void
ngx_goim_key_unlink(ngx_goim_key_t *k)
{
    ngx_goim_key_t   **p;
    ngx_goim_keys_t   *keys;

    keys = &ngx_goim_zone->keys;

    for (p = &keys->buckets[k->hash & keys->mask]; *p; p = &(*p)->next) {

        if (*p == k) {
            *p = k->next;
            ngx_slab_free_locked(ngx_goim_zone->arena, k);
            return;
        }
    }
}


void
ngx_goim_key_drop(ngx_uint_t slot)
{
    ngx_uint_t        i;
    ngx_goim_key_t   *k, **p;
    ngx_goim_keys_t  *keys;

    keys = &ngx_goim_zone->keys;

    for (i = 0; ngx_goim_zone->slots[slot].keys && i <= keys->mask; i++) {

        for (p = &keys->buckets[i]; *p; /* void */) {
            k = *p;

            if (k->slot != slot) {
                p = &k->next;
                continue;
            }

            *p = k->next;
            ngx_slab_free_locked(ngx_goim_zone->arena, k);
            ngx_goim_zone->slots[slot].keys--;
        }
    }
}


/* slot: one of those that may have it */

ngx_uint_t
ngx_goim_key_mask(ngx_str_t *key, uint64_t *mask, ngx_uint_t *slot)
{
    uint64_t          hash, all[NGX_GOIM_RING_MASK];
    ngx_uint_t        i, found;
    ngx_goim_key_t   *k;
    ngx_goim_keys_t  *keys;

    keys = &ngx_goim_zone->keys;
    hash = ngx_goim_key_hash(key);
    found = 0;

    ngx_memzero(all, sizeof(all));
    (void) ngx_goim_unplaced_mask(all);

    ngx_goim_lock();

    for (k = keys->buckets[hash & keys->mask]; k; k = k->next) {

        if (k->hash == hash) {
            all[k->slot / 64] |= (uint64_t) 1 << k->slot % 64;
            *slot = k->slot;
            found = 1;
        }
    }

    ngx_goim_unlock();

    for (i = 0; i < NGX_GOIM_RING_MASK; i++) {
        mask[i] |= all[i];

        if (!found && all[i]) {
            *slot = i * 64 + __builtin_ctzll(all[i]);
            found = 1;
        }
    }

    return found;
}


static uint64_t
ngx_goim_key_hash(ngx_str_t *key)
{
    return goim_hash(ngx_goim_zone->seed, key->data, key->len);
}
