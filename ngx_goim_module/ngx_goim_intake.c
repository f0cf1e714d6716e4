
/*
 * From an entry of the node's stream to the ring: holes, epochs, positions.
 *
 * Ids in the stream are dense, so that a hole shows; records carry positions,
 * so that what was seen is left out.
 */


#include "ngx_goim_reader.h"

#include <ngx_md5.h>


typedef struct {
    uint64_t                id[2];          /* read up to */
    u_char                  epoch[16];

    /* of the entry behind id so many records are in the ring already */
    uint64_t                part_id[2];
    ngx_uint_t              part;

    /* the entry that is being built */
    u_char                 *data;
    size_t                  size;
    ngx_goim_ring_entry_t   entry;
    uint64_t                wake[NGX_GOIM_RING_MASK];
} ngx_goim_intake_t;


static void ngx_goim_intake_gap(uint64_t *id);
static ngx_int_t ngx_goim_intake_delivery(Goim__Delivery *d, uint64_t *id);
static void ngx_goim_intake_epoch(Goim__Delivery *d);
static ngx_int_t ngx_goim_intake_record(Goim__Record *r);
static ngx_int_t ngx_goim_intake_publish(uint64_t *id);


static ngx_goim_intake_t  ngx_goim_intake;


ngx_int_t
ngx_goim_intake_start(void)
{
    ngx_goim_intake_t  *in;

    in = &ngx_goim_intake;

    if (in->data == NULL) {
        in->size = ngx_goim_ring_room(ngx_goim_zone->ring);
        in->data = ngx_alloc(in->size, ngx_cycle->log);
    }

    if (in->data == NULL
        || ngx_goim_zone_resume(in->id, ngx_cycle->log) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(in->epoch, ngx_goim_zone->epoch, sizeof(in->epoch));
    in->part = 0;

    return NGX_OK;
}


uint64_t *
ngx_goim_intake_id(void)
{
    return ngx_goim_intake.id;
}


void
ngx_goim_intake_wake(void)
{
    uint64_t  mask[NGX_GOIM_RING_MASK];

    ngx_memcpy(mask, ngx_goim_intake.wake, sizeof(mask));
    ngx_memzero(ngx_goim_intake.wake, sizeof(mask));

    ngx_goim_wake(mask);
}


/* [id, [field, value, ...]]: the value of "d" */

struct redisReply *
ngx_goim_intake_value(struct redisReply *entry)
{
    size_t              i;
    struct redisReply  *fields;

    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2
        || entry->element[1]->type != REDIS_REPLY_ARRAY)
    {
        return NULL;
    }

    fields = entry->element[1];

    for (i = 0; i + 1 < fields->elements; i += 2) {

        if (fields->element[i]->type == REDIS_REPLY_STRING
            && fields->element[i]->len == 1
            && fields->element[i]->str[0] == 'd'
            && fields->element[i + 1]->type == REDIS_REPLY_STRING)
        {
            return fields->element[i + 1];
        }
    }

    return NULL;
}


ngx_int_t
ngx_goim_intake_entry(struct redisReply *entry)
{
    uint64_t            id[2];
    ngx_int_t           rc;
    Goim__Delivery     *d;
    struct redisReply  *value;
    ngx_goim_intake_t  *in;

    in = &ngx_goim_intake;

    if (ngx_goim_reader_behind()) {
        return NGX_AGAIN;
    }

    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2
        || entry->element[0]->type != REDIS_REPLY_STRING
        || ngx_goim_reader_parse_id(entry->element[0]->str,
                                    entry->element[0]->len, id)
           != NGX_OK)
    {
        ngx_goim_count(broken, 1);
        ngx_goim_suspect();
        return NGX_OK;
    }

    if (in->part == 0 || id[0] != in->part_id[0] || id[1] != in->part_id[1]) {
        in->part = 0;
        ngx_goim_intake_gap(id);
    }

    value = ngx_goim_intake_value(entry);
    d = NULL;

    if (value) {
        d = goim__delivery__unpack(NULL, value->len, (u_char *) value->str);
    }

    if (d == NULL) {
        ngx_goim_count(broken, 1);
        ngx_goim_suspect();
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: entry %uL-%uL of stream \"%V\" is broken and "
                      "left out", id[0], id[1], &ngx_goim_conf->stream);
        rc = NGX_OK;

    } else {
        rc = ngx_goim_intake_delivery(d, id);
        goim__delivery__free_unpacked(d, NULL);
    }

    if (rc == NGX_AGAIN) {
        in->part_id[0] = id[0];
        in->part_id[1] = id[1];
        return rc;
    }

    in->id[0] = id[0];
    in->id[1] = id[1];
    in->part = 0;

    return rc;
}


