/*
 * Frames of the RPC, as they come in pieces.
 */

#ifndef _NGX_GOIM_FRAMES_H_INCLUDED_
#define _NGX_GOIM_FRAMES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* a part of a frame: never longer than the longest one; zeroed: none */
typedef struct {
    u_char                 *data;
    size_t                  len;
    size_t                  size;
} ngx_goim_frames_t;


/* NGX_OK: the next one */
typedef ngx_int_t (*ngx_goim_frame_pt)(void *data, const u_char *frame,
    size_t len);

/*
 * Bytes came: the handler is called for each frame that is whole, and may
 * call ngx_goim_frames_free().  NGX_ERROR: no memory, NGX_DECLINED: a frame
 * that is too long, else what the handler said.
 */
ngx_int_t ngx_goim_frames_input(ngx_goim_frames_t *f, u_char *data,
    size_t len, ngx_goim_frame_pt handler, void *ctx);

void ngx_goim_frames_free(ngx_goim_frames_t *f);


#endif /* _NGX_GOIM_FRAMES_H_INCLUDED_ */
