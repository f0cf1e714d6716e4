
/*
 * RFC 6455 frames.
 */


#include "ngx_goim_ws.h"

#include <string.h>


#define NGX_GOIM_WS_FIN         0x80
#define NGX_GOIM_WS_RSV         0x70
#define NGX_GOIM_WS_OPCODE      0x0f
#define NGX_GOIM_WS_MASK        0x80
#define NGX_GOIM_WS_LEN         0x7f
#define NGX_GOIM_WS_LEN16       126
#define NGX_GOIM_WS_LEN64       127


static const char *ngx_goim_ws_first_byte(ngx_goim_ws_t *ws);
static const char *ngx_goim_ws_second_byte(ngx_goim_ws_t *ws);
static const char *ngx_goim_ws_length(ngx_goim_ws_t *ws);
static ngx_goim_ws_rc_t ngx_goim_ws_parse_head(ngx_goim_ws_t *ws,
    u_char **pos, u_char *last, ngx_goim_ws_event_t *ev);
static ngx_goim_ws_rc_t ngx_goim_ws_parse_control(ngx_goim_ws_t *ws,
    u_char **pos, u_char *last, ngx_goim_ws_event_t *ev);
static ngx_goim_ws_rc_t ngx_goim_ws_parse_data(ngx_goim_ws_t *ws,
    u_char **pos, u_char *last, ngx_goim_ws_event_t *ev);
static ngx_goim_ws_rc_t ngx_goim_ws_bad(ngx_goim_ws_event_t *ev,
    unsigned code, const char *reason);
static void ngx_goim_ws_frame_done(ngx_goim_ws_t *ws);


ngx_goim_ws_rc_t
ngx_goim_ws_parse(ngx_goim_ws_t *ws, u_char **pos, u_char *last,
    ngx_goim_ws_event_t *ev)
{
    ngx_goim_ws_rc_t  rc;

    if (!ws->payload) {
        rc = ngx_goim_ws_parse_head(ws, pos, last, ev);

        if (rc != NGX_GOIM_WS_DATA) {
            return rc;
        }
    }

    if (ws->left && *pos == last) {
        return NGX_GOIM_WS_MORE;
    }

    if (ws->opcode >= GOIM_FRAME_CLOSE) {
        return ngx_goim_ws_parse_control(ws, pos, last, ev);
    }

    return ngx_goim_ws_parse_data(ws, pos, last, ev);
}


int
ngx_goim_ws_at_rest(const ngx_goim_ws_t *ws)
{
    return !ws->payload && ws->nhead == 0 && ws->message == 0;
}


/* DATA: the header is whole, whatever frame it begins */

static ngx_goim_ws_rc_t
ngx_goim_ws_parse_head(ngx_goim_ws_t *ws, u_char **pos, u_char *last,
    ngx_goim_ws_event_t *ev)
{
    u_char      *p;
    const char  *reason;

    p = *pos;
    reason = NULL;

    while (ws->nhead < 2 || ws->nhead < ws->size) {

        if (p == last) {
            *pos = p;
            return NGX_GOIM_WS_MORE;
        }

        ws->head[ws->nhead++] = *p++;

        if (ws->nhead == 1) {
            reason = ngx_goim_ws_first_byte(ws);

        } else if (ws->nhead == 2) {
            reason = ngx_goim_ws_second_byte(ws);
        }

        if (reason) {
            return ngx_goim_ws_bad(ev, 1002, reason);
        }
    }

    *pos = p;

    reason = ngx_goim_ws_length(ws);

    if (reason) {
        return ngx_goim_ws_bad(ev, 1002, reason);
    }

    /* max may be less than before */

    if (ws->opcode < GOIM_FRAME_CLOSE
        && (ws->total > ws->max || ws->left > ws->max - ws->total))
    {
        return ngx_goim_ws_bad(ev, 1009, "message too big");
    }

    if (ws->opcode == GOIM_FRAME_TEXT || ws->opcode == GOIM_FRAME_BINARY) {
        ws->message = ws->opcode;
    }

    memcpy(ws->mask, ws->head + ws->size - 4, 4);
    ws->payload = 1;

    return NGX_GOIM_WS_DATA;
}


