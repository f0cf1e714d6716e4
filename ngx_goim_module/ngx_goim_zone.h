/*
 * What the workers of a node share: slots, rooms and addresses with the count
 * of each worker, the reader's lease, positions in the bus, and the ring.
 *
 * Everything but the ring, the counters and the fields said to be atomic is
 * changed under the zone's slab mutex, because that is the one lock which
 * the master opens again after a crash.  Pointers are the same in every
 * process that has the zone.
 */

#ifndef _NGX_GOIM_ZONE_H_INCLUDED_
#define _NGX_GOIM_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "common/goim_limits.h"
#include "ngx_goim_mids.h"
#include "ngx_goim_record.h"
#include "ngx_goim_ring.h"
#include "ngx_goim_stats.h"


#define NGX_GOIM_ZONE_MAGIC     0x656e6f7a6d696f67ULL   /* "goimzone" */
#define NGX_GOIM_ZONE_LAYOUT    9

#define NGX_GOIM_SLOTS          (NGX_GOIM_RING_MASK * 64)
#define NGX_GOIM_EPOCHS         3           /* whose positions are kept */
#define NGX_GOIM_ZONE_MIN       (3 * 1024 * 1024)

/* ms: how often a worker says that it lives, how long it may be silent before
   the lease is taken from it, and before the reader no longer waits for it */
#define NGX_GOIM_TICK           100
#define NGX_GOIM_LEASE_STALE    700
#define NGX_GOIM_HUNG           1500


typedef struct ngx_goim_sum_s      ngx_goim_sum_t;
typedef struct ngx_goim_contrib_s  ngx_goim_contrib_t;
typedef struct ngx_goim_key_s      ngx_goim_key_t;


/* what one worker contributes to a room or an address */

struct ngx_goim_contrib_s {
    ngx_goim_sum_t         *sum;
    ngx_goim_contrib_t     *next;           /* of the same room or address */
    ngx_queue_t             queue;          /* of the same slot */
    uint32_t                count;
    uint32_t                slot;
};


/* a room or an address of this node: the sum of what its workers contribute */

struct ngx_goim_sum_s {
    ngx_goim_sum_t         *next;           /* in the hash chain */
    ngx_goim_contrib_t     *contributions;
    uint32_t                hash;
    uint32_t                reported;       /* rooms: as logic knows it */
    uint32_t                cluster;        /* rooms: of all other nodes */
    uint32_t                listed;         /* rooms: lists.epoch in which it
                                               was; 0: it is not listed */
    uint32_t                listed_at;      /* s */
    uint32_t                idle;           /* s: since when nobody is there */
    uint16_t                table:1;
    uint16_t                len:15;
    u_char                  key[1];
};


typedef struct {
    ngx_goim_sum_t        **buckets;
    ngx_uint_t              mask;
    ngx_uint_t              count;
} ngx_goim_table_t;


/* a session with a key, on some worker */

struct ngx_goim_key_s {
    ngx_goim_key_t         *next;           /* in the hash chain */
    uint64_t                hash;
    ngx_uint_t              slot;
};


typedef struct {
    ngx_goim_key_t        **buckets;
    ngx_uint_t              mask;
} ngx_goim_keys_t;


#define NGX_GOIM_ROOMS          0
#define NGX_GOIM_ADDRS          1


/* slot->leaving, once a shutdown began */
#define NGX_GOIM_LEAVING        1
#define NGX_GOIM_LEFT           2           /* no sessions any more */


