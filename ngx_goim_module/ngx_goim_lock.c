
/*
 * The zone's lock, and what is done about a worker that died holding it.
 *
 * nginx's master opens the lock again, but nobody knows what the dead worker
 * left half done.  So whatever is made of lists lies in an arena of its own,
 * and whoever takes the lock next empties the arena.  Each worker brings in
 * again what it has when it takes the lock for the first time after that.
 */


#include "ngx_goim_room.h"


static void ngx_goim_locked(void);
static void ngx_goim_mend(void);
static void ngx_goim_rejoin(void);


/* the last mending that this worker has brought its own in after */
static ngx_uint_t  ngx_goim_mended;


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
    if (ngx_goim_zone->mended != ngx_goim_mended) {
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
        ngx_goim_mend();
    }

    zone->busy = 1;
    ngx_memory_barrier();

    if (zone->mended != ngx_goim_mended) {
        ngx_goim_mended = zone->mended;
        ngx_goim_rejoin();
    }
}


/* Until a worker has come back, it may have any room and any key. */

static void
ngx_goim_mend(void)
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

        ngx_queue_init(&slot->shares);
        slot->keys = 0;
        slot->unshared = slot->pid != 0;
    }

    /* logic takes counts that begin anew for the zone's only ones */

    zone->reported = 0;
    zone->mended++;
}


static void
ngx_goim_rejoin(void)
{
    ngx_queue_t         *q;
    ngx_goim_session_t  *s;

    if (ngx_goim_slot == NULL) {
        return;
    }

    ngx_goim_slot->unshared = 0;

    for (q = ngx_queue_head(&ngx_goim_sessions);
         q != ngx_queue_sentinel(&ngx_goim_sessions);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_goim_session_t, attached);

        ngx_goim_addr_rejoin(&s->addr, &s->shared_addr);

        if (s->authorized) {
            ngx_goim_key_rejoin(&s->key, &s->shared_key);
        }
    }

    ngx_goim_room_rejoin();
}
