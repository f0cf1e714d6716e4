/*
 * Load client: holds many goim clients on WebSocket, pushes to their room one
 * message at a time or at a rate, and says what it cost the server.
 *
 *     load --port P --clients N --api PORT --count M [--rate R] [--size B]
 *          [--idle] [--posters K] [--key KEY] [--floor CONTROL_PORT] [--recover]
 *          --pids a,b,c
 *
 * One line of "name value" pairs on standard output:
 *   delivered          messages that arrived at clients
 *   cpu_us             server CPU time (user and system, all pids) a delivery
 *   p50_ms p99_ms      from the POST to the last client (to the only one,
 *                      with --clients 1)
 *   accepted_s         pushes answered with code 0, a second (--posters)
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <getopt.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/goim_packet.h"

#define MAX_CLIENTS  65000
#define MAX_COUNT    1000000
#define BUF          262144


typedef struct {
    int        fd;
    int        ready;
    size_t     kept;            /* bytes of a frame that is not whole */
    uint8_t    part[70 * 1024];     /* a batch has 64 KB and a header */
} client_t;


static struct {
    int          port, clients, api, count, rate, size, idle, posters;
    int          floor, recover;
    const char  *pids, *key;    /* key: NULL: none is shown */
} opt = { .count = 100, .size = 50 };

static client_t  *clients;
static int        ep;
static long       delivered;


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


static void
die(const char *what)
{
    perror(what);
    exit(1);
}


/* user and system time of the server's processes, in seconds */

static double
cpu(void)
{
    char            path[64], line[1024], *p, *list, *save, *pid;
    FILE           *f;
    double          sum;
    unsigned long   user, sys;

    sum = 0;
    list = strdup(opt.pids);

    for (pid = strtok_r(list, ",", &save); pid;
         pid = strtok_r(NULL, ",", &save))
    {
        snprintf(path, sizeof(path), "/proc/%s/stat", pid);
        f = fopen(path, "r");

        if (f && fgets(line, sizeof(line), f)
            && (p = strrchr(line, ')')) != NULL
            && sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
                      "%lu %lu", &user, &sys) == 2)
        {
            sum += (double) (user + sys);
        }

        if (f) {
            fclose(f);
        }
    }

    free(list);

    return sum / (double) sysconf(_SC_CLK_TCK);
}


static int
connect_to(int port)
{
    int                 fd, one;
    struct sockaddr_in  sin;

    one = 1;
    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sin.sin_port = htons((uint16_t) port);

    fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd == -1 || connect(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1)
    {
        die("load: connect");
    }

    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    return fd;
}


static void
say(int fd, const void *data, size_t len)
{
    if (send(fd, data, len, MSG_NOSIGNAL) != (ssize_t) len) {
        die("load: send");
    }
}


/* the upgrade and an auth packet, answers awaited: setting up is not timed */