static void
ngx_goim_intake_gap(uint64_t *id)
{
    uint64_t  *last;

    last = ngx_goim_intake.id;

    if ((id[0] == last[0] && id[1] == last[1] + 1)
        || (id[0] > last[0] && id[1] == 0))
    {
        return;
    }

    ngx_goim_count(holes, 1);
    ngx_goim_suspect();

    if (id[0] == last[0] && id[1] > last[1]) {
        ngx_goim_count(missed, id[1] - last[1] - 1);
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "goim: stream \"%V\" goes on with %uL-%uL after %uL-%uL: "
                  "entries were lost before they were read",
                  &ngx_goim_conf->stream, id[0], id[1], last[0], last[1]);
}


static ngx_int_t
ngx_goim_intake_delivery(Goim__Delivery *d, uint64_t *id)
{
    size_t              i, len;
    Goim__Record       *rec, *own, shared;
    ngx_goim_intake_t  *in;

    in = &ngx_goim_intake;
    own = NULL;

    if (d->epoch.len) {
        ngx_goim_intake_epoch(d);
    }

    ngx_memzero(&in->entry, sizeof(in->entry));

    for (i = 0; i < d->n_records; i++) {
        rec = d->records[i];
        own = rec->same_body ? own : rec;

        if (i < in->part) {
            continue;
        }

        if (rec->same_body && own) {
            shared = *rec;
            shared.body = own->body;
            rec = &shared;
        }

        if (own == NULL || ngx_goim_record_valid(rec) != NGX_OK) {
            ngx_goim_count(broken, 1);
            ngx_goim_suspect();
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "goim: record %uz of entry %uL-%uL is out of range "
                          "and left out", i, id[0], id[1]);
            continue;
        }

        len = ngx_goim_record_length(rec);

        if (len > in->size) {
            ngx_goim_count(broken, 1);
            ngx_goim_suspect();
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "goim: a message of %uz bytes is left out: more "
                          "than an eighth of the zone", rec->body.len);
            continue;
        }

        /* the stream id moves with the last piece */

        if (in->entry.used + len > in->size) {

            if (ngx_goim_intake_publish(in->id) != NGX_OK) {
                return NGX_ERROR;
            }

            in->part = i;

            if (ngx_goim_reader_behind()) {
                return NGX_AGAIN;
            }
        }

        if (ngx_goim_intake_record(rec) != NGX_OK) {
            ngx_goim_count(duplicates, 1);
        }
    }

    ngx_goim_count(records, d->n_records);

    return in->entry.records ? ngx_goim_intake_publish(id) : NGX_OK;
}


static void
ngx_goim_intake_epoch(Goim__Delivery *d)
{
    ngx_md5_t           md5;
    u_char              digest[16];
    ngx_goim_intake_t  *in;
    static u_char       none[16];

    in = &ngx_goim_intake;

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, d->epoch.data, d->epoch.len);
    ngx_md5_final(digest, &md5);

    if (ngx_memcmp(digest, in->epoch, sizeof(digest)) == 0) {
        return;
    }

    if (ngx_memcmp(in->epoch, none, sizeof(none)) != 0) {
        ngx_goim_count(epochs, 1);
        ngx_goim_suspect();

        if (ngx_goim_positions(digest) == NULL) {
            ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                          "goim: the bus began a new epoch, positions begin "
                          "anew");
        }
    }

    ngx_memcpy(in->epoch, digest, sizeof(digest));
}


/* NGX_DECLINED: seen before */

static ngx_int_t
ngx_goim_intake_record(Goim__Record *r)
{
    u_char             *p;
    uint64_t            mask[NGX_GOIM_RING_MASK];
    ngx_uint_t          i;
    goim_offset_t       offset;
    ngx_goim_intake_t  *in;

    in = &ngx_goim_intake;

    if (r->offset.len) {
        ngx_memcpy(offset.b, r->offset.data, GOIM_OFFSET_LEN);

        if (ngx_goim_seen(in->epoch, r->partition, &offset)) {
            return NGX_DECLINED;
        }
    }

    p = in->data + in->entry.used;

    in->entry.used += ngx_goim_record_put(p, r, mask);
    in->entry.records++;

    for (i = 0; i < NGX_GOIM_RING_MASK; i++) {
        in->entry.mask[i] |= mask[i];
    }

    return NGX_OK;
}


/* NGX_ERROR: the lease is lost */

static ngx_int_t
ngx_goim_intake_publish(uint64_t *id)
{
    ngx_uint_t          i;
    ngx_goim_intake_t  *in;

    in = &ngx_goim_intake;

    in->entry.id[0] = id[0];
    in->entry.id[1] = id[1];
    in->entry.came = ngx_current_msec;
    ngx_memcpy(in->entry.epoch, in->epoch, sizeof(in->entry.epoch));

    if (!ngx_goim_lease_held()
        || ngx_goim_ring_prepare(ngx_goim_zone->ring, &in->entry, in->data) != 0
        || ngx_goim_zone_publish(&in->entry, in->data) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "goim: the reader's role went to another worker");
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_GOIM_RING_MASK; i++) {
        in->wake[i] |= in->entry.mask[i];
    }

    ngx_memzero(&in->entry, sizeof(in->entry));

    return NGX_OK;
}
