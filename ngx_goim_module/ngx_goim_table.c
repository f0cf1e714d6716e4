
/*
 * Rooms and addresses of the node, each with what every worker contributes,
 * so that the contribution of a dead worker can be taken away.
 */


#include "ngx_goim_zone.h"
#include "common/goim_hash.h"


static uint64_t ngx_goim_shared_hash(ngx_str_t *key);
static ngx_goim_shared_t *ngx_goim_shared_find(ngx_uint_t table,
    ngx_str_t *key, uint64_t hash);
static ngx_goim_shared_t *ngx_goim_shared_add(ngx_uint_t table,
    ngx_str_t *key, uint64_t hash);
static void ngx_goim_shared_delete(ngx_goim_shared_t *shared);
static uint32_t ngx_goim_shared_count(ngx_goim_shared_t *shared);
static ngx_goim_share_t *ngx_goim_share_get(ngx_uint_t table,
    ngx_str_t *key);
static ngx_goim_share_t *ngx_goim_share_find(ngx_goim_shared_t *shared);
static ngx_goim_share_t *ngx_goim_share_add(ngx_goim_shared_t *shared);
static void ngx_goim_share_delete(ngx_goim_share_t *share);


ngx_int_t
ngx_goim_addr_join(ngx_str_t *addr, ngx_uint_t max, ngx_goim_share_t **share)
{
    ngx_int_t           rc;
    ngx_goim_shared_t  *shared;

    rc = NGX_OK;

    ngx_goim_lock();

    shared = ngx_goim_shared_find(NGX_GOIM_ADDRS, addr,
                                  ngx_goim_shared_hash(addr));

    if (max && shared && ngx_goim_shared_count(shared) >= max) {
        rc = NGX_DECLINED;

    } else {
        ngx_goim_addr_rejoin(addr, share);
    }

    ngx_goim_unlock();

    return rc;
}


void
ngx_goim_addr_rejoin(ngx_str_t *addr, ngx_goim_share_t **share)
{
    *share = ngx_goim_share_get(NGX_GOIM_ADDRS, addr);

    if (*share) {
        (*share)->count++;
    }
}


void
ngx_goim_addr_leave(ngx_goim_share_t **share)
{
    ngx_goim_lock();

    if (*share && --(*share)->count == 0) {
        ngx_goim_share_delete(*share);
    }

    *share = NULL;

    ngx_goim_unlock();
}


void
ngx_goim_room_share(ngx_str_t *room, uint32_t count, ngx_goim_share_t **share,
    ngx_uint_t *unshared)
{
    ngx_goim_lock();
    ngx_goim_room_reshare(room, count, share, unshared);
    ngx_goim_unlock();
}


void
ngx_goim_room_reshare(ngx_str_t *room, uint32_t count,
    ngx_goim_share_t **share, ngx_uint_t *unshared)
{
    ngx_uint_t  before;

    before = *unshared;

    if (*share == NULL && count) {
        *share = ngx_goim_share_get(NGX_GOIM_ROOMS, room);
    }

    *unshared = *share == NULL && count;
    ngx_goim_slot->unshared += *unshared - before;

    if (*share == NULL) {
        return;
    }

    (*share)->count = count;

    if (count == 0) {
        ngx_goim_share_delete(*share);
        *share = NULL;
    }
}


void
ngx_goim_share_drop(ngx_goim_slot_t *slot)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&slot->shares)) {
        q = ngx_queue_head(&slot->shares);
        ngx_goim_share_delete(ngx_queue_data(q, ngx_goim_share_t, queue));
    }
}


/*
 * A room that the zone could not take in is somewhere on the workers that
 * said so.
 */

