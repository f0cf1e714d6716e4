/*
 * Messages between people: what logic and job agree on. docs/im.md has the
 * model; the tables are in im.c.
 */

#ifndef SVC_IM_H
#define SVC_IM_H

#include <stddef.h>
#include <stdint.h>

#include "common/goim_limits.h"

#include "db.h"


/* [im] of a configuration: 0, or -1 and why not. */
int im_check(const char *db, const char *topic, char *err, size_t size);
int im_topic_check(const char *key, const char *topic, char *err, size_t size);

/* 1 to `max` visible characters of ASCII */
int im_word(const char *text, size_t max);

/* The kind of a message: such a word, and none that the changes of groups and the
 * entries of inboxes have, lest a message pass for one. */
int im_kind_of_message(const char *kind);

/* "p<low>.<high>": at most GOIM_IM_CONV bytes and a zero byte. */
void im_pair(char *conv, int64_t one, int64_t other);

typedef enum { IM_NONE, IM_PAIR, IM_GROUP } im_type_t;

/*
 * What `conv` names: a pair "p<low>.<high>", whose mids are low and high, or a
 * group "g<mid>.<id>", of which low is who made it. IM_NONE: neither.
 */
im_type_t im_conv(const char *conv, int64_t *low, int64_t *high);

/* What follows "goim:reply:" in the key of the stream where a thread of logic
 * awaits answers. */
#define IM_REPLY  "goim:reply:"


typedef struct {
    const char  *conv;
    uint64_t     seq;           /* of the conversation's items */
    uint64_t     n;             /* of its messages */
    int64_t      mid;           /* who sent it */
    const char  *id;
    const char  *kind;
    int64_t      at;            /* Unix time, ms */
    const void  *body;
    size_t       len;
} im_item_t;

/* Its line of JSON, a newline, and the payload byte for byte: malloc()ed. NULL: what a
 * database has there is no text. */
char *im_item(const im_item_t *item, size_t *len);

/*
 * What a backend pushes to users and has stored is an item of nobody's, of this
 * kind. Each is a conversation of its own, "s.<id>", that has no members: its
 * name is none that a command or a client may use.
 */
#define IM_PUSHED      "push"

/* Such an item, in an inbox: of item, id, at and the payload. */
char *im_pushed(const im_item_t *item, int32_t operation, size_t *len);


/* In Redis, which database job writes, and up to where: a hash, its fields are
 * partitions and: */
#define IM_PLACES    "goim:im:places"
#define IM_INSTANCE  "db"

/* Entries of an inbox that are no items, by their key: a member's cursor in a
 * conversation, and its settings. A newer one takes an older one's place. */
#define IM_KEY_READ  "read"
#define IM_KEY_CONV  "conv"

/* ... and that of stored pushes, which are items, but found by it. */
#define IM_KEY_PUSH  "push"

/* The entry's line and a newline, from columns read, read_n, notify and own of
 * its member: malloc()ed. NULL: as above. */
char *im_state(const char *conv, const char *key, const db_value_t *member);


/* Make the tables, or bring them up to this version. DB_REFUSED, DB_TABLES: they
 * are of a newer one, or not to be made. */
void im_schema(db_t *db, void (*done)(db_status_t status, const char *err,
    void *data), void *data);

#endif
