/*
 * A batch of commands is a transaction of three runs: the conversations are
 * locked, in order of their names; then the accounts of their members, in order
 * of their mids, and what was done before is looked up; then everything is
 * numbered and written. Whoever looked for a repeat before the lock would leave
 * a hole; in another order two jobs would wait for each other.
 */

#include "im_exec.h"
#include "im_group.h"
#include "im_own.h"
#include "im_rows.h"
#include "im_place.h"
#include "im_push.h"

#include <stdlib.h>
#include <string.h>


/* ---- the first run: conversations ---- */

static int
im_conv_cmp(const void *a, const void *b)
{
    return strcmp(((const job_im_conv_t *) a)->id,
                  ((const job_im_conv_t *) b)->id);
}


static void
im_convs(job_im_batch_t *b)
{
    size_t         i, n;
    job_im_conv_t  key, *c;

    b->convs = job_realloc(NULL, b->ncmds * sizeof(job_im_conv_t));
    memset(b->convs, 0, b->ncmds * sizeof(job_im_conv_t));

    for (i = 0; i < b->ncmds; i++) {
        c = &b->convs[i];
        c->id = b->cmds[i]->c->conv;
        c->type = im_conv(c->id, &c->low, &c->high);
    }

    qsort(b->convs, b->ncmds, sizeof(job_im_conv_t), im_conv_cmp);

    for (i = 0, n = 0; i < b->ncmds; i++) {
        if (n == 0 || strcmp(b->convs[n - 1].id, b->convs[i].id) != 0) {
            b->convs[n++] = b->convs[i];
        }
    }

    b->nconvs = n;

    for (i = 0; i < b->ncmds; i++) {
        key.id = b->cmds[i]->c->conv;
        b->cmds[i]->conv = bsearch(&key, b->convs, n, sizeof(job_im_conv_t),
                                   im_conv_cmp);
        b->cmds[i]->conv->create |=
            b->cmds[i]->c->do_ == GOIM__IM_COMMAND__DO__CREATE;
        b->cmds[i]->conv->asks |=
            b->cmds[i]->c->do_ == GOIM__IM_COMMAND__DO__JOIN
            || b->cmds[i]->c->do_ == GOIM__IM_COMMAND__DO__ANSWER;
    }
}


/* A conversation's row is its lock. That of a group is made with it alone. */

static void
im_lock(im_sql_t *q, job_im_conv_t *c, int64_t now)
{
    static const char  row[] =
        "INSERT INTO conversation (id, seq, n, at, rule, mute_all) "
        "VALUES ($1, 0, 0, $2, 'closed', 0) "
        "ON CONFLICT (id) DO UPDATE SET id = excluded.id "
        "RETURNING seq, n, rule, mute_all, ext";
    static const char  group[] =
        "UPDATE conversation SET id = id WHERE id = $1 "
        "RETURNING seq, n, rule, mute_all, ext";
    static const char  member[] =
        "INSERT INTO member (conv, mid, read, read_n, role, muted) "
        "VALUES ($1, $2, 0, 0, 0, 0) ON CONFLICT DO NOTHING";
    static const char  members[] =
        "SELECT mid, read_n, role, muted, read FROM member "
        "WHERE conv = $1 ORDER BY mid";

    if (c->id[0] == '\0') {
        return;                     /* of nobody but who acts */
    }

    if (c->type == IM_GROUP && !c->create) {
        c->at = ADD(q, group, im_str(c->id));

    } else {
        c->at = ADD(q, row, im_str(c->id), db_int(now));
    }

    if (c->type == IM_PAIR) {
        ADD(q, member, im_str(c->id), db_int(c->low));
        ADD(q, member, im_str(c->id), db_int(c->high));
    }

    if (c->type != IM_NONE) {
        ADD(q, members, im_str(c->id));
    }
}


/* Nothing has come of it: what was tried before was not done. */

