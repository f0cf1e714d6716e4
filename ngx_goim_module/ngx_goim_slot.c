
/*
 * The workers' slots, and the reader's lease.
 */


#include "ngx_goim_zone.h"


static void ngx_goim_lease_take(ngx_goim_lease_t *lease);


ngx_goim_slot_t  *ngx_goim_slot;
ngx_uint_t        ngx_goim_slot_n;

/* counts made before there is a slot */
static uint64_t   ngx_goim_no_counters[NGX_GOIM_C_COUNT];

uint64_t         *ngx_goim_counters = ngx_goim_no_counters;

/* the epoch of the lease that this worker holds; 0: none */
static uint64_t   ngx_goim_lease_epoch;

/* since when this worker has not been stopped or busy for long */
static ngx_msec_t  ngx_goim_awake;

/* this worker's, whatever slot it has */
static uint64_t    ngx_goim_number;


ngx_int_t
ngx_goim_slot_take(ngx_log_t *log)
{
    ngx_uint_t        i;
    ngx_goim_slot_t  *slot;

    ngx_goim_slot_reap(log);

    ngx_goim_lock();

    slot = NULL;

    for (i = 0; i < NGX_GOIM_SLOTS; i++) {
        slot = &ngx_goim_zone->slots[i];

        if (slot->pid == 0) {
            break;
        }
    }

    if (i == NGX_GOIM_SLOTS) {
        ngx_goim_unlock();
        return NGX_DECLINED;
    }

    ngx_memzero(slot, sizeof(ngx_goim_slot_t));
    ngx_queue_init(&slot->contributions);

    slot->generation = ngx_goim_zone->generation;
    slot->worker = ngx_worker;
    slot->heartbeat = ngx_current_msec;
    slot->moved = ngx_current_msec;
    slot->announced = ngx_goim_zone->life;
    slot->cursor = ngx_goim_ring_head(ngx_goim_zone->ring);
    if (ngx_goim_number == 0) {
        ngx_goim_number = ++ngx_goim_zone->worker;
    }

    slot->number = ngx_goim_number;
    slot->pid = ngx_pid;

    ngx_goim_zone->nslots = ngx_max(ngx_goim_zone->nslots, i + 1);

    ngx_goim_unlock();

    ngx_goim_awake = ngx_current_msec;
    ngx_goim_slot = slot;
    ngx_goim_slot_n = i;
    ngx_goim_counters = slot->counters;

    return NGX_OK;
}


void
ngx_goim_slot_release(ngx_uint_t n)
{
    ngx_uint_t        i;
    ngx_goim_slot_t  *slot;

    slot = &ngx_goim_zone->slots[n];

    if (ngx_goim_zone->lease.pid == slot->pid) {
        ngx_goim_zone->lease.pid = 0;
        ngx_goim_zone->lease.connected = 0;
    }

    ngx_goim_contrib_drop(slot);
    ngx_goim_key_drop(n);

    for (i = 0; i < NGX_GOIM_C_COUNT; i++) {
        ngx_goim_zone->counters[i] += slot->counters[i];
        slot->counters[i] = 0;
    }

    slot->sessions = 0;
    slot->authorized = 0;
    slot->unplaced = 0;
    slot->pid = 0;
}


void
ngx_goim_slot_beat(void)
{
    if (ngx_current_msec - ngx_goim_slot->heartbeat > NGX_GOIM_LEASE_STALE) {
        ngx_goim_awake = ngx_current_msec;
    }

    ngx_goim_slot->heartbeat = ngx_current_msec;
}


/*
 * Who slept itself can't tell who is silent: workers that were stopped
 * together are given their time from when the reader woke up.
 */

ngx_uint_t
ngx_goim_slot_behind(uint64_t *mask)
{
    ngx_uint_t        i, n;
    ngx_msec_t        sign;
    ngx_goim_slot_t  *slot;

    ngx_goim_slot_beat();
    ngx_memzero(mask, NGX_GOIM_RING_MASK * sizeof(uint64_t));

    n = 0;

    for (i = 0; i < ngx_goim_zone->nslots; i++) {
        slot = &ngx_goim_zone->slots[i];

        if (slot->pid == 0
            || !ngx_goim_ring_behind(ngx_goim_zone->ring, slot->cursor))
        {
            continue;
        }

        sign = slot->leaving ? slot->moved : slot->heartbeat;

        if ((ngx_msec_int_t) (ngx_goim_awake - sign) > 0) {
            sign = ngx_goim_awake;
        }

        if ((ngx_msec_int_t) (ngx_current_msec - sign) > NGX_GOIM_HUNG) {
            continue;
        }

        mask[i / 64] |= (uint64_t) 1 << i % 64;
        n++;
    }

    return n;
}


