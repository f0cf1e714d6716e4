/*
 * What logic counts (made in main.c); all threads add to the same.
 */

#ifndef LOGIC_COUNTERS_H
#define LOGIC_COUNTERS_H

#include "svc/metrics.h"

/* how a push ends */
typedef enum {
    LOGIC_END_OK,
    LOGIC_END_KEYS,         /* none are named, or too many found: -400, -500 */
    LOGIC_END_CROWDED,
    LOGIC_END_PENDING,      /* too much waits; this and the next are -500 */
    LOGIC_END_RESTORING,
    LOGIC_END_REDIS,
    LOGIC_END_BUS,
    LOGIC_END_MEMORY,
    LOGIC_END_UNKNOWN,      /* -504 */
    LOGIC_END_COUNT
} logic_end_t;

/* X(field, name, labels, help) */
#define LOGIC_COUNTERS(X)                                                    \
    X(http_requests, "goim_logic_http_requests_total", NULL,                 \
      "HTTP requests answered.")                                             \
    X(http_errors, "goim_logic_http_errors_total", NULL,                     \
      "HTTP requests answered with a status of 400 or more.")                \
    X(api_unknown, "goim_logic_api_unauthorized_total", NULL,                \
      "HTTP requests without a key, or with an unknown one (401).")          \
    X(api_refused, "goim_logic_api_forbidden_total", NULL,                   \
      "HTTP requests that their key, or a page, may not make (403).")        \
    X(push[0], "goim_logic_pushes_total", "kind=\"keys\"",                   \
      "Pushes that were asked for.")                                         \
    X(push[1], "goim_logic_pushes_total", "kind=\"mids\"", "")               \
    X(push[2], "goim_logic_pushes_total", "kind=\"room\"", "")               \
    X(push[3], "goim_logic_pushes_total", "kind=\"all\"", "")                \
    X(push[4], "goim_logic_pushes_total", "kind=\"disconnect\"", "")         \
    X(pushed[0], "goim_logic_push_results_total", "result=\"ok\"",           \
      "Pushes by their answer: code 0, -500, -504.")                         \
    X(pushed[1], "goim_logic_push_results_total", "result=\"failed\"", "")   \
    X(pushed[2], "goim_logic_push_results_total", "result=\"unknown\"", "")  \
    X(ended[LOGIC_END_KEYS], "goim_logic_push_failed_total",                 \
      "reason=\"keys\"", "Pushes that reached nobody, by the reason.")       \
    X(ended[LOGIC_END_CROWDED], "goim_logic_push_failed_total",              \
      "reason=\"crowded\"", "")                                              \
    X(ended[LOGIC_END_PENDING], "goim_logic_push_failed_total",              \
      "reason=\"pending\"", "")                                              \
    X(ended[LOGIC_END_RESTORING], "goim_logic_push_failed_total",            \
      "reason=\"restoring\"", "")                                            \
    X(ended[LOGIC_END_REDIS], "goim_logic_push_failed_total",                \
      "reason=\"redis\"", "")                                                \
    X(ended[LOGIC_END_BUS], "goim_logic_push_failed_total",                  \
      "reason=\"bus\"", "")                                                  \
    X(ended[LOGIC_END_MEMORY], "goim_logic_push_failed_total",               \
      "reason=\"memory\"", "")                                               \
    X(push_keys, "goim_logic_push_keys_total", NULL,                         \
      "Keys that pushes asked for or that were found for their mids.")       \
    X(push_offline, "goim_logic_push_offline_total", NULL,                   \
      "Keys of pushes that are on no node.")                                 \
    X(push_absent, "goim_logic_push_absent_total", NULL,                     \
      "Users of pushes who have no session.")                                \
    X(push_stored, "goim_logic_push_stored_total", NULL,                     \
      "Pushes to users that were stored.")                                   \
    X(places_unknown, "goim_logic_places_unknown_total", NULL,               \
      "Logins without what was stored: the database did not answer.")        \
    X(push_records, "goim_logic_push_records_total", NULL,                   \
      "Records handed to the bus.")                                          \
    X(canaries, "goim_logic_canaries_total", NULL,                           \
      "Canaries handed to the bus: no pushes.")                              \
    X(lookups, "goim_logic_lookups_total", NULL,                             \
      "Lookups of keys and mids in Redis.")                                  \
    X(connects, "goim_logic_connects_total", NULL,                           \
      "Sessions connected.")                                                 \
    X(denied, "goim_logic_denied_total", NULL,                               \
      "Connects denied: the token, or the application's word.")              \
    X(revoked, "goim_logic_revoked_total", NULL,                             \
      "Tokens refused as they have been revoked.")                           \
    X(revokes, "goim_logic_revokes_total", NULL,                             \
      "Revocations of tokens taken.")                                        \
    X(revoked_back, "goim_logic_revocations_restored_total", NULL,           \
      "Revocations that Redis had lost, put back.")                          \
    X(crowded, "goim_logic_crowded_total", NULL,                             \
      "Connects refused: the mid has max_per_mid sessions.")                 \
    X(connect_failed, "goim_logic_connect_failed_total", NULL,               \
      "Connects that failed: Redis or the application away.")                \
    X(jwt_refreshed, "goim_logic_jwt_refreshes_total", "result=\"ok\"",      \
      "Times the keys of tokens were read and asked for again.")             \
    X(jwt_refresh_failed, "goim_logic_jwt_refreshes_total",                  \
      "result=\"failed\"", "")                                               \
    X(renewals, "goim_logic_renewals_total", NULL,                           \
      "New tokens of sessions that were in.")                                \
    X(disconnects, "goim_logic_disconnects_total", NULL,                     \
      "Sessions disconnected.")                                              \
    X(stale_disconnects, "goim_logic_stale_disconnects_total", NULL,         \
      "Disconnects of sessions that had been replaced.")                     \
    X(heartbeats, "goim_logic_heartbeats_total", NULL,                       \
      "Mappings renewed.")                                                   \
    X(restored, "goim_logic_restored_total", NULL,                           \
      "Mappings that were lost and restored by a renewal.")                  \
    X(swept, "goim_logic_swept_total", NULL,                                 \
      "Keys of a user removed because they are on no node.")                 \
    X(broken, "goim_logic_broken_keys_total", NULL,                          \
      "Keys of a wrong type in Redis that were replaced.")                   \
    X(late, "goim_logic_late_total", NULL,                                   \
      "Calls and changes not carried out as they came too late.")            \
    X(connect_late, "goim_logic_connect_late_total", NULL,                   \
      "Connects refused for a newer session of the same zone.")              \
    X(kicks, "goim_logic_kicks_total", NULL,                                 \
      "Sessions told to end for a newer one of the same key.")               \
    X(kicked, "goim_logic_kicked_total", NULL,                               \
      "Devices closed for others of their class, or by request.")            \
    X(kick_failed, "goim_logic_kick_failed_total", NULL,                     \
      "Kicks that could not be written.")                                    \
    X(missing, "goim_logic_missing_total", NULL,                             \
      "Keys that a node reported missing.")                                  \
    X(missing_removed, "goim_logic_missing_removed_total", NULL,             \
      "Stale mappings of missing keys that were removed.")                   \
    X(rooms_listed, "goim_logic_rooms_listed_total", NULL,                   \
      "Rooms listed by calls of nodes: without those of logins.")            \
    X(rooms_off, "goim_logic_rooms_off_total", NULL,                         \
      "Rooms that had no member for a while, taken off the list.")           \
    X(reads, "goim_logic_reads_total", NULL,                                 \
      "Reads of rooms' histories by nodes.")                                 \
    X(reads_later, "goim_logic_reads_later_total", NULL,                     \
      "Reads put off as too many were under way.")                           \
    X(reads_broken, "goim_logic_reads_broken_total", NULL,                   \
      "Reads of histories, backends' too, that met an item that is none.")   \
    X(page_hits, "goim_logic_page_hits_total", NULL,                         \
      "Pages of histories that logic had kept.")                             \
    X(page_misses, "goim_logic_page_misses_total", NULL,                     \
      "Pages of histories that Redis was asked for.")                        \
    X(receives, "goim_logic_receives_total", NULL,                           \
      "Packets of clients taken.")                                           \
    X(receive_unwanted, "goim_logic_receive_unwanted_total", NULL,           \
      "Packets of clients for which there is no application.")               \
    X(receive_failed, "goim_logic_receive_failed_total", NULL,               \
      "Packets of clients that the application did not take.")               \
    X(sends[0], "goim_logic_sends_total", "result=\"ok\"",                   \
      "Messages of clients, by the answer.")                                 \
    X(sends[1], "goim_logic_sends_total", "result=\"refused\"", "")          \
    X(sends[2], "goim_logic_sends_total", "result=\"large\"", "")            \
    X(sends[3], "goim_logic_sends_total", "result=\"often\"", "")            \
    X(sends[4], "goim_logic_sends_total", "result=\"failed\"", "")           \
    X(sends[5], "goim_logic_sends_total", "result=\"unknown\"", "")          \
    X(before[0], "goim_logic_before_total", "result=\"allowed\"",            \
      "Messages of clients, by the application's word before.")              \
    X(before[1], "goim_logic_before_total", "result=\"refused\"", "")        \
    X(before[2], "goim_logic_before_total", "result=\"replaced\"", "")       \
    X(before[3], "goim_logic_before_total", "result=\"failed\"", "")         \
    X(signals[0], "goim_logic_signals_total", "result=\"ok\"",               \
      "Signals between people, by what came of them.")                       \
    X(signals[1], "goim_logic_signals_total", "result=\"refused\"", "")      \
    X(signals[2], "goim_logic_signals_total", "result=\"often\"", "")        \
    X(signals[3], "goim_logic_signals_total", "result=\"failed\"", "")       \
    X(registers, "goim_logic_registers_total", NULL,                         \
      "Registrations of nodes and their renewals.")                          \
    X(registers_refused, "goim_logic_registers_refused_total", NULL,         \
      "Registrations refused: another instance has the server_id.")          \
    X(rpc_connections, "goim_logic_rpc_connections_total", NULL,             \
      "Connections of comets taken.")                                        \
    X(rpc_calls, "goim_logic_rpc_calls_total", NULL,                         \
      "Calls of comets.")                                                    \
    X(rpc_failed, "goim_logic_rpc_failed_total", NULL,                       \
      "Calls answered with FAILED.")                                         \
    X(rpc_denied, "goim_logic_rpc_denied_total", NULL,                       \
      "Connections of comets closed for their secret.")                      \
    X(rpc_malformed, "goim_logic_rpc_malformed_total", NULL,                 \
      "Calls and frames that could not be understood.")                      \
    X(rpc_unanswered, "goim_logic_rpc_unanswered_total", NULL,               \
      "Answers for comets whose connection had ended.")                      \
    X(hook_requests, "goim_logic_hook_requests_total", NULL,                 \
      "Requests to the application.")                                        \
    X(hook_failed, "goim_logic_hook_failed_total", NULL,                     \
      "Requests to the application without an answer in time.")              \
    X(hook_retried, "goim_logic_hook_retried_total", NULL,                   \
      "Requests to the application tried again.")                            \
    X(auth_refused, "goim_logic_auth_refused_total", NULL,                   \
      "Logins refused unasked, as the application fails.")                   \
    X(events[0], "goim_logic_events_total", "result=\"taken\"",                \
      "Events that the application has taken; that were given up.")          \
    X(events[1], "goim_logic_events_total", "result=\"dropped\"", "")          \
    X(events_failed, "goim_logic_events_failed_total", NULL,                 \
      "Requests with events that the application did not take.")             \
    X(offline[0], "goim_logic_offline_total", "result=\"told\"",               \
      "Users and conversations that the application was told of; those "     \
      "that needed none.")                                                   \
    X(offline[1], "goim_logic_offline_total", "result=\"dismissed\"", "")      \
    X(offline_failed, "goim_logic_offline_failed_total", NULL,               \
      "Requests with such that the application did not take.")               \
    X(rooms_full, "goim_logic_rooms_full_total", NULL,                       \
      "Answers of online/top that ended at max_rooms.")

