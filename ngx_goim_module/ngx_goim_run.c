
/*
 * Items with their numbers, as they go out: packets one behind another, and
 * before them place for operation 9 and a frame around it.
 */


#include "ngx_goim_follow.h"
#include "common/goim_frame.h"


#define NGX_GOIM_RUN_HEAD       (NGX_GOIM_HEAD + GOIM_HEADER)


typedef struct {
    goim_run_t              run;
    ngx_goim_part_t         all;
    ngx_goim_part_t         part;       /* the last one; without a buf: none */
    uint32_t                from;
    uint32_t                to;
    goim_run_item_t         items[1];
} ngx_goim_run_t;


static ngx_goim_run_t *ngx_goim_run_alloc(goim_epoch_t *epoch, ngx_uint_t n,
    size_t len);
static goim_run_t *ngx_goim_run_items(goim_epoch_t *epoch, Goim__Item **items,
    Goim__Record **rec, size_t n, size_t len, ngx_uint_t shown);
static ngx_int_t ngx_goim_part_alloc(ngx_goim_part_t *part, size_t len);
static void ngx_goim_part_frame(ngx_goim_part_t *part);
static int32_t ngx_goim_run_sequence(uint64_t seq);


static ngx_goim_run_t *
ngx_goim_run_alloc(goim_epoch_t *epoch, ngx_uint_t n, size_t len)
{
    size_t           size;
    ngx_goim_run_t  *r;

    size = sizeof(ngx_goim_run_t) + (n - 1) * sizeof(goim_run_item_t);

    r = ngx_calloc(size, ngx_cycle->log);
    if (r == NULL) {
        return NULL;
    }

    if (ngx_goim_part_alloc(&r->all, len) != NGX_OK) {
        ngx_free(r);
        return NULL;
    }

    r->run.refs = 1;
    r->run.n = n;
    r->run.epoch = goim_epoch_ref(epoch);
    r->run.items = r->items;
    r->run.held = size + NGX_GOIM_RUN_HEAD + len;

    return r;
}


static ngx_int_t
ngx_goim_part_alloc(ngx_goim_part_t *part, size_t len)
{
    part->buf = ngx_goim_buf_alloc(NGX_GOIM_RUN_HEAD + len);

    if (part->buf == NULL) {
        return NGX_ERROR;
    }

    part->inner = NGX_GOIM_RUN_HEAD;
    part->bare = NGX_GOIM_RUN_HEAD - GOIM_HEADER;

    return NGX_OK;
}


static void
ngx_goim_part_frame(ngx_goim_part_t *part)
{
    size_t  head, len;
    u_char  buf[NGX_GOIM_HEAD];

    len = part->buf->len - part->inner;

    goim_packet_header(part->buf->data + part->bare, len, GOIM_VERSION,
                       GOIM_OP_RAW, 0);

    head = goim_frame_head(buf, GOIM_FRAME_BINARY, GOIM_HEADER + len);

    part->frame = part->bare - head;
    ngx_memcpy(part->buf->data + part->frame, buf, head);
}


/* 0 would mean that it has no number */

static int32_t
ngx_goim_run_sequence(uint64_t seq)
{
    return (int32_t) ((seq - 1) % NGX_MAX_INT32_VALUE) + 1;
}


goim_run_t *
ngx_goim_run_block(ngx_goim_block_t *block)
{
    return ngx_goim_run_make(block->epoch, block->seq, block->records,
                             block->buf->data + block->inner,
                             block->last - block->inner, 1);
}


goim_run_t *
ngx_goim_run_make(goim_epoch_t *epoch, uint64_t seq, uint32_t n,
    const u_char *data, size_t len, ngx_uint_t shown)
{
    u_char          *p;
    uint32_t         i, at, sequence;
    ngx_goim_run_t  *r;

    r = ngx_goim_run_alloc(epoch, n, len);
    if (r == NULL) {
        return NULL;
    }

    p = r->all.buf->data + r->all.inner;
    ngx_memcpy(p, data, len);

    r->run.follows = seq - 1;

    for (i = 0, at = 0; i < n; i++) {
        len = (size_t) p[at] << 24 | p[at + 1] << 16 | p[at + 2] << 8
              | p[at + 3];

        sequence = shown ? ngx_goim_run_sequence(seq + i) : 0;

        p[at + 12] = sequence >> 24;
        p[at + 13] = sequence >> 16;
        p[at + 14] = sequence >> 8;
        p[at + 15] = sequence;

        at += len;

        r->items[i].seq = seq + i;
        r->items[i].end = at;
    }

    ngx_goim_part_frame(&r->all);

    return &r->run;
}


/*
 * Those behind the last one that is none; they follow each other. Numbers of an
 * inbox have gaps: what was replaced by something newer.
 */