void
ngx_goim_room_mask(ngx_str_t *room, uint64_t *mask)
{
    ngx_goim_share_t   *share;
    ngx_goim_shared_t  *shared;

    shared = ngx_goim_shared_find(NGX_GOIM_ROOMS, room,
                                  ngx_goim_shared_hash(room));

    if (shared) {
        for (share = shared->shares; share; share = share->next) {
            mask[share->slot / 64] |= (uint64_t) 1 << share->slot % 64;
        }
    }

    (void) ngx_goim_unshared_mask(mask);
}


ngx_uint_t
ngx_goim_unshared_mask(uint64_t *mask)
{
    ngx_uint_t  i, any;

    any = 0;

    for (i = 0; i < ngx_goim_zone->nslots; i++) {

        if (ngx_goim_zone->slots[i].unshared) {
            mask[i / 64] |= (uint64_t) 1 << i % 64;
            any = 1;
        }
    }

    return any;
}


uint32_t
ngx_goim_share_online(ngx_goim_share_t **share)
{
    uint32_t            n;
    ngx_goim_shared_t  *shared;

    n = 0;

    ngx_goim_lock();

    if (*share) {
        shared = (*share)->shared;
        n = shared->cluster + ngx_goim_shared_count(shared);
    }

    ngx_goim_unlock();

    return n;
}


ngx_int_t
ngx_goim_room_walk(ngx_uint_t *bucket, ngx_uint_t max, ngx_array_t *counts)
{
    uint32_t                count;
    ngx_goim_table_t       *table;
    ngx_goim_shared_t      *shared, *next;
    ngx_goim_room_count_t  *rc;

    table = &ngx_goim_zone->tables[NGX_GOIM_ROOMS];

    while (*bucket <= table->mask && counts->nelts < max) {

        if (table->buckets[*bucket] == NULL) {
            (*bucket)++;
            continue;
        }

        ngx_goim_lock();

        for (shared = table->buckets[*bucket]; shared; shared = next) {
            next = shared->next;
            count = ngx_goim_shared_count(shared);

            if (count == 0 && shared->reported == 0) {
                ngx_goim_shared_delete(shared);
                continue;
            }

            rc = ngx_array_push(counts);
            if (rc == NULL) {
                break;
            }

            rc->count = count;
            rc->room.len = shared->len;
            rc->room.data = ngx_pnalloc(counts->pool, shared->len);

            if (rc->room.data == NULL) {
                counts->nelts--;
                break;
            }

            ngx_memcpy(rc->room.data, shared->key, shared->len);
        }

        ngx_goim_unlock();

        (*bucket)++;
    }

    return *bucket > table->mask ? NGX_DONE : NGX_OK;
}


void
ngx_goim_room_report(ngx_str_t *room, uint32_t own, uint32_t cluster)
{
    ngx_goim_shared_t  *shared;

    ngx_goim_lock();

    shared = ngx_goim_shared_find(NGX_GOIM_ROOMS, room,
                                  ngx_goim_shared_hash(room));

    if (shared) {
        shared->reported = own;
        shared->cluster = cluster > own ? cluster - own : 0;
    }

    ngx_goim_unlock();
}


static uint64_t
ngx_goim_shared_hash(ngx_str_t *key)
{
    return goim_hash(ngx_goim_zone->seed, key->data, key->len);
}


static ngx_goim_shared_t *
ngx_goim_shared_find(ngx_uint_t table, ngx_str_t *key, uint64_t hash)
{
    ngx_goim_table_t   *t;
    ngx_goim_shared_t  *shared;

    t = &ngx_goim_zone->tables[table];

    for (shared = t->buckets[hash & t->mask]; shared; shared = shared->next) {

        if (shared->hash == hash && shared->len == key->len
            && ngx_memcmp(shared->key, key->data, key->len) == 0)
        {
            return shared;
        }
    }

    return NULL;
}


