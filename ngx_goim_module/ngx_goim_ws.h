/*
 * RFC 6455 frames: bytes to messages and back.  Pure: no allocation, no
 * nginx, any split of the input gives the same result.
 */

#ifndef _NGX_GOIM_WS_H_INCLUDED_
#define _NGX_GOIM_WS_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/goim_frame.h"



#define NGX_GOIM_WS_CONTROL     125     /* the longest control payload */


/* What ngx_goim_ws_parse() came to. */

typedef enum {
    NGX_GOIM_WS_MORE,       /* all input is taken, nothing is complete */
    NGX_GOIM_WS_DATA,       /* a part of a message */
    NGX_GOIM_WS_FRAME,      /* a whole control frame */
    NGX_GOIM_WS_BAD         /* close with code and reason */
} ngx_goim_ws_rc_t;


/*
 * Where the parser is.  All zero, except max, is the beginning, and with
 * every message complete it is there again: see ngx_goim_ws_at_rest().
 */

typedef struct {
    uint64_t        max;            /* the longest message allowed */
    uint64_t        left;           /* of this frame's payload */
    uint64_t        total;          /* of this message's payload so far */
    uint32_t        utf8;           /* state of the check, 0 between
                                       characters */
    u_char          mask[4];
    u_char          head[14];
    u_char          nhead;          /* bytes of it that are there */
    u_char          size;           /* of the header, 0: not known yet */
    u_char          opcode;         /* of this frame */
    u_char          fin;            /* of this frame */
    u_char          message;        /* TEXT or BINARY within a message */
    u_char          payload;        /* the header is done */
    u_char          ncontrol;
    u_char          control[NGX_GOIM_WS_CONTROL];
} ngx_goim_ws_t;


typedef struct {
    u_char         *data;           /* unmasked; in the input, or for a control
                                       frame in the parser */
    size_t          len;
    uint64_t        left;           /* DATA: of the frame, after this part */
    u_char          opcode;         /* DATA: TEXT or BINARY */
    u_char          last;           /* DATA: the message ends here */
    u_char          fin;            /* DATA: no frame follows this one */
    unsigned        code;           /* BAD: for the close frame */
    const char     *reason;
} ngx_goim_ws_event_t;


/*
 * Take bytes from *pos on, change them (they are unmasked in place), and
 * say what they are.  To be called again until it says MORE.  A text message
 * is checked for UTF-8 as it comes.  After BAD the parser may not be used.
 */
ngx_goim_ws_rc_t ngx_goim_ws_parse(ngx_goim_ws_t *ws, u_char **pos,
    u_char *last, ngx_goim_ws_event_t *ev);

/* nothing but max is worth keeping */
int ngx_goim_ws_at_rest(const ngx_goim_ws_t *ws);

/*
 * The code for the answer to a close frame with this payload: the one it has,
 * or 1000 when it has none, and 1; or 1002 or 1007 when it is wrong, and 0.
 */
int ngx_goim_ws_close_code(const u_char *data, size_t len, unsigned *code);

/* A close frame to p (4 + NGX_GOIM_WS_CONTROL - 2 bytes); the reason is cut
 * to fit.  Returns its length. */
size_t ngx_goim_ws_close_frame(u_char *p, unsigned code, const char *reason);

/* data[i] ^= mask[i % 4] */
void ngx_goim_ws_unmask(u_char *data, size_t len, const u_char mask[4]);

/* 1, or 0 at the first byte that cannot belong to UTF-8; the state is 0 when
 * the bytes so far end with a character. */
int ngx_goim_ws_utf8(uint32_t *state, const u_char *data, size_t len);


#endif /* _NGX_GOIM_WS_H_INCLUDED_ */
