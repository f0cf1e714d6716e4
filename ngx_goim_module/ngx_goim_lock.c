
/*
 * The zone's lock, and what is done about a worker that died holding it.
 *
 * nginx's master opens the lock again, but nobody knows what the dead worker
 * left half done.  So whatever is made of lists lies in an arena of its own,
 * and whoever takes the lock next empties the arena.  Each worker contributes
 * again what it has when it takes the lock for the first time after that.
 */


#include "ngx_goim_zone.h"


static void ngx_goim_locked(void);
static void ngx_goim_lock_empty(void);


/* the last emptying after which this worker has contributed */
static ngx_uint_t              ngx_goim_emptied;

static ngx_goim_contribute_pt  ngx_goim_contribute;


void
ngx_goim_lock_init(ngx_goim_contribute_pt contribute)
{
    ngx_goim_contribute = contribute;
}


void
ngx_goim_lock(void)
{
    ngx_shmtx_lock(&ngx_goim_shpool->mutex);
    ngx_goim_locked();
}


ngx_uint_t
ngx_goim_trylock(void)
{
    if (!ngx_shmtx_trylock(&ngx_goim_shpool->mutex)) {
        return 0;
    }

    ngx_goim_locked();

    return 1;
}


void
ngx_goim_unlock(void)
{
    ngx_memory_barrier();
    ngx_goim_zone->busy = 0;
    ngx_shmtx_unlock(&ngx_goim_shpool->mutex);
}


void
ngx_goim_lock_tick(void)
{
    if (ngx_goim_zone->emptied != ngx_goim_emptied) {
        ngx_goim_lock();
        ngx_goim_unlock();
    }
}


static void
ngx_goim_locked(void)
{
    ngx_goim_zone_t  *zone;

    zone = ngx_goim_zone;

    if (zone->busy) {
        ngx_goim_lock_empty();
    }

    zone->busy = 1;
    ngx_memory_barrier();

    if (zone->emptied != ngx_goim_emptied) {
        ngx_goim_emptied = zone->emptied;

        if (ngx_goim_slot) {
            ngx_goim_slot->unplaced = 0;
            ngx_goim_contribute();
        }
    }
}


/* Until a worker has come back, it may have any room and any key. */

static void
ngx_goim_lock_empty(void)
{
    ngx_uint_t        i;
    ngx_goim_slot_t  *slot;
    ngx_goim_zone_t  *zone;

    zone = ngx_goim_zone;

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "goim: a worker died while it changed the zone, rooms, "
                  "addresses and keys are counted anew");

    ngx_goim_arena_init(zone);

    for (i = 0; i < NGX_GOIM_SLOTS; i++) {
        slot = &zone->slots[i];

        ngx_queue_init(&slot->contributions);
        slot->keys = 0;
        slot->unplaced = slot->pid != 0;
    }

    /* logic takes counts that begin anew for the zone's only ones */

    zone->reported = 0;
    zone->emptied++;
}