static void
im_new(job_im_cmd_t *cmd)
{
    cmd->old = 0;
    cmd->repeat = 0;
    cmd->asks = 0;
    cmd->code = 0;
    cmd->message = NULL;
    cmd->seq = 0;
    cmd->n = 0;
    cmd->at = 0;
    cmd->ext = 0;
    cmd->row = 0;

    free(cmd->own);
    cmd->own = NULL;
}


static void im_locked(const db_reply_t *reply, void *data);


void
job_im_exec(job_im_t *im)
{
    size_t           i;
    im_sql_t         q;
    job_im_batch_t  *b;

    b = &im->batch;
    memset(&q, 0, sizeof(q));

    im_convs(b);

    for (i = 0; i < b->ncmds; i++) {
        im_new(b->cmds[i]);
    }

    ADD(&q, "SELECT value FROM meta WHERE name = $1", im_str("epoch"));

    for (i = 0; i < b->nconvs; i++) {
        im_lock(&q, &b->convs[i], b->cmds[0]->c->at);
    }

    for (i = 0; i < b->ncmds; i++) {
        job_im_place_look(&q, b, i);
    }

    im_sql_run(&q, im, 1, im_locked);
}


/* ---- the second: accounts, and what was done before ---- */

static void
im_conv_found(job_im_conv_t *c, const db_rows_t *rows)
{
    size_t             i;
    const db_rows_t   *members;
    const db_value_t  *v;

    if (c->id[0] == '\0') {
        return;
    }

    if (rows[c->at].nrows > 0) {
        c->seq = im_number(&rows[c->at].values[0]);
        c->n = im_number(&rows[c->at].values[1]);
        c->rule = im_group_rule(&rows[c->at].values[2]);
        c->mute_all = rows[c->at].values[3].n != 0;
        c->ext = im_copy(&rows[c->at].values[4]);
    }

    if (c->type == IM_NONE) {
        return;
    }

    members = &rows[c->at + (c->type == IM_PAIR ? 3 : 1)];
    c->nmembers = rows[c->at].nrows > 0 ? members->nrows : 0;
    c->members = job_realloc(NULL, (c->nmembers + 1)
                                   * sizeof(job_im_member_t));

    for (i = 0; i < c->nmembers; i++) {
        v = &members->values[5 * i];
        c->members[i].mid = v[0].n;
        c->members[i].read_n = im_number(&v[1]);
        c->members[i].role = (job_im_role_t) v[2].n;
        c->members[i].muted = v[3].n;
        c->members[i].read = im_number(&v[4]);
        c->members[i].ext = NULL;
        c->members[i].own = NULL;
        c->members[i].notify = 0;
        c->members[i].moved = 0;
    }
}


void
job_im_back(job_im_t *im, size_t from)
{
    size_t           i;
    job_im_batch_t  *b;

    b = &im->batch;

    for (i = b->ncmds; i > from; i--) {
        b->cmds[i - 1]->next = im->head;

        if (im->head == NULL) {
            im->tail = &b->cmds[i - 1]->next;
        }

        im->head = b->cmds[i - 1];
    }

    b->ncmds = from;
}


/* Whether an item may come of it. */

static int
im_writes(Goim__ImCommand__Do what)
{
    return what != GOIM__IM_COMMAND__DO__READ
           && what != GOIM__IM_COMMAND__DO__SETTINGS
           && what != GOIM__IM_COMMAND__DO__DEVICE;
}


/* How many rows it needs, and how much it brings to sessions, is known only now,
   with the members: the batch is as many commands as fit. */

static void
im_bound(job_im_t *im)
{
    size_t           i, rows, sent;
    job_im_cmd_t    *cmd;
    job_im_batch_t  *b;

    b = &im->batch;

    for (i = 0, rows = 0, sent = 0; i < b->ncmds; i++) {
        cmd = b->cmds[i];
        rows += 3;

        if (im_writes(cmd->c->do_)) {
            rows += cmd->conv->nmembers + 2 * cmd->c->n_mids;
            sent += (cmd->c->do_ == GOIM__IM_COMMAND__DO__PUSH
                     ? 2 * cmd->c->n_mids : cmd->conv->nmembers)
                    * cmd->c->body.len;
        }

        if (i > 0 && (rows > JOB_IM_ROWS || sent > JOB_IM_SENT)) {
            break;
        }

        cmd->conv->used = 1;
        cmd->conv->id = cmd->c->conv;   /* what waits again may be gone */
    }

    if (i < b->ncmds) {
        im->most = i;                   /* the next one looks at few more */
    }

    job_im_back(im, i);

    for (i = 0; i < b->nconvs; i++) {
        b->convs[i].asks &= b->convs[i].used;
    }
}