/* the same for what goes up and down */
#define LOGIC_GAUGES(X)                                                      \
    X(revocations, "goim_logic_revocations", NULL,                           \
      "Revocations that are known.")                                         \
    X(rpc_links, "goim_logic_rpc_links", NULL,                               \
      "Connections of comets now.")                                          \
    X(push_waiting, "goim_logic_push_waiting", NULL,                         \
      "Pushes without an answer now.")                                       \
    X(auth_paused, "goim_logic_auth_paused", NULL,                           \
      "1: the application is not asked for logins, as it fails.")            \
    X(threads, "goim_logic_threads", NULL,                                   \
      "Threads.")                                                            \
    X(jwt_keys, "goim_logic_jwt_keys", NULL,                                     \
      "Keys in force for tokens.")                                           \
    X(events_waiting, "goim_logic_events_waiting", NULL,                     \
      "Events for the application, where this logic sends them.")            \
    X(offline_waiting, "goim_logic_offline_waiting", NULL,                   \
      "Users and conversations that are due to be told of.")                 \
    X(redis_up, "goim_logic_redis_connections", NULL,                        \
      "Threads with a connection to Redis.")                                 \
    X(page_bytes, "goim_logic_page_bytes", NULL,                             \
      "Bytes of the pages of histories that are kept.")                      \
    X(nodes_silent, "goim_logic_nodes_silent", NULL,                         \
      "Nodes not renewed in time but kept, as too many fell silent "         \
      "together.")                                                           \
    X(im_other, "goim_logic_im_other_database", NULL,                        \
      "1: the database of messages between people is not the one that job "  \
      "writes.")                                                             \
    X(no_job, "goim_logic_no_job", NULL,                                     \
      "1: no job is seen in this Redis, database and prefix.")

