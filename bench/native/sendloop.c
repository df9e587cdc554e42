/* Send loop: the least that a server can do for many clients: make the bytes, call send() for each.

   sendloop PORT sse|ws PLAN     prints `listening on PORT`; the end of stdin ends it. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "frame.h"
#include "net.h"
#include "plan.h"

static const char SSE_ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                 "Transfer-Encoding: chunked\r\n\r\n";
/* The clients always send the key of RFC 6455 §1.3, so the accept value is known. */
static const char WS_ANSWER[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                "Connection: Upgrade\r\n"
                                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static struct plan plan;
static bool sockets;
static unsigned row;
static int open_fds[65536], open_count;

static void add_event(struct buf *out, const char *frame, size_t len, uint64_t now, unsigned n)
{
    char head[96];
    int size = snprintf(head, sizeof head, "id: %llu-%u\nevent: update\ndata: ",
                        (unsigned long long)now, n);
    buf_add(out, head, (size_t)size);
    buf_add(out, frame, len);
    buf_add(out, "\n\n", 2);
}

static void add_message(struct buf *out, const char *frame, size_t len)
{
    unsigned char head[4] = {0x81, 126, (unsigned char)(len >> 8), (unsigned char)len};
    buf_add(out, head, 4);
    buf_add(out, frame, len);
}

/* Makes what every client is sent for one moment. */
static void print(struct buf *out, uint64_t now)
{
    static struct buf body;
    static char frame[FRAME_MAX];
    body.len = out->len = 0;
    for (unsigned n = 0; n < plan.burst; n++) {
        size_t len = frame_update(frame, plan.bytes, row, now, n);
        row = (row + 1) % plan.rows;
        if (sockets)
            add_message(out, frame, len);
        else
            add_event(&body, frame, len, now, n);
    }
    if (!sockets) {
        out->len = (size_t)sprintf(buf_room(out, 16), "%zx\r\n", body.len);
        buf_add(out, body.data, body.len);
        buf_add(out, "\r\n", 2);
    }
}

static void send_all(uint64_t now)
{
    static struct buf out;
    print(&out, now);
    for (int i = 0; i < open_count; i++)
        if (send(open_fds[i], out.data, out.len, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
            open_fds[i--] = open_fds[--open_count];
}

static void greet(int fd)
{
    char request[8192];
    ssize_t got = recv(fd, request, sizeof request, 0);
    const char *answer = sockets ? WS_ANSWER : SSE_ANSWER;
    if (got <= 0) {
        close(fd);
        return;
    }
    if (send(fd, answer, strlen(answer), MSG_NOSIGNAL) > 0 && open_count < 65536)
        open_fds[open_count++] = fd;
}

int main(int argc, char **argv)
{
    int port = argc > 1 ? atoi(argv[1]) : 0, on = 1;
    if (argc < 4 || !plan_read(&plan, argv[3], strlen(argv[3])))
        return 2;
    sockets = !strcmp(argv[2], "ws");
    many_files();
    int epoll = epoll_create1(EPOLL_CLOEXEC), timer = timer_new(), listener = listen_on(&port);
    for (int i = 0; i < 3; i++) {
        int fd = (int[]){0, timer, listener}[i];
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
    printf("listening on %d\n", port);
    fflush(stdout);
    uint64_t due = plan_next(&plan, now_ns(), 0);
    for (;;) {
        struct epoll_event events[256];
        if (due != UINT64_MAX)
            timer_at(timer, due);
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == 0)
                return 0;
            if (fd == timer) {
                timer_clear(timer);
            } else if (fd == listener) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
                }
            } else {
                greet(fd);
            }
        }
        if (now_ns() >= due) {
            send_all(now_ns());
            due = plan_next(&plan, now_ns(), 0);
        }
    }
}
