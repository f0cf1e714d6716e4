
/*
 * Rooms of this node that are listed in Redis, so that other nodes are left
 * out: which ones are, and whether all are.
 *
 * A worker that lets somebody into a room first contributes to it, then looks
 * whether it is listed; rooms are taken off only without contributions.  All
 * are listed when a walk has found no room that is not, and nobody entered such
 * a one meanwhile.
 */


#include "ngx_goim_zone.h"


static ngx_int_t ngx_goim_list_bucket(ngx_goim_list_walk_t *w);
static ngx_array_t *ngx_goim_list_due(ngx_goim_sum_t *sum,
    ngx_goim_list_walk_t *w);
static ngx_uint_t ngx_goim_list_crowded(void);
static void ngx_goim_lists_life_locked(uint64_t life);


/* s: listings live in Redis for a day, and are renewed before that; what was
   not renewed in time counts as none */
#define NGX_GOIM_LIST_RENEW     (8 * 3600)
#define NGX_GOIM_LIST_SPREAD    (2 * 3600)
#define NGX_GOIM_LIST_OLD       (20 * 3600)
#define NGX_GOIM_LIST_CROWDED   600


ngx_int_t
ngx_goim_room_listed(ngx_goim_contrib_t **c, ngx_uint_t unplaced,
    ngx_uint_t must)
{
    ngx_int_t          rc;
    ngx_goim_lists_t  *lists;

    lists = &ngx_goim_zone->lists;

    /* who turns these on looks at what was contributed before */

    if (!lists->wanted && !lists->strict) {
        return NGX_OK;
    }

    rc = NGX_OK;

    ngx_goim_lock();

    if (unplaced) {
        lists->crowded = ngx_goim_seconds();
    }

    if ((unplaced || *c == NULL)
        ? lists->any == 0 || lists->any != lists->epoch
        : !ngx_goim_sum_is_listed((*c)->sum))
    {
        if (must || lists->strict) {
            rc = NGX_DECLINED;

        } else {
            lists->loose++;
        }
    }

    ngx_goim_unlock();

    return rc;
}


static void
ngx_goim_lists_life_locked(uint64_t life)
{
    ngx_goim_lists_t  *lists;

    lists = &ngx_goim_zone->lists;

    if (life <= lists->life) {
        return;
    }

    /* nobody can rely on what was told for another life */

    lists->life = life;
    lists->epoch++;
    lists->vouched = 0;
    lists->strict = 0;
}


void
ngx_goim_lists_life(uint64_t life)
{
    ngx_goim_lock();
    ngx_goim_lists_life_locked(life);
    ngx_goim_unlock();
}


/*
 * An order above all of those with which rooms were taken off was not undone
 * by them, whatever came first.
 */

ngx_int_t
ngx_goim_room_list(ngx_str_t *room, uint64_t life, uint64_t order)
{
    ngx_int_t          rc;
    ngx_goim_sum_t    *sum;
    ngx_goim_lists_t  *lists;

    rc = NGX_OK;
    lists = &ngx_goim_zone->lists;

    ngx_goim_lock();

    ngx_goim_lists_life_locked(life);

    if (life < lists->life || order <= lists->off) {
        rc = NGX_DECLINED;

    } else if (room->len == 0) {
        lists->any = lists->epoch;
        lists->any_at = ngx_goim_seconds();

    } else {
        sum = ngx_goim_room_sum(room);

        if (sum) {
            sum->listed = lists->epoch;
            sum->listed_at = ngx_goim_seconds();
        }
    }

    ngx_goim_unlock();

    return rc;
}


/*
 * What is taken off now was listed before past[0], and what is under way now
 * was asked for after it.
 */

void
ngx_goim_lists_begin(ngx_goim_list_walk_t *w)
{
    uint32_t           now;
    ngx_goim_lists_t  *lists;

    lists = &ngx_goim_zone->lists;
    now = ngx_goim_seconds();

    w->bucket = 0;
    w->missing = 0;

    ngx_goim_lock();

    if (now - lists->past_at[1] >= w->empty / 2) {
        lists->past[0] = lists->past[1];
        lists->past_at[0] = lists->past_at[1];
        lists->past[1] = lists->order;
        lists->past_at[1] = now;
    }

    /* nobody relies on what goes when lists are not wanted any more */

    w->clear = !lists->wanted && !lists->strict;
    w->off_order = w->clear ? lists->order : lists->past[0];
    w->off_at = lists->past_at[0];
    w->emptied = ngx_goim_zone->emptied;
    w->loose = lists->loose;
    w->epoch = lists->epoch;

    if (lists->any && now - lists->any_at >= NGX_GOIM_LIST_OLD) {
        lists->any = 0;
    }

    w->any = lists->wanted && ngx_goim_list_crowded()
             && (lists->any != lists->epoch
                 || now - lists->any_at >= NGX_GOIM_LIST_RENEW);

    ngx_goim_unlock();
}


