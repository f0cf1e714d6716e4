/*
 * A member's cursor and settings. They are no items: nobody else sees them. The
 * member's devices learn of them by an entry in the inbox, in the place of the
 * one that told it before.
 */

#include "im_own.h"
#include "im_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


int
im_own(const job_im_cmd_t *cmd)
{
    return cmd->c->do_ == GOIM__IM_COMMAND__DO__READ
           || cmd->c->do_ == GOIM__IM_COMMAND__DO__SETTINGS;
}


static const char *
im_own_key(const job_im_cmd_t *cmd)
{
    return cmd->c->do_ == GOIM__IM_COMMAND__DO__READ ? IM_KEY_READ
                                                     : IM_KEY_CONV;
}


/* ---- what is there ---- */

enum {
    OWN_NOTIFY,
    OWN_TEXT,
    OWN_N,              /* of the newest message up to the cursor */
    OWN_ENTRY           /* number of the entry, if there is one */
};

/* Once it is written: behind what im_state() takes. */
#define OWN_FOLLOWS  4


void
im_own_look(im_sql_t *q, job_im_batch_t *b)
{
    size_t         i;
    job_im_cmd_t  *cmd;

    static const char  own[] =
        "SELECT b.notify, b.own, (SELECT n FROM message WHERE conv = $1 AND "
        "seq <= $3 ORDER BY seq DESC LIMIT 1), (SELECT seq FROM inbox WHERE "
        "mid = $2 AND conv = $1 AND key = $4) FROM member AS b "
        "WHERE b.conv = $1 AND b.mid = $2";

    for (i = 0; i < b->ncmds; i++) {
        cmd = b->cmds[i];

        if (im_own(cmd)) {
            cmd->to = ADD(q, own, im_str(cmd->c->conv), db_int(cmd->c->mid),
                          db_int((int64_t) cmd->c->seq),
                          im_str(im_own_key(cmd)));
        }
    }
}


void
im_own_found(job_im_batch_t *b, const db_rows_t *rows)
{
    size_t             i;
    job_im_cmd_t      *cmd;
    job_im_member_t   *m;
    const db_value_t  *v;

    for (i = 0; i < b->ncmds; i++) {
        cmd = b->cmds[i];
        m = im_own(cmd) ? im_member(cmd->conv, cmd->c->mid) : NULL;

        if (m != NULL && m->own == NULL && rows[cmd->to].nrows == 1) {
            v = rows[cmd->to].values;
            m->notify = v[OWN_NOTIFY].n;
            m->own = im_copy(&v[OWN_TEXT]);
        }
    }
}


/* n of the newest message up to the command's seq: of the batch, or of before. */

static uint64_t
im_own_n(const job_im_batch_t *b, size_t at, const db_rows_t *rows)
{
    size_t               i;
    const job_im_cmd_t  *cmd, *c;

    cmd = b->cmds[at];

    for (i = at; i > 0; i--) {
        c = b->cmds[i - 1];

        if (c->conv == cmd->conv && !c->repeat && c->seq > 0
            && c->seq <= cmd->c->seq)
        {
            return c->n;
        }
    }

    return rows[cmd->to].nrows == 1 ? im_number(&rows[cmd->to].values[OWN_N])
                                    : 0;
}


/* ---- what is done ---- */

static void
im_own_tell(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd, uint64_t seq)
{
    static const char  row[] =
        "SELECT read, read_n, notify, own, (SELECT seq FROM inbox WHERE "
        "mid = $2 AND seq < $3 ORDER BY seq DESC LIMIT 1) FROM member "
        "WHERE conv = $1 AND mid = $2";

    im_rows(q);

    cmd->row = 1 + ADD(q, row, im_str(cmd->conv->id), db_int(cmd->c->mid),
                       db_int((int64_t) seq));
    cmd->entry = b->nentries;

    im_entry(b, cmd, cmd->c->mid, seq);
}


static void
im_own_entry(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd)
{
    uint64_t    *seq;
    const char  *key;

    static const char  older[] =
        "DELETE FROM inbox WHERE mid = $1 AND conv = $2 AND key = $3";
    static const char  entry[] =
        "INSERT INTO inbox (mid, seq, conv, cseq, key) "
        "VALUES ($1, $2, $3, 0, $4)";

    key = im_own_key(cmd);
    seq = im_account(b, cmd->c->mid);
    ++*seq;

    ADD(q, older, db_int(cmd->c->mid), im_str(cmd->conv->id), im_str(key));
    ADD(q, entry, db_int(cmd->c->mid), db_int((int64_t) *seq),
        im_str(cmd->conv->id), im_str(key));

    im_own_tell(q, b, cmd, *seq);
}


