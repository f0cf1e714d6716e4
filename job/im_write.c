/*
 * Items: into their conversation, and into the inboxes of its members.
 */

#include "im_rows.h"
#include "im_write.h"

#include <stdlib.h>
#include <string.h>


int
im_mid_cmp(const void *a, const void *b)
{
    int64_t  x, y;

    x = *(const int64_t *) a;
    y = *(const int64_t *) b;

    return x < y ? -1 : x > y;
}


job_im_member_t *
im_member(job_im_conv_t *c, int64_t mid)
{
    return bsearch(&mid, c->members, c->nmembers, sizeof(job_im_member_t),
                   im_mid_cmp);
}


uint64_t *
im_account(job_im_batch_t *b, int64_t mid)
{
    int64_t  *p;

    p = bsearch(&mid, b->mids, b->nmids, sizeof(int64_t), im_mid_cmp);

    return &b->seqs[p - b->mids];
}


void
im_refuse(job_im_cmd_t *cmd, int code, const char *message)
{
    cmd->code = code;
    cmd->message = message;
}


void
im_entry(job_im_batch_t *b, job_im_cmd_t *cmd, int64_t mid, uint64_t seq)
{
    if (b->nentries == b->size_entries) {
        b->size_entries = b->size_entries ? 2 * b->size_entries : 64;
        b->entries = job_realloc(b->entries, b->size_entries
                                             * sizeof(job_im_entry_t));
    }

    b->entries[b->nentries++] = (job_im_entry_t) { cmd, mid, seq, 0, 0 };
}


void
im_follows(job_im_entry_t *entry, const db_value_t *before)
{
    uint64_t  seq;

    seq = im_number(before);

    if (seq < entry->seq) {
        entry->gap = entry->seq - 1 - seq;
    }
}


void
im_write_to(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd, int64_t mid)
{
    uint64_t  *seq;

    seq = im_account(b, mid);
    ++*seq;

    ROW(q, IM_ROWS_INBOX, db_int(mid), db_int((int64_t) *seq),
        im_str(cmd->conv->id), db_int((int64_t) cmd->seq));
    im_entry(b, cmd, mid, *seq);
}


/* An item of the conversation, and an entry in the inbox of each member. */

void
im_write(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd)
{
    int               counted;
    size_t            i;
    job_im_conv_t    *c;
    job_im_member_t  *m;

    counted = cmd->c->do_ == GOIM__IM_COMMAND__DO__SEND;
    c = cmd->conv;
    c->changed = 1;
    c->newest = cmd->c->at;
    c->n += counted;
    cmd->seq = ++c->seq;
    cmd->n = c->n;
    cmd->at = cmd->c->at;

    ROW(q, IM_ROWS_MESSAGE, im_str(c->id), db_int((int64_t) cmd->seq),
        db_int((int64_t) cmd->n), db_int(cmd->c->mid), im_str(im_cid(cmd)),
        im_str(im_kind(cmd)), db_int(cmd->at),
        db_bytes(cmd->c->body.data, cmd->c->body.len));

    for (i = 0; i < c->nmembers; i++) {
        im_write_to(q, b, cmd, c->members[i].mid);
    }

    /* what is one's own is read, when nothing unread is before it */

    m = im_member(c, cmd->c->mid);

    if (counted && m != NULL && m->read_n == c->n - 1) {
        m->read = cmd->seq;
        m->read_n = c->n;
        m->moved = 1;
    }
}


void
im_moved(im_sql_t *q, job_im_conv_t *c)
{
    size_t            i;
    job_im_member_t  *m;

    static const char  read[] =
        "UPDATE member SET read = $3, read_n = $4 "
        "WHERE conv = $1 AND mid = $2";

    for (i = 0; i < c->nmembers; i++) {
        m = &c->members[i];

        if (m->moved) {
            ADD(q, read, im_str(c->id), db_int(m->mid),
                db_int((int64_t) m->read), db_int((int64_t) m->read_n));
        }
    }
}
