
/*
 * Rooms and addresses of the node, each with what every worker contributes,
 * so that the contribution of a dead worker can be taken away.
 */


#include "ngx_goim_zone.h"
#include "common/goim_hash.h"


static uint64_t ngx_goim_sum_hash(ngx_str_t *key);
static ngx_goim_sum_t *ngx_goim_sum_find(ngx_uint_t table,
    ngx_str_t *key, uint64_t hash);
static ngx_goim_sum_t *ngx_goim_sum_add(ngx_uint_t table,
    ngx_str_t *key, uint64_t hash);
static uint32_t ngx_goim_sum_count(ngx_goim_sum_t *sum);
static ngx_goim_contrib_t *ngx_goim_contrib_get(ngx_uint_t table,
    ngx_str_t *key);
static ngx_goim_contrib_t *ngx_goim_contrib_find(ngx_goim_sum_t *sum);
static ngx_goim_contrib_t *ngx_goim_contrib_add(ngx_goim_sum_t *sum);
static void ngx_goim_contrib_delete(ngx_goim_contrib_t *c);

#define ngx_goim_sum_is_unknown(sum)                                         \
    ((sum)->reported == 0 && !ngx_goim_sum_is_listed(sum))


ngx_int_t
ngx_goim_addr_join(ngx_str_t *addr, ngx_uint_t max, ngx_goim_contrib_t **c)
{
    ngx_int_t        rc;
    ngx_goim_sum_t  *sum;

    rc = NGX_OK;

    ngx_goim_lock();

    sum = ngx_goim_sum_find(NGX_GOIM_ADDRS, addr, ngx_goim_sum_hash(addr));

    if (max && sum && ngx_goim_sum_count(sum) >= max) {
        rc = NGX_DECLINED;

    } else {
        ngx_goim_addr_join_locked(addr, c);
    }

    ngx_goim_unlock();

    return rc;
}


uint32_t
ngx_goim_addr_count(ngx_str_t *addr)
{
    uint32_t         n;
    ngx_goim_sum_t  *sum;

    ngx_goim_lock();

    sum = ngx_goim_sum_find(NGX_GOIM_ADDRS, addr, ngx_goim_sum_hash(addr));
    n = sum ? ngx_goim_sum_count(sum) : 0;

    ngx_goim_unlock();

    return n;
}


void
ngx_goim_addr_join_locked(ngx_str_t *addr, ngx_goim_contrib_t **c)
{
    *c = ngx_goim_contrib_get(NGX_GOIM_ADDRS, addr);

    if (*c) {
        (*c)->count++;
    }
}


void
ngx_goim_addr_leave(ngx_goim_contrib_t **c)
{
    ngx_goim_lock();

    if (*c && --(*c)->count == 0) {
        ngx_goim_contrib_delete(*c);
    }

    *c = NULL;

    ngx_goim_unlock();
}


void
ngx_goim_room_contribute(ngx_str_t *room, uint32_t count,
    ngx_goim_contrib_t **c, ngx_uint_t *unplaced)
{
    ngx_goim_lock();
    ngx_goim_room_contribute_locked(room, count, c, unplaced);
    ngx_goim_unlock();
}


void
ngx_goim_room_contribute_locked(ngx_str_t *room, uint32_t count,
    ngx_goim_contrib_t **c, ngx_uint_t *unplaced)
{
    ngx_uint_t  before;

    before = *unplaced;

    if (*c == NULL && count) {
        *c = ngx_goim_contrib_get(NGX_GOIM_ROOMS, room);
    }

    *unplaced = *c == NULL && count;
    ngx_goim_slot->unplaced += *unplaced - before;

    if (*c == NULL) {
        return;
    }

    (*c)->count = count;

    if (count == 0) {
        ngx_goim_contrib_delete(*c);
        *c = NULL;
    }
}


void
ngx_goim_contrib_drop(ngx_goim_slot_t *slot)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&slot->contributions)) {
        q = ngx_queue_head(&slot->contributions);
        ngx_goim_contrib_delete(ngx_queue_data(q, ngx_goim_contrib_t, queue));
    }
}


/*
 * A room that the zone could not take in is somewhere on the workers that
 * said so.
 */

