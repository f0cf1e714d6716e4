/*
 * From the node's stream to the ring: who asks Redis (ngx_goim_reader.c), and
 * what becomes of an entry (ngx_goim_intake.c).
 */

#ifndef _NGX_GOIM_READER_H_INCLUDED_
#define _NGX_GOIM_READER_H_INCLUDED_


#include "ngx_goim_core.h"

#include <hiredis/hiredis.h>


/* ---- ngx_goim_reader.c ---- */

/* Some worker is half a ring behind: publish nothing, ask for nothing.  Those
   that are behind are told to look. */
ngx_uint_t ngx_goim_reader_behind(void);

ngx_int_t ngx_goim_reader_parse_id(const char *p, size_t len, uint64_t *id);


/* ---- ngx_goim_intake.c ---- */

/* go on where the last holder of the lease was; NGX_ERROR: no memory */
ngx_int_t ngx_goim_intake_start(void);

/* the id that the stream was read up to; may be set */
uint64_t *ngx_goim_intake_id(void);

/*
 * An entry as XREAD has it.  NGX_ERROR: the lease is lost.  NGX_AGAIN: a worker
 * is behind; the entry is asked for again later, from ngx_goim_intake_id() on.
 */
ngx_int_t ngx_goim_intake_entry(struct redisReply *entry);

/* the delivery in an entry, packed; NULL: there is none */
struct redisReply *ngx_goim_intake_value(struct redisReply *entry);

/* tell the workers whom the entries since the last time concern */
void ngx_goim_intake_wake(void);


#endif /* _NGX_GOIM_READER_H_INCLUDED_ */
