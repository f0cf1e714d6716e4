/*
 * Commands that change a group. Each change is an item of the conversation, with
 * who did what as its payload; a command that changes nothing writes none, and is
 * answered as one that did.
 */

#include "im_group.h"

#include <stdlib.h>
#include <string.h>


static const char *const  im_rules[] = { "closed", "ask", "open" };


static int
im_group_is(const job_im_cmd_t *cmd, Goim__ImCommand__Do what)
{
    return cmd->c->do_ == what;
}


/* ---- what commands need ---- */

static job_im_rule_t
im_rule(const char *text, size_t len)
{
    size_t  i;

    for (i = IM_OPEN; i > IM_CLOSED; i--) {
        if (strlen(im_rules[i]) == len && memcmp(im_rules[i], text, len) == 0) {
            break;
        }
    }

    return (job_im_rule_t) i;
}


job_im_rule_t
im_group_rule(const db_value_t *v)
{
    return v->type == DB_TEXT ? im_rule(v->data, v->len) : IM_CLOSED;
}


void
im_group_look(im_sql_t *q, job_im_batch_t *b)
{
    size_t         i;
    job_im_cmd_t  *cmd;

    static const char  asking[] =
        "SELECT mid FROM asking WHERE conv = $1 ORDER BY mid";
    static const char  ext[] =
        "SELECT ext FROM member WHERE conv = $1 AND mid = $2";

    for (i = 0; i < b->nconvs; i++) {
        if (b->convs[i].asks) {
            b->convs[i].asked = ADD(q, asking, im_str(b->convs[i].id));
        }
    }

    for (i = 0; i < b->ncmds; i++) {
        cmd = b->cmds[i];

        if (im_group_is(cmd, GOIM__IM_COMMAND__DO__MEMBER)
            && cmd->c->n_mids == 1 && cmd->c->ext[0] != '\0')
        {
            cmd->ext = ADD(q, ext, im_str(cmd->c->conv),
                           db_int(cmd->c->mids[0]));
        }
    }
}


void
im_group_found(job_im_batch_t *b, const db_rows_t *rows)
{
    size_t            i, k;
    job_im_cmd_t     *cmd;
    job_im_conv_t    *c;
    job_im_member_t  *m;
    const db_rows_t  *found;

    for (i = 0; i < b->nconvs; i++) {
        c = &b->convs[i];

        if (c->asks) {
            found = &rows[c->asked];
            c->asking = job_realloc(NULL, (found->nrows + 1)
                                          * sizeof(int64_t));
            c->nasking = found->nrows;

            for (k = 0; k < found->nrows; k++) {
                c->asking[k] = found->values[k].n;
            }
        }
    }

    for (i = 0; i < b->ncmds; i++) {
        cmd = b->cmds[i];

        if (cmd->ext > 0 && rows[cmd->ext].nrows == 1) {
            m = im_member(cmd->conv, cmd->c->mids[0]);

            if (m != NULL && m->ext == NULL) {
                m->ext = im_copy(&rows[cmd->ext].values[0]);
            }
        }
    }
}


/* ---- who asks ---- */

static int64_t *
im_group_asks(const job_im_conv_t *c, int64_t mid)
{
    return c->nasking > 0 ? bsearch(&mid, c->asking, c->nasking,
                                    sizeof(int64_t), im_mid_cmp)
                          : NULL;
}


/* It asks no more. */

static void
im_group_unask(im_sql_t *q, job_im_conv_t *c, int64_t mid)
{
    size_t    at;
    int64_t  *asks;

    ADD(q, "DELETE FROM asking WHERE conv = $1 AND mid = $2", im_str(c->id),
        db_int(mid));

    asks = im_group_asks(c, mid);

    if (asks != NULL) {
        at = (size_t) (asks - c->asking);
        c->nasking--;
        memmove(asks, asks + 1, (c->nasking - at) * sizeof(int64_t));
    }
}


/* ---- members ---- */

static void
im_group_put(im_sql_t *q, job_im_conv_t *c, int64_t mid, job_im_role_t role)
{
    static const char  put[] =
        "INSERT INTO member (conv, mid, read, read_n, role, muted, since) "
        "VALUES ($1, $2, $3, $4, $5, 0, $3)";

    c->members = job_realloc(c->members,
                             (c->nmembers + 1) * sizeof(job_im_member_t));
    c->members[c->nmembers++] = (job_im_member_t) {
        mid, c->seq, c->n, role, 0, NULL, NULL, 0, 0 };

    qsort(c->members, c->nmembers, sizeof(job_im_member_t), im_mid_cmp);

    ADD(q, put, im_str(c->id), db_int(mid), db_int((int64_t) c->seq),
        db_int((int64_t) c->n), db_int(role));
}


