/*
 * What backends push to users and have stored: the message once, an entry in the
 * inbox of each. Beside its number in the inbox, an entry has one among the
 * user's stored pushes, which have no gaps: by it sessions follow that have
 * nothing to do with inboxes.
 */

#include "im_push.h"

#include <stdlib.h>
#include <string.h>


/* mids in order, each once */

int
im_push_valid(const Goim__ImCommand *c)
{
    size_t  i;

    for (i = 1; i < c->n_mids; i++) {
        if (c->mids[i - 1] >= c->mids[i]) {
            return 0;
        }
    }

    return c->mid == 0 && c->n_mids > 0 && c->n_mids <= GOIM_IM_PUSHED
           && im_word(c->id, GOIM_IM_ID)
           && strncmp(c->conv, "s.", 2) == 0
           && strcmp(c->conv + 2, c->id) == 0;
}


void
im_push_look(im_sql_t *q, job_im_batch_t *b)
{
    size_t         i, k;
    job_im_cmd_t  *cmd;

    static const char  message[] =
        "SELECT seq, at, operation, body FROM message "
        "WHERE conv = $1 AND mid = 0";
    static const char  entry[] =
        "SELECT a.pushes, i.seq, i.push FROM account AS a "
        "LEFT JOIN inbox AS i ON i.mid = a.mid AND i.conv = $2 "
        "AND i.key = $3 WHERE a.mid = $1";

    for (i = 0; i < b->ncmds; i++) {
        cmd = b->cmds[i];

        if (cmd->c->do_ != GOIM__IM_COMMAND__DO__PUSH) {
            continue;
        }

        cmd->to = ADD(q, message, im_str(cmd->c->conv));

        for (k = 0; k < cmd->c->n_mids; k++) {
            ADD(q, entry, db_int(cmd->c->mids[k]), im_str(cmd->c->conv),
                im_str(IM_KEY_PUSH));
        }
    }
}


/* ---- the message ---- */

static int
im_push_same(const Goim__ImCommand *c, int64_t operation, const void *body,
    size_t len)
{
    return c->operation == operation && c->body.len == len
           && (len == 0 || memcmp(c->body.data, body, len) == 0);
}


/* One with its id earlier in this batch, or NULL. */

static const job_im_cmd_t *
im_push_earlier(const job_im_batch_t *b, size_t at)
{
    size_t  i;

    for (i = at; i > 0; i--) {
        if (b->cmds[i - 1]->conv == b->cmds[at]->conv
            && b->cmds[i - 1]->seq > 0)
        {
            return b->cmds[i - 1];
        }
    }

    return NULL;
}


/* 0: it is there, as it was. */

static int
im_push_found(job_im_cmd_t *cmd, const job_im_cmd_t *earlier,
    const db_rows_t *row)
{
    int                     same;
    const db_value_t       *v;
    const Goim__ImCommand  *c;

    cmd->repeat = 1;

    if (earlier != NULL) {
        c = earlier->c;
        same = im_push_same(cmd->c, c->operation, c->body.data, c->body.len);
        cmd->seq = earlier->seq;
        cmd->at = earlier->at;

    } else {
        v = row->values;
        same = im_push_same(cmd->c, v[2].n, v[3].data, v[3].len);
        cmd->seq = im_number(&v[0]);
        cmd->at = v[1].n;
    }

    if (!same) {
        cmd->seq = 0;
        im_refuse(cmd, -409, "id: it is that of another push");
    }

    return same ? 0 : -1;
}


static void
im_push_write(im_sql_t *q, job_im_cmd_t *cmd)
{
    Goim__ImCommand  *c;

    static const char  item[] =
        "INSERT INTO message (conv, seq, n, mid, cid, kind, at, body, "
        "operation) VALUES ($1, $2, 0, 0, $3, $4, $5, $6, $7)";

    c = cmd->c;
    cmd->conv->changed = 1;
    cmd->conv->newest = c->at;
    cmd->seq = ++cmd->conv->seq;
    cmd->at = c->at;

    ADD(q, item, im_str(c->conv), db_int((int64_t) cmd->seq), im_str(c->id),
        im_str(IM_PUSHED), db_int(c->at), db_bytes(c->body.data, c->body.len),
        db_int(c->operation));
}


