/*
 * Inboxes as timelines, for nodes: items of one, and where many of them stand; and
 * the stored pushes in them, which are one of their own, of the mid below 0.
 * Everything of an answer comes from one statement.
 */

#include "im.h"

#include <stdlib.h>
#include <string.h>

#include "common/goim_packet.h"
#include "read.h"


#define LOGIC_INBOXES  8            /* pages that are read in one run */


typedef struct logic_inbox_s  logic_inbox_t;

struct logic_inbox_s {
    logic_inbox_t    *next;
    logic_call_t     *call;
    size_t            n;            /* of the page, so far */
    size_t            bytes;
    Goim__Item        item[GOIM_IM_PAGE];
    Goim__Item       *list[GOIM_IM_PAGE];
};

typedef struct {
    logic_thread_t   *thread;
    size_t            n;
    logic_inbox_t    *in[LOGIC_INBOXES];
} logic_inboxes_t;


static void logic_inbox_next(logic_thread_t *t);


/* ---- a page ---- */

/* The entry as clients get it: malloc()ed; NULL: there is nothing any more. */

static char *
logic_inbox_text(const db_value_t *v, size_t *len)
{
    char       *text;
    im_item_t   item;

    if (v[INBOX_KEY].type == DB_TEXT && v[INBOX_MEMBER].type == DB_INT) {
        text = im_state(v[INBOX_CONV].data, v[INBOX_KEY].data,
                        &v[INBOX_MEMBER]);
        *len = text != NULL ? strlen(text) : 0;

        return text;
    }

    item.conv = v[INBOX_CONV].data;
    v += INBOX_ITEM;

    if (v[0].type != DB_INT) {
        return NULL;
    }

    item.seq = (uint64_t) v[0].n;
    item.n = (uint64_t) v[1].n;
    item.mid = v[2].n;
    item.id = v[3].data;
    item.kind = v[4].data;
    item.at = v[5].n;
    item.body = v[6].data;
    item.len = v[6].len;

    return item.mid == 0 ? im_pushed(&item, (int32_t) v[7].n, len)
                         : im_item(&item, len);
}


/* A packed Record: malloc()ed. */

static void
logic_inbox_pack(ProtobufCBinaryData *packed, int32_t operation,
    const void *body, size_t len)
{
    Goim__Record  record = GOIM__RECORD__INIT;

    record.kind = GOIM__RECORD__KIND__ROOM;
    record.operation = operation;
    record.body.data = (uint8_t *) body;
    record.body.len = len;

    packed->len = goim__record__get_packed_size(&record);
    packed->data = malloc(packed->len);

    if (packed->data == NULL) {
        abort();
    }

    goim__record__pack(&record, packed->data);
}


/* 0, or -1: there is nothing any more. */

static int
logic_inbox_record(logic_inbox_t *in, const db_value_t *v,
    ProtobufCBinaryData *packed)
{
    char    *text;
    size_t   len;

    if (v[INBOX_SEQ].type != DB_INT) {
        return -1;
    }

    if (in->call->msg->read->mid < 0) {

        if (v[INBOX_PUSH].type != DB_INT) {
            return -1;
        }

        logic_inbox_pack(packed, (int32_t) v[INBOX_PUSH].n, v[INBOX_BODY].data,
                         v[INBOX_BODY].len);
        return 0;
    }

    text = logic_inbox_text(v, &len);

    if (text == NULL) {
        return -1;
    }

    logic_inbox_pack(packed, GOIM_OP_ITEM, text, len);
    free(text);

    return 0;
}


/* So many bytes, or one item; what has no item any more is a gap. */

static void
logic_inbox_items(logic_inbox_t *in, const db_rows_t *rows)
{
    size_t             i;
    Goim__Item        *item;
    const db_value_t  *v;

    v = rows->values;

    for (i = 0; i < rows->nrows && in->n < in->call->msg->read->limit;
         i++, v += rows->ncols)
    {
        item = &in->item[in->n];
        goim__item__init(item);

        if (logic_inbox_record(in, v, &item->record) != 0) {
            continue;
        }

        item->seq = (uint64_t) v[INBOX_SEQ].n;
        in->bytes += item->record.len;

        if (in->n > 0 && in->bytes > GOIM_PAGE_BYTES) {
            free(item->record.data);
            break;
        }

        in->list[in->n++] = item;
    }
}


static void
logic_inbox_tell(logic_inbox_t *in, const db_rows_t *rows)
{
    const db_value_t  *v;
    const Goim__Read  *read;
    char               epoch[GOIM_EPOCH_MAX + 1];

    Goim__Page   page = GOIM__PAGE__INIT;
    Goim__Reply  reply = GOIM__REPLY__INIT;

    read = in->call->msg->read;
    v = rows->values;

    memcpy(epoch, v[INBOX_EPOCH].data, v[INBOX_EPOCH].len);
    epoch[v[INBOX_EPOCH].len] = '\0';

    page.epoch = epoch;
    page.head = (uint64_t) v[INBOX_HEAD].n;
    page.first = (uint64_t) v[INBOX_FIRST].n;

    if (read->epoch[0] != '\0'
        && (strcmp(read->epoch, epoch) != 0 || read->after + 1 < page.first))
    {
        page.status = GOIM__PAGE__STATUS__CANNOT;

    } else if (read->epoch[0] != '\0' && read->after > page.head) {
        page.status = GOIM__PAGE__STATUS__LATER;

    } else {
        logic_inbox_items(in, rows);
    }

    page.n_items = in->n;
    page.items = in->list;

    reply.reply_case = GOIM__REPLY__REPLY_PAGE;
    reply.page = &page;

    logic_reply(in->call, &reply);
}


