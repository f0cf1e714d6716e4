/* LINK: ngx_goim_module/ngx_goim_ws.c */

/*
 * Frames from a hostile client.  The first byte says how the rest is split;
 * whole or split, the parser must say the same.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ngx_goim_module/ngx_goim_ws.h"


#define MAX  4096


typedef struct {
    uint64_t  hash;         /* of all messages and control frames */
    size_t    events;
    unsigned  code;
} said_t;


static void
add(said_t *said, const unsigned char *data, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        said->hash = (said->hash ^ data[i]) * 1099511628211ULL;
    }
}


static ngx_goim_ws_rc_t
feed(ngx_goim_ws_t *ws, said_t *said, const unsigned char *data, size_t len)
{
    unsigned              code;
    unsigned char        *copy, *p;
    unsigned char         out[4 + NGX_GOIM_WS_CONTROL];
    ngx_goim_ws_rc_t      rc;
    ngx_goim_ws_event_t   ev;

    copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    p = copy;

    do {
        memset(&ev, 0, sizeof(ev));
        rc = ngx_goim_ws_parse(ws, &p, copy + len, &ev);

        switch (rc) {

        case NGX_GOIM_WS_MORE:
            if (p != copy + len) {
                abort();
            }

            break;

        case NGX_GOIM_WS_DATA:
            if (ws->total > MAX || ev.left > MAX) {
                abort();
            }

            add(said, ev.data, ev.len);

            if (ev.last) {
                add(said, &ev.opcode, 1);
                said->events++;
            }

            break;

        case NGX_GOIM_WS_FRAME:
            if (ev.len > NGX_GOIM_WS_CONTROL) {
                abort();
            }

            add(said, ev.data, ev.len);
            add(said, &ev.opcode, 1);
            said->events++;

            if (ev.opcode == GOIM_FRAME_CLOSE) {
                (void) ngx_goim_ws_close_code(ev.data, ev.len, &code);

                if (ngx_goim_ws_close_frame(out, code, "") != 4) {
                    abort();
                }
            }

            break;

        case NGX_GOIM_WS_BAD:
            if (ev.code < 1002 || ev.code > 1009 || ev.reason == NULL) {
                abort();
            }

            said->code = ev.code;
        }

    } while (rc == NGX_GOIM_WS_DATA || rc == NGX_GOIM_WS_FRAME);

    free(copy);

    return rc;
}


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t         i, n, step;
    said_t         whole = { 0 }, parts = { 0 };
    ngx_goim_ws_t  ws;

    if (size == 0) {
        return 0;
    }

    step = 1 + data[0] % 32;
    data++;
    size--;

    memset(&ws, 0, sizeof(ws));
    ws.max = MAX;
    (void) feed(&ws, &whole, data, size);

    memset(&ws, 0, sizeof(ws));
    ws.max = MAX;

    for (i = 0; i < size; i += n) {
        n = size - i < step ? size - i : step;

        if (feed(&ws, &parts, data + i, n) == NGX_GOIM_WS_BAD) {
            break;
        }
    }

    /* what is wrong within a message ends it earlier when it comes in parts,
       but never with other messages before it */

    if (whole.events != parts.events || whole.code != parts.code
        || (whole.code == 0 && whole.hash != parts.hash))
    {
        abort();
    }

    return 0;
}
