/*
 * Inboxes as timelines, for nodes: items of one, and where many of them stand.
 * Everything of an answer comes from one statement.
 */

#include "im.h"

#include <stdlib.h>
#include <string.h>

#include "common/goim_packet.h"
#include "read.h"


typedef struct {
    logic_call_t     *call;
    size_t            n;            /* of the page, so far */
    size_t            bytes;
    Goim__Item        item[GOIM_IM_PAGE];
    Goim__Item       *list[GOIM_IM_PAGE];
} logic_inbox_t;

/* columns of a row: of the inbox, then of an entry and its item */
enum {
    INBOX_EPOCH,
    INBOX_HEAD,
    INBOX_FIRST,
    INBOX_SEQ,
    INBOX_CONV,
    INBOX_KEY,                      /* NULL: it is an item */
    INBOX_MEMBER,                   /* what im_state() takes */
    INBOX_ITEM = INBOX_MEMBER + 4
};


#define LOGIC_INBOX(condition)                                               \
    "SELECT e.value, COALESCE(a.seq, 0), COALESCE(a.first, 1), i.seq, "      \
    "i.conv, i.key, b.read, b.read_n, b.notify, b.own, "                     \
    "m.seq, m.n, m.mid, m.cid, m.kind, m.at, m.body "                        \
    "FROM meta AS e LEFT JOIN account AS a ON a.mid = $1 "                   \
    "LEFT JOIN (SELECT seq, conv, cseq, key FROM inbox WHERE mid = $1 "      \
    "AND seq > " condition " ORDER BY seq LIMIT $3) AS i ON 1 = 1 "          \
    "LEFT JOIN message AS m ON m.conv = i.conv AND m.seq = i.cseq "          \
    "LEFT JOIN member AS b ON b.conv = i.conv AND b.mid = $1 "               \
    "AND i.key IS NOT NULL "                                                 \
    "WHERE e.name = 'epoch' ORDER BY i.seq"


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

    return im_item(&item, len);
}


/* A packed Record: malloc()ed. */

static void
logic_inbox_pack(ProtobufCBinaryData *packed, char *text, size_t len)
{
    Goim__Record  record = GOIM__RECORD__INIT;

    record.kind = GOIM__RECORD__KIND__ROOM;
    record.operation = GOIM_OP_ITEM;
    record.body.data = (uint8_t *) text;
    record.body.len = len;

    packed->len = goim__record__get_packed_size(&record);
    packed->data = malloc(packed->len);

    if (packed->data == NULL) {
        abort();
    }

    goim__record__pack(&record, packed->data);
}


/* So many bytes, or one item; what has no item any more is a gap. */

static void
logic_inbox_items(logic_inbox_t *in, const db_rows_t *rows)
{
    char              *text;
    size_t             i, len;
    Goim__Item        *item;
    const db_value_t  *v;

    v = rows->values;

    for (i = 0; i < rows->nrows && in->n < in->call->msg->read->limit;
         i++, v += rows->ncols)
    {
        text = v[INBOX_SEQ].type == DB_INT ? logic_inbox_text(v, &len) : NULL;

        if (text == NULL) {
            continue;
        }

        item = &in->item[in->n];
        goim__item__init(item);
        item->seq = (uint64_t) v[INBOX_SEQ].n;
        logic_inbox_pack(&item->record, text, len);
        free(text);

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
logic_inbox_got(const db_reply_t *reply, void *data)
{
    size_t          i;
    logic_inbox_t  *in = data;

    if (reply->status == DB_OK && logic_inbox_fits(&reply->rows[0])) {
        logic_inbox_tell(in, &reply->rows[0]);

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


void
logic_inbox_read(logic_call_t *call)
{
    db_stmt_t          st;
    db_value_t         args[3];
    logic_inbox_t     *in;
    const Goim__Read  *read;

    static const char  after[] = LOGIC_INBOX("$2");
    static const char  newest[] = LOGIC_INBOX("(SELECT seq FROM account WHERE "
                                             "mid = $1) - $2");

    read = call->msg->read;
    in = calloc(1, sizeof(logic_inbox_t));

    if (in == NULL) {
        abort();
    }

    in->call = call;

    args[0] = db_int(read->mid);
    args[1] = db_int((int64_t) (read->epoch[0] != '\0' ? read->after
                                                        : read->limit));
    args[2] = db_int(read->limit == 0 ? 1
                     : read->limit < GOIM_IM_PAGE ? read->limit
                                                  : GOIM_IM_PAGE);
    st = (db_stmt_t) { read->epoch[0] != '\0' ? after : newest, args, 3 };

    db_run(call->thread->im->db, &st, 1, 0, logic_inbox_got, in);
}


/* ---- heads ---- */

void
logic_inbox_heads(logic_thread_t *t, const int64_t *mids, size_t n,
    db_done_pt done, void *data)
{
    size_t      i;
    db_stmt_t   st[GOIM_HEADS_CALL];
    db_value_t  args[GOIM_HEADS_CALL];

    static const char  head[] =
        "SELECT e.value, COALESCE(a.seq, 0) FROM meta AS e "
        "LEFT JOIN account AS a ON a.mid = $1 WHERE e.name = 'epoch'";

    for (i = 0; i < n; i++) {
        args[i] = db_int(mids[i]);
        st[i] = (db_stmt_t) { head, &args[i], 1 };
    }

    db_run(t->im->db, st, n, 0, done, data);
}