/* It only grows: a smaller one changes nothing. */

static void
im_own_read(im_sql_t *q, job_im_batch_t *b, size_t at, const db_rows_t *rows,
    job_im_member_t *m)
{
    job_im_cmd_t  *cmd;

    static const char  read[] =
        "UPDATE member SET read = $3, read_n = $4 "
        "WHERE conv = $1 AND mid = $2";

    cmd = b->cmds[at];

    if (cmd->c->seq > cmd->conv->seq) {
        im_refuse(cmd, -400, "read: there is no such item yet");

    } else if (cmd->c->seq > m->read) {
        m->read = cmd->c->seq;
        m->read_n = im_own_n(b, at, rows);

        ADD(q, read, im_str(cmd->conv->id), db_int(m->mid),
            db_int((int64_t) m->read), db_int((int64_t) m->read_n));

        im_own_entry(q, b, cmd);
    }
}


/* Those that are so already change nothing. */

static void
im_own_settings(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd,
    job_im_member_t *m)
{
    int  notify, ext;

    static const char  silent[] =
        "UPDATE member SET notify = $3 WHERE conv = $1 AND mid = $2";
    static const char  own[] =
        "UPDATE member SET own = $3 WHERE conv = $1 AND mid = $2";

    if (m->own == NULL) {           /* it became a member in this batch */
        m->own = im_copy(&(db_value_t) { DB_TEXT, 0, "null", 4 });
        m->notify = 1;
    }

    notify = cmd->c->notify != 0 && m->notify != (int64_t) cmd->c->notify - 1;
    ext = cmd->c->ext[0] != '\0' && strcmp(m->own, cmd->c->ext) != 0;

    if (notify) {
        m->notify = cmd->c->notify - 1;
        ADD(q, silent, im_str(cmd->conv->id), db_int(m->mid),
            db_int(m->notify));
    }

    if (ext) {
        free(m->own);
        m->own = im_copy(&(db_value_t) { DB_TEXT, 0, cmd->c->ext,
                                         strlen(cmd->c->ext) });
        ADD(q, own, im_str(cmd->conv->id), db_int(m->mid),
            im_str(cmd->c->ext));
    }

    if (notify || ext) {
        im_own_entry(q, b, cmd);
    }
}


void
im_own_do(im_sql_t *q, job_im_batch_t *b, size_t at, const db_rows_t *rows)
{
    job_im_cmd_t     *cmd;
    job_im_member_t  *m;

    cmd = b->cmds[at];
    m = im_member(cmd->conv, cmd->c->mid);

    if (cmd->conv->nmembers == 0) {
        im_refuse(cmd, -404, "no such group");

    } else if (m == NULL) {
        im_refuse(cmd, -403, "not a member");

    } else if (cmd->old) {

        /* what was written stays, but perhaps nobody was told */

        if (rows[cmd->to].nrows == 1
            && rows[cmd->to].values[OWN_ENTRY].type == DB_INT)
        {
            im_own_tell(q, b, cmd,
                        im_number(&rows[cmd->to].values[OWN_ENTRY]));
        }

    } else if (cmd->c->do_ == GOIM__IM_COMMAND__DO__READ) {
        im_own_read(q, b, at, rows, m);

    } else {
        im_own_settings(q, b, cmd, m);
    }
}


void
im_own_written(job_im_batch_t *b, const db_rows_t *rows)
{
    size_t            i;
    job_im_cmd_t     *cmd;
    const db_rows_t  *row;

    for (i = 0; i < b->ncmds; i++) {
        cmd = b->cmds[i];
        row = cmd->row > 0 ? &rows[cmd->row - 1] : NULL;

        if (row != NULL && row->nrows == 1) {
            free(cmd->own);
            cmd->own = im_state(cmd->c->conv, im_own_key(cmd), row->values);
            im_follows(&b->entries[cmd->entry], &row->values[OWN_FOLLOWS]);
        }
    }
}