ngx_int_t
ngx_goim_run_page(goim_epoch_t *epoch, const Goim__Page *page,
    const goim_read_t *read, goim_run_t **run, uint64_t *first)
{
    size_t           i, from, len;
    uint64_t         follows;
    ngx_int_t        rc;
    ngx_uint_t       gaps;
    Goim__Item      *item;
    Goim__Record   **rec;

    ngx_goim_timeline_t  *tl;

    rc = NGX_ERROR;
    from = 0;
    len = 0;
    tl = (ngx_goim_timeline_t *) read->timeline;
    gaps = tl && tl->room == NULL;
    follows = gaps && read->epoch ? read->after : page->items[0]->seq - 1;

    rec = ngx_calloc(page->n_items * sizeof(Goim__Record *), ngx_cycle->log);
    if (rec == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < page->n_items; i++) {
        item = page->items[i];

        if (item->seq == 0 || item->seq > GOIM_SEQ_MAX
            || item->seq <= (i ? page->items[i - 1]->seq : follows)
            || (!gaps && item->seq != page->items[0]->seq + i))
        {
            goto done;
        }

        rec[i] = goim__record__unpack(NULL, item->record.len,
                                      item->record.data);

        if (rec[i] == NULL || rec[i]->kind != GOIM__RECORD__KIND__ROOM) {
            *first = item->seq + 1;
            from = i + 1;
            len = 0;
            continue;
        }

        len += GOIM_HEADER + rec[i]->body.len;
    }

    *run = NULL;
    rc = NGX_OK;

    if (from < page->n_items) {
        *run = ngx_goim_run_items(epoch, page->items + from, rec + from,
                                  page->n_items - from, len, tl == NULL
                                  || tl->mid >= 0);
        rc = *run ? NGX_OK : NGX_ERROR;
    }

    if (*run && from == 0) {
        (*run)->follows = follows;
    }

done:

    for (i = 0; i < page->n_items; i++) {
        goim__record__free_unpacked(rec[i], NULL);
    }

    ngx_free(rec);

    return rc;
}


static goim_run_t *
ngx_goim_run_items(goim_epoch_t *epoch, Goim__Item **items,
    Goim__Record **rec, size_t n, size_t len, ngx_uint_t shown)
{
    size_t           i;
    u_char          *p;
    ngx_goim_run_t  *r;

    r = ngx_goim_run_alloc(epoch, n, len);
    if (r == NULL) {
        return NULL;
    }

    p = r->all.buf->data + r->all.inner;
    r->run.follows = items[0]->seq - 1;

    for (i = 0; i < n; i++) {
        p = goim_packet_header(p, rec[i]->body.len, GOIM_VERSION,
                               rec[i]->operation, shown
                               ? ngx_goim_run_sequence(items[i]->seq) : 0);

        if (rec[i]->body.len) {
            p = ngx_cpymem(p, rec[i]->body.data, rec[i]->body.len);
        }

        r->items[i].seq = items[i]->seq;
        r->items[i].end = p - (r->all.buf->data + r->all.inner);
    }

    ngx_goim_part_frame(&r->all);

    return &r->run;
}


int32_t
ngx_goim_run_op(const goim_run_t *run, uint32_t i)
{
    u_char  *p;

    p = ((ngx_goim_run_t *) run)->all.buf->data
        + ((ngx_goim_run_t *) run)->all.inner
        + (i ? run->items[i - 1].end : 0);

    return (int32_t) ((uint32_t) p[8] << 24 | p[9] << 16 | p[10] << 8 | p[11]);
}


void
ngx_goim_run_free(goim_run_t *run)
{
    ngx_goim_run_t  *r = (ngx_goim_run_t *) run;

    goim_epoch_unref(&ngx_goim_timelines.epochs, run->epoch);
    ngx_goim_buf_unref(r->all.buf);

    if (r->part.buf) {
        ngx_goim_buf_unref(r->part.buf);
    }

    ngx_free(r);
}


/* Those who come back together lack the same items. */

const ngx_goim_part_t *
ngx_goim_run_part(goim_run_t *run, uint32_t from, uint32_t to)
{
    uint32_t          begin, end;
    ngx_goim_run_t   *r = (ngx_goim_run_t *) run;
    ngx_goim_part_t   part;

    if (from == 0 && to == run->n) {
        return &r->all;
    }

    if (r->part.buf && r->from == from && r->to == to) {
        return &r->part;
    }

    begin = from ? run->items[from - 1].end : 0;
    end = run->items[to - 1].end;

    if (ngx_goim_part_alloc(&part, end - begin) != NGX_OK) {
        return NULL;
    }

    ngx_memcpy(part.buf->data + part.inner,
               r->all.buf->data + r->all.inner + begin, end - begin);

    ngx_goim_part_frame(&part);

    if (r->part.buf) {
        ngx_goim_buf_unref(r->part.buf);
    }

    r->part = part;
    r->from = from;
    r->to = to;

    return &r->part;
}