typedef struct {
    ngx_pid_t               pid;            /* 0: free */
    uint32_t                generation;
    uint32_t                worker;         /* index of its eventfd */
    ngx_atomic_t            heartbeat;      /* ngx_current_msec */
    ngx_atomic_t            cursor;         /* in the ring */
    ngx_atomic_t            moved;          /* when that was news to it, or
                                               there was none */
    ngx_atomic_t            notified;       /* a wake-up is on its way */
    ngx_atomic_t            unplaced;       /* rooms and keys the zone has no
                                               place for */
    ngx_atomic_t            sessions;       /* gauges, its own */
    ngx_atomic_t            authorized;
    ngx_atomic_t            announced;      /* the life of Redis in which all
                                               its sessions are known */
    ngx_atomic_t            canary;         /* one is in the ring for it since
                                               (ngx_current_msec); 0: none */
    uint64_t                number;         /* of the worker: no other one of the
                                               zone ever has it */
    ngx_uint_t              leaving;
    ngx_queue_t             contributions;
    ngx_uint_t              keys;           /* in the zone's table */
    uint64_t                counters[NGX_GOIM_C_COUNT];
} ngx_goim_slot_t;


typedef struct {
    uint64_t                epoch;          /* grows with each taking */
    ngx_pid_t               pid;            /* 0: nobody */
    uint32_t                slot;
    ngx_uint_t              connected;
    ngx_atomic_t            answered;       /* ngx_current_msec: Redis, to a
                                               read, whoever held it; 0: never */
} ngx_goim_lease_t;


/* how far the partitions were read under one bus epoch */

typedef struct {
    uint8_t                 epoch[16];      /* its digest */
    uint64_t                used;           /* grows with each use; 0: free */
    uint8_t                 seen[GOIM_PARTITIONS];
    goim_offset_t           offset[GOIM_PARTITIONS];
} ngx_goim_positions_t;


/* As logic or Redis confirmed it; set by the lease's holder. */

typedef struct {
    ngx_atomic_t            confirmed;
    ngx_atomic_t            renewed;        /* ngx_current_msec */
    ngx_msec_t              renew;          /* ms, as logic says */
    ngx_msec_t              ttl;
    uint64_t                seen;           /* Redis's time of it, ms */
    uint64_t                missed;         /* records, as told last */

    /* registered anew, and the newest session of then: an older one may have
       missed what was for it */
    ngx_msec_t              anew;
    ngx_atomic_t            anew_session;

    ngx_atomic_t            lapses;
    ngx_atomic_t            lapse_session;
} ngx_goim_registration_t;


/*
 * Rooms are listed in Redis, so that other nodes are left out.  Under the lock,
 * but for those said to be atomic, which the lease's holder sets.
 */
typedef struct {
    ngx_atomic_t            wanted;         /* there are many nodes */
    ngx_atomic_t            strict;         /* readers rely on the lists, or may
                                               still: nobody enters a room that
                                               is not listed */
    uint64_t                life;           /* of Redis, the newest heard of */
    uint32_t                epoch;          /* another one with each life */
    uint64_t                vouched;        /* the life in which all rooms are
                                               listed, told with Register */
    uint64_t                told;           /* that, as confirmed last */
    ngx_msec_t              vouched_at;     /* when it was told last that all
                                               are listed */

    ngx_atomic_t            order;          /* of listing: the last given */
    uint64_t                past[2];        /* it, as it was a while ago */
    uint32_t                past_at[2];     /* s: when */
    uint64_t                off;            /* the largest with which rooms were
                                               taken off */

    uint64_t                loose;          /* rooms entered unlisted, ever */
    uint32_t                since;          /* s: what was listed before may
                                               be gone */

    /* for rooms that the zone has no place for, the zone is listed for any */
    uint32_t                any;            /* epoch in which it was */
    uint32_t                any_at;         /* s */
    uint32_t                crowded;        /* s: there was no place last */
} ngx_goim_lists_t;


/* The list is list[version % 2]; a new one is written to the other place, so
   that the version is the one commit. */
typedef struct {
    ngx_atomic_t            version;
    ngx_goim_mids_t         list[2];
    ngx_goim_mids_t         conf;           /* of the last configuration */
} ngx_goim_trace_zone_t;