void
ngx_goim_room_mask(ngx_str_t *room, uint64_t *mask)
{
    ngx_goim_contrib_t  *c;
    ngx_goim_sum_t      *sum;

    sum = ngx_goim_sum_find(NGX_GOIM_ROOMS, room, ngx_goim_sum_hash(room));

    if (sum) {
        for (c = sum->contributions; c; c = c->next) {
            mask[c->slot / 64] |= (uint64_t) 1 << c->slot % 64;
        }
    }

    (void) ngx_goim_unplaced_mask(mask);
}


ngx_uint_t
ngx_goim_unplaced_mask(uint64_t *mask)
{
    ngx_uint_t  i, any;

    any = 0;

    for (i = 0; i < ngx_goim_zone->nslots; i++) {

        if (ngx_goim_zone->slots[i].unplaced) {
            mask[i / 64] |= (uint64_t) 1 << i % 64;
            any = 1;
        }
    }

    return any;
}


uint32_t
ngx_goim_contrib_online(ngx_goim_contrib_t **c)
{
    uint32_t         n;
    ngx_goim_sum_t  *sum;

    n = 0;

    ngx_goim_lock();

    if (*c) {
        sum = (*c)->sum;
        n = sum->cluster + ngx_goim_sum_count(sum);
    }

    ngx_goim_unlock();

    return n;
}


ngx_int_t
ngx_goim_room_walk(ngx_uint_t *bucket, ngx_uint_t max, ngx_array_t *counts)
{
    uint32_t                count;
    ngx_goim_table_t       *table;
    ngx_goim_sum_t         *sum, *next;
    ngx_goim_room_count_t  *rc;

    table = &ngx_goim_zone->tables[NGX_GOIM_ROOMS];

    while (*bucket <= table->mask && counts->nelts < max) {

        if (table->buckets[*bucket] == NULL) {
            (*bucket)++;
            continue;
        }

        ngx_goim_lock();

        for (sum = table->buckets[*bucket]; sum; sum = next) {
            next = sum->next;
            count = ngx_goim_sum_count(sum);

            if (count == 0 && sum->reported == 0) {

                if (!ngx_goim_sum_is_listed(sum)) {
                    ngx_goim_sum_delete(sum);
                }

                continue;
            }

            rc = ngx_array_push(counts);
            if (rc == NULL) {
                break;
            }

            rc->count = count;
            rc->changed = count != sum->reported;
            rc->room.len = sum->len;
            rc->room.data = ngx_pnalloc(counts->pool, sum->len);

            if (rc->room.data == NULL) {
                counts->nelts--;
                break;
            }

            ngx_memcpy(rc->room.data, sum->key, sum->len);
        }

        ngx_goim_unlock();

        (*bucket)++;
    }

    return *bucket > table->mask ? NGX_DONE : NGX_OK;
}


void
ngx_goim_room_report(ngx_str_t *room, uint32_t own, uint32_t cluster)
{
    ngx_goim_sum_t  *sum;

    ngx_goim_lock();

    sum = ngx_goim_sum_find(NGX_GOIM_ROOMS, room, ngx_goim_sum_hash(room));

    if (sum) {
        sum->reported = own;
        sum->cluster = cluster > own ? cluster - own : 0;
    }

    ngx_goim_unlock();
}


ngx_goim_sum_t *
ngx_goim_room_sum(ngx_str_t *room)
{
    return ngx_goim_sum_find(NGX_GOIM_ROOMS, room, ngx_goim_sum_hash(room));
}


static uint64_t
ngx_goim_sum_hash(ngx_str_t *key)
{
    return goim_hash(ngx_goim_zone->seed, key->data, key->len);
}


static ngx_goim_sum_t *
ngx_goim_sum_find(ngx_uint_t table, ngx_str_t *key, uint64_t hash)
{
    ngx_goim_table_t  *t;
    ngx_goim_sum_t    *sum;

    t = &ngx_goim_zone->tables[table];

    for (sum = t->buckets[hash & t->mask]; sum; sum = sum->next) {

        if (sum->hash == (uint32_t) hash && sum->len == key->len
            && ngx_memcmp(sum->key, key->data, key->len) == 0)
        {
            return sum;
        }
    }

    return NULL;
}


