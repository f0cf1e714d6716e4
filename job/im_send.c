/*
 * Items that are stored are brought to the sessions of all members: their keys
 * are looked up after the commit, and a session whose key was not there yet reads
 * its inbox after it is, so none falls between. Numbers drop what comes twice.
 */

#include "im_send.h"
#include "im_offline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/goim_packet.h"
#include "svc/clock.h"
#include "svc/log.h"
#include "svc/stream.h"


/* what goes to a node, as Deliveries one behind the other */
typedef struct {
    size_t    server;               /* of the list */
    uint8_t  *data;
    size_t    len, size;
} im_node_t;

/* An entry for those keys of its mid, which one node has. */
typedef struct {
    size_t                 server;
    const job_im_entry_t  *entry;
    size_t                 keys;    /* of the list, the first of them, */
    size_t                 nkeys;   /* and how many */
    int                    pushed;  /* not as an item, but as it was pushed */
} im_go_t;

/* bytes of the names */
typedef struct {
    size_t    at, len;
} im_name_t;

/* The keys of one mid, and the entries for it. */
typedef struct {
    job_im_send_t  *send;
    size_t          first, n;       /* of the batch's entries, by mid */
} im_who_t;

struct job_im_send_s {
    job_im_t      *im;
    char          *text;            /* the item that was made last, */
    size_t         len;
    job_im_cmd_t  *of;              /* of this command */
    im_who_t      *who;
    size_t         nwho;
    char          *names;           /* of keys, */
    size_t         nnames, size_names;
    im_name_t     *keys;
    size_t         nkeys, size_keys;
    char         **servers;         /* and of nodes */
    size_t         nservers;
    im_go_t       *go;              /* what goes to whom */
    size_t         ngo, size_go;
    im_node_t     *nodes;
    size_t         nnodes;
    job_im_offline_t  *offline;     /* NULL: nobody is told */
    size_t         calls;           /* to Redis, under way */
    unsigned       failed:1;        /* one of them */
    unsigned       looking:1;
};


static void im_send_look(job_im_send_t *s);
static void im_send_append(job_im_send_t *s);


/* ---- records ---- */

/* What changes a group has no id of a client's: where its answer goes tells it from
   others, in each place of the bus where it may stand. A blank is before it, which
   no id of a client's has. */

const char *
im_cid(job_im_cmd_t *cmd)
{
    switch (cmd->c->do_) {

    case GOIM__IM_COMMAND__DO__SEND:
    case GOIM__IM_COMMAND__DO__PUSH:
        return cmd->c->id;

    case GOIM__IM_COMMAND__DO__CREATE:
        return " create";

    default:
        snprintf(cmd->id, sizeof(cmd->id), " %s.%" PRIu64, cmd->c->logic,
                 cmd->c->request);
        return cmd->id;
    }
}


const char *
im_kind(const job_im_cmd_t *cmd)
{
    static const char *const  kinds[] = {
        NULL, NULL, "create", "add", "remove", "join", "member", "update",
        "dismiss", NULL, "answer", NULL, IM_PUSHED
    };

    if (cmd->asks) {
        return "ask";
    }

    return cmd->c->do_ == GOIM__IM_COMMAND__DO__SEND ? cmd->c->kind
                                                     : kinds[cmd->c->do_];
}


static void
im_send_text(job_im_send_t *s, job_im_cmd_t *cmd)
{
    im_item_t  item;

    if (s->of == cmd) {
        return;
    }

    free(s->text);
    s->of = cmd;

    if (cmd->own != NULL) {
        s->text = strdup(cmd->own);

        if (s->text == NULL) {
            abort();
        }

        s->len = strlen(s->text);
        return;
    }

    item.conv = cmd->c->conv;
    item.seq = cmd->seq;
    item.n = cmd->n;
    item.mid = cmd->c->mid;
    item.id = im_cid(cmd);
    item.kind = im_kind(cmd);
    item.at = cmd->at;
    item.body = cmd->c->body.data;
    item.len = cmd->c->body.len;

    s->text = cmd->c->do_ == GOIM__IM_COMMAND__DO__PUSH
              ? im_pushed(&item, cmd->c->operation, &s->len)
              : im_item(&item, &s->len);

    if (s->text == NULL) {
        abort();                    /* names were looked at */
    }
}


/* ---- whose keys are where ---- */

/* a key and its node, and again */