static const char *
ngx_goim_ws_first_byte(ngx_goim_ws_t *ws)
{
    u_char  byte;

    byte = ws->head[0];

    ws->fin = (byte & NGX_GOIM_WS_FIN) != 0;
    ws->opcode = byte & NGX_GOIM_WS_OPCODE;

    if (byte & NGX_GOIM_WS_RSV) {
        return "reserved bits are set";
    }

    switch (ws->opcode) {

    case GOIM_FRAME_CONT:
        return ws->message ? NULL : "continuation of nothing";

    case GOIM_FRAME_TEXT:
    case GOIM_FRAME_BINARY:
        return ws->message ? "new message within a message" : NULL;

    case GOIM_FRAME_CLOSE:
    case GOIM_FRAME_PING:
    case GOIM_FRAME_PONG:
        return ws->fin ? NULL : "fragmented control frame";

    default:
        return "unknown opcode";
    }
}


static const char *
ngx_goim_ws_second_byte(ngx_goim_ws_t *ws)
{
    u_char  len;

    if (!(ws->head[1] & NGX_GOIM_WS_MASK)) {
        return "frame is not masked";
    }

    len = ws->head[1] & NGX_GOIM_WS_LEN;

    if (ws->opcode >= GOIM_FRAME_CLOSE && len > NGX_GOIM_WS_CONTROL) {
        return "control frame too long";
    }

    ws->size = 2 + 4;

    if (len == NGX_GOIM_WS_LEN16) {
        ws->size += 2;

    } else if (len == NGX_GOIM_WS_LEN64) {
        ws->size += 8;
    }

    return NULL;
}


static const char *
ngx_goim_ws_length(ngx_goim_ws_t *ws)
{
    u_char    len;
    u_char   *p;
    uint64_t  left;

    len = ws->head[1] & NGX_GOIM_WS_LEN;
    left = len;

    if (len >= NGX_GOIM_WS_LEN16) {
        left = 0;

        for (p = ws->head + 2; p < ws->head + ws->size - 4; p++) {
            left = left << 8 | *p;
        }

        if (left >> 63) {
            return "length is negative";
        }

        if (left <= (len == NGX_GOIM_WS_LEN16 ? 125 : 0xffff)) {
            return "length is not in its shortest form";
        }
    }

    ws->left = left;

    return NULL;
}


static ngx_goim_ws_rc_t
ngx_goim_ws_parse_control(ngx_goim_ws_t *ws, u_char **pos, u_char *last,
    ngx_goim_ws_event_t *ev)
{
    size_t  n;

    n = last - *pos;

    if (n > ws->left) {
        n = ws->left;
    }

    if (n) {
        memcpy(ws->control + ws->ncontrol, *pos, n);
        ws->ncontrol += n;
        ws->left -= n;
        *pos += n;
    }

    if (ws->left) {
        return NGX_GOIM_WS_MORE;
    }

    ngx_goim_ws_unmask(ws->control, ws->ncontrol, ws->mask);

    ev->opcode = ws->opcode;
    ev->data = ws->control;
    ev->len = ws->ncontrol;

    ws->ncontrol = 0;
    ngx_goim_ws_frame_done(ws);

    return NGX_GOIM_WS_FRAME;
}


static ngx_goim_ws_rc_t
ngx_goim_ws_parse_data(ngx_goim_ws_t *ws, u_char **pos, u_char *last,
    ngx_goim_ws_event_t *ev)
{
    size_t   n;
    u_char  *p, turned[4];

    p = *pos;
    n = last - p;

    if (n > ws->left) {
        n = ws->left;
    }

    ngx_goim_ws_unmask(p, n, ws->mask);

    /* the mask turns, so that it fits to where this part ended */

    turned[0] = ws->mask[n & 3];
    turned[1] = ws->mask[(n + 1) & 3];
    turned[2] = ws->mask[(n + 2) & 3];
    turned[3] = ws->mask[(n + 3) & 3];
    memcpy(ws->mask, turned, 4);

    *pos = p + n;
    ws->left -= n;
    ws->total += n;

    ev->opcode = ws->message;
    ev->data = p;
    ev->len = n;
    ev->left = ws->left;
    ev->fin = ws->fin;
    ev->last = ws->fin && ws->left == 0;

    if (ws->message == GOIM_FRAME_TEXT
        && (!ngx_goim_ws_utf8(&ws->utf8, p, n) || (ev->last && ws->utf8)))
    {
        return ngx_goim_ws_bad(ev, 1007, "text is not UTF-8");
    }

    if (ev->last) {
        ws->message = 0;
        ws->total = 0;
    }

    if (ws->left == 0) {
        ngx_goim_ws_frame_done(ws);
    }

    return NGX_GOIM_WS_DATA;
}


