/*
 * Addresses and networks.
 */

#include "cidr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static int logic_ip_literal(const char *text, size_t len, logic_ip_t *ip,
    int *v4);
static void logic_ip_mask(logic_ip_t *ip, unsigned bits);
static int logic_cidr_parse(const char *text, size_t len, logic_cidr_t *net);
static int logic_cidr_cmp(const void *one, const void *two);


static int
logic_ip_literal(const char *text, size_t len, logic_ip_t *ip, int *v4)
{
    char  buf[INET6_ADDRSTRLEN];

    if (len == 0 || len >= sizeof(buf)) {
        return -1;
    }

    memcpy(buf, text, len);
    buf[len] = '\0';

    memset(ip->b, 0, 10);
    memset(ip->b + 10, 0xff, 2);
    *v4 = 1;

    if (inet_pton(AF_INET, buf, ip->b + 12) == 1) {
        return 0;
    }

    *v4 = 0;

    return inet_pton(AF_INET6, buf, ip->b) == 1 ? 0 : -1;
}


int
logic_ip_parse(const char *text, size_t len, logic_ip_t *ip)
{
    int          v4;
    const char  *end;

    if (len > 0 && text[0] == '[') {
        end = memchr(text, ']', len);

        return end == NULL
               ? -1
               : logic_ip_literal(text + 1, (size_t) (end - text - 1), ip,
                                  &v4);
    }

    end = memchr(text, ':', len);

    /* one colon stands before a port, several belong to IPv6 */

    if (end != NULL
        && memchr(end + 1, ':', len - (size_t) (end + 1 - text)) == NULL)
    {
        len = (size_t) (end - text);
    }

    return logic_ip_literal(text, len, ip, &v4);
}


static void
logic_ip_mask(logic_ip_t *ip, unsigned bits)
{
    size_t  i;

    for (i = 0; i < sizeof(ip->b); i++) {

        if (bits >= 8) {
            bits -= 8;
            continue;
        }

        ip->b[i] &= (uint8_t) (0xff00 >> bits);
        bits = 0;
    }
}


static int
logic_cidr_parse(const char *text, size_t len, logic_cidr_t *net)
{
    int            v4;
    size_t         i;
    unsigned       bits;
    const char    *slash;

    slash = memchr(text, '/', len);

    if (logic_ip_literal(text, slash ? (size_t) (slash - text) : len,
                         &net->ip, &v4)
        != 0)
    {
        return -1;
    }

    if (slash == NULL) {
        net->bits = 128;
        return 0;
    }

    i = (size_t) (slash + 1 - text);

    if (i == len || len - i > 3) {
        return -1;
    }

    for (bits = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }

        bits = bits * 10 + (unsigned) (text[i] - '0');
    }

    if (bits > (v4 ? 32 : 128)) {
        return -1;
    }

    net->bits = (uint8_t) (v4 ? bits + 96 : bits);

    logic_ip_mask(&net->ip, net->bits);

    return 0;
}


int
logic_cidrs_add(logic_cidrs_t *t, const char *list, const char *name,
    char *err, size_t size)
{
    size_t         len;
    logic_cidr_t  *nets;

    for ( ;; ) {
        list += strspn(list, ", \t");
        len = strcspn(list, ", \t");

        if (len == 0) {
            return 0;
        }

        if (t->nnets == t->size) {
            nets = realloc(t->nets,
                           (t->size * 2 + 8) * sizeof(logic_cidr_t));
            if (nets == NULL) {
                snprintf(err, size, "no memory");
                return -1;
            }

            t->nets = nets;
            t->size = t->size * 2 + 8;
        }

        if (logic_cidr_parse(list, len, &t->nets[t->nnets]) != 0) {
            snprintf(err, size, "\"%.*s\" is not a network",
                     (int) (len < 64 ? len : 64), list);
            return -1;
        }

        t->nets[t->nnets++].name = name;
        list += len;
    }
}


static int
logic_cidr_cmp(const void *one, const void *two)
{
    const logic_cidr_t  *a = one, *b = two;

    if (a->bits != b->bits) {
        return (int) b->bits - (int) a->bits;
    }

    return memcmp(a->ip.b, b->ip.b, sizeof(a->ip.b));
}


int
logic_cidrs_sort(logic_cidrs_t *t, char *err, size_t size)
{
    char    text[INET6_ADDRSTRLEN];
    size_t  i, n;

    if (t->nnets > 0) {
        qsort(t->nets, t->nnets, sizeof(logic_cidr_t), logic_cidr_cmp);
    }

    for (i = 1; i < t->nnets; i++) {
        if (logic_cidr_cmp(&t->nets[i - 1], &t->nets[i]) == 0
            && strcmp(t->nets[i - 1].name, t->nets[i].name) != 0)
        {
            inet_ntop(AF_INET6, t->nets[i].ip.b, text, sizeof(text));
            snprintf(err, size, "%s/%u is in \"%s\" and in \"%s\"", text,
                     t->nets[i].bits, t->nets[i - 1].name, t->nets[i].name);
            return -1;
        }
    }

    /* first[n]: where the networks of 128 - n bits begin */

    i = 0;

    for (n = 0; n < 130; n++) {
        while (i < t->nnets && (size_t) (128 - t->nets[i].bits) < n) {
            i++;
        }

        t->first[n] = i;
    }

    return 0;
}


const logic_cidr_t *
logic_cidrs_find(const logic_cidrs_t *t, const logic_ip_t *ip)
{
    size_t               n;
    logic_cidr_t         key;
    const logic_cidr_t  *net;

    for (n = 0; n < 129; n++) {

        if (t->first[n] == t->first[n + 1]) {
            continue;
        }

        key.ip = *ip;
        key.bits = (uint8_t) (128 - n);
        logic_ip_mask(&key.ip, key.bits);

        net = bsearch(&key, t->nets + t->first[n],
                      t->first[n + 1] - t->first[n], sizeof(logic_cidr_t),
                      logic_cidr_cmp);

        if (net != NULL) {
            return net;
        }
    }

    return NULL;
}


int
logic_client_ip(const logic_cidrs_t *trusted, const char *peer,
    const char *forwarded, logic_ip_t *ip)
{
    logic_ip_t   next;
    const char  *p, *end;

    if (logic_ip_parse(peer, strlen(peer), ip) != 0) {
        return -1;
    }

    end = forwarded != NULL ? forwarded + strlen(forwarded) : NULL;

    while (end != forwarded && logic_cidrs_find(trusted, ip) != NULL) {

        for (p = end; p > forwarded && p[-1] != ','; p--) { /* void */ }

        end = p > forwarded ? p - 1 : p;
        p += strspn(p, " \t");

        if (logic_ip_parse(p, strcspn(p, " \t,"), &next) != 0) {
            break;
        }

        *ip = next;
    }

    return 0;
}
