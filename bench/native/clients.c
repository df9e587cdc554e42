/* Clients: any number of browsers, as far as a server can tell: they connect, ask, and read. Of
   what they read they look only for versions, which are the moments of changes (frame.h).

   clients PORT REQUEST [MESSAGE]
       Each connection sends the bytes of the file REQUEST and, once the headers of the answer have
       come, those of MESSAGE; `{i}` in either is the connection's number, five digits.

   Commands on stdin, each answered by one line of JSON; the end of stdin ends the program:
       open N ROWS SECONDS   opens N more; they are ready when the headers and ROWS frames are there
       close N               closes the last N
       stall N               lets the first N read no more
       reset                 begins to count anew
       report                tells what was counted since */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "histogram.h"
#include "net.h"

#define MOST 65536
/* Connections being opened at a time: a crowd, but no SYN flood. */
#define IN_FLIGHT 64
/* Versions below are rows of a snapshot, not moments. */
#define FIRST_MOMENT 1000000000u
/* What may be the beginning of a version at the end of what was read. */
#define TAIL 40
#define CHUNK (256 * 1024)
/* What the kernel takes for a client that stalls. */
#define STALLED_BUFFER 4096

struct client {
    int fd;
    bool answered, ready, failed, stalled;
    unsigned frames; /* before it was ready */
    size_t tail_len;
    char tail[TAIL];
};

static struct client clients[MOST];
static int used, opened, opening, ready, failed, lost, epoll, port;
static unsigned rows;
static struct buf request, message;
static struct histogram latencies;
static unsigned long long frames, snapshot_frames, bytes, reads;
static uint64_t since;

static void load(struct buf *b, const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t got;
    if (!file)
        die(path);
    while ((got = fread(buf_room(b, 4096), 1, 4096, file)) > 0)
        b->len += got;
    fclose(file);
}

/* Sends a request or a message with the connection's number put in. */
static bool say(const struct client *c, const struct buf *text)
{
    static struct buf filled;
    char number[8];
    snprintf(number, sizeof number, "%05u", (unsigned)(c - clients) % 100000);
    filled.len = 0;
    for (size_t i = 0; i < text->len;) {
        if (text->len - i >= 3 && !memcmp(text->data + i, "{i}", 3)) {
            buf_add(&filled, number, 5);
            i += 3;
        } else {
            buf_add(&filled, text->data + i++, 1);
        }
    }
    return send(c->fd, filled.data, filled.len, MSG_NOSIGNAL) == (ssize_t)filled.len;
}

static void drop(struct client *c)
{
    struct linger at_once = {.l_onoff = 1};
    if (c->fd < 0)
        return;
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(c->fd);
    c->fd = -1;
    if (!c->ready)
        opening--;
}

static void fail(struct client *c)
{
    if (c->ready)
        lost++;
    else
        failed++;
    drop(c);
}

static void open_one(struct client *c)
{
    *c = (struct client){.fd = dial(port)};
    if (c->fd < 0)
        die("connect");
    opening++;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
        die("epoll_ctl");
}

static void connected(struct client *c)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (!say(c, &request))
        fail(c);
    else if (epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event) < 0)
        die("epoll_ctl");
}

/* Counts the versions in `data`; returns how many bytes are done with. */
static size_t count(struct client *c, const char *data, size_t len, uint64_t now)
{
    static const char NAME[] = "\"version\":";
    const char *p = data, *end = data + len, *done = data;
    while ((p = memmem(p, (size_t)(end - p), NAME, sizeof NAME - 1))) {
        uint64_t version = 0;
        p += sizeof NAME - 1;
        if (p < end && *p == '"')
            p++;
        while (p < end && *p >= '0' && *p <= '9')
            version = version * 10 + (uint64_t)(*p++ - '0');
        if (p == end)
            break;
        done = p;
        if (!c->ready)
            c->frames++;
        if (version < FIRST_MOMENT) {
            snapshot_frames++;
        } else if (!c->stalled) {
            frames++;
            histogram_add(&latencies, now > version ? now - version : 0);
        }
    }
    return (size_t)(done - data);
}

static void answered(struct client *c, const char *data, size_t len)
{
    if (!memmem(data, len, "\r\n\r\n", 4))
        return;
    bool good = len > 12 && (!memcmp(data + 9, "200", 3) || !memcmp(data + 9, "101", 3));
    if (!good) {
        fprintf(stderr, "refused: %.*s\n", (int)(len < 600 ? len : 600), data);
        fail(c);
        return;
    }
    c->answered = true;
    if (message.len && !say(c, &message))
        fail(c);
}

