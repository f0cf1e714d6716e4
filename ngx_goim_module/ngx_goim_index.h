/*
 * A growing hash table over entries inside other structures: sessions by key,
 * rooms by name, in one worker.  Seeded, so that clients cannot choose
 * colliding keys.
 */

#ifndef _NGX_GOIM_INDEX_H_INCLUDED_
#define _NGX_GOIM_INDEX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct ngx_goim_entry_s  ngx_goim_entry_t;

struct ngx_goim_entry_s {
    ngx_goim_entry_t       *next;
    uint64_t                hash;
    ngx_str_t              *key;        /* in the structure around it */
};


typedef struct {
    ngx_goim_entry_t      **buckets;
    ngx_uint_t              mask;
    ngx_uint_t              count;
    uint64_t                seed[2];
} ngx_goim_index_t;


ngx_int_t ngx_goim_index_init(ngx_goim_index_t *index, const uint64_t *seed,
    ngx_log_t *log);

ngx_goim_entry_t *ngx_goim_index_find(ngx_goim_index_t *index, u_char *key,
    size_t len);

/* e->key is set by the caller; a full table goes on with longer chains when
   there is no memory to grow */
void ngx_goim_index_add(ngx_goim_index_t *index, ngx_goim_entry_t *e);
void ngx_goim_index_delete(ngx_goim_index_t *index, ngx_goim_entry_t *e);


#endif /* _NGX_GOIM_INDEX_H_INCLUDED_ */