static int
logic_inbox_fits(const db_rows_t *rows)
{
    const db_value_t  *v;

    v = rows->values;

    return rows->nrows > 0 && v[INBOX_EPOCH].type == DB_TEXT
           && v[INBOX_EPOCH].len > 0 && v[INBOX_EPOCH].len <= GOIM_EPOCH_MAX
           && v[INBOX_HEAD].n >= 0 && v[INBOX_FIRST].n > 0;
}


static void
logic_inbox_end(logic_inbox_t *in, const db_rows_t *rows)
{
    size_t  i;

    if (rows != NULL && logic_inbox_fits(rows)) {
        logic_inbox_tell(in, rows);

    } else {
        logic_reply_code(in->call, GOIM__REPLY__CODE__FAILED,
                         "the database does not answer");
    }

    for (i = 0; i < in->n; i++) {
        free(in->item[i].record.data);
    }

    free(in);
    logic_read_over();
}


static void
logic_inbox_got(const db_reply_t *reply, void *data)
{
    size_t            i;
    logic_thread_t   *t;
    logic_inboxes_t  *all = data;

    t = all->thread;

    for (i = 0; i < all->n; i++) {
        logic_inbox_end(all->in[i],
                        reply->status == DB_OK ? &reply->rows[i] : NULL);
    }

    free(all);

    t->im->reads = 0;
    logic_inbox_next(t);
}


static void
logic_inbox_ask(const logic_inbox_t *in, db_stmt_t *st, db_value_t *args)
{
    const Goim__Read  *read;

    static const char  pushed[] =
        "SELECT e.value, COALESCE(a.pushes, 0), CAST(1 AS BIGINT), "
        "i.push, m.operation, m.body FROM meta AS e "
        "LEFT JOIN account AS a ON a.mid = $1 "
        "LEFT JOIN (SELECT push, conv, cseq FROM inbox WHERE mid = $1 "
        "AND push > $2 ORDER BY push LIMIT $3) AS i ON 1 = 1 "
        "LEFT JOIN message AS m ON m.conv = i.conv AND m.seq = i.cseq "
        "WHERE e.name = 'epoch' ORDER BY i.push";
    static const char  after[] = LOGIC_INBOX("$2");
    static const char  newest[] = LOGIC_INBOX("(SELECT seq FROM account WHERE "
                                             "mid = $1) - $2");

    read = in->call->msg->read;

    /* who asks where stored pushes stand wants none of those before */

    args[0] = db_int(read->mid < 0 ? -read->mid : read->mid);
    args[1] = db_int(read->epoch[0] != '\0' ? (int64_t) read->after
                     : read->mid < 0 ? (int64_t) GOIM_SEQ_MAX
                                   : (int64_t) read->limit);
    args[2] = db_int(read->limit == 0 ? 1
                     : read->limit < GOIM_IM_PAGE ? read->limit
                                                  : GOIM_IM_PAGE);
    *st = (db_stmt_t) { read->mid < 0 ? pushed
                        : read->epoch[0] != '\0' ? after : newest, args, 3 };
}


/* What waits, at most so many, in one run: then whatever else was asked of the
   database has its turn. */

static void
logic_inbox_next(logic_thread_t *t)
{
    size_t            n;
    db_stmt_t         st[LOGIC_INBOXES];
    db_value_t        args[LOGIC_INBOXES][3];
    logic_im_t       *im;
    logic_inbox_t    *in;
    logic_inboxes_t  *all;

    im = t->im;

    if (im->reads || im->inboxes == NULL) {
        return;
    }

    all = calloc(1, sizeof(logic_inboxes_t));

    if (all == NULL) {
        abort();
    }

    for (n = 0; n < LOGIC_INBOXES && (in = im->inboxes) != NULL; n++) {
        im->inboxes = in->next;
        logic_inbox_ask(in, &st[n], args[n]);
        all->in[n] = in;
    }

    if (im->inboxes == NULL) {
        im->inboxes_last = &im->inboxes;
    }

    all->thread = t;
    all->n = n;
    im->reads = 1;

    db_run(im->db, st, n, 0, logic_inbox_got, all);
}


void
logic_inbox_read(logic_call_t *call)
{
    logic_im_t     *im;
    logic_inbox_t  *in;

    in = calloc(1, sizeof(logic_inbox_t));

    if (in == NULL) {
        abort();
    }

    in->call = call;

    im = call->thread->im;
    *im->inboxes_last = in;
    im->inboxes_last = &in->next;

    logic_inbox_next(call->thread);
}


/* ---- heads ---- */

void
logic_inbox_heads(logic_thread_t *t, const int64_t *mids, size_t n,
    db_done_pt done, void *data)
{
    size_t      i;
    db_stmt_t   st[GOIM_HEADS_CALL];
    db_value_t  args[GOIM_HEADS_CALL];

#define LOGIC_INBOX_HEAD(column)                                             \
        "SELECT e.value, COALESCE(a." column ", 0) FROM meta AS e "          \
        "LEFT JOIN account AS a ON a.mid = $1 WHERE e.name = 'epoch'"

    static const char  head[] = LOGIC_INBOX_HEAD("seq");
    static const char  pushed[] = LOGIC_INBOX_HEAD("pushes");

    for (i = 0; i < n; i++) {
        args[i] = db_int(mids[i] < 0 ? -mids[i] : mids[i]);
        st[i] = (db_stmt_t) { mids[i] < 0 ? pushed : head, &args[i], 1 };
    }

    db_run(t->im->db, st, n, 0, done, data);
}
