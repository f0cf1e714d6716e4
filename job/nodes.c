/*
 * The set of nodes: those of the registry, live and lapsed.
 */

#include "nodes.h"

#include <stdlib.h>
#include <string.h>

#include "node.h"

#include "svc/log.h"


static void job_nodes_add(job_t *job, const char *server, int lapsed);
static size_t job_nodes_place(job_t *job, const char *server, int *found);


void
job_nodes_sync(job_t *job)
{
    size_t                  i, n, j;
    log_text_t              t;
    job_node_t             *node;
    const char *const      *lapsed;
    const registry_node_t  *nodes;

    if (job->made == registry_made(job->registry)) {
        return;
    }

    job->made = registry_made(job->registry);
    job->pass++;

    n = registry_nodes(job->registry, &nodes);

    job->nlive = n;

    for (i = 0; i < n; i++) {
        job_nodes_add(job, nodes[i].server, 0);
    }

    n = registry_lapsed(job->registry, &lapsed);

    for (i = 0; i < n; i++) {
        job_nodes_add(job, lapsed[i], 1);
    }

    for (i = 0, j = 0; i < job->nnodes; i++) {
        node = job->nodes[i];

        if (node->pass == job->pass) {
            job->nodes[j++] = node;
            continue;
        }

        log_write(LOG_NOTICE, "node \"%s\": gone from the registry, %zu "
                  "records for it dropped", log_text(&t, node->server),
                  node->count);

        metrics_add(job->m.dropped, (int64_t) node->count);
        job_node_drop(node);

        if (node->inflight) {
            node->gone = 1;

        } else {
            job_node_free(node);
        }
    }

    job->nnodes = j;
    metrics_set(job->m.nodes, (int64_t) job->nlive);
    metrics_set(job->m.nodes_lapsed, (int64_t) (j - job->nlive));
    metrics_set(job->m.nodes_silent,
                (int64_t) registry_silent(job->registry));
}


/* The registry knows this one. */

static void
job_nodes_add(job_t *job, const char *server, int lapsed)
{
    int          found;
    size_t       i;
    log_text_t   t;
    job_node_t  *node;

    i = job_nodes_place(job, server, &found);

    if (!found) {
        if (job->nnodes == job->size_nodes) {
            job->size_nodes = job->size_nodes ? 2 * job->size_nodes : 16;
            job->nodes = job_realloc(job->nodes, job->size_nodes
                                                 * sizeof(job_node_t *));
        }

        memmove(job->nodes + i + 1, job->nodes + i,
                (job->nnodes - i) * sizeof(job_node_t *));

        job->nodes[i] = job_node_new(job, server);
        job->nodes[i]->lapsed = (unsigned) lapsed;
        job->nnodes++;

        if (!lapsed) {
            log_write(LOG_NOTICE, "node \"%s\": taken into the fan-out",
                      log_text(&t, server));
        }
    }

    node = job->nodes[i];
    node->pass = job->pass;
    node->rooms = registry_rooms(job->registry, server);

    if (node->lapsed != (unsigned) lapsed) {
        node->lapsed = (unsigned) lapsed;

        log_write(LOG_NOTICE, lapsed ? "node \"%s\": not renewed in time, "
                  "what it misses is counted for it"
                  : "node \"%s\": renewed again, taken into the fan-out",
                  log_text(&t, server));
    }
}


job_node_t *
job_nodes_find(job_t *job, const char *server)
{
    int     found;
    size_t  i;

    i = job_nodes_place(job, server, &found);

    return found ? job->nodes[i] : NULL;
}


static size_t
job_nodes_place(job_t *job, const char *server, int *found)
{
    int     rc;
    size_t  low, high, mid;

    low = 0;
    high = job->nnodes;
    *found = 0;

    while (low < high) {
        mid = low + (high - low) / 2;
        rc = strcmp(server, job->nodes[mid]->server);

        if (rc == 0) {
            *found = 1;
            return mid;
        }

        if (rc < 0) {
            high = mid;

        } else {
            low = mid + 1;
        }
    }

    return low;
}


void
job_nodes_send(job_t *job, int up)
{
    size_t       i;
    job_node_t  *node;

    for (i = 0; i < job->nnodes; i++) {
        node = job->nodes[i];

        if (up && node->waiting) {
            evtimer_del(node->timer);
            node->waiting = 0;
        }

        if (node->count > 0) {
            job_node_send(node);
        }
    }
}


void
job_nodes_purge(job_t *job)
{
    size_t  i;

    for (i = 0; i < job->nnodes; i++) {
        job_node_purge(job->nodes[i]);
    }
}


void
job_nodes_free(job_t *job)
{
    size_t  i;

    for (i = 0; i < job->nnodes; i++) {
        job_node_drop(job->nodes[i]);
        job_node_free(job->nodes[i]);
    }

    free(job->nodes);
    free(job->scratch);

    job->nodes = NULL;
    job->nnodes = 0;
    job->scratch = NULL;
}