static void
im_accounts(job_im_batch_t *b)
{
    size_t                  i, k, n;
    const Goim__ImCommand  *c;

    for (i = 0, n = 0; i < b->nconvs; i++) {
        n += b->convs[i].used ? b->convs[i].nmembers : 0;
    }

    for (i = 0; i < b->ncmds; i++) {
        n += 1 + b->cmds[i]->c->n_mids;
    }

    b->mids = job_realloc(NULL, n * sizeof(int64_t));
    n = 0;

    for (i = 0; i < b->nconvs; i++) {
        for (k = 0; b->convs[i].used && k < b->convs[i].nmembers; k++) {
            b->mids[n++] = b->convs[i].members[k].mid;
        }
    }

    for (i = 0; i < b->ncmds; i++) {
        c = b->cmds[i]->c;

        if (c->mid > 0) {
            b->mids[n++] = c->mid;
        }

        for (k = 0; k < c->n_mids; k++) {
            b->mids[n++] = c->mids[k];
        }
    }

    if (n > 0) {
        qsort(b->mids, n, sizeof(int64_t), im_mid_cmp);
    }

    for (i = 0, k = 0; i < n; i++) {
        if (k == 0 || b->mids[k - 1] != b->mids[i]) {
            b->mids[k++] = b->mids[i];
        }
    }

    b->nmids = k;
    b->seqs = job_realloc(NULL, (2 * k + 1) * sizeof(uint64_t));
    b->was = b->seqs + k;
    b->pushes = job_realloc(NULL, (k + 1) * sizeof(uint64_t));
    memset(b->pushes, 0, (k + 1) * sizeof(uint64_t));
}


static void
im_accounts_found(job_im_batch_t *b, const db_rows_t *rows)
{
    size_t             i, k;
    const db_value_t  *v;

    memset(b->seqs, 0, b->nmids * sizeof(uint64_t));

    for (i = 0; i < b->before; i++) {
        for (k = 0; k < rows[i].nrows; k++) {
            v = &rows[i].values[2 * k];
            *im_account(b, v[0].n) = im_number(&v[1]);
        }
    }

    memcpy(b->was, b->seqs, b->nmids * sizeof(uint64_t));
}


static void im_looked(const db_reply_t *reply, void *data);


