/* Feeder: publishes the FRAMEs of a plan to a message broker by HTTP POST, on one connection.

   feeder PORT PATH PLAN HEADERS BEFORE AFTER
       A request has HEADERS beside its own, and a frame between BEFORE and AFTER as its body.
       `stats` on stdin is answered by a line of JSON; its end is the end. */
#include <errno.h>
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

/* A request up to its frame. */
#define HEAD_MAX 2048

static struct plan plan;
static const char *path, *headers, *before, *after;
static int epoll, timer, broker;
static unsigned row;
static unsigned long long published;
static struct buf out;

static void watch(int fd, unsigned events, int how)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, how, fd, &event) < 0)
        die("epoll_ctl");
}

static void flush(void)
{
    ssize_t n = out.len ? send(broker, out.data, out.len, MSG_NOSIGNAL) : 0;
    if (n < 0 && errno != EAGAIN)
        die("send");
    if (n > 0)
        buf_drop(&out, (size_t)n);
    watch(broker, out.len ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
}

/* Publishes one moment's changes, each a message of its own, the requests pipelined. */
static void publish(uint64_t now)
{
    static char frame[FRAME_MAX];
    for (unsigned n = 0; n < plan.burst; n++) {
        size_t len = frame_update(frame, plan.bytes, row, now, n);
        char *head = buf_room(&out, HEAD_MAX);
        out.len += (size_t)snprintf(head, HEAD_MAX,
                                    "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s"
                                    "Content-Length: %zu\r\n\r\n%s",
                                    path, headers, strlen(before) + len + strlen(after), before);
        buf_add(&out, frame, len);
        buf_add(&out, after, strlen(after));
        row = (row + 1) % plan.rows;
    }
    published += plan.burst;
    flush();
}

static void take_answers(void)
{
    static char answers[65536];
    ssize_t got = recv(broker, answers, sizeof answers, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        die("the broker is gone");
    flush();
}

int main(int argc, char **argv)
{
    if (argc < 7 || !plan_read(&plan, argv[3], strlen(argv[3])))
        return 2;
    path = argv[2], headers = argv[4], before = argv[5], after = argv[6];
    if (strlen(path) + strlen(headers) + strlen(before) + 128 > HEAD_MAX)
        return 2;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    timer = timer_new();
    broker = dial(atoi(argv[1]));
    if (broker < 0)
        die("connect");
    watch(0, EPOLLIN, EPOLL_CTL_ADD);
    watch(timer, EPOLLIN, EPOLL_CTL_ADD);
    watch(broker, EPOLLIN, EPOLL_CTL_ADD);
    for (uint64_t due = plan_next(&plan, now_ns(), 0);;) {
        struct epoll_event events[8];
        char line[64];
        if (due != UINT64_MAX)
            timer_at(timer, due);
        int count = epoll_wait(epoll, events, 8, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == timer) {
                timer_clear(timer);
            } else if (fd == broker) {
                take_answers();
            } else if (read(0, line, sizeof line) <= 0) {
                return 0;
            } else {
                printf("{\"published\":%llu,\"unsent\":%zu}\n", published, out.len);
                fflush(stdout);
            }
        }
        if (now_ns() >= due) {
            publish(now_ns());
            due = plan_next(&plan, now_ns(), 0);
        }
    }
}