static int
im_send_valid(const redisReply *key, const redisReply *server)
{
    return key->type == REDIS_REPLY_STRING
           && server->type == REDIS_REPLY_STRING && key->len > 0
           && key->len <= GOIM_KEY_MAX && server->len > 0
           && server->len <= GOIM_SERVER_MAX;
}


static int
im_server_cmp(const void *a, const void *b)
{
    int                      rc;
    const redisReply *const  *x = a, *const  *y = b;

    rc = strcmp(x[1]->str, y[1]->str);

    return rc != 0 ? rc : strcmp(x[0]->str, y[0]->str);
}


static size_t
im_send_server(job_im_send_t *s, const char *server)
{
    size_t  i;

    for (i = 0; i < s->nservers; i++) {
        if (strcmp(s->servers[i], server) == 0) {
            return i;
        }
    }

    s->servers = job_realloc(s->servers, (i + 1) * sizeof(char *));
    s->servers[i] = job_realloc(NULL, strlen(server) + 1);
    strcpy(s->servers[i], server);
    s->nservers++;

    return i;
}


/* It goes to `size` in steps that grow. */

static void *
im_send_grow(void *list, size_t n, size_t *size, size_t each)
{
    if (n <= *size) {
        return list;
    }

    *size = 2 * n + 64;

    return job_realloc(list, *size * each);
}


static void
im_send_key(job_im_send_t *s, const redisReply *key)
{
    s->names = im_send_grow(s->names, s->nnames + key->len, &s->size_names, 1);
    s->keys = im_send_grow(s->keys, s->nkeys + 1, &s->size_keys,
                           sizeof(im_name_t));

    memcpy(s->names + s->nnames, key->str, key->len);
    s->keys[s->nkeys++] = (im_name_t) { s->nnames, key->len };
    s->nnames += key->len;
}


/* What is pushed and stored goes as an item to who follows the inbox, and as it is
   to all others. */

static void
im_send_go(job_im_send_t *s, const im_go_t *go)
{
    int  i;

    for (i = 0; i < (go->entry->push > 0 ? 2 : 1); i++) {
        s->go = im_send_grow(s->go, s->ngo + 1, &s->size_go, sizeof(im_go_t));
        s->go[s->ngo] = *go;
        s->go[s->ngo++].pushed = i;
    }
}


/* Keys that one node has go in one record, up to a number. */

static void
im_send_keys(im_who_t *who, redisReply *reply)
{
    size_t          i, n, e, at;
    im_go_t         go;
    redisReply    **pair;
    job_im_send_t  *s;

    s = who->send;
    pair = reply->element;

    for (i = 0, n = 0; i + 1 < reply->elements; i += 2) {
        if (im_send_valid(pair[i], pair[i + 1])) {
            redisReply  *key = pair[i], *server = pair[i + 1];

            pair[i] = pair[n];
            pair[i + 1] = pair[n + 1];
            pair[n++] = key;
            pair[n++] = server;
        }
    }

    if (n > 0) {
        qsort(pair, n / 2, 2 * sizeof(redisReply *), im_server_cmp);
    }

    for (i = 0; i < n; i = at) {
        go.server = im_send_server(s, pair[i + 1]->str);
        go.keys = s->nkeys;

        for (at = i; at < n && s->nkeys - go.keys < JOB_IM_KEYS
             && strcmp(pair[at + 1]->str, pair[i + 1]->str) == 0; at += 2)
        {
            im_send_key(s, pair[at]);
        }

        go.nkeys = s->nkeys - go.keys;

        for (e = who->first; e < who->first + who->n; e++) {
            go.entry = &s->im->batch.entries[e];
            im_send_go(s, &go);
        }
    }
}


/* All of it is tried again. */

static void
im_send_failed(job_im_send_t *s, const redisReply *reply)
{
    static log_once_t  once;

    log_text_t  t;

    s->failed = 1;

    log_seldom(&once, LOG_WARN, "im: what is stored is not brought: %s; trying "
               "again", reply != NULL && reply->type == REDIS_REPLY_ERROR
                        ? log_text(&t, reply->str) : "Redis does not answer");
}


/* Who has sent it knows it, and what changes a group is no message. */