typedef struct {
    uint64_t                magic;
    ngx_uint_t              busy;           /* somebody has the lock */
    ngx_uint_t              emptied;         /* times the arena was emptied */
    uint32_t                layout;
    uint32_t                generation;     /* the newest */
    u_char                  id[17];         /* random, hex */
    uint64_t                started;        /* ms: the newer of two zones of
                                               a node speaks for it */

    uint64_t                seed[2];        /* of the tables' hash */
    ngx_atomic_t            session;        /* the last id given */
    uint64_t                worker;         /* the last slot.number */

    ngx_goim_lease_t        lease;

    /* the node's stream */
    ngx_uint_t              begun;          /* its start is fixed */
    uint64_t                stream[2];      /* read up to, where no entry of
                                               the ring says more */
    uint8_t                 epoch[16];      /* digest of the bus epoch */
    ngx_goim_positions_t    positions[NGX_GOIM_EPOCHS];

    ngx_goim_registration_t  registration;
    ngx_uint_t              reported;       /* every room, once */
    ngx_atomic_t            life;           /* of Redis, as logic says */
    ngx_atomic_t            announced;      /* in which logic has been told
                                               that all sessions are known */

    ngx_goim_trace_zone_t   trace;
    ngx_atomic_t            drain;          /* the node is told to */
    ngx_atomic_t            moves;          /* logic wants to know of each change
                                               of a room */
    ngx_atomic_t            suspicions;     /* grows when something may have
                                               got lost before the ring */
    uint64_t                stamp;          /* of which rooms have a history, as
                                               logic says; 0: it did not */
    ngx_goim_lists_t        lists;

    /* what is allocated and freed lies in the arena: members of the tables */
    ngx_slab_pool_t        *arena;
    size_t                  arena_size;
    ngx_goim_table_t        tables[2];
    ngx_goim_keys_t         keys;
    ngx_uint_t              nslots;         /* none was taken from here on */
    ngx_goim_slot_t         slots[NGX_GOIM_SLOTS];
    uint64_t                counters[NGX_GOIM_C_COUNT];     /* of the gone */
    ngx_goim_ring_t        *ring;
} ngx_goim_zone_t;


/* workers ask whether their timelines have all */
#define ngx_goim_suspect()                                                   \
    (void) ngx_atomic_fetch_add(&ngx_goim_zone->suspicions, 1)


extern ngx_goim_zone_t  *ngx_goim_zone;     /* this worker's */
extern ngx_slab_pool_t  *ngx_goim_shpool;
extern ngx_goim_slot_t  *ngx_goim_slot;
extern ngx_uint_t        ngx_goim_slot_n;


/* ---- ngx_goim_canary.c ---- */

/* the hop of this node's that does not work; "": all do.  Under the lock. */
const char *ngx_goim_canary_unready(void);


/* ---- ngx_goim_lock.c ---- */

/* what this worker has goes into the empty arena.  Under the lock. */
typedef void (*ngx_goim_contribute_pt)(void);

/* before there is a slot */
void ngx_goim_lock_init(ngx_goim_contribute_pt contribute);

/* Pointers into the arena may be other ones once the lock is taken. */
void ngx_goim_lock(void);
ngx_uint_t ngx_goim_trylock(void);
void ngx_goim_unlock(void);

/* contribute again, if the arena was emptied */
void ngx_goim_lock_tick(void);


/* ---- ngx_goim_zone.c ---- */

ngx_int_t ngx_goim_zone_init(ngx_shm_zone_t *shm_zone, void *data);

/* empty the arena and the tables.  Under the lock, once there are workers. */
void ngx_goim_arena_init(ngx_goim_zone_t *zone);

/* that the zone was full, once a minute */
#define NGX_GOIM_ZONE_SAY       60          /* s */
void ngx_goim_zone_say(ngx_log_t *log);

/* make a prepared entry visible with all that belongs to it, if the lease is
   still ours; else NGX_DECLINED */
ngx_int_t ngx_goim_zone_publish(ngx_goim_ring_entry_t *e, u_char *data);

