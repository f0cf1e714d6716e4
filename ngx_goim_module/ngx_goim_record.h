/*
 * A record as it lies in a ring entry: this header, the names, the frame.
 * Written by the reader (ngx_goim_reader.c), read by ngx_goim_deliver.c.
 */

#ifndef _NGX_GOIM_RECORD_H_INCLUDED_
#define _NGX_GOIM_RECORD_H_INCLUDED_


#include <stdint.h>

#include "common/goim_position.h"


/* kind of a record that nobody here is to have: its position counts */
#define NGX_GOIM_RECORD_NONE    255

/* for workers, not for sessions */
#define NGX_GOIM_RECORD_CANARY  254
#define NGX_GOIM_RECORD_END     253


typedef struct {
    uint32_t        len;            /* with this header, multiple of 8 */
    uint16_t        kind;           /* Goim__Record__Kind */
    uint8_t         positioned;
    uint8_t         unnumbered:1;   /* ROOM: an item that can have no number */
    uint8_t         followers:1;    /* KEYS: only to who follows that inbox */
    int32_t         operation;
    uint32_t        speed;          /* ALL: sessions a second, */
    uint32_t        whole;          /* of so many in all nodes together */
    uint32_t        partition;
    goim_offset_t   offset;
    uint32_t        nnames;         /* ROOM: the room; KEYS: the keys;
                                       KICK: the key, the zone; a canary:
                                       it, packed */
    uint32_t        frame;          /* places, from the record's start: the
                                       WebSocket frame around op 9, */
    uint32_t        inner;          /* the packet in it, */
    uint32_t        end;            /* and its end; of KICK and END: a packed
                                       Goim__End, or nothing */
    uint64_t        session;        /* KICK; KEYS with a number: the mid, as
                                       Record has it; END:
                                       the newest that asked to be let in
                                       before it came */
    uint64_t        seq;            /* ROOM: its number in the room's history,
                                       of the epoch that is the second name;
                                       KEYS: in an inbox, of the epoch that is
                                       the first; 0: it has none */
    uint64_t        gap;            /* KEYS with a number: so many before it
                                       there are none any more */

    /* names follow: a length of two bytes, the bytes; each of KEYS behind
       two bytes, the slot of one worker that has it */
} ngx_goim_record_t;


#endif /* _NGX_GOIM_RECORD_H_INCLUDED_ */