ngx_int_t
ngx_goim_lists_walk(ngx_goim_list_walk_t *w, ngx_uint_t buckets,
    ngx_uint_t max)
{
    ngx_goim_table_t  *table;

    table = &ngx_goim_zone->tables[NGX_GOIM_ROOMS];

    for ( /* void */ ; w->bucket <= table->mask && buckets; buckets--) {

        if (w->listed.nelts >= max || w->off.nelts >= max) {
            return NGX_OK;
        }

        if (table->buckets[w->bucket]
            && ngx_goim_list_bucket(w) != NGX_OK)
        {
            w->missing++;
        }

        w->bucket++;
    }

    return w->bucket > table->mask ? NGX_DONE : NGX_OK;
}


/* NGX_ERROR: no memory for the rest of it */

static ngx_int_t
ngx_goim_list_bucket(ngx_goim_list_walk_t *w)
{
    ngx_int_t          rc;
    ngx_str_t         *name;
    ngx_array_t       *due;
    ngx_goim_sum_t    *sum, *next;
    ngx_goim_lists_t  *lists;

    rc = NGX_OK;
    lists = &ngx_goim_zone->lists;

    ngx_goim_lock();

    sum = ngx_goim_zone->tables[NGX_GOIM_ROOMS].buckets[w->bucket];

    for ( /* void */ ; sum; sum = next) {
        next = sum->next;
        due = ngx_goim_list_due(sum, w);

        if (due == NULL) {
            continue;
        }

        name = ngx_array_push(due);

        if (name == NULL) {
            rc = NGX_ERROR;
            break;
        }

        name->len = sum->len;
        name->data = ngx_pnalloc(w->pool, sum->len);

        if (name->data == NULL) {
            due->nelts--;
            rc = NGX_ERROR;
            break;
        }

        ngx_memcpy(name->data, sum->key, sum->len);

        if (due == &w->off) {
            lists->off = ngx_max(lists->off, w->off_order);
            sum->listed = 0;

            if (sum->contributions == NULL && sum->reported == 0) {
                ngx_goim_sum_delete(sum);
            }
        }
    }

    ngx_goim_unlock();

    return rc;
}


static ngx_array_t *
ngx_goim_list_due(ngx_goim_sum_t *sum, ngx_goim_list_walk_t *w)
{
    uint32_t           age;
    ngx_goim_lists_t  *lists;

    lists = &ngx_goim_zone->lists;
    age = ngx_goim_seconds() - sum->listed_at;

    if (!lists->wanted) {
        return w->clear && ngx_goim_sum_is_listed(sum) ? &w->off : NULL;
    }

    if (sum->contributions == NULL) {
        return ngx_goim_sum_is_listed(sum)
               && ngx_goim_seconds() - sum->idle >= w->empty
               && (int32_t) (sum->listed_at - w->off_at) < 0
               ? &w->off : NULL;
    }

    if (!ngx_goim_sum_is_listed(sum) || age >= NGX_GOIM_LIST_OLD
        || (int32_t) (sum->listed_at - lists->since) < 0)
    {
        sum->listed = 0;
        w->missing++;
        return &w->listed;
    }

    return age >= NGX_GOIM_LIST_RENEW + sum->hash % NGX_GOIM_LIST_SPREAD
           ? &w->listed : NULL;
}


/* Some room has no place in the zone, or had none lately.  Under the lock. */

static ngx_uint_t
ngx_goim_list_crowded(void)
{
    uint64_t           mask[NGX_GOIM_RING_MASK];
    ngx_goim_lists_t  *lists;

    lists = &ngx_goim_zone->lists;

    ngx_memzero(mask, sizeof(mask));

    if (ngx_goim_unplaced_mask(mask)) {
        lists->crowded = ngx_goim_seconds();
    }

    return lists->crowded
           && ngx_goim_seconds() - lists->crowded < NGX_GOIM_LIST_CROWDED;
}


void
ngx_goim_lists_verdict(ngx_goim_list_walk_t *w)
{
    ngx_uint_t         whole;
    ngx_goim_lists_t  *lists;

    lists = &ngx_goim_zone->lists;

    ngx_goim_lock();

    whole = lists->wanted && w->missing == 0
            && w->epoch == lists->epoch && lists->epoch != 0
            && w->emptied == ngx_goim_zone->emptied
            && w->loose == lists->loose;

    if (ngx_goim_list_crowded() && lists->any != lists->epoch) {
        whole = 0;
    }

    if (whole) {
        lists->strict = 1;
        lists->vouched = lists->life;

    } else {
        lists->vouched = 0;
    }

    ngx_goim_unlock();
}