/* take up stream id and positions where the last holder left them; id gets
   the stream id read up to */
ngx_int_t ngx_goim_zone_resume(uint64_t *id, ngx_log_t *log);

/* the node's registration is confirmed, and its time has not passed */
ngx_uint_t ngx_goim_registered(void);

/* whether it is at or before what was read of the partition in that epoch */
ngx_uint_t ngx_goim_seen(const uint8_t *epoch, uint32_t partition,
    const goim_offset_t *offset);

/* the positions of an epoch; NULL: they are not known (any more) */
ngx_goim_positions_t *ngx_goim_positions(const uint8_t *epoch);


/* ---- ngx_goim_slot.c ---- */

/* take a slot; NGX_DECLINED: all are taken.  A worker that takes one has no
   sessions. */
ngx_int_t ngx_goim_slot_take(ngx_log_t *log);

/* give a slot back: its counts go, its counters stay.  Under the lock. */
void ngx_goim_slot_release(ngx_uint_t n);

/* this worker lives, and looks at its events */
void ngx_goim_slot_beat(void);

/*
 * Whether the ring's writer has to wait for somebody who is more than half a
 * ring behind; mask gets their slots.  A worker that has been silent stops
 * nobody, nor does a leaving one that gets no further.
 */
ngx_uint_t ngx_goim_slot_behind(uint64_t *mask);

/* there is no such process, or what is left of it waits for its parent */
ngx_uint_t ngx_goim_process_dead(ngx_pid_t pid);

/* release the slots of workers that died without a word */
void ngx_goim_slot_reap(ngx_log_t *log);

/* the lease: NGX_OK: it is ours (*taken: just now) */
ngx_int_t ngx_goim_lease_try(ngx_log_t *log, ngx_uint_t *taken);
void ngx_goim_lease_release(void);
ngx_uint_t ngx_goim_lease_held(void);


/* ---- ngx_goim_table.c: rooms and addresses ---- */

/* One more connection from addr.  *contrib is NULL when the zone is full.
   NGX_DECLINED: there are max already, in all workers; 0: no limit. */
ngx_int_t ngx_goim_addr_join(ngx_str_t *addr, ngx_uint_t max,
    ngx_goim_contrib_t **contrib);
uint32_t ngx_goim_addr_count(ngx_str_t *addr);      /* in all workers */
void ngx_goim_addr_leave(ngx_goim_contrib_t **contrib);

/* This worker has count members of a room now; *unplaced: the zone is full.
   Both are 0 at first. */
void ngx_goim_room_contribute(ngx_str_t *room, uint32_t count,
    ngx_goim_contrib_t **contrib, ngx_uint_t *unplaced);

/* the same after the arena was emptied.  Under the lock. */
void ngx_goim_addr_join_locked(ngx_str_t *addr, ngx_goim_contrib_t **contrib);
void ngx_goim_room_contribute_locked(ngx_str_t *room, uint32_t count,
    ngx_goim_contrib_t **contrib, ngx_uint_t *unplaced);

/* for ngx_goim_lists.c.  Under the lock. */
ngx_goim_sum_t *ngx_goim_room_sum(ngx_str_t *room);
void ngx_goim_sum_delete(ngx_goim_sum_t *sum);

#define ngx_goim_sum_is_listed(sum)                                          \
    ((sum)->listed != 0 && (sum)->listed == ngx_goim_zone->lists.epoch)

/* all of a slot's.  Under the lock. */
void ngx_goim_contrib_drop(ngx_goim_slot_t *slot);

/* slots with members of a room are set in mask.  Under the lock. */
void ngx_goim_room_mask(ngx_str_t *room, uint64_t *mask);

/* the same for slots that have what the zone has no place for; whether there
   is any */
ngx_uint_t ngx_goim_unplaced_mask(uint64_t *mask);

/* the whole cluster's count, as far as it is known; 0 without a contrib */
uint32_t ngx_goim_contrib_online(ngx_goim_contrib_t **contrib);

