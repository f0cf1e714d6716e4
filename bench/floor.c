/*
 * The floor that fan-out is measured against: a bare epoll loop which holds
 * connections and writes the same bytes to each of them, one send() a
 * connection, whenever a byte arrives on its control connection.  Whoever
 * connects gets one byte first.
 *
 *     floor PORT CONTROL_PORT BYTES
 *
 * It ends when the control connection closes.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CLIENTS  65536
#define EVENTS       512


static int  clients[MAX_CLIENTS];
static int  nclients;


static int
listen_on(const char *port)
{
    int                 fd, one;
    struct sockaddr_in  sin;

    one = 1;
    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sin.sin_port = htons((uint16_t) atoi(port));

    fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd == -1
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == -1
        || bind(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || listen(fd, 1024) == -1)
    {
        perror("floor: listen");
        exit(1);
    }

    return fd;
}


static void
watch(int ep, int fd)
{
    struct epoll_event  ee;

    memset(&ee, 0, sizeof(ee));
    ee.events = EPOLLIN;
    ee.data.fd = fd;

    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ee) == -1) {
        perror("floor: epoll_ctl");
        exit(1);
    }
}


static void
take(int ep, int listener)
{
    int  fd, one;

    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

    if (fd == -1 || nclients == MAX_CLIENTS) {
        return;
    }

    one = 1;
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    watch(ep, fd);
    clients[nclients++] = fd;

    /* it is one of those who get messages from now on */

    if (send(fd, "+", 1, MSG_NOSIGNAL) != 1) {
        perror("floor: send");
        exit(1);
    }
}


int
main(int argc, char **argv)
{
    int                 ep, listener, control, commands, n, i, k, fd;
    char               *message, byte[64];
    size_t              size;
    ssize_t             got;
    struct epoll_event  events[EVENTS];

    if (argc != 4) {
        fprintf(stderr, "usage: floor PORT CONTROL_PORT BYTES\n");
        return 2;
    }

    size = (size_t) atoi(argv[3]);
    message = calloc(1, size + 1);
    ep = epoll_create1(0);
    listener = listen_on(argv[1]);
    control = listen_on(argv[2]);

    if (message == NULL || ep == -1) {
        return 1;
    }

    watch(ep, listener);
    watch(ep, control);
    commands = -1;

    for ( ;; ) {
        n = epoll_wait(ep, events, EVENTS, -1);

        for (i = 0; i < n; i++) {
            fd = events[i].data.fd;

            if (fd == listener) {
                take(ep, listener);
                continue;
            }

            if (fd == control) {
                commands = accept(control, NULL, NULL);
                watch(ep, commands);
                continue;
            }

            got = read(fd, byte, sizeof(byte));

            if (fd != commands) {
                if (got <= 0) {
                    (void) epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
                }
                continue;
            }

            if (got <= 0) {
                return 0;
            }

            for (k = 0; k < nclients; k++) {
                if (send(clients[k], message, size, MSG_NOSIGNAL) == -1
                    && errno == ENOMEM)
                {
                    return 1;
                }
            }
        }
    }
}