static ngx_goim_shared_t *
ngx_goim_shared_add(ngx_uint_t table, ngx_str_t *key, uint64_t hash)
{
    ngx_goim_table_t   *t;
    ngx_goim_shared_t  *shared;

    shared = ngx_slab_alloc_locked(ngx_goim_zone->arena,
                                   offsetof(ngx_goim_shared_t, key)
                                   + key->len);
    if (shared == NULL) {
        return NULL;
    }

    t = &ngx_goim_zone->tables[table];

    shared->shares = NULL;
    shared->hash = hash;
    shared->reported = 0;
    shared->cluster = 0;
    shared->table = table;
    shared->len = key->len;
    ngx_memcpy(shared->key, key->data, key->len);

    shared->next = t->buckets[hash & t->mask];
    t->buckets[hash & t->mask] = shared;
    t->count++;

    return shared;
}


static void
ngx_goim_shared_delete(ngx_goim_shared_t *shared)
{
    ngx_goim_table_t    *t;
    ngx_goim_shared_t  **p;

    t = &ngx_goim_zone->tables[shared->table];

    for (p = &t->buckets[shared->hash & t->mask]; *p; p = &(*p)->next) {

        if (*p == shared) {
            *p = shared->next;
            t->count--;
            ngx_slab_free_locked(ngx_goim_zone->arena, shared);
            return;
        }
    }
}


static uint32_t
ngx_goim_shared_count(ngx_goim_shared_t *shared)
{
    uint32_t           n;
    ngx_goim_share_t  *share;

    n = 0;

    for (share = shared->shares; share; share = share->next) {
        n += share->count;
    }

    return n;
}


static ngx_goim_share_t *
ngx_goim_share_find(ngx_goim_shared_t *shared)
{
    ngx_goim_share_t  *share;

    for (share = shared->shares; share; share = share->next) {

        if (share->slot == ngx_goim_slot_n) {
            return share;
        }
    }

    return NULL;
}


static ngx_goim_share_t *
ngx_goim_share_add(ngx_goim_shared_t *shared)
{
    ngx_goim_share_t  *share;

    share = ngx_slab_alloc_locked(ngx_goim_zone->arena, sizeof(ngx_goim_share_t));
    if (share == NULL) {
        return NULL;
    }

    share->shared = shared;
    share->count = 0;
    share->slot = ngx_goim_slot_n;
    share->next = shared->shares;
    shared->shares = share;

    ngx_queue_insert_tail(&ngx_goim_slot->shares, &share->queue);

    return share;
}


/* this worker's share, made if need be; NULL: the zone is full */

static ngx_goim_share_t *
ngx_goim_share_get(ngx_uint_t table, ngx_str_t *key)
{
    uint64_t            hash;
    ngx_goim_share_t   *share;
    ngx_goim_shared_t  *shared;

    hash = ngx_goim_shared_hash(key);
    shared = ngx_goim_shared_find(table, key, hash);
    share = shared ? ngx_goim_share_find(shared) : NULL;

    if (share) {
        return share;
    }

    if (shared == NULL) {
        shared = ngx_goim_shared_add(table, key, hash);
    }

    if (shared) {
        share = ngx_goim_share_add(shared);
    }

    if (share == NULL) {
        ngx_goim_count(zone_full, 1);

        if (shared && shared->shares == NULL && shared->reported == 0) {
            ngx_goim_shared_delete(shared);
        }
    }

    return share;
}


/* A room stays until logic knows that it is empty, an address goes at once. */

static void
ngx_goim_share_delete(ngx_goim_share_t *share)
{
    ngx_goim_share_t   **p;
    ngx_goim_shared_t   *shared;

    shared = share->shared;

    for (p = &shared->shares; *p; p = &(*p)->next) {

        if (*p == share) {
            *p = share->next;
            break;
        }
    }

    ngx_queue_remove(&share->queue);
    ngx_slab_free_locked(ngx_goim_zone->arena, share);

    if (shared->shares == NULL
        && (shared->table == NGX_GOIM_ADDRS || shared->reported == 0))
    {
        ngx_goim_shared_delete(shared);
    }
}