static void
join(int fd, int i)
{
    char     http[256], json[128];
    uint8_t  buf[1024];
    size_t   len, n;
    ssize_t  got;

    len = (size_t) snprintf(http, sizeof(http),
        "GET /sub HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    say(fd, http, len);

    for (n = 0; n < 4 || memcmp(buf + n - 4, "\r\n\r\n", 4) != 0; n++) {
        if (n == sizeof(buf) || recv(fd, buf + n, 1, 0) != 1) {
            die("load: no answer to the upgrade");
        }
    }

    if (memcmp(buf, "HTTP/1.1 101", 12) != 0) {
        fprintf(stderr, "load: %.*s\n", (int) n, buf);
        exit(1);
    }

    len = (size_t) snprintf(json, sizeof(json), "{\"mid\":%d,\"key\":\"l%d\","
                            "\"room_id\":\"live://1\",\"accepts\":[1000]%s}",
                            i + 1, i, opt.recover ? ",\"recover\":{}" : "");

    /* masked with zeroes: the bytes stay as they are */

    buf[0] = 0x82;
    buf[1] = (uint8_t) (0x80 | (GOIM_HEADER + len));
    memset(buf + 2, 0, 4);
    goim_packet_header(buf + 6, len, GOIM_VERSION, GOIM_OP_AUTH, 1);
    memcpy(buf + 6 + GOIM_HEADER, json, len);
    say(fd, buf, 6 + GOIM_HEADER + len);

    for (n = 0; n < 2 + GOIM_HEADER; n += (size_t) got) {
        got = recv(fd, buf + n, 2 + GOIM_HEADER - n, 0);

        if (got <= 0) {
            die("load: no answer to auth");
        }
    }
}


static void
open_clients(void)
{
    int                 i;
    char                hello;
    struct epoll_event  ee;

    clients = calloc((size_t) opt.clients, sizeof(client_t));
    ep = epoll_create1(0);

    for (i = 0; i < opt.clients; i++) {
        clients[i].fd = connect_to(opt.port);

        if (!opt.floor) {
            join(clients[i].fd, i);

        } else if (recv(clients[i].fd, &hello, 1, 0) != 1) {
            die("load: no floor");
        }

        memset(&ee, 0, sizeof(ee));
        ee.events = EPOLLIN;
        ee.data.u32 = (uint32_t) i;

        if (epoll_ctl(ep, EPOLL_CTL_ADD, clients[i].fd, &ee) == -1) {
            die("load: epoll_ctl");
        }
    }
}


/* count the messages in the bytes of a client, which are inside operation 9 */

static void
count_messages(client_t *c, const uint8_t *p, size_t len)
{
    size_t  head, n, at, m;

    while (len >= 2) {
        n = p[1];
        head = 2;

        if (n == 126) {
            head = 4;
            n = len < 4 ? 0 : (size_t) p[2] << 8 | p[3];

        } else if (n == 127) {
            head = 10;
            n = len < 10 ? 0
                : (size_t) p[6] << 24 | (size_t) p[7] << 16
                  | (size_t) p[8] << 8 | p[9];
        }

        if (len < head || len < head + n) {
            break;
        }

        at = head + GOIM_HEADER;

        if (n < GOIM_HEADER || p[head + 11] != GOIM_OP_RAW) {
            at = head + n;                  /* where a client is */
        }

        for ( /* void */ ; at + 4 <= head + n; at += m) {
            m = (size_t) p[at] << 24 | (size_t) p[at + 1] << 16
                | (size_t) p[at + 2] << 8 | p[at + 3];

            if (m < GOIM_HEADER) {
                break;
            }

            delivered++;
        }

        p += head + n;
        len -= head + n;
    }

    if (len > sizeof(c->part)) {
        fprintf(stderr, "load: a message over %zu bytes\n", sizeof(c->part));
        exit(1);
    }

    memmove(c->part, p, len);
    c->kept = len;
}


static void
receive(int timeout)
{
    int                 i, n;
    ssize_t             got;
    client_t           *c;
    static uint8_t      buf[BUF];
    struct epoll_event  events[1024];

    n = epoll_wait(ep, events, 1024, timeout);

    for (i = 0; i < n; i++) {
        c = &clients[events[i].data.u32];

        memcpy(buf, c->part, c->kept);
        got = recv(c->fd, buf + c->kept, sizeof(buf) - c->kept, MSG_DONTWAIT);

        if (got <= 0) {
            fprintf(stderr, "load: a client was closed\n");
            exit(1);
        }

        if (opt.floor) {
            delivered += got / (opt.size + 34);
            continue;
        }

        count_messages(c, buf, c->kept + (size_t) got);
    }
}


static int
post_request(char *buf, size_t size, int n)
{
    return snprintf(buf, size, "POST /goim/push/room?operation=1000&type="
                    "live&room=1 HTTP/1.1\r\nHost: localhost\r\n%s%s%s"
                    "Content-Length: %d\r\n\r\n%0*d",
                    opt.key ? "Authorization: Bearer " : "",
                    opt.key ? opt.key : "", opt.key ? "\r\n" : "",
                    opt.size, opt.size, n);
}


/* how many pushes are accepted by what has come; logic says so by a code, too */

static int
answers(int fd, int wait)
{
    int      n;
    char     buf[BUF];
    char    *p;
    ssize_t  got;

    got = recv(fd, buf, sizeof(buf) - 1, wait ? 0 : MSG_DONTWAIT);

    if (got == -1 && errno == EAGAIN) {
        return 0;
    }

    if (got <= 0) {
        die("load: the server closed the connection");
    }

    buf[got] = '\0';

    if (strstr(buf, "\"code\":-") != NULL) {
        fprintf(stderr, "load: a push was refused: %s\n", buf);
        exit(1);
    }

    for (n = 0, p = buf; (p = strstr(p, "HTTP/1.1 20")) != NULL; p++) {
        n++;
    }

    return n;
}


static int
by_value(const void *a, const void *b)
{
    double  x = *(const double *) a, y = *(const double *) b;

    return x < y ? -1 : x > y;
}


/* one at a time, or at a rate */

static void
run_pushes(void)
{
    int      fd, i, len;
    long     want;
    char     buf[4096];
    double  *times, start, begin, c, due;

    fd = connect_to(opt.floor ? opt.floor : opt.api);
    times = calloc((size_t) opt.count, sizeof(double));
    c = cpu();
    begin = now();

    for (i = 0; i < opt.count; i++) {
        start = now();

        if (opt.floor) {
            say(fd, "x", 1);

        } else {
            len = post_request(buf, sizeof(buf), i);
            say(fd, buf, (size_t) len);
        }

        want = (long) (i + 1) * opt.clients;

        if (opt.rate) {
            for (due = begin + (double) (i + 1) / opt.rate; now() < due; ) {
                receive(1);
            }

            (void) answers(fd, 0);
            continue;
        }

        while (delivered < want) {
            receive(5000);

            if (now() - start > 10) {
                fprintf(stderr, "load: %ld of %ld arrived\n", delivered,
                        want);
                exit(1);
            }
        }

        times[i] = now() - start;

        if (!opt.floor) {
            (void) answers(fd, 1);
        }
    }

    want = (long) opt.count * opt.clients;

    for (start = now(); delivered < want && now() - start < 10; ) {
        receive(100);
    }

    qsort(times, (size_t) opt.count, sizeof(double), by_value);

    printf("delivered %ld of %ld cpu_us %.2f p50_ms %.3f p99_ms %.3f\n",
           delivered, want, (cpu() - c) * 1e6 / (double) delivered,
           times[opt.count / 2] * 1e3, times[opt.count * 99 / 100] * 1e3);
}


/* posters that always have one request under way */

static void
run_posters(void)
{
    int                 i, n, sent, answered, len;
    int                *fds;
    char                buf[4096];
    double              start, c;
    struct epoll_event  ee, events[256];

    fds = calloc((size_t) opt.posters, sizeof(int));
    sent = 0;
    answered = 0;
    c = cpu();
    start = now();

    for (i = 0; i < opt.posters; i++) {
        fds[i] = connect_to(opt.api);

        memset(&ee, 0, sizeof(ee));
        ee.events = EPOLLIN;
        ee.data.u32 = (uint32_t) (MAX_CLIENTS + i);
        (void) epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &ee);

        len = post_request(buf, sizeof(buf), sent++);
        say(fds[i], buf, (size_t) len);
    }

    while (answered < sent) {
        n = epoll_wait(ep, events, 256, 5000);

        for (i = 0; i < n; i++) {

            if (events[i].data.u32 < MAX_CLIENTS) {
                client_t  *cl = &clients[events[i].data.u32];
                uint8_t    in[BUF];
                ssize_t    got;

                memcpy(in, cl->part, cl->kept);
                got = recv(cl->fd, in + cl->kept, sizeof(in) - cl->kept,
                           MSG_DONTWAIT);

                if (got > 0) {
                    count_messages(cl, in, cl->kept + (size_t) got);
                }

                continue;
            }

            if (answers(fds[events[i].data.u32 - MAX_CLIENTS], 0) == 0) {
                continue;
            }

            answered++;

            if (sent < opt.count) {
                len = post_request(buf, sizeof(buf), sent++);
                say(fds[events[i].data.u32 - MAX_CLIENTS], buf, (size_t) len);
            }
        }
    }

    printf("accepted %d accepted_s %.0f cpu_us %.2f", answered,
           answered / (now() - start), (cpu() - c) * 1e6 / answered);

    for (start = now();
         delivered < (long) answered * opt.clients && now() - start < 20; )
    {
        receive(100);
    }

    printf(" delivered %ld of %ld\n", delivered,
           (long) answered * opt.clients);
}


