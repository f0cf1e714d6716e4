/*
 * What the bus has may be anything: a command is one whose parts are what they may
 * be, by the bounds that logic has, too.
 */

#include "im_valid.h"
#include "im_push.h"

#include <string.h>

#define IM_AT_MAX  (INT64_MAX / 2)      /* ms, and time that one is muted */


int
im_valid(const Goim__ImCommand *c)
{
    size_t     i;
    int64_t    low, high;
    im_type_t  type;

    type = im_conv(c->conv, &low, &high);

    for (i = 0; i < c->n_mids; i++) {
        if (c->mids[i] <= 0) {
            return 0;
        }
    }

    if (c->at < 0 || c->at > IM_AT_MAX || strlen(c->conv) > GOIM_IM_CONV
        || strlen(c->logic) > GOIM_IM_LOGIC || c->body.len > GOIM_IM_BODY)
    {
        return 0;
    }

    if (c->do_ == GOIM__IM_COMMAND__DO__PUSH) {
        return im_push_valid(c);
    }

    if (c->mid <= 0
        || (type == IM_NONE) != (c->do_ == GOIM__IM_COMMAND__DO__DEVICE)
        || c->n_mids > GOIM_IM_MEMBERS || strlen(c->ext) > GOIM_IM_EXT
        || strlen(c->text) > GOIM_IM_TEXT)
    {
        return 0;
    }

    switch ((int) c->do_) {

    case GOIM__IM_COMMAND__DO__SEND:
        return im_word(c->id, GOIM_IM_ID) && im_kind_of_message(c->kind);

    case GOIM__IM_COMMAND__DO__READ:
        return c->seq <= GOIM_SEQ_MAX;

    case GOIM__IM_COMMAND__DO__SETTINGS:
        return c->notify <= 2;

    case GOIM__IM_COMMAND__DO__DEVICE:
        return c->conv[0] == '\0' && c->key[0] != '\0'
               && strlen(c->key) <= GOIM_KEY_MAX
               && strlen(c->platform) <= GOIM_IM_PLATFORM
               && strlen(c->push_token) <= GOIM_IM_PUSH
               && c->seq <= GOIM_SEQ_MAX;

    case GOIM__IM_COMMAND__DO__CREATE:
        return type == IM_GROUP && low == c->mid;

    case GOIM__IM_COMMAND__DO__ANSWER:
        return type == IM_GROUP && c->n_mids == 1;

    case GOIM__IM_COMMAND__DO__ADD:
    case GOIM__IM_COMMAND__DO__REMOVE:
    case GOIM__IM_COMMAND__DO__JOIN:
    case GOIM__IM_COMMAND__DO__MEMBER:
    case GOIM__IM_COMMAND__DO__UPDATE:
    case GOIM__IM_COMMAND__DO__DISMISS:
        return type == IM_GROUP && c->muted <= GOIM_IM_MUTED;

    default:
        return 0;
    }
}