static ngx_goim_sum_t *
ngx_goim_sum_add(ngx_uint_t table, ngx_str_t *key, uint64_t hash)
{
    ngx_goim_table_t  *t;
    ngx_goim_sum_t    *sum;

    sum = ngx_slab_alloc_locked(ngx_goim_zone->arena,
                                offsetof(ngx_goim_sum_t, key) + key->len);
    if (sum == NULL) {
        return NULL;
    }

    t = &ngx_goim_zone->tables[table];

    sum->contributions = NULL;
    sum->hash = (uint32_t) hash;
    sum->reported = 0;
    sum->cluster = 0;
    sum->listed = 0;
    sum->table = table;
    sum->len = key->len;
    ngx_memcpy(sum->key, key->data, key->len);

    sum->next = t->buckets[hash & t->mask];
    t->buckets[hash & t->mask] = sum;
    t->count++;

    return sum;
}


void
ngx_goim_sum_delete(ngx_goim_sum_t *sum)
{
    ngx_goim_sum_t   **p;
    ngx_goim_table_t  *t;

    t = &ngx_goim_zone->tables[sum->table];

    for (p = &t->buckets[sum->hash & t->mask]; *p; p = &(*p)->next) {

        if (*p == sum) {
            *p = sum->next;
            t->count--;
            ngx_slab_free_locked(ngx_goim_zone->arena, sum);
            return;
        }
    }
}


static uint32_t
ngx_goim_sum_count(ngx_goim_sum_t *sum)
{
    uint32_t             n;
    ngx_goim_contrib_t  *c;

    n = 0;

    for (c = sum->contributions; c; c = c->next) {
        n += c->count;
    }

    return n;
}


static ngx_goim_contrib_t *
ngx_goim_contrib_find(ngx_goim_sum_t *sum)
{
    ngx_goim_contrib_t  *c;

    for (c = sum->contributions; c; c = c->next) {

        if (c->slot == ngx_goim_slot_n) {
            return c;
        }
    }

    return NULL;
}


static ngx_goim_contrib_t *
ngx_goim_contrib_add(ngx_goim_sum_t *sum)
{
    ngx_goim_contrib_t  *c;

    c = ngx_slab_alloc_locked(ngx_goim_zone->arena, sizeof(ngx_goim_contrib_t));
    if (c == NULL) {
        return NULL;
    }

    c->sum = sum;
    c->count = 0;
    c->slot = ngx_goim_slot_n;
    c->next = sum->contributions;
    sum->contributions = c;

    ngx_queue_insert_tail(&ngx_goim_slot->contributions, &c->queue);

    return c;
}


/* this worker's contribution, made if need be; NULL: the zone is full */

static ngx_goim_contrib_t *
ngx_goim_contrib_get(ngx_uint_t table, ngx_str_t *key)
{
    uint64_t             hash;
    ngx_goim_contrib_t  *c;
    ngx_goim_sum_t      *sum;

    hash = ngx_goim_sum_hash(key);
    sum = ngx_goim_sum_find(table, key, hash);
    c = sum ? ngx_goim_contrib_find(sum) : NULL;

    if (c) {
        return c;
    }

    if (sum == NULL) {
        sum = ngx_goim_sum_add(table, key, hash);
    }

    if (sum) {
        c = ngx_goim_contrib_add(sum);
    }

    if (c == NULL) {
        ngx_goim_count(zone_full, 1);

        if (sum && sum->contributions == NULL && ngx_goim_sum_is_unknown(sum)) {
            ngx_goim_sum_delete(sum);
        }
    }

    return c;
}


/* A room stays until logic knows that it is empty, and it is listed no more; an
   address goes at once. */

static void
ngx_goim_contrib_delete(ngx_goim_contrib_t *c)
{
    ngx_goim_contrib_t  **p;
    ngx_goim_sum_t       *sum;

    sum = c->sum;

    for (p = &sum->contributions; *p; p = &(*p)->next) {

        if (*p == c) {
            *p = c->next;
            break;
        }
    }

    ngx_queue_remove(&c->queue);
    ngx_slab_free_locked(ngx_goim_zone->arena, c);

    if (sum->contributions) {
        return;
    }

    sum->idle = ngx_goim_seconds();

    if (sum->table == NGX_GOIM_ADDRS || ngx_goim_sum_is_unknown(sum)) {
        ngx_goim_sum_delete(sum);
    }
}