static void
im_locked(const db_reply_t *reply, void *data)
{
    size_t           i;
    im_sql_t         q;
    job_im_t        *im = data;
    job_im_batch_t  *b;

    static const char  before[] =
        "SELECT seq, n, at, kind FROM message "
        "WHERE conv = $1 AND mid = $2 AND cid = $3";
    static const char  to[] =
        "SELECT b.mid, i.seq, (SELECT o.seq FROM inbox AS o WHERE "
        "o.mid = b.mid AND o.seq < i.seq ORDER BY o.seq DESC LIMIT 1) "
        "FROM message AS m "
        "JOIN member AS b ON b.conv = m.conv "
        "JOIN account AS a ON a.mid = b.mid "
        "JOIN inbox AS i ON i.mid = b.mid AND i.seq = (SELECT x.seq "
        "FROM inbox AS x WHERE x.mid = b.mid AND x.seq > a.seq - 10000 "
        "AND x.conv = m.conv AND x.cseq = m.seq ORDER BY x.seq DESC LIMIT 1) "
        "WHERE m.conv = $1 AND m.mid = $2 AND m.cid = $3";

    if (reply->status != DB_OK) {
        im->done(im, reply);
        return;
    }

    b = &im->batch;

    if (!job_im_place_found(im, &reply->rows[0], reply->rows)) {
        db_rollback(im->db);
        im->strange(im);
        return;
    }

    for (i = 0; i < b->nconvs; i++) {
        im_conv_found(&b->convs[i], reply->rows);
    }

    im_bound(im);
    im_accounts(b);
    memset(&q, 0, sizeof(q));

    for (i = 0; i < b->nmids; i++) {
        ROW(&q, IM_ROWS_LOCK, db_int(b->mids[i]));
    }

    im_rows(&q);
    b->before = q.n;

    for (i = 0; i < b->ncmds; i++) {
        ADD(&q, before, im_str(b->cmds[i]->c->conv),
            db_int(b->cmds[i]->c->mid), im_str(im_cid(b->cmds[i])));
    }

    im_group_look(&q, b);
    im_own_look(&q, b);
    im_push_look(&q, b);

    /* and, of those that were carried out, to whom they went: found from the
       newest entries on, as a job that comes back has a batch of them */

    for (i = 0; i < b->ncmds; i++) {
        if (b->cmds[i]->old && !im_own(b->cmds[i])
            && b->cmds[i]->c->do_ != GOIM__IM_COMMAND__DO__PUSH)
        {
            b->cmds[i]->to = ADD(&q, to, im_str(b->cmds[i]->c->conv),
                                 db_int(b->cmds[i]->c->mid),
                                 im_str(im_cid(b->cmds[i])));
        }
    }

    im_sql_run(&q, im, 1, im_looked);
}


/* ---- the third: all is written ---- */

static void
im_do_send(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd)
{
    const char       *muted;
    job_im_member_t  *m;

    m = im_member(cmd->conv, cmd->c->mid);

    if (cmd->conv->nmembers == 0) {
        im_refuse(cmd, -404, "no such group");

    } else if (m == NULL) {
        im_refuse(cmd, -403, "not a member");

    } else if ((muted = im_group_muted(cmd->conv, m, cmd->c->at)) != NULL) {
        im_refuse(cmd, -403, muted);

    } else {
        im_write(q, b, cmd);
    }
}


/* The row is made by the first word of it; of a user's the newest are kept. */

static void
im_do_device(im_sql_t *q, const job_im_batch_t *b, const job_im_cmd_t *cmd)
{
    const Goim__ImCommand  *c;

    static const char  row[] =
        "INSERT INTO device (mid, key, platform, push_token, acked, seen) "
        "VALUES ($1, $2, '', '', 0, $3) ON CONFLICT (mid, key) "
        "DO UPDATE SET seen = excluded.seen";
    static const char  platform[] =
        "UPDATE device SET platform = $3 WHERE mid = $1 AND key = $2";
    static const char  token[] =
        "UPDATE device SET push_token = $3 WHERE mid = $1 AND key = $2";
    static const char  old[] =
        "DELETE FROM device WHERE mid = $1 AND seen < (SELECT MIN(seen) FROM "
        "(SELECT seen FROM device WHERE mid = $1 ORDER BY seen DESC LIMIT $2) "
        "AS newest)";

    c = cmd->c;

    if (c->set & 8) {
        im_push_acked(q, b, cmd);
    }

    if ((c->set & (4 | 8)) == 0) {
        ADD(q, row, db_int(c->mid), im_str(c->key), db_int(c->at));
        ADD(q, old, db_int(c->mid), db_int(GOIM_IM_DEVICES));
    }

    if (c->set & 1) {
        ADD(q, platform, db_int(c->mid), im_str(c->key), im_str(c->platform));
    }

    if (c->set & 2) {
        ADD(q, token, db_int(c->mid), im_str(c->key), im_str(c->push_token));
    }
}


/* One of the same id earlier in this batch. */

static const job_im_cmd_t *
im_earlier(const job_im_batch_t *b, size_t at)
{
    size_t         i;
    job_im_cmd_t  *cmd, *c;

    cmd = b->cmds[at];

    for (i = 0; i < at; i++) {
        c = b->cmds[i];

        if (c->conv == cmd->conv && c->c->mid == cmd->c->mid && c->seq > 0
            && strcmp(im_cid(c), im_cid(cmd)) == 0)
        {
            return c;
        }
    }

    return NULL;
}