/* times of canaries, by hop */
#define LOGIC_HISTOGRAMS(X)                                                  \
    X(hop[LOGIC_HOP_PRODUCE], "goim_logic_canary_seconds",                   \
      "hop=\"produce\"", "Times of canaries, by hop.")                       \
    X(hop[LOGIC_HOP_BUS], "goim_logic_canary_seconds", "hop=\"bus\"", "")    \
    X(hop[LOGIC_HOP_JOB], "goim_logic_canary_seconds", "hop=\"job\"", "")    \
    X(hop[LOGIC_HOP_STREAM], "goim_logic_canary_seconds",                    \
      "hop=\"stream\"", "")                                                  \
    X(hop[LOGIC_HOP_RING], "goim_logic_canary_seconds", "hop=\"ring\"", "")  \
    X(hop[LOGIC_HOP_RPC], "goim_logic_canary_seconds", "hop=\"rpc\"", "")    \
    X(hop[LOGIC_HOP_ALL], "goim_logic_canary_seconds", "hop=\"all\"", "")

typedef enum {
    LOGIC_HOP_PRODUCE,      /* until the bus has acknowledged it */
    LOGIC_HOP_BUS,          /* until job had it */
    LOGIC_HOP_JOB,          /* until it was handed to the nodes' streams */
    LOGIC_HOP_STREAM,       /* until the node's reader had it */
    LOGIC_HOP_RING,         /* until the worker had it */
    LOGIC_HOP_RPC,          /* until it was back */
    LOGIC_HOP_ALL,
    LOGIC_HOP_COUNT
} logic_hop_t;

