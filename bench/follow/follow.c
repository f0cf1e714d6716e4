/*
 * Many clients that recover, as the SDK's do: each follows a room over
 * WebSocket, keeps its position, comes back after a loss, and looks at every
 * message: whether it is the one that follows. Beside them pushes to their
 * rooms, each repeated with its id until it is accepted.
 *
 *     follow --ports P,P --clients N --api PORT,PORT [--rooms R] [--size B]
 *          [--again MS] [--base MS] [--arrive N]
 *
 * --again: who is told to come again waits at random up to that; --base: who
 * lost its connection otherwise, the first time; --arrive: clients a second at
 * the beginning.
 *
 * Commands on standard input, a line each, answered by a line of "name value"
 * pairs:
 *   ready S     wait until all clients are in their rooms, S seconds at most
 *   push R      R pushes a second from now on
 *   level S     wait until all clients have all that was pushed before, and at
 *               rate 0 until each push is answered
 *   watch S     wait so long
 *   report      what there was since the last report
 */

#include "follow.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <time.h>

#define TICK  10        /* ms */


options_t   opt = { .rooms = 50, .size = 100, .again = 500, .base = 3000,
                    .arrive = 3000 };
client_t   *clients;
figures_t   fig;
int         ep;

static uint64_t  mark[MAX_ROOMS];


double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


double
at_random(double seconds)
{
    return seconds * (double) random() / (double) RAND_MAX;
}


void
die(const char *what)
{
    perror(what);
    exit(1);
}


int
connect_to(int port, int i, uint32_t id)
{
    int                 fd, one;
    struct sockaddr_in  sin;
    struct epoll_event  ee;

    one = 1;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd == -1) {
        die("follow: socket");
    }

    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void) setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t) i % 60000);

    if (bind(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1) {
        die("follow: bind");
    }

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sin.sin_port = htons((uint16_t) port);

    if (connect(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        && errno != EINPROGRESS)
    {
        close(fd);
        return -1;
    }

    memset(&ee, 0, sizeof(ee));
    ee.events = EPOLLIN | EPOLLOUT | EPOLLET;
    ee.data.u32 = id;

    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ee) == -1) {
        die("follow: epoll_ctl");
    }

    return fd;
}


static void
turn(void)
{
    int                  i, n;
    double               t;
    uint32_t             id;
    static double        looked;
    struct epoll_event   events[1024];

    n = epoll_wait(ep, events, 1024, TICK);

    for (i = 0; i < n; i++) {
        id = events[i].data.u32;

        if (id < MAX_CLIENTS) {
            client_event(&clients[id], events[i].events);

        } else {
            poster_event(id - MAX_CLIENTS, events[i].events);
        }
    }

    t = now();
    posters_time(t);

    if (t - looked >= TICK / 1e3) {
        looked = t;
        clients_time(t);
    }
}


/* ---- commands ---- */

static int
short_of_mark(void)
{
    return clients_short(mark) + posters_left();
}


static void
wait_for(const char *what, double seconds, int (*left)(void))
{
    int     n;
    double  began, t;

    began = now();
    n = left();

    while (n && now() - began < seconds) {
        turn();
        n = left();
    }

    t = now() - began;
    printf("%s %s seconds %.3f left %d\n", what, n ? "no" : "yes", t, n);
}


static int
never(void)
{
    return 1;
}


static void
report(void)
{
    int   i, last;
    char  sep;

    printf("open %d pushed %ld repeated_pushes %ld delivered %ld logins %ld "
           "recovered %ld told %ld lost %ld again %ld refused %ld holes %ld "
           "repeats %ld wrong %ld seconds %.3f logins_a_second",
           opt.clients - clients_away(), fig.pushed, fig.repeated, fig.delivered,
           fig.logins, fig.recovered, fig.told, fig.lost, fig.again,
           fig.refused, fig.holes, fig.repeats, fig.wrong, now() - fig.began);

    last = (int) (now() - fig.began);
    sep = ' ';

    for (i = 0; i <= last && i < MAX_SECONDS; i++) {
        printf("%c%ld", sep, fig.second[i]);
        sep = ',';
    }

    printf("\n");

    memset(&fig, 0, sizeof(fig));
    fig.began = now();
}


