/*
 * The list of mids that are traced, as the configuration, the zone and the
 * status page have it.
 */

#ifndef _NGX_GOIM_MIDS_H_INCLUDED_
#define _NGX_GOIM_MIDS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_GOIM_TRACE_MIDS     64

/* sorted, each once */
typedef struct {
    ngx_uint_t                  n;
    int64_t                     mid[NGX_GOIM_TRACE_MIDS];
} ngx_goim_mids_t;


/* One more, in decimal, 1 to 2^63-1.  NGX_DECLINED: it is none; NGX_BUSY: the
   list is full. */
ngx_int_t ngx_goim_mids_add(ngx_goim_mids_t *mids, u_char *p, size_t len);

/* the place of mid, or where it belongs */
ngx_uint_t ngx_goim_mids_place(const ngx_goim_mids_t *mids, int64_t mid);

ngx_uint_t ngx_goim_mids_equal(const ngx_goim_mids_t *a,
    const ngx_goim_mids_t *b);


#endif /* _NGX_GOIM_MIDS_H_INCLUDED_ */