static ngx_goim_ws_rc_t
ngx_goim_ws_bad(ngx_goim_ws_event_t *ev, unsigned code, const char *reason)
{
    ev->code = code;
    ev->reason = reason;

    return NGX_GOIM_WS_BAD;
}


static void
ngx_goim_ws_frame_done(ngx_goim_ws_t *ws)
{
    ws->payload = 0;
    ws->nhead = 0;
    ws->size = 0;
}


int
ngx_goim_ws_close_code(const u_char *data, size_t len, unsigned *code)
{
    unsigned  n;
    uint32_t  state;

    if (len == 0) {
        *code = 1000;
        return 1;
    }

    *code = 1002;

    if (len == 1) {
        return 0;
    }

    n = data[0] << 8 | data[1];

    /* 1004 to 1006 and 1015 never travel; below 3000 nobody else may add */

    if (n < 1000 || (n > 1003 && n < 1007) || (n > 1011 && n < 3000)
        || n > 4999)
    {
        return 0;
    }

    state = 0;

    if (!ngx_goim_ws_utf8(&state, data + 2, len - 2) || state) {
        *code = 1007;
        return 0;
    }

    *code = n;

    return 1;
}


size_t
ngx_goim_ws_close_frame(u_char *p, unsigned code, const char *reason)
{
    size_t  len;

    len = strlen(reason);

    if (len > NGX_GOIM_WS_CONTROL - 2) {
        len = NGX_GOIM_WS_CONTROL - 2;
    }

    (void) goim_frame_head(p, GOIM_FRAME_CLOSE, 2 + len);

    p[2] = code >> 8;
    p[3] = code;
    memcpy(p + 4, reason, len);

    return 4 + len;
}


void
ngx_goim_ws_unmask(u_char *data, size_t len, const u_char mask[4])
{
    size_t    i;
    uint64_t  word, key;

    memcpy(&key, mask, 4);
    memcpy((u_char *) &key + 4, mask, 4);

    /* whole words: compilers make vectors of this */

    for (i = 0; i + 8 <= len; i += 8) {
        memcpy(&word, data + i, 8);
        word ^= key;
        memcpy(data + i, &word, 8);
    }

    for ( /* void */ ; i < len; i++) {
        data[i] ^= mask[i & 3];
    }
}


/*
 * The state is (low << 16 | high << 8 | missing): the next byte lies in
 * [low, high], and so many bytes are missing to the character.
 */

#define ngx_goim_ws_utf8_state(low, high, missing)                           \
    ((uint32_t) (low) << 16 | (high) << 8 | (missing))


static uint32_t
ngx_goim_ws_utf8_lead(u_char c)
{
    if (c >= 0xc2 && c <= 0xdf) {
        return ngx_goim_ws_utf8_state(0x80, 0xbf, 1);
    }

    switch (c) {

    case 0xe0:                                  /* overlong */
        return ngx_goim_ws_utf8_state(0xa0, 0xbf, 2);

    case 0xed:                                  /* surrogates */
        return ngx_goim_ws_utf8_state(0x80, 0x9f, 2);

    case 0xf0:                                  /* overlong */
        return ngx_goim_ws_utf8_state(0x90, 0xbf, 3);

    case 0xf4:                                  /* over U+10FFFF */
        return ngx_goim_ws_utf8_state(0x80, 0x8f, 3);
    }

    if (c >= 0xe1 && c <= 0xef) {
        return ngx_goim_ws_utf8_state(0x80, 0xbf, 2);
    }

    if (c >= 0xf1 && c <= 0xf3) {
        return ngx_goim_ws_utf8_state(0x80, 0xbf, 3);
    }

    return 0;
}


int
ngx_goim_ws_utf8(uint32_t *state, const u_char *data, size_t len)
{
    uint32_t       s;
    uint64_t       word;
    const u_char  *p, *last;

    s = *state;
    p = data;
    last = data + len;

    while (p < last) {

        if (s) {
            if (*p < (s >> 16) || *p > ((s >> 8) & 0xff)) {
                return 0;
            }

            s = (s & 0xff) == 1 ? 0
                : ngx_goim_ws_utf8_state(0x80, 0xbf, (s & 0xff) - 1);
            p++;
            continue;
        }

        while (last - p >= 8) {
            memcpy(&word, p, 8);

            if (word & 0x8080808080808080ULL) {
                break;
            }

            p += 8;
        }

        while (p < last && *p < 0x80) {
            p++;
        }

        if (p < last) {
            s = ngx_goim_ws_utf8_lead(*p++);

            if (s == 0) {
                return 0;
            }
        }
    }

    *state = s;

    return 1;
}
