/*
 * Commands that change a group. Each change is an item of the conversation, with
 * who did what as its payload; a command that changes nothing writes none, and is
 * answered as one that did.
 */

#include "im_group.h"

#include <stdlib.h>
#include <string.h>


/* ---- members ---- */

static void
im_group_put(im_sql_t *q, job_im_conv_t *c, int64_t mid, job_im_role_t role)
{
    static const char  put[] =
        "INSERT INTO member (conv, mid, read, read_n, role, muted) "
        "VALUES ($1, $2, $3, $4, $5, 0)";

    c->members = job_realloc(c->members,
                             (c->nmembers + 1) * sizeof(job_im_member_t));
    c->members[c->nmembers++] = (job_im_member_t) { mid, c->n, role, 0 };

    qsort(c->members, c->nmembers, sizeof(job_im_member_t), im_mid_cmp);

    ADD(q, put, im_str(c->id), db_int(mid), db_int((int64_t) c->seq),
        db_int((int64_t) c->n), db_int(role));
}


static void
im_group_drop(im_sql_t *q, job_im_conv_t *c, job_im_member_t *m)
{
    size_t  at;

    ADD(q, "DELETE FROM member WHERE conv = $1 AND mid = $2", im_str(c->id),
        db_int(m->mid));

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

/* One that is there is the same group, and stays as it is. */

static void
im_group_create(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd)
{
    size_t          i;
    job_im_conv_t  *c;

    c = cmd->conv;

    if (c->nmembers > 0) {
        return;
    }

    if (c->seq > 0) {
        im_refuse(cmd, -404, "the group was dismissed");
        return;
    }

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

    if (me->role == IM_MEMBER && !c->open) {
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
            im_group_put(q, c, cmd->c->mids[i], IM_MEMBER);
        }
    }

    if (n > 0) {
        im_write(q, b, cmd);
    }
}


static void
im_group_join(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd)
{
    job_im_conv_t  *c;

    c = cmd->conv;

    if (im_member(c, cmd->c->mid) != NULL) {
        return;
    }

    if (!c->open) {
        im_refuse(cmd, -403, "the group is closed");

    } else if (c->nmembers >= GOIM_IM_MEMBERS) {
        im_refuse(cmd, -409, "a group of over 500 members");

    } else {
        im_group_put(q, c, cmd->c->mid, IM_MEMBER);
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


static void
im_group_member(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd,
    const job_im_member_t *me)
{
    job_im_role_t     role;
    job_im_member_t  *m, before;

    m = cmd->c->n_mids == 1 ? im_member(cmd->conv, cmd->c->mids[0]) : NULL;

    if (m == NULL) {
        im_refuse(cmd, -404, "no such member");
        return;
    }

    if (me->role <= m->role
        || (cmd->c->role[0] != '\0' && me->role != IM_OWNER))
    {
        im_refuse(cmd, -403, "only who has a higher role");
        return;
    }

    before = *m;

    if (cmd->c->role[0] != '\0') {
        role = strcmp(cmd->c->role, "admin") == 0 ? IM_ADMIN : IM_MEMBER;
        m->role = role;
    }

    if (cmd->c->muted >= 0) {
        m->muted = cmd->c->muted > 0 ? cmd->c->at + cmd->c->muted * 1000 : 0;
    }

    if (m->role != before.role || m->muted != before.muted) {
        im_group_role(q, cmd->conv, m);
        im_write(q, b, cmd);
    }
}


static void
im_group_update(im_sql_t *q, job_im_batch_t *b, job_im_cmd_t *cmd,
    job_im_member_t *me)
{
    int               open, mute;
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

    open = cmd->c->join[0] == '\0' ? (int) c->open
                                   : strcmp(cmd->c->join, "open") == 0;
    mute = cmd->c->mute_all < 0 ? (int) c->mute_all : cmd->c->mute_all != 0;

    if (open == (int) c->open && mute == (int) c->mute_all
        && (m == NULL || m == me))
    {
        return;
    }

    c->open = open;
    c->mute_all = mute;

    ADD(q, "UPDATE conversation SET rule = $2, mute_all = $3 WHERE id = $1",
        im_str(c->id), im_str(open ? "open" : "closed"), db_int(mute));

    if (m != NULL && m != me) {
        me->role = IM_ADMIN;
        m->role = IM_OWNER;
        im_group_role(q, c, me);
        im_group_role(q, c, m);
    }

    im_write(q, b, cmd);
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

    default:
        im_group_dismiss(q, b, cmd, me);
    }
}
