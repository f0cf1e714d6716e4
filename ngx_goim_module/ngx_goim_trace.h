/*
 * Tracing: each step of the sessions of listed mids is a line in a file of
 * its own, "trace_log".  The list is the zone's; a session knows by a bit
 * whether its mid is in it.
 */

#ifndef _NGX_GOIM_TRACE_H_INCLUDED_
#define _NGX_GOIM_TRACE_H_INCLUDED_


#include "ngx_goim.h"
#include "ngx_goim_conf.h"
#include "ngx_goim_record.h"


/*
 * A step of a session: its name, then what belongs to it as name=value, in a
 * literal format.  Bytes from outside go through ngx_goim_trace_text(), and
 * between quotes.
 */
#define ngx_goim_trace(s, ...)                                               \
    do {                                                                     \
        if ((s)->traced) {                                                   \
            ngx_goim_trace_write((s)->id, (s)->mid, (s)->key.data,           \
                                 (s)->key.len, __VA_ARGS__);                 \
        }                                                                    \
    } while (0)


void ngx_goim_trace_init(void);

/* in the master: a configuration was taken; its list counts if it differs
   from the one before */
void ngx_goim_trace_configure(ngx_goim_conf_t *gcf);

/* take up a list that was changed, for the sessions there are */
void ngx_goim_trace_look(void);

/* the node's list: read it, make it another for all workers at once */
void ngx_goim_trace_get(ngx_goim_mids_t *mids);
void ngx_goim_trace_set(const ngx_goim_mids_t *mids);

/* Foreign bytes for a line: escaped as the access log does, cut after 256.
   Valid until the next call but one. */
ngx_str_t *ngx_goim_trace_text(const void *data, size_t len);

#define ngx_goim_trace_string(s)  ngx_goim_trace_text(s, ngx_strlen((s)))

ngx_uint_t ngx_goim_trace_has(int64_t mid);

/* a line; without a session, for what outlives it */
void ngx_goim_trace_write(uint64_t id, int64_t mid, const u_char *key,
    size_t len, const char *fmt, ...);

/* the room a session is in, as ngx_goim_trace_text() */
ngx_str_t *ngx_goim_trace_room(ngx_goim_session_t *s);

/* the step at which a trace begins, with all that is known of the session */
void ngx_goim_trace_state(ngx_goim_session_t *s, const char *step);

/*
 * A push that was queued (NGX_OK) or dropped, and one that the session's
 * operations leave out.  A line for each of the packets in data; rec is the
 * last one's record.
 */
#define ngx_goim_trace_push(s, rc, data, len, rec)                           \
    do {                                                                     \
        if ((s)->traced) {                                                   \
            ngx_goim_trace_packets(s, (rc) == NGX_OK ? "push" : "dropped",   \
                                   data, len, rec);                          \
        }                                                                    \
    } while (0)

#define ngx_goim_trace_filtered(s, rec)                                      \
    do {                                                                     \
        if ((s)->traced) {                                                   \
            ngx_goim_trace_record(s, "filtered", rec);                       \
        }                                                                    \
    } while (0)

void ngx_goim_trace_packets(ngx_goim_session_t *s, const char *step,
    const u_char *data, size_t len, const ngx_goim_record_t *rec);
void ngx_goim_trace_record(ngx_goim_session_t *s, const char *step,
    const ngx_goim_record_t *rec);


#endif /* _NGX_GOIM_TRACE_H_INCLUDED_ */