static void
im_send_away(im_who_t *who, const redisReply *keys)
{
    size_t           i;
    job_im_cmd_t    *cmd;
    job_im_send_t   *s;
    job_im_entry_t  *entry;

    s = who->send;

    if (s->offline == NULL || !im_offline_away(s->offline, keys)) {
        return;
    }

    for (i = who->first; i < who->first + who->n; i++) {
        entry = &s->im->batch.entries[i];
        cmd = entry->cmd;

        if (cmd->c->do_ == GOIM__IM_COMMAND__DO__SEND
            && cmd->c->mid != entry->mid)
        {
            im_offline_add(s->offline, entry->mid, cmd->c->conv, cmd->seq);
        }
    }
}


static void
im_send_called(job_im_send_t *s)
{
    if (--s->calls > 0) {
        return;
    }

    if (s->failed) {
        s->im->again(s->im);

    } else if (s->looking) {
        s->looking = 0;
        im_send_append(s);

    } else {
        s->im->sent(s->im);
    }
}


static void
im_send_found(svc_redis_t *r, redisReply *reply, void *data)
{
    im_who_t  *who = data;

    (void) r;

    switch (svc_redis_class(reply)) {

    case SVC_REDIS_OK:
        if (reply->type == REDIS_REPLY_ARRAY) {
            im_send_away(who, reply);
            im_send_keys(who, reply);
        }

        break;

    case SVC_REDIS_TYPE:
        break;                      /* the next login puts it right */

    default:
        im_send_failed(who->send, reply);
    }

    im_send_called(who->send);
}


static int
im_entry_cmp(const void *a, const void *b)
{
    const job_im_entry_t  *x = a, *y = b;

    if (x->mid != y->mid) {
        return x->mid < y->mid ? -1 : 1;
    }

    return x->seq < y->seq ? -1 : x->seq > y->seq;
}


static void
im_send_look(job_im_send_t *s)
{
    size_t           i;
    svc_redis_t     *redis;
    job_im_batch_t  *b;

    b = &s->im->batch;
    redis = s->im->job->redis;
    s->looking = 1;
    s->calls = 1;

    for (i = 0; i < s->nwho; i++) {
        if (svc_redis_callf(redis, im_send_found, &s->who[i],
                            "HGETALL %smid_%" PRId64, svc_redis_prefix(redis),
                            b->entries[s->who[i].first].mid)
            == 0)
        {
            s->calls++;
        } else {
            s->failed = 1;
        }
    }

    im_send_called(s);
}


/* ---- to the nodes ---- */

static void
im_send_appended(svc_redis_t *r, redisReply *reply, void *data)
{
    job_im_send_t  *s = data;

    (void) r;

    if (svc_redis_class(reply) != SVC_REDIS_OK) {
        im_send_failed(s, reply);
    }

    im_send_called(s);
}


static void
im_send_noted(svc_redis_t *r, redisReply *reply, void *data)
{
    job_im_send_t  *s = data;

    (void) r;

    if (im_offline_noted(s->offline, reply) != 0) {
        im_send_failed(s, reply);
    }

    im_send_called(s);
}


static void
im_send_note(job_im_send_t *s)
{
    switch (im_offline_note(s->offline, im_send_noted, s)) {

    case 1:
        s->calls++;
        break;

    case -1:
        im_send_failed(s, NULL);
    }
}


/* By node, then in the order of commands: what they have made is written once. */

static int
im_go_cmp(const void *a, const void *b)
{
    const im_go_t  *x = a, *y = b;

    if (x->server != y->server) {
        return x->server < y->server ? -1 : 1;
    }

    if (x->entry->cmd != y->entry->cmd) {
        return x->entry->cmd->turn < y->entry->cmd->turn ? -1 : 1;
    }

    if (x->pushed != y->pushed) {
        return x->pushed - y->pushed;
    }

    return x->keys < y->keys ? -1 : x->keys > y->keys;
}


static im_node_t *
im_send_node(job_im_send_t *s, size_t server)
{
    im_node_t  *node;

    node = s->nnodes > 0 ? &s->nodes[s->nnodes - 1] : NULL;

    if (node != NULL && node->server == server && node->len < JOB_BATCH) {
        return node;
    }

    s->nodes = job_realloc(s->nodes, (s->nnodes + 1) * sizeof(im_node_t));
    node = &s->nodes[s->nnodes++];
    memset(node, 0, sizeof(im_node_t));
    node->server = server;

    return node;
}


static void
im_send_put(im_node_t *node, Goim__Record *record)
{
    size_t          size;
    Goim__Record   *records[1];
    Goim__Delivery  delivery = GOIM__DELIVERY__INIT;

    records[0] = record;
    delivery.records = records;
    delivery.n_records = 1;

    size = goim__delivery__get_packed_size(&delivery);

    if (node->len + size > node->size) {
        node->size = 2 * node->size + size;
        node->data = job_realloc(node->data, node->size);
    }

    node->len += goim__delivery__pack(&delivery, node->data + node->len);
}


