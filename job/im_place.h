/*
 * Up to where commands are carried out, in the database and in Redis (im_place.c),
 * and whether the database is the one that it was (im_check.c).
 */

#ifndef JOB_IM_PLACE_H
#define JOB_IM_PLACE_H

#include "im_sql.h"

#define IM_PARTITIONS  65536        /* of more nothing is kept in Redis */


/* what this process knows of a partition */
typedef struct {
    uint64_t       turn;
    goim_offset_t  position;
    unsigned       known:1;         /* compared, and nobody else's since */
    unsigned       tell:1;          /* Redis */
} im_known_t;

/* what Redis does */
typedef struct {
    uint32_t       partition;
    char           instance[GOIM_EPOCH_MAX + 1];
    uint64_t       generation;
    uint64_t       turn;
} im_copy_t;

/* what a database says of itself */
typedef struct {
    char           epoch[GOIM_EPOCH_MAX + 1];
    char           instance[GOIM_EPOCH_MAX + 1];
    char           left[GOIM_EPOCH_MAX + 1];        /* the one before it */
    uint64_t       generation;
} im_meta_t;

struct job_im_place_s {
    im_meta_t      meta;            /* as it was compared last */
    im_meta_t      now;             /* as it is compared */
    im_known_t    *known;           /* by partition */
    size_t         nknown;
    im_copy_t     *copy;            /* of Redis, while it is compared */
    size_t         ncopy;
    size_t         first;           /* statement of places in the last run */
    char           bus[2 * BUS_EPOCH_LEN + 1];      /* its epoch, in hex */
    char           why[256];        /* a new epoch begins */

    metric_t      *epochs, *missing;
};


void job_im_place_init(job_im_t *im);
void job_im_place_free(job_im_t *im);

/* NULL: beyond what is kept. */
im_known_t *job_im_known(job_im_place_t *p, uint32_t partition);

/* Whether partitions of the batch have to be compared first. */
int job_im_unknown(const job_im_t *im, const job_im_batch_t *b);

/* It is another's: what is known of it does not count any more. */
void job_im_place_lost(job_im_t *im, uint32_t partition);

/*
 * In a batch. The first run: the place of the command's partition; then, with
 * their answers, 0: the database is not as it was. In the last run: places, and by
 * which epoch of inboxes the numbers go; then what came of it.
 */
void job_im_place_look(im_sql_t *q, job_im_batch_t *b, size_t at);
int job_im_place_found(job_im_t *im, const db_rows_t *epoch,
    const db_rows_t *rows);
void job_im_place_write(im_sql_t *q, job_im_t *im);
void job_im_place_written(job_im_t *im, const db_rows_t *rows);

/* To Redis: what was written, on the connection by which nodes are told of it, and
 * before; until it is told. */
void job_im_place_tell(job_im_t *im);
void job_im_place_told(job_im_t *im);
void job_im_place_copy(job_im_t *im, uint32_t partition, uint64_t turn,
    const char *bus, const goim_offset_t *position);

/* So many partitions are this job's now. */
void job_im_standby(job_im_t *im, uint32_t owned);

/* columns: a text of at most GOIM_EPOCH_MAX, or ""; whether a place is of this
 * bus */
void job_im_word(char word[GOIM_EPOCH_MAX + 1], const db_value_t *v);
int job_im_place_here(job_im_t *im, const db_value_t *epoch,
    const db_value_t *position);

#endif
