/*
 * What is counted, and what the status page shows.
 */

#ifndef _NGX_GOIM_STATS_H_INCLUDED_
#define _NGX_GOIM_STATS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* X(name, help): the status page shows them in this order */
#define NGX_GOIM_COUNTERS(X)                                                 \
    X(accepted,          "Connections taken from HTTP or stream.")           \
    X(closed,            "Connections that ended.")                          \
    X(refused,           "Upgrades refused: bad handshake or a limit.")      \
    X(origin_refused,    "Upgrades of pages that goim_origin does not name.") \
    X(auths,             "Sessions authenticated.")                          \
    X(auth_denied,       "Auth packets that logic refused.")                 \
    X(auth_failed,       "Auths that failed: logic away or late.")           \
    X(renewals,          "New tokens that sessions go on with.")             \
    X(expired,           "Sessions closed as their tokens expired.")         \
    X(handshake_timeouts, "Connections without auth in time.")               \
    X(heartbeat_timeouts, "Sessions without a heartbeat in time.")           \
    X(protocol_errors,   "Sessions closed for a malformed frame or packet.") \
    X(replaced,          "Sessions closed by a newer one of the same key.")  \
    X(ended,             "Sessions closed as backends said.")                \
    X(packets_in,        "Packets from clients.")                            \
    X(receives,          "Packets handed to logic.")                         \
    X(receive_failed,    "Packets that logic did not take.")                 \
    X(sends_limited,     "Messages of sessions that send too often.")        \
    X(packets_early,     "Packets before auth, left out.")                   \
    X(subs_ignored,      "Subscriptions that are no list of numbers.")       \
    X(recover_refused,   "Positions of clients that are none.")               \
    X(recovered,         "Positions from which a session got what it missed.") \
    X(unrecovered,       "Positions from which it could not, and was told.") \
    X(history_reads,     "Reads of rooms' histories that logic was asked for.") \
    X(history_later,     "Reads without an answer that helps: asked again.") \
    X(history_broken,    "Reads that met an item that is none: given up.")   \
    X(inbox_ahead,       "Items of inboxes that came before the one they follow.") \
    X(inbox_alone,       "Times that one did not come soon: read.")          \
    X(rooms_refused,     "Changes to a room the session may not enter.")     \
    X(subs_refused,      "Operations the session may not accept.")           \
    X(refusals,          "Refusals that a session was told the reason of.")  \
    X(room_waits,        "Changes of room that waited for its listing.")     \
    X(room_failed,       "Changes to a room that could not be listed.")      \
    X(records,           "Records taken from the node's stream.")            \
    X(duplicates,        "Records seen before and left out.")                \
    X(broken,            "Stream entries or records that do not parse.")     \
    X(holes,             "Holes seen in the node's stream.")                 \
    X(missed,            "Entries missing in those holes, where countable.") \
    X(lapses,            "Times the node was late and missed messages.")     \
    X(lapse_records,     "Records that job did not append meanwhile.")       \
    X(lapse_closed,      "Sessions closed as they missed messages.")         \
    X(epochs,            "Changes of the bus epoch.")                        \
    X(lapped,            "Times a worker fell a whole ring behind.")         \
    X(corrupt,           "Ring entries whose checksum did not match.")       \
    X(drained,           "Connections closed to empty a worker or the node.") \
    X(pushed,            "Messages queued to sessions.")                     \
    X(push_dropped,      "Messages dropped at a full queue.")                \
    X(slow_closed,       "Sessions closed at a full queue.")                 \
    X(failed_closed,     "Sessions closed for want of memory or sense.")     \
    X(bytes_unsent,      "Bytes queued to sessions that ended before.")      \
    X(send_timeouts,     "Connections whose socket took nothing in time.")    \
    X(unpaced,           "Broadcasts hastened as too many wanted a pace.")   \
    X(key_missing,       "Pushes to keys that are not on this node.")        \
    X(key_gone,          "Pushes to keys that a worker has no more.")        \
    X(missing_untold,    "Missing keys that logic was not told of.")         \
    X(filtered,          "Pushes whose operation the session left out.")     \
    X(bytes_out,         "Bytes queued to sessions.")                        \
    X(flushes,           "Writes to sockets.")                               \
    X(zone_full,         "Times the zone had no room for a count.")          \
    X(leases,            "Times the reader's role was taken.")               \
    X(ends_dropped,      "Ends of sessions that logic was not told of.")     \
    X(redis_connects,    "Connections made to Redis.")                       \
    X(redis_errors,      "Errors and refusals of Redis.")                    \
    X(logic_calls,       "Calls to logic.")                                  \
    X(logic_failed,      "Calls to logic that failed or were late.")

#define NGX_GOIM_COUNTER_ENUM(name, help)  NGX_GOIM_C_##name,

enum {
    NGX_GOIM_COUNTERS(NGX_GOIM_COUNTER_ENUM)
    NGX_GOIM_C_COUNT
};

extern uint64_t  *ngx_goim_counters;    /* this worker's, in its slot; before
                                           there is one, a dummy */

#define ngx_goim_count(name, n)                                              \
    (ngx_goim_counters[NGX_GOIM_C_##name] += (n))


/* What the status page shows (ngx_goim_zone.c). */
typedef struct {
    ngx_str_t                   server_id;
    u_char                      zone_id[17];        /* hex, NUL */
    time_t                      started;
    ngx_uint_t                  registered;         /* confirmed by logic */
    ngx_uint_t                  ready;              /* its hops work */
    const char                 *unready;            /* which does not; "" */
    ngx_uint_t                  offline;
    ngx_uint_t                  drain;              /* told to */
    ngx_uint_t                  sessions;           /* connections held */
    ngx_uint_t                  authorized;         /* of them, authenticated */
    ngx_uint_t                  addrs;              /* distinct addresses */
    ngx_uint_t                  rooms;
    ngx_uint_t                  listed;             /* all rooms, in Redis */
    ngx_uint_t                  workers;            /* live slots */
    ngx_uint_t                  draining;           /* of older generations */
    ngx_pid_t                   reader_pid;         /* 0: nobody */
    uint64_t                    reader_epoch;
    ngx_uint_t                  reader_connected;   /* to Redis */
    u_char                      stream_id[48];      /* last read, NUL */
    uint64_t                    ring_size;          /* bytes */
    uint64_t                    ring_written;       /* bytes since start */
    uint64_t                    ring_lag;           /* of the slowest worker */
    uint64_t                    zone_free;          /* bytes */
    uint64_t                    counters[NGX_GOIM_C_COUNT];
} ngx_goim_stats_t;


void ngx_goim_get_stats(ngx_goim_stats_t *st);

extern const char *const  ngx_goim_counter_names[];
extern const char *const  ngx_goim_counter_help[];


#endif /* _NGX_GOIM_STATS_H_INCLUDED_ */