/* ---- those whom it is for ---- */

static int
im_push_has(const job_im_batch_t *b, size_t at, int64_t mid)
{
    size_t                  i;
    const Goim__ImCommand  *c;

    for (i = 0; i < at; i++) {
        c = b->cmds[i]->c;

        if (b->cmds[i]->conv == b->cmds[at]->conv && b->cmds[i]->seq > 0
            && bsearch(&mid, c->mids, c->n_mids, sizeof(int64_t), im_mid_cmp)
               != NULL)
        {
            return 1;
        }
    }

    return 0;
}


static void
im_push_entry(job_im_batch_t *b, job_im_cmd_t *cmd, int64_t mid, uint64_t seq,
    uint64_t push)
{
    im_entry(b, cmd, mid, seq);
    b->entries[b->nentries - 1].push = push;
}


/* pushes: how many the user had before this batch */

static void
im_push_to(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd, int64_t mid,
    uint64_t pushes)
{
    uint64_t  *seq, *push;

    static const char  entry[] =
        "INSERT INTO inbox (mid, seq, conv, cseq, key, push) "
        "VALUES ($1, $2, $3, $4, $5, $6)";
    static const char  account[] =
        "UPDATE account SET pushes = $2 WHERE mid = $1";

    seq = im_account(b, mid);
    push = &b->pushes[seq - b->seqs];

    if (*push < pushes) {
        *push = pushes;
    }

    ++*seq;
    ++*push;

    ADD(q, entry, db_int(mid), db_int((int64_t) *seq), im_str(cmd->c->conv),
        db_int((int64_t) cmd->seq), im_str(IM_KEY_PUSH),
        db_int((int64_t) *push));
    ADD(q, account, db_int(mid), db_int((int64_t) *push));

    im_push_entry(b, cmd, mid, *seq, *push);
}


void
im_push_do(im_sql_t *q, job_im_batch_t *b, size_t at, const db_rows_t *rows)
{
    size_t               i;
    int64_t              mid;
    job_im_cmd_t        *cmd;
    const db_value_t    *v;
    const job_im_cmd_t  *earlier;

    cmd = b->cmds[at];
    rows += cmd->to;
    earlier = im_push_earlier(b, at);

    if (earlier == NULL && rows[0].nrows == 0) {
        im_push_write(q, cmd);

    } else if (im_push_found(cmd, earlier, &rows[0]) != 0) {
        return;
    }

    for (i = 0; i < cmd->c->n_mids; i++) {
        mid = cmd->c->mids[i];
        v = rows[1 + i].values;

        if (rows[1 + i].nrows == 1 && v[1].type == DB_INT) {

            /* it was stored, but perhaps not brought to anybody */

            if (cmd->old) {
                im_push_entry(b, cmd, mid, im_number(&v[1]), im_number(&v[2]));
            }

        } else if (!im_push_has(b, at, mid)) {
            im_push_to(q, b, cmd, mid, im_number(&v[0]));
        }
    }
}


void
im_push_acked(im_sql_t *q, const job_im_batch_t *b, const job_im_cmd_t *cmd)
{
    const Goim__ImCommand  *c;

    static const char  acked[] =
        "INSERT INTO device AS d (mid, key, platform, push_token, acked, seen) "
        "VALUES ($1, $2, '', '', $3, $4) ON CONFLICT (mid, key) DO UPDATE "
        "SET acked = excluded.acked, seen = excluded.seen "
        "WHERE d.acked < excluded.acked";

    c = cmd->c;

    if (strcmp(c->epoch, b->epoch) == 0) {
        ADD(q, acked, db_int(c->mid), im_str(c->key), db_int((int64_t) c->seq),
            db_int(c->at));
    }
}
