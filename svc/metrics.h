/*
 * Counters, gauges and histograms, and their Prometheus text. Made at start, before the
 * threads; changed from any thread, each of which counts for itself.
 */

#ifndef SVC_METRICS_H
#define SVC_METRICS_H

#include <stddef.h>
#include <stdint.h>

typedef struct metric_s  metric_t;

/*
 * `labels` is NULL or the text between the braces: reason="timeout".
 * Metrics of one name stand together; the first one's help is the name's.
 */
metric_t *metrics_counter(const char *name, const char *labels,
    const char *help);
metric_t *metrics_gauge(const char *name, const char *labels,
    const char *help);

/* A gauge is either added to or set. */
void metrics_add(metric_t *m, int64_t n);
void metrics_set(metric_t *m, int64_t n);
int64_t metrics_get(metric_t *m);

/* Of times, in seconds; a value observed is given in ms, less than 0 is 0. */
metric_t *metrics_histogram(const char *name, const char *labels,
    const char *help);
void metrics_observe(metric_t *m, int64_t ms);

/* Prometheus text format 0.0.4; malloc()ed, *len without the final NUL. */
char *metrics_text(size_t *len);

#endif
