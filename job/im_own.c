/*
 * A member's cursor and settings. They are no items: nobody else sees them. The
 * member's devices learn of them by an entry in the inbox, in the place of the
 * one that told it before.
 */

#include "im_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


int
im_own(const job_im_cmd_t *cmd)
{
    return cmd->c->do_ == GOIM__IM_COMMAND__DO__READ
           || cmd->c->do_ == GOIM__IM_COMMAND__DO__SETTINGS;
}


static void
im_own_entry(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd,
    const char *key)
{
    uint64_t  *seq;

    static const char  older[] =
        "DELETE FROM inbox WHERE mid = $1 AND conv = $2 AND key = $3";
    static const char  entry[] =
        "INSERT INTO inbox (mid, seq, conv, cseq, key) "
        "VALUES ($1, $2, $3, 0, $4)";
    static const char  row[] =
        "SELECT read, read_n, notify, own FROM member "
        "WHERE conv = $1 AND mid = $2";

    seq = im_account(b, cmd->c->mid);
    ++*seq;

    ADD(q, older, db_int(cmd->c->mid), im_str(cmd->conv->id), im_str(key));
    ADD(q, entry, db_int(cmd->c->mid), db_int((int64_t) *seq),
        im_str(cmd->conv->id), im_str(key));
    cmd->row = ADD(q, row, im_str(cmd->conv->id), db_int(cmd->c->mid));

    im_entry(b, cmd, cmd->c->mid, *seq);
}


/* It only grows: a smaller one changes nothing. */

static void
im_own_read(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd,
    job_im_member_t *m)
{
    static const char  read[] =
        "UPDATE member SET read = $3, read_n = (SELECT COALESCE(MAX(n), 0) "
        "FROM message WHERE conv = $1 AND seq <= $3) "
        "WHERE conv = $1 AND mid = $2";

    if (cmd->c->seq > cmd->conv->seq) {
        im_refuse(cmd, -400, "read: there is no such item yet");

    } else if (cmd->c->seq > m->read) {
        m->read = cmd->c->seq;

        ADD(q, read, im_str(cmd->conv->id), db_int(m->mid),
            db_int((int64_t) cmd->c->seq));

        im_own_entry(q, b, cmd, IM_KEY_READ);
    }
}


static void
im_own_settings(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd)
{
    static const char  notify[] =
        "UPDATE member SET notify = $3 WHERE conv = $1 AND mid = $2";
    static const char  own[] =
        "UPDATE member SET own = $3 WHERE conv = $1 AND mid = $2";

    if (cmd->c->notify != 0) {
        ADD(q, notify, im_str(cmd->conv->id), db_int(cmd->c->mid),
            db_int(cmd->c->notify - 1));
    }

    if (cmd->c->ext[0] != '\0') {
        ADD(q, own, im_str(cmd->conv->id), db_int(cmd->c->mid),
            im_str(cmd->c->ext));
    }

    im_own_entry(q, b, cmd, IM_KEY_CONV);
}


void
im_own_do(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd)
{
    job_im_member_t  *m;

    if (cmd->old) {
        return;                 /* what was written stays */
    }

    m = im_member(cmd->conv, cmd->c->mid);

    if (cmd->conv->nmembers == 0) {
        im_refuse(cmd, -404, "no such group");

    } else if (m == NULL) {
        im_refuse(cmd, -403, "not a member");

    } else if (cmd->c->do_ == GOIM__IM_COMMAND__DO__READ) {
        im_own_read(q, b, cmd, m);

    } else {
        im_own_settings(q, b, cmd);
    }
}


void
im_own_found(job_im_batch_t *b, const db_rows_t *rows)
{
    size_t            i;
    job_im_cmd_t     *cmd;
    const db_rows_t  *row;

    for (i = 0; i < b->ncmds; i++) {
        cmd = b->cmds[i];
        row = &rows[cmd->row];

        if (cmd->row > 0 && row->nrows == 1) {
            free(cmd->own);
            cmd->own = im_state(cmd->c->conv,
                                cmd->c->do_ == GOIM__IM_COMMAND__DO__READ
                                ? IM_KEY_READ : IM_KEY_CONV, row->values);
        }
    }
}