/*
 * Walk the rooms for reporting, from *bucket on: pushes to counts those whose
 * count is or was not 0 until about max are there; names are in the array's
 * pool.  Rooms that were reported empty leave the zone.  NGX_DONE: that was
 * the last bucket.
 */
typedef struct {
    ngx_str_t               room;
    uint32_t                count;
    ngx_uint_t              changed;        /* since it was reported */
} ngx_goim_room_count_t;

ngx_int_t ngx_goim_room_walk(ngx_uint_t *bucket, ngx_uint_t max,
    ngx_array_t *counts);

/* what logic answered: the cluster's count of a room we reported `own` of */
void ngx_goim_room_report(ngx_str_t *room, uint32_t own, uint32_t cluster);


/* ---- ngx_goim_lists.c: rooms listed in Redis for this zone ---- */

/*
 * Whether a room that this worker has contributed to is listed, or need not
 * be: NGX_OK.  must: it has to be as soon as lists are wanted; else only when
 * readers rely on them, and not until the next verdict.
 */
ngx_int_t ngx_goim_room_listed(ngx_goim_contrib_t **contrib,
    ngx_uint_t unplaced, ngx_uint_t must);

/* It was listed with that order in that life; the empty name: any is.
   NGX_DECLINED: it may have been taken off since, or that life is over. */
ngx_int_t ngx_goim_room_list(ngx_str_t *room, uint64_t life, uint64_t order);

/* another life of Redis, perhaps, which has no lists */
void ngx_goim_lists_life(uint64_t life);

/* a walk through all rooms, and what is to be done about their lists */
typedef struct {
    ngx_uint_t              bucket;         /* where it goes on */
    ngx_pool_t             *pool;           /* of the names */
    ngx_array_t             listed;         /* to be: ngx_str_t */
    ngx_array_t             off;            /* to be taken off */
    uint64_t                off_order;
    uint32_t                off_at;         /* s: all listed by then is below */
    uint32_t                empty;          /* s, before a room is taken off;
                                               half of it is longer than any
                                               call is under way */
    ngx_uint_t              clear;          /* all are to be taken off */
    ngx_uint_t              any;            /* the empty name is to be listed */
    ngx_uint_t              missing;        /* rooms that were not listed */

    /* as it was at the beginning */
    ngx_uint_t              emptied;
    uint64_t                loose;
    uint32_t                epoch;
} ngx_goim_list_walk_t;

void ngx_goim_lists_begin(ngx_goim_list_walk_t *w);

/* up to `buckets` more, and about max rooms; NGX_DONE: that was the last */
ngx_int_t ngx_goim_lists_walk(ngx_goim_list_walk_t *w, ngx_uint_t buckets,
    ngx_uint_t max);

/* The walk is over: all rooms are listed, or not. */
void ngx_goim_lists_verdict(ngx_goim_list_walk_t *w);

/* s, by a clock that goes on and is the same in all workers */
#define ngx_goim_seconds()      ((uint32_t) (ngx_current_msec / 1000))


/* ---- ngx_goim_key.c: which worker has which key ---- */

/* *k is NULL when the zone is full: this worker is asked about every key */
void ngx_goim_key_add(ngx_str_t *key, ngx_goim_key_t **k);
void ngx_goim_key_delete(ngx_goim_key_t **k);

/* after the arena was emptied.  Under the lock. */
void ngx_goim_key_add_locked(ngx_str_t *key, ngx_goim_key_t **k);

/* all of a slot's.  Under the lock. */
void ngx_goim_key_drop(ngx_uint_t slot);

/* slots that have the key are set in mask; 0: it is not on this node */
ngx_uint_t ngx_goim_key_mask(ngx_str_t *key, uint64_t *mask,
    ngx_uint_t *slot);


#endif /* _NGX_GOIM_ZONE_H_INCLUDED_ */