ngx_uint_t
ngx_goim_process_dead(ngx_pid_t pid)
{
    u_char    *p, name[sizeof("/proc//stat") + NGX_INT64_LEN], buf[256];
    ssize_t    n;
    ngx_fd_t   fd;

    if (kill(pid, 0) == -1) {
        return ngx_errno == ESRCH;
    }

    ngx_sprintf(name, "/proc/%P/stat%Z", pid);

    fd = ngx_open_file(name, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        return 0;
    }

    n = ngx_read_fd(fd, buf, sizeof(buf) - 1);
    (void) ngx_close_file(fd);

    if (n <= 0) {
        return 0;
    }

    /* pid (name) state: the name may hold anything */

    buf[n] = '\0';
    p = (u_char *) strrchr((char *) buf, ')');

    return p && p[1] == ' ' && (p[2] == 'Z' || p[2] == 'X');
}


void
ngx_goim_slot_reap(ngx_log_t *log)
{
    ngx_pid_t         pid;
    ngx_uint_t        i;
    ngx_goim_slot_t  *slot;

    for (i = 0; i < NGX_GOIM_SLOTS; i++) {
        slot = &ngx_goim_zone->slots[i];
        pid = slot->pid;

        if (pid == 0 || pid == ngx_pid || !ngx_goim_process_dead(pid)) {
            continue;
        }

        ngx_goim_lock();

        if (slot->pid == pid) {
            ngx_goim_slot_release(i);

            ngx_log_error(NGX_LOG_NOTICE, log, 0,
                          "goim: worker %P is gone, its counts are taken "
                          "away", pid);
        }

        ngx_goim_unlock();
    }
}


/*
 * Whoever asks gets the lease if nobody has it, the holder is dead, or it was
 * silent for too long.  A worker of an older generation takes it only when
 * no newer one lives.
 */

ngx_int_t
ngx_goim_lease_try(ngx_log_t *log, ngx_uint_t *taken)
{
    ngx_int_t          rc;
    ngx_pid_t          pid;
    ngx_uint_t         i;
    ngx_goim_slot_t   *slot;
    ngx_goim_lease_t  *lease;

    *taken = 0;
    lease = &ngx_goim_zone->lease;

    if (ngx_goim_lease_held()) {
        return NGX_OK;
    }

    ngx_goim_lease_epoch = 0;

    pid = lease->pid;
    slot = &ngx_goim_zone->slots[lease->slot];

    if (pid != 0
        && (ngx_msec_int_t) (ngx_current_msec - slot->heartbeat)
           < NGX_GOIM_LEASE_STALE
        && !(kill(pid, 0) == -1 && ngx_errno == ESRCH))
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < NGX_GOIM_SLOTS; i++) {
        slot = &ngx_goim_zone->slots[i];

        if (slot->pid && slot->generation > ngx_goim_slot->generation
            && !slot->leaving
            && (ngx_msec_int_t) (ngx_current_msec - slot->heartbeat)
               < NGX_GOIM_LEASE_STALE)
        {
            return NGX_DECLINED;
        }
    }

    if (!ngx_goim_trylock()) {
        return NGX_DECLINED;
    }

    rc = NGX_DECLINED;

    if (lease->pid == pid) {
        ngx_goim_lease_take(lease);
        *taken = 1;
        rc = NGX_OK;
    }

    ngx_goim_unlock();

    if (rc == NGX_OK) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "goim: this worker reads the node's stream now "
                      "(lease %uL, before: %P)", lease->epoch, pid);
    }

    return rc;
}


static void
ngx_goim_lease_take(ngx_goim_lease_t *lease)
{
    lease->epoch++;
    lease->pid = ngx_pid;
    lease->slot = ngx_goim_slot_n;
    lease->connected = 0;

    ngx_goim_lease_epoch = lease->epoch;

    ngx_goim_count(leases, 1);
}


void
ngx_goim_lease_release(void)
{
    ngx_goim_lock();

    if (ngx_goim_lease_held()) {
        ngx_goim_zone->lease.pid = 0;
        ngx_goim_zone->lease.connected = 0;
    }

    ngx_goim_unlock();

    ngx_goim_lease_epoch = 0;
}


ngx_uint_t
ngx_goim_lease_held(void)
{
    return ngx_goim_lease_epoch != 0
           && ngx_goim_zone->lease.epoch == ngx_goim_lease_epoch
           && ngx_goim_zone->lease.pid == ngx_pid;
}
