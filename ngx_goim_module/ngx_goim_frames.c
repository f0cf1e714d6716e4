/*
 * Frames of the RPC, as they come in pieces.
 */

#include "ngx_goim_frames.h"
#include "common/goim_rpc.h"


#define NGX_GOIM_FRAMES_KEEP    (64 * 1024)     /* of an empty buffer */


static ngx_int_t ngx_goim_frames_parse(u_char *data, size_t len,
    size_t *used, ngx_goim_frame_pt handler, void *ctx);
static ngx_int_t ngx_goim_frames_save(ngx_goim_frames_t *f, u_char *data,
    size_t len);


ngx_int_t
ngx_goim_frames_input(ngx_goim_frames_t *f, u_char *data, size_t len,
    ngx_goim_frame_pt handler, void *ctx)
{
    size_t      used;
    ngx_int_t   rc;
    ngx_uint_t  kept;

    kept = f->len != 0;

    if (kept) {

        if (ngx_goim_frames_save(f, data, len) != NGX_OK) {
            return NGX_ERROR;
        }

        data = f->data;
        len = f->len;
    }

    rc = ngx_goim_frames_parse(data, len, &used, handler, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    if (!kept) {
        return used < len ? ngx_goim_frames_save(f, data + used, len - used)
                          : NGX_OK;
    }

    ngx_memmove(f->data, f->data + used, len - used);
    f->len = len - used;

    if (f->len == 0 && f->size > NGX_GOIM_FRAMES_KEEP) {
        ngx_goim_frames_free(f);
    }

    return NGX_OK;
}


/* all whole frames at data */

static ngx_int_t
ngx_goim_frames_parse(u_char *data, size_t len, size_t *used,
    ngx_goim_frame_pt handler, void *ctx)
{
    int             rc;
    size_t          n, frame_len;
    ngx_int_t       done;
    const uint8_t  *frame;

    *used = 0;

    for ( ;; ) {
        rc = goim_rpc_parse(data + *used, len - *used, GOIM_REPLY_MAX, &frame,
                            &frame_len, &n);

        if (rc == GOIM_RPC_AGAIN) {
            return NGX_OK;
        }

        if (rc != GOIM_RPC_OK) {
            return NGX_DECLINED;
        }

        *used += n;

        done = handler(ctx, frame, frame_len);

        if (done != NGX_OK) {
            return done;
        }
    }
}


static ngx_int_t
ngx_goim_frames_save(ngx_goim_frames_t *f, u_char *data, size_t len)
{
    size_t   size;
    u_char  *p;

    if (len > f->size - f->len) {

        size = f->size ? f->size : 4096;

        while (size < f->len + len) {
            size *= 2;
        }

        p = ngx_alloc(size, ngx_cycle->log);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (f->data) {
            ngx_memcpy(p, f->data, f->len);
            ngx_free(f->data);
        }

        f->data = p;
        f->size = size;
    }

    ngx_memcpy(f->data + f->len, data, len);
    f->len += len;

    return NGX_OK;
}


void
ngx_goim_frames_free(ngx_goim_frames_t *f)
{

    if (f->data) {
        ngx_free(f->data);
    }

    ngx_memzero(f, sizeof(ngx_goim_frames_t));
}