static void
im_group_drop(im_sql_t *q, job_im_conv_t *c, job_im_member_t *m)
{
    size_t  at;

    static const char  own[] =
        "DELETE FROM inbox WHERE mid = $1 AND conv = $2 AND key IS NOT NULL";

    ADD(q, "DELETE FROM member WHERE conv = $1 AND mid = $2", im_str(c->id),
        db_int(m->mid));

    /* what was its own there is nothing any more: no page is to be full of it */

    ADD(q, own, db_int(m->mid), im_str(c->id));

    free(m->ext);
    free(m->own);
    at = (size_t) (m - c->members);
    c->nmembers--;
    memmove(m, m + 1, (c->nmembers - at) * sizeof(job_im_member_t));
}


static void
im_group_role(im_sql_t *q, job_im_conv_t *c, job_im_member_t *m)
{
    ADD(q, "UPDATE member SET role = $3, muted = $4 WHERE conv = $1 AND "
        "mid = $2", im_str(c->id), db_int(m->mid), db_int(m->role),
        db_int(m->muted));
}


const char *
im_group_muted(const job_im_conv_t *c, const job_im_member_t *m, int64_t now)
{
    if (m->muted > now) {
        return "muted";
    }

    return c->mute_all && m->role == IM_MEMBER ? "all are muted" : NULL;
}


/* ---- commands ---- */

static void
im_group_text(job_im_conv_t *c, const char *ext)
{
    free(c->ext);
    c->ext = im_copy(&(db_value_t) { DB_TEXT, 0, ext, strlen(ext) });
}


/* One that is there is the same group, and stays as it is. */

static void
im_group_create(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd)
{
    size_t          i;
    const char     *ext;
    job_im_conv_t  *c;

    c = cmd->conv;

    if (c->nmembers > 0) {
        return;
    }

    if (c->seq > 0) {
        im_refuse(cmd, -404, "the group was dismissed");
        return;
    }

    ext = cmd->c->ext[0] != '\0' ? cmd->c->ext : "null";
    im_group_text(c, ext);
    c->rule = im_rule(cmd->c->join, strlen(cmd->c->join));

    ADD(q, "UPDATE conversation SET rule = $2, history = $3, ext = $4 "
        "WHERE id = $1", im_str(c->id), im_str(im_rules[c->rule]),
        im_str(cmd->c->history[0] != '\0' ? cmd->c->history : "all"),
        im_str(ext));

    im_group_put(q, c, cmd->c->mid, IM_OWNER);

    for (i = 0; i < cmd->c->n_mids; i++) {
        if (im_member(c, cmd->c->mids[i]) == NULL) {
            im_group_put(q, c, cmd->c->mids[i], IM_MEMBER);
        }
    }

    im_write(q, b, cmd);
}


static void
im_group_add(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd,
    const job_im_member_t *me)
{
    size_t          i, n;
    job_im_conv_t  *c;

    c = cmd->conv;

    if (me->role == IM_MEMBER && c->rule != IM_OPEN) {
        im_refuse(cmd, -403, "only who has a role in the group");
        return;
    }

    for (i = 0, n = 0; i < cmd->c->n_mids; i++) {
        n += im_member(c, cmd->c->mids[i]) == NULL;
    }

    if (c->nmembers + n > GOIM_IM_MEMBERS) {
        im_refuse(cmd, -409, "a group of over 500 members");
        return;
    }

    for (i = 0; i < cmd->c->n_mids; i++) {
        if (im_member(c, cmd->c->mids[i]) == NULL) {
            im_group_unask(q, c, cmd->c->mids[i]);
            im_group_put(q, c, cmd->c->mids[i], IM_MEMBER);
        }
    }

    if (n > 0) {
        im_write(q, b, cmd);
    }
}


/* Whoever has a role is asked by an item. */

static void
im_group_ask(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd)
{
    job_im_conv_t  *c;

    c = cmd->conv;

    if (im_group_asks(c, cmd->c->mid) != NULL) {
        return;
    }

    if (c->nasking >= GOIM_IM_ASKING) {
        im_refuse(cmd, -409, "too many ask");
        return;
    }

    c->asking = job_realloc(c->asking, (c->nasking + 1) * sizeof(int64_t));
    c->asking[c->nasking++] = cmd->c->mid;
    qsort(c->asking, c->nasking, sizeof(int64_t), im_mid_cmp);

    ADD(q, "INSERT INTO asking (conv, mid, at, text) VALUES ($1, $2, $3, $4)",
        im_str(c->id), db_int(cmd->c->mid), db_int(cmd->c->at),
        im_str(cmd->c->text));

    cmd->asks = 1;
    im_write(q, b, cmd);
}


