/*
 * Outstanding records of each partition, in the order of their offsets.
 *
 * Nodes acknowledge at their own pace, so records are done in any order; the
 * place saved in Redis may only move over those that have no outstanding one
 * before them.
 */

#include "place.h"

#include <stdlib.h>
#include <string.h>

#include "svc/log.h"


struct job_part_s {
    job_msg_t      *head;
    job_msg_t     **tail;
    job_msg_t      *newest;     /* the last of the list */
    goim_offset_t   taken;
    uint32_t        partition;
};


static job_part_t *job_place_part(job_place_t *place, uint32_t partition);
static void job_place_advance(job_place_t *place, job_part_t *part);


void *
job_realloc(void *p, size_t size)
{
    p = realloc(p, size);

    if (p == NULL) {
        log_write(LOG_EMERG, "no memory for %zu bytes", size);
        abort();
    }

    return p;
}


job_msg_t *
job_msg_new(uint32_t partition, const goim_offset_t *offset,
    const uint8_t *payload, size_t len, size_t *used)
{
    job_msg_t  *msg;

    msg = job_realloc(NULL, sizeof(job_msg_t));
    memset(msg, 0, sizeof(job_msg_t));

    msg->partition = partition;
    msg->offset = *offset;
    msg->last = *offset;
    msg->refs = 1;
    msg->pending = 1;
    msg->used = used;
    msg->len = len;

    if (len > 0) {
        msg->data = job_realloc(NULL, len);
        memcpy(msg->data, payload, len);
    }

    *used += sizeof(job_msg_t) + len;

    return msg;
}


void
job_msg_set(job_msg_t *msg, uint8_t *data, size_t len)
{
    *msg->used -= msg->len;
    *msg->used += len;

    free(msg->data);

    msg->data = data;
    msg->len = len;
}


void
job_msg_number(job_msg_t *msg, uint64_t seq, const char *epoch, size_t len)
{
    if (msg->seq == NULL) {
        msg->seq = job_realloc(NULL, sizeof(job_seq_t));
        *msg->used += sizeof(job_seq_t);
    }

    msg->seq->seq = seq;
    memcpy(msg->seq->epoch, epoch, len);
    msg->seq->epoch[len] = '\0';
}


void
job_msg_unref(job_msg_t *msg)
{
    if (--msg->refs > 0) {
        return;
    }

    *msg->used -= sizeof(job_msg_t) + msg->len;

    free(msg->from);
    if (msg->seq != NULL) {
        *msg->used -= sizeof(job_seq_t);
        free(msg->seq);
    }

    free(msg->data);
    free(msg);
}


void
job_place_init(job_place_t *place, job_done_pt done, void *data)
{
    memset(place, 0, sizeof(job_place_t));

    place->done = done;
    place->data = data;
}


void
job_place_free(job_place_t *place)
{
    job_place_revoke_all(place);
    free(place->parts);

    place->parts = NULL;
    place->nparts = 0;
}


static job_part_t *
job_place_part(job_place_t *place, uint32_t partition)
{
    size_t       n;
    job_part_t  *part;

    if (partition >= place->nparts) {
        n = (size_t) partition + 1;

        place->parts = job_realloc(place->parts, n * sizeof(job_part_t *));
        memset(place->parts + place->nparts, 0,
               (n - place->nparts) * sizeof(job_part_t *));

        place->nparts = n;
    }

    part = place->parts[partition];

    if (part == NULL) {
        part = job_realloc(NULL, sizeof(job_part_t));
        memset(part, 0, sizeof(job_part_t));

        part->partition = partition;
        part->tail = &part->head;

        place->parts[partition] = part;
    }

    return part;
}


int
job_place_seen(job_place_t *place, uint32_t partition,
    const goim_offset_t *offset)
{
    if (partition >= place->nparts || place->parts[partition] == NULL) {
        return 0;
    }

    return goim_offset_cmp(offset, &place->parts[partition]->taken) <= 0;
}


void
job_place_take(job_place_t *place, job_msg_t *msg)
{
    job_part_t  *part;

    part = job_place_part(place, msg->partition);

    msg->part = part;
    msg->next = NULL;
    msg->refs++;

    *part->tail = msg;
    part->tail = &msg->next;
    part->newest = msg;
    part->taken = msg->offset;

    place->count++;
}


void
job_place_skip(job_place_t *place, uint32_t partition,
    const goim_offset_t *offset)
{
    job_part_t  *part;

    part = job_place_part(place, partition);
    part->taken = *offset;

    if (part->head == NULL) {
        place->done(place->data, partition, offset);
        return;
    }

    part->newest->last = *offset;
}


void
job_place_ack(job_place_t *place, job_msg_t *msg)
{
    if (--msg->pending == 0 && msg->part != NULL && msg->part->head == msg) {
        job_place_advance(place, msg->part);
    }
}


static void
job_place_advance(job_place_t *place, job_part_t *part)
{
    job_msg_t      *msg;
    goim_offset_t   last;

    do {
        msg = part->head;
        last = msg->last;

        part->head = msg->next;

        if (part->head == NULL) {
            part->tail = &part->head;
            part->newest = NULL;
        }

        msg->part = NULL;
        msg->next = NULL;
        place->count--;

        job_msg_unref(msg);

    } while (part->head != NULL && part->head->pending == 0);

    place->done(place->data, part->partition, &last);
}


void
job_place_revoke(job_place_t *place, uint32_t partition)
{
    job_msg_t   *msg, *next;
    job_part_t  *part;

    if (partition >= place->nparts || place->parts[partition] == NULL) {
        return;
    }

    part = place->parts[partition];
    place->parts[partition] = NULL;

    for (msg = part->head; msg; msg = next) {
        next = msg->next;

        msg->part = NULL;
        msg->next = NULL;
        place->count--;

        job_msg_unref(msg);
    }

    free(part);
}


void
job_place_revoke_all(job_place_t *place)
{
    size_t  i;

    for (i = 0; i < place->nparts; i++) {
        job_place_revoke(place, (uint32_t) i);
    }
}
