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

/* the type of rooms that is kept for what is not an application's room */
#define GOIM_ROOM_OWN     "im"

/* the timeline of a user's inbox, as its clients name it */
#define GOIM_INBOX        "im://inbox"

/* what a node tells of itself */
#define GOIM_NODE_TEXT    255           /* bytes of a region, an address ... */
#define GOIM_NODE_ADDRS   64
#define GOIM_WEIGHT_MAX   1000000

/* of the Redis that all use */
#define GOIM_REDIS_DB     1000000       /* the highest number of a database */
#define GOIM_PREFIX_MAX   64            /* bytes before each key */

/* of one session */
#define GOIM_ACCEPTS_MAX  128           /* operations */
#define GOIM_ROOMS_MAX    64            /* names of rooms it may enter */
#define GOIM_ROOMS_BYTES  4096          /* of all these names */
#define GOIM_OPS_MAX      128           /* ranges of operations it may accept */
#define GOIM_JTI_MAX      256           /* bytes: the id of its token */
#define GOIM_SENDS_MAX    8192          /* bytes of what it may send, packed */
#define GOIM_DATA_MAX     1024          /* of a session's data: JSON, ASCII */
#define GOIM_SENT_MAX     2048          /* of an answer to what it sent */

/* of a timeline */
#define GOIM_EPOCH_MAX    32            /* an epoch: visible ASCII */
#define GOIM_SEQ_MAX      ((1ull << 53) - 1)    /* what JavaScript counts to */
#define GOIM_RECOVER_MAX  64            /* positions that a client comes with */
#define GOIM_NEWEST_MAX   1000          /* items that it asks for on joining */

/* of so many nodes on that is more, each has the rooms with members listed, so
   that job leaves out the others; below it no more */
#define GOIM_LISTS_NODES  3
#define GOIM_LISTS_CALL   1000          /* rooms of a call, of each kind */

/* a frame between node and logic, and of it in a login: the packet, and what is
   passed on of the upgrade; the rest is what is around them. A node's: logic's
   answers may be GOIM_REPLY_MAX */
#define GOIM_RPC_MAX      (1024 * 1024)
#define GOIM_PACKET_MAX   (512 * 1024)  /* the highest max_body of a node */
#define GOIM_UPGRADE_MAX  (GOIM_RPC_MAX - GOIM_PACKET_MAX - 65536)
#define GOIM_HEADERS_MAX  32            /* of those, one for each line */
#define GOIM_PASS_MAX     16            /* names of them that are configured, */
#define GOIM_HEADER_MAX   64            /* and their bytes */
#define GOIM_SECRET_MIN   16            /* of nodes, for logic */
#define GOIM_SECRET_MAX   512
#define GOIM_PASSWORD_MAX 4096          /* of Redis */
#define GOIM_COOKIE_MAX   64            /* the name of a token's cookie */
#define GOIM_SESSIONS_CALL  256         /* that a call names */
#define GOIM_HEADS_CALL   256           /* timelines of a call */

/* partitions of the bus, whose places a node keeps */
#define GOIM_PARTITIONS   4096

/* a message that is pushed: the highest [http] max_body of logic */
#define GOIM_BODY_MAX     (4 * 1024 * 1024)

/* a record of the bus: its keys (logic begins another beyond), a message, and
   what is around them */
#define GOIM_RECORD_KEYS   65536
#define GOIM_RECORD_NAMES  (256 * 1024)     /* bytes of the keys */
#define GOIM_RECORD_MAX    (GOIM_BODY_MAX + 1024 * 1024)

/* Canary.logic, and how long canaries may be away before something counts as
   not working */
#define GOIM_CANARY_ID      32
#define GOIM_CANARY_LATE    15000       /* ms */
#define GOIM_CANARIES       512         /* a call */

/* messages between people */
#define GOIM_IM_ID         64           /* bytes of an id that a client gives */
#define GOIM_IM_KIND       32           /* of an item's kind */
#define GOIM_IM_CONV       96           /* of a conversation: a mid and an id */
#define GOIM_IM_LINE       (16 * 1024)  /* of the line before a client's payload */
#define GOIM_IM_BODY       (64 * 1024)  /* of a payload */
#define GOIM_IM_MEMBERS    500          /* of a group */
#define GOIM_IM_PUSHED     1000         /* users of a stored push, a command */
#define GOIM_IM_OFFLINE    10000        /* of them that a session gets at login */
#define GOIM_IM_MUTED      (10 * 365 * 86400)   /* s that a member is muted */
#define GOIM_IM_EXT        4096         /* of what applications keep beside, JSON */
#define GOIM_IM_TEXT       1024         /* of who asks to join */
#define GOIM_IM_PLATFORM   32           /* bytes of a device's, */
#define GOIM_IM_PUSH       1024         /* and of its token for notifications */
#define GOIM_IM_DEVICES    100          /* of a user, the newest */
#define GOIM_IM_ASKING     1000         /* who ask to join a group */
#define GOIM_IM_PAGE       100          /* entries of an answer */
#define GOIM_IM_LOGIC      64           /* bytes: where answers are awaited */

/* a page of a room's history: items, and their bytes or one item; and the frame
   of logic's answer to a node, which may be such a page */
#define GOIM_PAGE_BYTES    (256 * 1024)
#define GOIM_REPLY_MAX     (GOIM_RECORD_MAX + 2 * GOIM_PAGE_BYTES)

#endif