static void
im_send_record(job_im_send_t *s, const im_go_t *go)
{
    size_t                 i;
    im_node_t             *node;
    const job_im_entry_t  *entry;
    Goim__Record           record = GOIM__RECORD__INIT;
    ProtobufCBinaryData    keys[JOB_IM_KEYS];

    node = im_send_node(s, go->server);
    entry = go->entry;

    for (i = 0; i < go->nkeys; i++) {
        keys[i].data = (uint8_t *) s->names + s->keys[go->keys + i].at;
        keys[i].len = s->keys[go->keys + i].len;
    }

    record.kind = GOIM__RECORD__KIND__KEYS;
    record.keys = keys;
    record.n_keys = go->nkeys;
    record.timeline = s->im->batch.epoch;
    record.operation = go->pushed ? entry->cmd->c->operation : GOIM_OP_ITEM;
    record.mid = go->pushed ? -entry->mid : entry->mid;
    record.seq = go->pushed ? entry->push : entry->seq;
    record.gap = go->pushed ? 0 : entry->gap;
    record.followers = entry->push > 0 && !go->pushed;
    record.same_body = go > s->go && node->len > 0
                       && go[-1].entry->cmd == entry->cmd
                       && go[-1].pushed == go->pushed;

    if (record.same_body) {
        /* void */

    } else if (go->pushed) {
        record.body = entry->cmd->c->body;

    } else {
        im_send_text(s, entry->cmd);
        record.body.data = (uint8_t *) s->text;
        record.body.len = s->len;
    }

    im_send_put(node, &record);
}


static void
im_send_append(job_im_send_t *s)
{
    size_t      i;
    job_t      *job;
    im_node_t  *node;

    if (s->ngo > 0) {
        qsort(s->go, s->ngo, sizeof(im_go_t), im_go_cmp);
    }

    for (i = 0; i < s->ngo; i++) {
        im_send_record(s, &s->go[i]);
    }

    job = s->im->job;
    s->calls = 1;

    for (i = 0; i < s->nnodes; i++) {
        node = &s->nodes[i];

        if (svc_stream_append(job->redis, s->servers[node->server],
                              (size_t) job->conf->stream_maxlen, node->data,
                              node->len, im_send_appended, s)
            == 0)
        {
            s->calls++;
        } else {
            s->failed = 1;
        }
    }

    if (s->offline != NULL) {
        im_send_note(s);
    }

    im_send_called(s);
}


/* ---- a batch ---- */

void
job_im_send_free(job_im_t *im)
{
    size_t          i;
    job_im_send_t  *s;

    s = im->send;

    if (s == NULL) {
        return;
    }

    for (i = 0; i < s->nnodes; i++) {
        free(s->nodes[i].data);
    }

    for (i = 0; i < s->nservers; i++) {
        free(s->servers[i]);
    }

    im_offline_free(s->offline);
    free(s->nodes);
    free(s->servers);
    free(s->names);
    free(s->keys);
    free(s->go);
    free(s->who);
    free(s->text);
    free(s);

    im->send = NULL;
}


/* From the beginning, when a call has failed: keys may have moved. */

void
job_im_send(job_im_t *im)
{
    size_t           i;
    im_who_t        *who;
    job_im_send_t   *s;
    job_im_batch_t  *b;

    job_im_send_free(im);

    b = &im->batch;
    s = job_realloc(NULL, sizeof(job_im_send_t));
    memset(s, 0, sizeof(job_im_send_t));
    s->im = im;
    s->offline = im_offline_new(im->job, b->epoch);
    s->who = job_realloc(NULL, (b->nentries + 1) * sizeof(im_who_t));
    im->send = s;

    for (i = 0; i < b->ncmds; i++) {
        b->cmds[i]->turn = i;
    }

    if (b->nentries > 0) {
        qsort(b->entries, b->nentries, sizeof(job_im_entry_t), im_entry_cmp);
    }

    for (i = 0; i < b->nentries; i++) {
        who = &s->who[s->nwho];

        if (i > 0 && b->entries[i].mid == b->entries[i - 1].mid) {
            who[-1].n++;
            continue;
        }

        *who = (im_who_t) { s, i, 1 };
        s->nwho++;
    }

    im_send_look(s);
}