static void
im_group_join(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd)
{
    job_im_conv_t  *c;

    c = cmd->conv;

    if (im_member(c, cmd->c->mid) != NULL) {
        return;
    }

    if (c->rule == IM_CLOSED) {
        im_refuse(cmd, -403, "the group is closed");

    } else if (c->rule == IM_ASK) {
        im_group_ask(q, b, cmd);

    } else if (c->nmembers >= GOIM_IM_MEMBERS) {
        im_refuse(cmd, -409, "a group of over 500 members");

    } else {
        im_group_unask(q, c, cmd->c->mid);
        im_group_put(q, c, cmd->c->mid, IM_MEMBER);
        im_write(q, b, cmd);
    }
}


/* The item of the answer goes to who asked, too, if it is no. */

static void
im_group_answer(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd,
    const job_im_member_t *me)
{
    int64_t         mid;
    job_im_conv_t  *c;

    c = cmd->conv;
    mid = cmd->c->mids[0];

    if (me->role == IM_MEMBER) {
        im_refuse(cmd, -403, "only who has a role in the group");

    } else if (im_group_asks(c, mid) == NULL) {
        if (im_member(c, mid) == NULL || !cmd->c->accept) {
            im_refuse(cmd, -404, "it does not ask");
        }

    } else if (!cmd->c->accept) {
        im_group_unask(q, c, mid);
        im_write(q, b, cmd);
        im_write_to(q, b, cmd, mid);

    } else if (c->nmembers >= GOIM_IM_MEMBERS) {
        im_refuse(cmd, -409, "a group of over 500 members");

    } else {
        im_group_unask(q, c, mid);
        im_group_put(q, c, mid, IM_MEMBER);
        im_write(q, b, cmd);
    }
}


/* Who is removed gets the item, too: it is the last of the group's. */

static void
im_group_remove(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd,
    const job_im_member_t *me)
{
    size_t            i, n;
    job_im_conv_t    *c;
    job_im_member_t  *m;

    c = cmd->conv;

    for (i = 0, n = 0; i < cmd->c->n_mids; i++) {
        m = im_member(c, cmd->c->mids[i]);

        if (m == NULL) {
            continue;
        }

        n++;

        if (m->role == IM_OWNER) {
            im_refuse(cmd, -409, "an owner hands the group over first");
            return;
        }

        if (m != me && m->role >= me->role) {
            im_refuse(cmd, -403, "only who has a higher role");
            return;
        }
    }

    if (n == 0) {
        return;
    }

    im_write(q, b, cmd);

    for (i = 0; i < cmd->c->n_mids; i++) {
        m = im_member(c, cmd->c->mids[i]);

        if (m != NULL) {
            im_group_drop(q, c, m);
        }
    }
}


/* A member sets its own ext, nothing else of its own. */

static int
im_group_may(const job_im_cmd_t *cmd, const job_im_member_t *me,
    const job_im_member_t *m)
{
    if (cmd->c->role[0] != '\0' && me->role != IM_OWNER) {
        return 0;
    }

    return me->role > m->role
           || (m == me && cmd->c->role[0] == '\0' && cmd->c->muted < 0);
}


static void
im_group_member(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd,
    const job_im_member_t *me)
{
    int               ext;
    job_im_member_t  *m, before;

    m = cmd->c->n_mids == 1 ? im_member(cmd->conv, cmd->c->mids[0]) : NULL;

    if (m == NULL) {
        im_refuse(cmd, -404, "no such member");
        return;
    }

    if (!im_group_may(cmd, me, m)) {
        im_refuse(cmd, -403, "only who has a higher role");
        return;
    }

    before = *m;

    if (cmd->c->role[0] != '\0') {
        m->role = strcmp(cmd->c->role, "admin") == 0 ? IM_ADMIN : IM_MEMBER;
    }

    if (cmd->c->muted >= 0) {
        m->muted = cmd->c->muted > 0 ? cmd->c->at + cmd->c->muted * 1000 : 0;
    }

    ext = cmd->c->ext[0] != '\0'
          && (m->ext == NULL || strcmp(m->ext, cmd->c->ext) != 0);

    if (ext) {
        free(m->ext);
        m->ext = im_copy(&(db_value_t) { DB_TEXT, 0, cmd->c->ext,
                                         strlen(cmd->c->ext) });
        ADD(q, "UPDATE member SET ext = $3 WHERE conv = $1 AND mid = $2",
            im_str(cmd->conv->id), db_int(m->mid), im_str(cmd->c->ext));
    }

    if (m->role != before.role || m->muted != before.muted) {
        im_group_role(q, cmd->conv, m);
        ext = 1;
    }

    if (ext) {
        im_write(q, b, cmd);
    }
}