int
main(int argc, char **argv)
{
    int                  c;
    static struct option  options[] = {
        { "port", 1, 0, 'p' }, { "clients", 1, 0, 'n' },
        { "api", 1, 0, 'a' }, { "count", 1, 0, 'c' },
        { "rate", 1, 0, 'r' }, { "size", 1, 0, 's' },
        { "idle", 0, 0, 'i' }, { "posters", 1, 0, 'k' },
        { "key", 1, 0, 'K' }, { "floor", 1, 0, 'f' },
        { "pids", 1, 0, 'P' }, { "recover", 0, 0, 'R' }, { 0, 0, 0, 0 }
    };

    opt.pids = "";

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'p': opt.port = atoi(optarg); break;
        case 'n': opt.clients = atoi(optarg); break;
        case 'a': opt.api = atoi(optarg); break;
        case 'c': opt.count = atoi(optarg); break;
        case 'r': opt.rate = atoi(optarg); break;
        case 's': opt.size = atoi(optarg); break;
        case 'i': opt.idle = 1; break;
        case 'k': opt.posters = atoi(optarg); break;
        case 'K': opt.key = optarg; break;
        case 'f': opt.floor = atoi(optarg); break;
        case 'P': opt.pids = optarg; break;
        case 'R': opt.recover = 1; break;
        default: return 2;
        }
    }

    if (opt.clients < 0 || opt.clients > MAX_CLIENTS || opt.count < 1
        || opt.count > MAX_COUNT || opt.size < 10 || opt.size > 400)
    {
        fprintf(stderr, "load: an option is out of range\n");
        return 2;
    }

    open_clients();

    if (opt.idle) {
        printf("idle %d\n", opt.clients);
        fflush(stdout);
        (void) getchar();

    } else if (opt.posters) {
        run_posters();

    } else {
        run_pushes();
    }

    return 0;
}
