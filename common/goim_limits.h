/*
 * Lengths that the module, logic and job agree on. Each is checked at the
 * door where a client, an application or a backend names the thing, with an
 * error that says so; what got in is taken by every part behind.
 */

#ifndef GOIM_LIMITS_H
#define GOIM_LIMITS_H

/* bytes of names, all at least 1 */
#define GOIM_SERVER_MAX   255           /* a node's server_id */
#define GOIM_ZONE_MAX     64            /* the id of its zone */
#define GOIM_KEY_MAX      256           /* a session's key */
#define GOIM_ROOM_MAX     256           /* a room's key, type://room */

/* of one session */
#define GOIM_ACCEPTS_MAX  128           /* operations */
#define GOIM_ROOMS_MAX    64            /* names of rooms it may enter */
#define GOIM_ROOMS_BYTES  4096          /* of all these names */

/* a message that is pushed: the highest [http] max_body of logic */
#define GOIM_BODY_MAX     (4 * 1024 * 1024)

/* a record of the bus: its keys (logic begins another beyond), a message, and
   what is around them */
#define GOIM_RECORD_KEYS   65536
#define GOIM_RECORD_NAMES  (256 * 1024)     /* bytes of the keys */
#define GOIM_RECORD_MAX    (GOIM_BODY_MAX + 1024 * 1024)

#endif
