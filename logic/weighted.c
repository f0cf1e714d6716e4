/*
 * Where a client should connect.
 */

#include "cidr.h"
#include "nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static json_t *logic_nodes_best(logic_thread_t *t, const char *region, int web,
    const char *host);
static void logic_client_host(http_request_t *req, char *host,
    size_t size);
static const char *logic_client_region(logic_thread_t *t,
    http_request_t *req);


void
logic_nodes_weighted(logic_thread_t *t, http_request_t *req,
    logic_query_t *q)
{
    json_t  *where;

    where = logic_nodes_where(t, req, q);

    if (where == NULL) {
        logic_http_answer(t, req, 503, -500, "no node is known", NULL);

    } else {
        logic_http_answer(t, req, 200, 0, "", where);
    }
}


json_t *
logic_nodes_where(logic_thread_t *t, http_request_t *req,
    const logic_query_t *q)
{
    int                  web;
    char                 host[GOIM_NODE_TEXT + 1];
    json_t              *nodes;
    const char          *domain;
    const logic_arg_t   *platform;
    const logic_conf_t  *conf;

    conf = t->conf;
    platform = logic_query_find(q, "platform");
    web = platform != NULL && strcmp(platform->value, "web") == 0;

    logic_client_host(req, host, sizeof(host));
    domain = conf->domain[0] != '\0' ? conf->domain : host;

    nodes = logic_nodes_best(t, logic_client_region(t, req), web, host);

    if (json_array_size(nodes) == 0 && conf->domain[0] != '\0') {
        json_array_append_new(nodes, json_string(conf->domain));
    }

    if (json_array_size(nodes) == 0) {
        json_decref(nodes);
        return NULL;
    }

    return json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:{s:I, s:I, s:f, s:f}}",
        "domain", domain,
        "tcp_port", (json_int_t) conf->tcp_port,
        "ws_port", (json_int_t) conf->ws_port,
        "wss_port", (json_int_t) conf->wss_port,
        "heartbeat", (json_int_t) (conf->heartbeat / 1000),
        "heartbeat_max", (json_int_t) conf->heartbeat_max,
        "nodes", nodes,
        "backoff",
        "max_delay", (json_int_t) conf->max_delay,
        "base_delay", (json_int_t) conf->base_delay,
        "factor", conf->factor,
        "jitter", conf->jitter);
}


/*
 * Names and addresses, of the best node first. One that has told no address,
 * where no names are configured, is the one that the client has asked.
 */

static json_t *
logic_nodes_best(logic_thread_t *t, const char *region, int web,
    const char *host)
{
    char                  name[2 * GOIM_NODE_TEXT + 2];
    size_t                i, n, len;
    json_t               *nodes;
    const char           *p;
    const logic_conf_t   *conf;
    const logic_place_t  *best[LOGIC_BALANCE_BEST];

    conf = t->conf;
    nodes = json_array();
    n = logic_balance_pick(logic_nodes_balance(t), region, conf->region_weight,
                           best);

    for (i = 0; i < n; i++) {

        if (web && conf->host_domain[0] != '\0') {
            snprintf(name, sizeof(name), "%s%s", best[i]->hostname,
                     conf->host_domain);
            json_array_append_new(nodes, json_string(name));
            continue;
        }

        for (p = best[i]->addrs; *p != '\0'; p += len + (p[len] == ',')) {
            len = strcspn(p, ",");

            if (len > 0) {
                json_array_append_new(nodes, json_stringn(p, len));
            }
        }

        if (best[i]->addrs[0] == '\0' && conf->domain[0] == '\0'
            && host[0] != '\0')
        {
            json_array_append_new(nodes, json_string(host));
            host = "";
        }
    }

    return nodes;
}


/* The Host of the request without port and brackets; "": none that is one. */

static void
logic_client_host(http_request_t *req, char *host, size_t size)
{
    size_t       len;
    const char  *p;

    host[0] = '\0';

    p = http_header(req, "Host");
    if (p == NULL) {
        return;
    }

    if (*p == '[') {
        p++;
        len = strspn(p, "0123456789abcdefABCDEF:.");

        if (p[len] != ']') {
            return;
        }

    } else {

        len = strspn(p, "abcdefghijklmnopqrstuvwxyz"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");

        if (p[len] != '\0' && p[len] != ':') {
            return;
        }
    }

    if (len < size) {
        memcpy(host, p, len);
        host[len] = '\0';
    }
}


/*
 * The client's region: what the header says, else that of the network which
 * holds its address, else none.
 */

static const char *
logic_client_region(logic_thread_t *t, http_request_t *req)
{
    int                  rc;
    char                *forwarded, *joined;
    unsigned             at;
    logic_ip_t           ip;
    const char          *value;
    const logic_cidr_t  *net;

    if (t->conf->region_header[0] != '\0') {
        value = http_header(req, t->conf->region_header);

        if (value != NULL && value[0] != '\0') {
            return value;
        }
    }

    if (t->conf->regions.nnets == 0) {
        return "";
    }

    at = 0;
    forwarded = NULL;

    while ((value = http_header_next(req, "X-Forwarded-For", &at)) != NULL) {

        if (asprintf(&joined, "%s%s%s", forwarded ? forwarded : "",
                     forwarded ? "," : "", value)
            == -1)
        {
            break;
        }

        free(forwarded);
        forwarded = joined;
    }

    rc = logic_client_ip(&t->conf->trusted, http_peer(req), forwarded, &ip);
    free(forwarded);

    net = rc == 0 ? logic_cidrs_find(&t->conf->regions, &ip) : NULL;

    return net != NULL ? net->name : "";
}