static void take(struct client *c)
{
    static char buffer[TAIL + CHUNK];
    char *data = buffer + TAIL - c->tail_len;
    memcpy(data, c->tail, c->tail_len);
    ssize_t got = recv(c->fd, buffer + TAIL, CHUNK, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        fail(c);
        return;
    }
    reads++;
    bytes += (unsigned long long)got;
    if (!c->answered) /* an answer's headers come in one piece */
        answered(c, buffer + TAIL, (size_t)got);
    if (c->fd < 0)
        return;
    size_t len = c->tail_len + (size_t)got, done = count(c, data, len, now_ns()), left = len - done;
    c->tail_len = left < TAIL ? left : TAIL;
    memcpy(c->tail, data + len - c->tail_len, c->tail_len);
    if (!c->ready && c->answered && c->frames >= rows) {
        c->ready = true;
        opening--;
        ready++;
    }
}

static int wait_some(int timeout)
{
    struct epoll_event events[512];
    int n = epoll_wait(epoll, events, 512, timeout), commands = 0;
    for (int i = 0; i < n; i++) {
        struct client *c = events[i].data.ptr;
        if (!c)
            commands++;
        else if (c->fd < 0)
            continue;
        else if (events[i].events & EPOLLOUT)
            connected(c);
        else
            take(c);
    }
    return commands;
}

static void open_many(int n, unsigned rows_each, double seconds)
{
    uint64_t began = now_ns(), until = began + (uint64_t)(seconds * 1e9);
    int before = ready, goal = used + n;
    rows = rows_each;
    failed = 0;
    while (used < goal || opening) {
        while (used < goal && used < MOST && opening < IN_FLIGHT)
            open_one(&clients[used++]);
        if (now_ns() > until)
            break;
        wait_some(100);
    }
    opened += n;
    printf("{\"ready\":%d,\"failed\":%d,\"seconds\":%.4f}\n", ready - before, failed,
           (double)(now_ns() - began) / 1e9);
}

static void close_many(int n)
{
    while (n-- && used) {
        struct client *c = &clients[--used];
        if (c->ready && c->fd >= 0)
            ready--;
        drop(c);
    }
    printf("{}\n");
}

static void stall_many(int n)
{
    int small = STALLED_BUFFER;
    for (int i = 0; i < n && i < used; i++) {
        if (clients[i].fd < 0)
            continue;
        setsockopt(clients[i].fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        epoll_ctl(epoll, EPOLL_CTL_DEL, clients[i].fd, NULL);
        clients[i].stalled = true;
    }
    printf("{}\n");
}

static void reset(void)
{
    histogram_clear(&latencies);
    frames = snapshot_frames = bytes = reads = 0;
    since = now_ns();
    printf("{}\n");
}

static void report(void)
{
    printf("{\"seconds\":%.6f,\"frames\":%llu,\"snapshot_frames\":%llu,\"bytes\":%llu,"
           "\"reads\":%llu,\"lost\":%d,",
           (double)(now_ns() - since) / 1e9, frames, snapshot_frames, bytes, reads, lost);
    printf("\"p50\":%llu,\"p90\":%llu,\"p99\":%llu,\"p999\":%llu,\"max\":%llu}\n",
           (unsigned long long)histogram_at(&latencies, 0.5),
           (unsigned long long)histogram_at(&latencies, 0.9),
           (unsigned long long)histogram_at(&latencies, 0.99),
           (unsigned long long)histogram_at(&latencies, 0.999),
           (unsigned long long)latencies.largest);
}

static void obey(void)
{
    char line[128], *text;
    int n = 0;
    unsigned rows_each = 0;
    double seconds = 30;
    ssize_t got = read(0, line, sizeof line - 1);
    if (got <= 0)
        exit(0);
    line[got] = 0;
    text = line;
    if (sscanf(text, "open %d %u %lf", &n, &rows_each, &seconds) >= 1)
        open_many(n, rows_each, seconds);
    else if (sscanf(text, "close %d", &n) == 1)
        close_many(n);
    else if (sscanf(text, "stall %d", &n) == 1)
        stall_many(n);
    else if (!strncmp(text, "reset", 5))
        reset();
    else
        report();
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: clients PORT REQUEST [MESSAGE]\n");
        return 2;
    }
    many_files();
    port = atoi(argv[1]);
    load(&request, argv[2]);
    if (argc > 3)
        load(&message, argv[3]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event) < 0)
        die("epoll_ctl");
    for (;;)
        if (wait_some(-1))
            obey();
}
