/*
 * Memory in small pieces that goes all at once.
 */

#include "pool.h"

#include <stdlib.h>


#define SVC_POOL_FIRST  1024
#define SVC_POOL_BLOCK  16384


struct svc_block_s {
    svc_block_t  *next;
    size_t        size;
    size_t        used;
    _Alignas(16) unsigned char  data[];
};


void *
svc_pool_alloc(svc_pool_t *pool, size_t n)
{
    void         *place;
    size_t        size;
    svc_block_t  *block;

    n = (n + 15) & ~(size_t) 15;
    block = pool->blocks;

    if (block == NULL || block->size - block->used < n) {
        size = block == NULL ? SVC_POOL_FIRST : SVC_POOL_BLOCK;

        if (size < n) {
            size = n;
        }

        block = malloc(sizeof(svc_block_t) + size);
        if (block == NULL) {
            return NULL;
        }

        block->size = size;
        block->used = 0;
        block->next = pool->blocks;
        pool->blocks = block;
    }

    place = block->data + block->used;
    block->used += n;

    return place;
}


void
svc_pool_reset(svc_pool_t *pool)
{
    svc_block_t  *block;

    while ((block = pool->blocks) != NULL
           && (block->next != NULL || block->size != SVC_POOL_FIRST))
    {
        pool->blocks = block->next;
        free(block);
    }

    if (block != NULL) {
        block->used = 0;
    }
}


void
svc_pool_free(svc_pool_t *pool)
{
    svc_block_t  *block;

    while ((block = pool->blocks) != NULL) {
        pool->blocks = block->next;
        free(block);
    }
}
