
/*
 * The shared zone: its making, and the one commit by which a delivery becomes
 * visible.
 */


#include "ngx_goim_zone.h"


static ngx_int_t ngx_goim_zone_make(ngx_goim_zone_t *zone,
    ngx_slab_pool_t *shpool, ngx_log_t *log);
static ngx_int_t ngx_goim_zone_tables(ngx_goim_zone_t *zone,
    ngx_slab_pool_t *shpool);
static ngx_int_t ngx_goim_zone_random(u_char *p, size_t len);
static void ngx_goim_zone_apply(ngx_goim_ring_entry_t *e, u_char *data);
static ngx_goim_positions_t *ngx_goim_positions_take(const uint8_t *epoch);


ngx_goim_zone_t  *ngx_goim_zone;
ngx_slab_pool_t  *ngx_goim_shpool;


#define NGX_GOIM_COUNTER_NAME(name, help)  #name,
#define NGX_GOIM_COUNTER_HELP(name, help)  help,

const char *const  ngx_goim_counter_names[] = {
    NGX_GOIM_COUNTERS(NGX_GOIM_COUNTER_NAME)
    NULL
};

const char *const  ngx_goim_counter_help[] = {
    NGX_GOIM_COUNTERS(NGX_GOIM_COUNTER_HELP)
    NULL
};


/*
 * A zone that is there already (reload) is used as it is: its workers go on.
 * ngx_goim_core.c has compared server_id and redis by then.
 */

ngx_int_t
ngx_goim_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_slab_pool_t  *shpool;
    ngx_goim_zone_t  *zone;

    if (data) {
        shm_zone->data = data;
        return NGX_OK;
    }

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (shm_zone->shm.exists) {
        zone = shpool->data;

        if (zone->magic != NGX_GOIM_ZONE_MAGIC
            || zone->layout != NGX_GOIM_ZONE_LAYOUT)
        {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "goim zone \"%V\" has another layout",
                          &shm_zone->shm.name);
            return NGX_ERROR;
        }

        shm_zone->data = zone;
        return NGX_OK;
    }

    zone = ngx_slab_calloc(shpool, sizeof(ngx_goim_zone_t));

    if (zone == NULL
        || ngx_goim_zone_make(zone, shpool, shm_zone->shm.log) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "goim zone \"%V\" is too small", &shm_zone->shm.name);
        return NGX_ERROR;
    }

    shpool->data = zone;
    shm_zone->data = zone;

    return NGX_OK;
}


static ngx_int_t
ngx_goim_zone_make(ngx_goim_zone_t *zone, ngx_slab_pool_t *shpool,
    ngx_log_t *log)
{
    size_t       size;
    u_char       id[8];
    ngx_time_t  *tp;
    ngx_uint_t   i;

    size = (shpool->end - (u_char *) shpool) / 2;

    zone->ring = ngx_slab_alloc(shpool, size);

    if (zone->ring == NULL) {
        return NGX_ERROR;
    }

    ngx_goim_ring_init(zone->ring, size);

    for (i = 0; i < NGX_GOIM_SLOTS; i++) {
        ngx_queue_init(&zone->slots[i].contributions);
    }

    if (ngx_goim_zone_random(id, sizeof(id)) != NGX_OK
        || ngx_goim_zone_random((u_char *) zone->seed, sizeof(zone->seed))
           != NGX_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "goim: no random bytes for the zone's id");
        return NGX_ERROR;
    }

    *ngx_hex_dump(zone->id, id, sizeof(id)) = '\0';

    tp = ngx_timeofday();

    zone->started = (uint64_t) tp->sec * 1000 + tp->msec;
    zone->layout = NGX_GOIM_ZONE_LAYOUT;
    zone->magic = NGX_GOIM_ZONE_MAGIC;

    return ngx_goim_zone_tables(zone, shpool);
}


/*
 * What is left of the zone: a bucket for each 512 bytes of it in each table,
 * and the arena.
 */

static ngx_int_t
ngx_goim_zone_tables(ngx_goim_zone_t *zone, ngx_slab_pool_t *shpool)
{
    size_t      n, size;
    ngx_uint_t  mask;

    size = shpool->pfree * ngx_pagesize;

    for (n = 256; n * 512 < size; n *= 2) { /* void */ }

    mask = n - 1;

    zone->tables[NGX_GOIM_ROOMS].mask = mask;
    zone->tables[NGX_GOIM_ROOMS].buckets =
                                ngx_slab_alloc(shpool, n * sizeof(void *));

    zone->tables[NGX_GOIM_ADDRS].mask = mask;
    zone->tables[NGX_GOIM_ADDRS].buckets =
                                ngx_slab_alloc(shpool, n * sizeof(void *));

    zone->keys.mask = mask;
    zone->keys.buckets = ngx_slab_alloc(shpool, n * sizeof(void *));

    size = shpool->pfree * ngx_pagesize;
    zone->arena = size ? ngx_slab_alloc(shpool, size) : NULL;

    if (zone->tables[NGX_GOIM_ROOMS].buckets == NULL
        || zone->tables[NGX_GOIM_ADDRS].buckets == NULL
        || zone->keys.buckets == NULL || zone->arena == NULL)
    {
        return NGX_ERROR;
    }

    zone->arena_size = size;
    ngx_goim_arena_init(zone);

    return NGX_OK;
}


