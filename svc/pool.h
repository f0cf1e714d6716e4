/*
 * Memory in small pieces that goes all at once.
 */

#ifndef SVC_POOL_H
#define SVC_POOL_H

#include <stddef.h>

typedef struct svc_block_s  svc_block_t;

/* zeroed: empty */
typedef struct { svc_block_t *blocks; } svc_pool_t;

/* For any type; NULL: no memory. Lives until reset or free. */
void *svc_pool_alloc(svc_pool_t *pool, size_t n);

/* All of it goes, but one small block is kept for what comes next. */
void svc_pool_reset(svc_pool_t *pool);

void svc_pool_free(svc_pool_t *pool);

#endif