static int
command(char *line)
{
    int     n;
    char    name[16];
    double  value;

    n = sscanf(line, "%15s %lf", name, &value);

    if (n == 2 && strcmp(name, "ready") == 0) {
        wait_for(name, value, clients_away);

    } else if (n == 2 && strcmp(name, "push") == 0) {
        posters_rate((int) value);
        printf("push %d\n", (int) value);

    } else if (n == 2 && strcmp(name, "level") == 0) {
        posters_mark(mark);
        wait_for(name, value, short_of_mark);

    } else if (n == 2 && strcmp(name, "watch") == 0) {
        wait_for(name, value, never);

    } else if (n == 1 && strcmp(name, "report") == 0) {
        report();

    } else {
        fprintf(stderr, "follow: what is \"%s\"?\n", line);
        return -1;
    }

    fflush(stdout);

    return 0;
}


static int
commands(void)
{
    char     *end;
    ssize_t   n;

    static char    line[256];
    static size_t  len;

    for ( ;; ) {
        turn();

        n = read(0, line + len, sizeof(line) - 1 - len);

        if (n == 0 || (n == -1 && errno != EAGAIN)) {
            return 0;
        }

        len += n > 0 ? (size_t) n : 0;

        while ((end = memchr(line, '\n', len)) != NULL) {
            *end = '\0';

            if (command(line) == -1) {
                return 2;
            }

            len -= (size_t) (end + 1 - line);
            memmove(line, end + 1, len);
        }
    }
}


static int
list_of_ports(char *text, int *ports)
{
    int    n;
    char  *word, *save;

    n = 0;

    for (word = strtok_r(text, ",", &save); word && n < MAX_PORTS;
         word = strtok_r(NULL, ",", &save))
    {
        ports[n++] = atoi(word);
    }

    return n;
}


static void
start(void)
{
    int            i;
    struct rlimit  rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
        rl.rlim_cur = rl.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &rl);
    }

    (void) fcntl(0, F_SETFL, O_NONBLOCK);
    srandom((unsigned) getpid());
    ep = epoll_create1(0);
    clients = calloc((size_t) opt.clients, sizeof(client_t));

    if (ep == -1 || clients == NULL) {
        die("follow");
    }

    fig.began = now();

    for (i = 0; i < opt.clients; i++) {
        clients[i].fd = -1;
        clients[i].due = fig.began + (double) i / opt.arrive;
    }

    posters_init();
}


int
main(int argc, char **argv)
{
    int                   c;
    static struct option  options[] = {
        { "ports", 1, 0, 'p' }, { "clients", 1, 0, 'n' },
        { "api", 1, 0, 'a' }, { "rooms", 1, 0, 'r' }, { "size", 1, 0, 's' },
        { "again", 1, 0, 'g' }, { "base", 1, 0, 'b' },
        { "arrive", 1, 0, 'v' }, { 0, 0, 0, 0 }
    };

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'p': opt.nports = list_of_ports(optarg, opt.ports); break;
        case 'n': opt.clients = atoi(optarg); break;
        case 'a': opt.napis = list_of_ports(optarg, opt.apis); break;
        case 'r': opt.rooms = atoi(optarg); break;
        case 's': opt.size = atoi(optarg); break;
        case 'g': opt.again = atoi(optarg); break;
        case 'b': opt.base = atoi(optarg); break;
        case 'v': opt.arrive = atoi(optarg); break;
        default: return 2;
        }
    }

    if (opt.nports < 1 || opt.napis < 1 || opt.clients < 1
        || opt.clients > MAX_CLIENTS || opt.rooms < 1 || opt.rooms > MAX_ROOMS
        || opt.size < 40 || opt.size > 900 || opt.arrive < 1)
    {
        fprintf(stderr, "follow: an option is missing or out of range\n");
        return 2;
    }

    start();

    return commands();
}
