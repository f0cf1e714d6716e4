/*
 * Counters, gauges and histograms.
 */

#include "metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define METRICS_MAX  512

#define METRICS_BUCKETS  13         /* of a histogram, and one for the rest */


struct metric_s {
    size_t           n;
    int64_t          value;         /* as it was set */
    const char      *type;
    char            *name;
    char            *labels;
    char            *help;
    struct metric_s *next;
};

/*
 * What a thread has added to each: only it writes there, so that threads do
 * not fetch lines of one another. Stays when the thread ends.
 */
typedef struct metrics_thread_s  metrics_thread_t;

struct metrics_thread_s {
    int64_t            added[METRICS_MAX];
    metrics_thread_t  *next;
};


/* ms, and as seconds */
static const struct {
    int64_t      ms;
    const char  *le;
} metrics_bucket[METRICS_BUCKETS] = {
    { 1, "0.001" }, { 2, "0.002" }, { 5, "0.005" }, { 10, "0.01" },
    { 20, "0.02" }, { 50, "0.05" }, { 100, "0.1" }, { 200, "0.2" },
    { 500, "0.5" }, { 1000, "1" }, { 2000, "2" }, { 5000, "5" },
    { 15000, "15" }
};

static metric_t          *metrics_head;
static size_t             metrics_n;
static pthread_mutex_t    metrics_lock = PTHREAD_MUTEX_INITIALIZER;

static metrics_thread_t           *metrics_threads;
static __thread metrics_thread_t  *metrics_mine;


static char *
metrics_dup(const char *text)
{
    char  *copy;

    copy = strdup(text != NULL ? text : "");
    if (copy == NULL) {
        abort();
    }

    return copy;
}


/*
 * The same name and labels give the same metric: several connections or
 * threads count together. Kept in order of name, then of creation.
 */
static metric_t *
metrics_make(const char *type, size_t n, const char *name, const char *labels,
    const char *help)
{
    int         rc;
    metric_t   *m, **place;

    pthread_mutex_lock(&metrics_lock);

    for (place = &metrics_head; *place != NULL; place = &(*place)->next) {
        rc = strcmp((*place)->name, name);

        if (rc > 0) {
            break;
        }

        if (rc == 0
            && strcmp((*place)->labels, labels != NULL ? labels : "") == 0)
        {
            m = *place;
            pthread_mutex_unlock(&metrics_lock);
            return m;
        }
    }

    m = calloc(1, sizeof(metric_t));
    if (m == NULL || METRICS_MAX - metrics_n < n) {
        abort();
    }

    m->n = metrics_n;
    metrics_n += n;
    m->type = type;
    m->name = metrics_dup(name);
    m->labels = metrics_dup(labels);
    m->help = metrics_dup(help);
    m->next = *place;
    *place = m;

    pthread_mutex_unlock(&metrics_lock);

    return m;
}


metric_t *
metrics_counter(const char *name, const char *labels, const char *help)
{
    return metrics_make("counter", 1, name, labels, help);
}


metric_t *
metrics_gauge(const char *name, const char *labels, const char *help)
{
    return metrics_make("gauge", 1, name, labels, help);
}


/* The buckets, the rest, and the sum in ms. */

metric_t *
metrics_histogram(const char *name, const char *labels, const char *help)
{
    return metrics_make("histogram", METRICS_BUCKETS + 2, name, labels, help);
}


static metrics_thread_t *
metrics_thread(void)
{
    metrics_thread_t  *t;

    t = aligned_alloc(64, (sizeof(metrics_thread_t) + 63) / 64 * 64);
    if (t == NULL) {
        abort();
    }

    memset(t, 0, sizeof(metrics_thread_t));
    metrics_mine = t;

    pthread_mutex_lock(&metrics_lock);
    t->next = metrics_threads;
    __atomic_store_n(&metrics_threads, t, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&metrics_lock);

    return t;
}


static void
metrics_count(size_t i, int64_t n)
{
    int64_t           *added;
    metrics_thread_t  *t;

    t = metrics_mine != NULL ? metrics_mine : metrics_thread();
    added = &t->added[i];

    __atomic_store_n(added, *added + n, __ATOMIC_RELAXED);
}


void
metrics_add(metric_t *m, int64_t n)
{
    metrics_count(m->n, n);
}


void
metrics_observe(metric_t *m, int64_t ms)
{
    size_t  i;

    ms = ms < 0 ? 0 : ms;

    for (i = 0; i < METRICS_BUCKETS && ms > metrics_bucket[i].ms; i++) {
        /* void */
    }

    metrics_count(m->n + i, 1);
    metrics_count(m->n + METRICS_BUCKETS + 1, ms);
}


void
metrics_set(metric_t *m, int64_t n)
{
    __atomic_store_n(&m->value, n, __ATOMIC_RELAXED);
}


static int64_t
metrics_sum(size_t i)
{
    int64_t            n;
    metrics_thread_t  *t;

    n = 0;
    t = __atomic_load_n(&metrics_threads, __ATOMIC_ACQUIRE);

    for ( /* void */ ; t != NULL; t = t->next) {
        n += __atomic_load_n(&t->added[i], __ATOMIC_RELAXED);
    }

    return n;
}


int64_t
metrics_get(metric_t *m)
{
    return __atomic_load_n(&m->value, __ATOMIC_RELAXED) + metrics_sum(m->n);
}


static void
metrics_text_histogram(FILE *out, metric_t *m)
{
    size_t       i;
    int64_t      n, ms;
    const char  *comma;

    n = 0;
    comma = m->labels[0] != '\0' ? "," : "";

    for (i = 0; i < METRICS_BUCKETS; i++) {
        n += metrics_sum(m->n + i);
        fprintf(out, "%s_bucket{%s%sle=\"%s\"} %" PRId64 "\n", m->name,
                m->labels, comma, metrics_bucket[i].le, n);
    }

    n += metrics_sum(m->n + i);
    ms = metrics_sum(m->n + METRICS_BUCKETS + 1);

    fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRId64 "\n", m->name,
            m->labels, comma, n);
    fprintf(out, "%s_sum{%s} %" PRId64 ".%03d\n", m->name, m->labels,
            ms / 1000, (int) (ms % 1000));
    fprintf(out, "%s_count{%s} %" PRId64 "\n", m->name, m->labels, n);
}


char *
metrics_text(size_t *len)
{
    char        *text;
    FILE        *out;
    metric_t    *m;
    const char  *last;

    text = NULL;
    last = "";

    out = open_memstream(&text, len);
    if (out == NULL) {
        return NULL;
    }

    pthread_mutex_lock(&metrics_lock);

    for (m = metrics_head; m != NULL; m = m->next) {

        if (strcmp(m->name, last) != 0) {
            fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help,
                    m->name, m->type);
            last = m->name;
        }

        if (strcmp(m->type, "histogram") == 0) {
            metrics_text_histogram(out, m);
            continue;
        }

        fprintf(out, m->labels[0] != '\0' ? "%s{%s} %" PRId64 "\n"
                                          : "%s%s %" PRId64 "\n",
                m->name, m->labels, metrics_get(m));
    }

    pthread_mutex_unlock(&metrics_lock);

    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }

    return text;
}