/* 1: something of the group is another now */

static int
im_group_set(im_sql_t *q, job_im_conv_t *c, const Goim__ImCommand *cmd)
{
    int            mute, ext;
    job_im_rule_t  rule;

    rule = cmd->join[0] == '\0' ? c->rule
                                : im_rule(cmd->join, strlen(cmd->join));
    mute = cmd->mute_all < 0 ? (int) c->mute_all : cmd->mute_all != 0;
    ext = cmd->ext[0] != '\0' && strcmp(cmd->ext, c->ext) != 0;

    if (rule == c->rule && mute == (int) c->mute_all && !ext) {
        return 0;
    }

    ADD(q, "UPDATE conversation SET rule = $2, mute_all = $3 WHERE id = $1",
        im_str(c->id), im_str(im_rules[rule]), db_int(mute));

    c->rule = rule;
    c->mute_all = mute;

    if (ext) {
        ADD(q, "UPDATE conversation SET ext = $2 WHERE id = $1", im_str(c->id),
            im_str(cmd->ext));

        im_group_text(c, cmd->ext);
    }

    return 1;
}


static void
im_group_update(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd,
    job_im_member_t *me)
{
    int               changed;
    job_im_conv_t    *c;
    job_im_member_t  *m;

    c = cmd->conv;
    m = cmd->c->owner > 0 ? im_member(c, cmd->c->owner) : NULL;

    if (me->role < (cmd->c->owner > 0 ? IM_OWNER : IM_ADMIN)) {
        im_refuse(cmd, -403, "only who has a higher role");
        return;
    }

    if (cmd->c->owner > 0 && m == NULL) {
        im_refuse(cmd, -404, "no such member");
        return;
    }

    changed = im_group_set(q, c, cmd->c);

    if (m != NULL && m != me) {
        me->role = IM_ADMIN;
        m->role = IM_OWNER;
        im_group_role(q, c, me);
        im_group_role(q, c, m);
        changed = 1;
    }

    if (changed) {
        im_write(q, b, cmd);
    }
}


/* Its items stay, and its name is not given again. */

static void
im_group_dismiss(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd,
    const job_im_member_t *me)
{
    if (me->role != IM_OWNER) {
        im_refuse(cmd, -403, "only its owner");
        return;
    }

    im_write(q, b, cmd);

    ADD(q, "DELETE FROM asking WHERE conv = $1", im_str(cmd->conv->id));

    while (cmd->conv->nmembers > 0) {
        im_group_drop(q, cmd->conv,
                      &cmd->conv->members[cmd->conv->nmembers - 1]);
    }
}


void
im_group(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd)
{
    job_im_member_t  *me;

    if (cmd->c->do_ == GOIM__IM_COMMAND__DO__CREATE) {
        im_group_create(q, b, cmd);
        return;
    }

    if (cmd->conv->nmembers == 0) {
        im_refuse(cmd, -404, "no such group");
        return;
    }

    if (cmd->c->do_ == GOIM__IM_COMMAND__DO__JOIN) {
        im_group_join(q, b, cmd);
        return;
    }

    me = im_member(cmd->conv, cmd->c->mid);

    if (me == NULL) {
        im_refuse(cmd, -403, "not a member");
        return;
    }

    switch (cmd->c->do_) {

    case GOIM__IM_COMMAND__DO__ADD:
        im_group_add(q, b, cmd, me);
        break;

    case GOIM__IM_COMMAND__DO__REMOVE:
        im_group_remove(q, b, cmd, me);
        break;

    case GOIM__IM_COMMAND__DO__MEMBER:
        im_group_member(q, b, cmd, me);
        break;

    case GOIM__IM_COMMAND__DO__UPDATE:
        im_group_update(q, b, cmd, me);
        break;

    case GOIM__IM_COMMAND__DO__ANSWER:
        im_group_answer(q, b, cmd, me);
        break;

    default:
        im_group_dismiss(q, b, cmd, me);
    }
}