typedef struct {
    metric_t  *http_requests, *http_errors, *api_unknown, *api_refused;
    metric_t  *push[5], *pushed[3];
    metric_t  *ended[LOGIC_END_COUNT];
    metric_t  *push_keys, *push_offline, *push_absent, *push_records;
    metric_t  *push_stored, *places_unknown;
    metric_t  *lookups;
    metric_t  *revoked, *revokes, *revoked_back;
    metric_t  *connects, *denied, *crowded, *connect_failed, *renewals;
    metric_t  *jwt_refreshed, *jwt_refresh_failed, *jwt_keys;
    metric_t  *disconnects, *stale_disconnects;
    metric_t  *heartbeats, *restored, *swept, *broken;
    metric_t  *late, *connect_late;
    metric_t  *kicks, *kicked, *kick_failed;
    metric_t  *missing, *missing_removed;
    metric_t  *reads, *reads_later, *reads_broken;
    metric_t  *page_hits, *page_misses, *page_bytes;
    metric_t  *receives, *receive_unwanted, *receive_failed;
    metric_t  *sends[6], *before[4], *signals[4];
    metric_t  *registers, *registers_refused;
    metric_t  *rpc_connections, *rpc_calls, *rpc_failed, *rpc_denied, *rpc_malformed;
    metric_t  *rpc_unanswered;
    metric_t  *hook_requests, *hook_failed, *hook_retried;
    metric_t  *auth_refused, *auth_paused;
    metric_t  *events[2], *events_failed, *events_waiting;
    metric_t  *offline[2], *offline_failed, *offline_waiting;
    metric_t  *rooms_full, *rooms_listed, *rooms_off;
    metric_t  *revocations;
    metric_t  *rpc_links, *push_waiting, *threads, *redis_up;
    metric_t  *nodes_silent, *no_job, *im_other;
    metric_t  *canaries, *hop[LOGIC_HOP_COUNT];
} logic_metrics_t;

extern logic_metrics_t  logic_m;

#endif