void
ngx_goim_arena_init(ngx_goim_zone_t *zone)
{
    size_t             len;
    ngx_uint_t         i;
    ngx_slab_pool_t   *arena;

    len = (zone->keys.mask + 1) * sizeof(void *);

    for (i = 0; i < 2; i++) {
        ngx_memzero(zone->tables[i].buckets, len);
        zone->tables[i].count = 0;
    }

    ngx_memzero(zone->keys.buckets, len);

    arena = zone->arena;
    ngx_memzero(arena, sizeof(ngx_slab_pool_t));

    arena->end = (u_char *) arena + zone->arena_size;
    arena->addr = arena;
    arena->min_shift = 3;

    ngx_slab_init(arena);

    /* a full zone is counted, not logged by the slab allocator each time */

    arena->log_nomem = 0;
}


static ngx_int_t
ngx_goim_zone_random(u_char *p, size_t len)
{
    ssize_t   n;
    ngx_fd_t  fd;

    fd = ngx_open_file("/dev/urandom", NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    n = ngx_read_fd(fd, p, len);

    (void) ngx_close_file(fd);

    return n == (ssize_t) len ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_goim_zone_publish(ngx_goim_ring_entry_t *e, u_char *data)
{
    ngx_int_t  rc;

    rc = NGX_DECLINED;

    ngx_goim_lock();

    if (ngx_goim_lease_held()) {
        ngx_goim_ring_publish(ngx_goim_zone->ring, e);
        ngx_goim_zone_apply(e, data);
        rc = NGX_OK;
    }

    ngx_goim_unlock();

    return rc;
}


/*
 * The tables follow the newest entry, not the other way round: a holder that
 * died between the two leaves an entry from which its successor repeats this.
 */

static void
ngx_goim_zone_apply(ngx_goim_ring_entry_t *e, u_char *data)
{
    u_char                *p;
    ngx_uint_t             i;
    ngx_goim_zone_t       *zone;
    ngx_goim_record_t     *rec;
    ngx_goim_positions_t  *positions;

    zone = ngx_goim_zone;
    positions = NULL;

    ngx_memcpy(zone->epoch, e->epoch, sizeof(zone->epoch));

    p = data;

    for (i = 0; i < e->records; i++) {
        rec = (ngx_goim_record_t *) p;
        p += rec->len;

        if (rec->positioned && rec->partition < GOIM_PARTITIONS) {

            if (positions == NULL) {
                positions = ngx_goim_positions_take(e->epoch);
            }

            positions->offset[rec->partition] = rec->offset;
            positions->seen[rec->partition] = 1;
        }
    }

    zone->stream[0] = e->id[0];
    zone->stream[1] = e->id[1];
}


ngx_int_t
ngx_goim_zone_resume(uint64_t *id, ngx_log_t *log)
{
    int                     rc;
    size_t                  size, need;
    u_char                 *buf;
    ngx_goim_ring_entry_t  *e;

    size = ngx_goim_ring_max(ngx_goim_zone->ring);
    need = 0;

    buf = ngx_alloc(size, log);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    ngx_goim_lock();

    rc = ngx_goim_ring_newest(ngx_goim_zone->ring, buf, size, &need);

    if (rc == NGX_GOIM_RING_OK) {
        e = (ngx_goim_ring_entry_t *) buf;
        ngx_goim_zone_apply(e, buf + sizeof(ngx_goim_ring_entry_t));
    }

    id[0] = ngx_goim_zone->stream[0];
    id[1] = ngx_goim_zone->stream[1];

    ngx_goim_unlock();

    ngx_free(buf);

    if (rc != NGX_GOIM_RING_OK && rc != NGX_GOIM_RING_EMPTY) {
        ngx_goim_count(corrupt, 1);
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "goim: the newest entry of the ring is damaged");
    }

    return NGX_OK;
}


/*
 * A stream may hold the end of one epoch and the beginning of the next, and be
 * read again from its start: each epoch has positions of its own.  A new one
 * takes the place of the one that was not used for the longest time.
 */

static ngx_goim_positions_t *
ngx_goim_positions_take(const uint8_t *epoch)
{
    uint64_t               last;
    ngx_uint_t             i;
    ngx_goim_positions_t  *p, *old;

    p = ngx_goim_positions(epoch);
    old = ngx_goim_zone->positions;
    last = 0;

    for (i = 0; i < NGX_GOIM_EPOCHS; i++) {
        last = ngx_max(last, ngx_goim_zone->positions[i].used);

        if (ngx_goim_zone->positions[i].used < old->used) {
            old = &ngx_goim_zone->positions[i];
        }
    }

    if (p == NULL) {
        p = old;
        ngx_memzero(p, sizeof(ngx_goim_positions_t));
        ngx_memcpy(p->epoch, epoch, sizeof(p->epoch));
    }

    p->used = last + 1;

    return p;
}


ngx_goim_positions_t *
ngx_goim_positions(const uint8_t *epoch)
{
    ngx_uint_t             i;
    ngx_goim_positions_t  *p;

    for (i = 0; i < NGX_GOIM_EPOCHS; i++) {
        p = &ngx_goim_zone->positions[i];

        if (p->used && ngx_memcmp(p->epoch, epoch, sizeof(p->epoch)) == 0) {
            return p;
        }
    }

    return NULL;
}


ngx_uint_t
ngx_goim_registered(void)
{
    ngx_goim_registration_t  *reg;

    reg = &ngx_goim_zone->registration;

    return reg->confirmed && ngx_current_msec - reg->renewed < reg->ttl;
}


ngx_uint_t
ngx_goim_seen(const uint8_t *epoch, uint32_t partition,
    const goim_offset_t *offset)
{
    ngx_goim_positions_t  *p;

    p = ngx_goim_positions(epoch);

    return p && partition < GOIM_PARTITIONS && p->seen[partition]
           && goim_offset_cmp(offset, &p->offset[partition]) <= 0;
}


void
ngx_goim_zone_say(ngx_log_t *log)
{
    uint64_t         n;
    static time_t    at;
    static uint64_t  said;

    n = ngx_goim_slot->counters[NGX_GOIM_C_zone_full];

    if (n == said || (at && ngx_time() - at < NGX_GOIM_ZONE_SAY)) {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "goim: the zone is full, %uL rooms, addresses and keys "
                  "found no place: counts are too low, a larger \"zone\" "
                  "holds more", n - said);

    at = ngx_time();
    said = n;
}


void
ngx_goim_get_stats(ngx_goim_stats_t *st)
{
    ngx_uint_t        i, k;
    uint64_t          head, lag;
    ngx_goim_slot_t  *slot;
    ngx_goim_zone_t  *zone;

    zone = ngx_goim_zone;
    head = ngx_goim_ring_head(zone->ring);

    ngx_goim_lock();

    ngx_memcpy(st->counters, zone->counters, sizeof(st->counters));

    for (i = 0; i < NGX_GOIM_SLOTS; i++) {
        slot = &zone->slots[i];

        if (slot->pid == 0) {
            continue;
        }

        st->workers++;
        st->draining += slot->generation != zone->generation;
        st->sessions += slot->sessions;
        st->authorized += slot->authorized;

        for (k = 0; k < NGX_GOIM_C_COUNT; k++) {
            st->counters[k] += slot->counters[k];
        }

        /* who has left does not follow any more */

        if (slot->leaving == NGX_GOIM_LEFT) {
            continue;
        }

        lag = head > slot->cursor ? head - slot->cursor : 0;
        st->ring_lag = ngx_max(st->ring_lag, lag);
    }

    st->rooms = zone->tables[NGX_GOIM_ROOMS].count;
    st->listed = zone->lists.vouched != 0
                 && zone->lists.vouched == zone->lists.told;
    st->addrs = zone->tables[NGX_GOIM_ADDRS].count;
    st->reader_pid = zone->lease.pid;
    st->reader_epoch = zone->lease.epoch;
    st->reader_connected = zone->lease.connected;
    st->unready = ngx_goim_canary_unready();
    st->ready = st->unready[0] == '\0';
    st->zone_free = (uint64_t) zone->arena->pfree * ngx_pagesize;

    ngx_sprintf(st->stream_id, "%uL-%uL%Z", zone->stream[0],
                zone->stream[1]);

    ngx_goim_unlock();

    ngx_memcpy(st->zone_id, zone->id, sizeof(st->zone_id));

    st->started = (time_t) (zone->started / 1000);
    st->registered = ngx_goim_registered();
    st->drain = zone->drain;
    st->ring_size = zone->ring->size;
    st->ring_written = head;
}