/* It was stored, but perhaps not brought to anybody. */

static void
im_entries_again(job_im_batch_t *b, job_im_cmd_t *cmd, const db_rows_t *rows)
{
    size_t             i;
    const db_value_t  *v;

    for (i = 0, v = rows->values; i < rows->nrows; i++, v += rows->ncols) {
        im_entry(b, cmd, v[0].n, im_number(&v[1]));
        im_follows(&b->entries[b->nentries - 1], &v[2]);
    }
}


static void
im_command(im_sql_t *q, job_im_batch_t *b, size_t at, const db_rows_t *rows)
{
    job_im_cmd_t        *cmd;
    const db_rows_t     *before;
    const job_im_cmd_t  *earlier;

    cmd = b->cmds[at];
    before = &rows[b->before + at];

    if (im_own(cmd)) {
        im_own_do(q, b, at, rows);
        return;
    }

    if (cmd->c->do_ == GOIM__IM_COMMAND__DO__DEVICE) {
        im_do_device(q, b, cmd);
        return;
    }

    if (cmd->c->do_ == GOIM__IM_COMMAND__DO__PUSH) {
        im_push_do(q, b, at, rows);
        return;
    }

    earlier = im_earlier(b, at);

    if (before->nrows > 0 || earlier != NULL) {
        cmd->repeat = 1;
        cmd->seq = earlier ? earlier->seq : im_number(&before->values[0]);
        cmd->n = earlier ? earlier->n : im_number(&before->values[1]);
        cmd->at = earlier ? earlier->at : before->values[2].n;
        cmd->asks = earlier ? earlier->asks : before->values[3].len == 3
                    && memcmp(before->values[3].data, "ask", 3) == 0;

        if (cmd->old) {
            im_entries_again(b, cmd, &rows[cmd->to]);
        }

        return;
    }

    /* what was carried out before and has no item changed nothing, or was
       refused: nobody knows any more */

    if (cmd->old) {
        im_refuse(cmd, -504, "the same again tells");
        return;
    }

    if (cmd->c->do_ == GOIM__IM_COMMAND__DO__SEND) {
        im_do_send(q, b, cmd);

    } else {
        im_group(q, b, cmd);
    }
}


static void
im_written(const db_reply_t *reply, void *data)
{
    job_im_t  *im = data;

    if (reply->status == DB_OK) {
        im_own_written(&im->batch, reply->rows);
        job_im_place_written(im, reply->rows);
    }

    im->done(im, reply);
}


static void
im_looked(const db_reply_t *reply, void *data)
{
    size_t           i;
    im_sql_t         q;
    job_im_t        *im = data;
    job_im_conv_t   *c;
    job_im_batch_t  *b;

    if (reply->status != DB_OK) {
        im->done(im, reply);
        return;
    }

    b = &im->batch;
    memset(&q, 0, sizeof(q));

    im_accounts_found(b, reply->rows);
    im_group_found(b, reply->rows);
    im_own_found(b, reply->rows);

    for (i = 0; i < b->ncmds; i++) {
        im_command(&q, b, i, reply->rows);
    }

    for (i = 0; i < b->nconvs; i++) {
        c = &b->convs[i];

        if (c->changed) {
            ADD(&q, "UPDATE conversation SET seq = $2, n = $3, at = $4 "
                "WHERE id = $1", im_str(c->id), db_int((int64_t) c->seq),
                db_int((int64_t) c->n), db_int(c->newest));
            im_moved(&q, c);
        }
    }

    for (i = 0; i < b->nmids; i++) {
        if (b->seqs[i] != b->was[i]) {
            ROW(&q, IM_ROWS_ACCOUNT, db_int(b->mids[i]),
                db_int((int64_t) b->seqs[i]));
        }
    }

    im_rows(&q);
    job_im_place_write(&q, im);

    im_sql_run(&q, im, 0, im_written);
}
