/* Tier: a live-query tier that serves nothing but load, cheaply enough to share a core with the
   clients. A query's entity is a plan (plan.h); each stream gets a snapshot, then what was planned.

   tier [PORT]     prints `listening on PORT`. Commands on stdin: `stats` answers with one line of
                   JSON; the end of stdin ends the tier. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"
#include "h2.h"
#include "message.h"
#include "net.h"
#include "plan.h"

/* What a stream may hold back before changes are left out: nobody measures a tier that swaps. */
#define MOST_PENDING (1u << 20)
/* What a connection may have unsent before a flood waits. */
#define FLOOD_OUT (64u << 10)
#define SNAPSHOT_BATCH 1000u

struct source {
    struct plan plan;
    unsigned number;
    unsigned row; /* the next to change */
    uint64_t seq, due;
    char *json;
    size_t json_len;
};

static struct stream *streams; /* those with a source */
static unsigned started, open_streams;
static unsigned long long sent, skipped;
static int epoll, timer;
static struct conn *conns;
static struct delta *scratch;

static struct source *source_of(struct stream *s)
{
    return s->owner;
}

static void say(struct stream *s, size_t count, bool complete)
{
    struct source *o = source_of(s);
    message_batch(&s->pending, scratch, count, o->seq + 1, complete, o->json, o->json_len);
    o->seq += count;
    h2_push(s);
}

static void snapshot(struct stream *s, unsigned most)
{
    struct source *o = source_of(s);
    size_t count = 0;
    if (most > SNAPSHOT_BATCH)
        most = SNAPSHOT_BATCH;
    scratch[count++] = (struct delta){.op = OP_RESET};
    for (unsigned row = 0; row < o->plan.rows; row++) {
        if (count >= most) {
            say(s, count, false);
            count = 0;
        }
        scratch[count++] = (struct delta){
            .op = OP_ENTER, .row = row, .version = 1, .old_index = -1, .new_index = (int)row};
    }
    say(s, count, true);
}

static void change(struct stream *s, uint64_t now)
{
    struct source *o = source_of(s);
    size_t count = 0;
    if (s->pending.len > MOST_PENDING) {
        skipped += o->plan.burst;
        return;
    }
    for (unsigned n = 0; n < o->plan.burst; n++) {
        int index = (int)o->row;
        scratch[count++] = (struct delta){.op = OP_UPDATE,
                                          .row = o->row,
                                          .version = now,
                                          .old_index = index,
                                          .new_index = index,
                                          .n = n,
                                          .live = true};
        o->row = (o->row + 1) % o->plan.rows;
        if (count == o->plan.batch || n + 1 == o->plan.burst) {
            say(s, count, false);
            count = 0;
        }
    }
    sent += o->plan.burst;
}

void on_request(struct stream *s)
{
    const char *entity;
    unsigned batch;
    size_t len = message_request(s->body.data, s->body.len, &entity, &batch);
    struct source *o = calloc(1, sizeof *o);
    if (!o)
        die("calloc");
    if (!len || !plan_read(&o->plan, entity, len)) {
        free(o);
        h2_refuse(s, "12"); /* UNIMPLEMENTED: health and reflection, for one */
        return;
    }
    o->json = malloc(FRAME_MAX);
    if (!o->json)
        die("malloc");
    o->json_len = frame_row(o->json, o->plan.bytes);
    o->number = started++;
    s->owner = o;
    s->next = streams;
    if (streams)
        streams->prev = s;
    streams = s;
    open_streams++;
    h2_answer(s);
    message_started(&s->pending, o->number);
    snapshot(s, batch);
    o->due = plan_next(&o->plan, now_ns(), o->number);
}

void on_gone(struct stream *s)
{
    struct source *o = source_of(s);
    if (!o)
        return;
    if (s->prev)
        s->prev->next = s->next;
    else
        streams = s->next;
    if (s->next)
        s->next->prev = s->prev;
    open_streams--;
    free(o->json);
    free(o);
    s->owner = NULL;
}

/* Makes the changes that are due and sets the timer to the next ones. */
static void tick(void)
{
    uint64_t now = now_ns(), next = UINT64_MAX;
    for (struct stream *s = streams; s; s = s->next) {
        struct source *o = source_of(s);
        if (o->due <= now) {
            change(s, now);
            o->due = plan_next(&o->plan, now, o->number);
        }
        if (o->due < next)
            next = o->due;
    }
    if (next != UINT64_MAX)
        timer_at(timer, next);
}

/* Lets every stream that is a flood say one batch more, where it is taken; whether any did. */
static bool flood(void)
{
    bool any = false;
    for (struct stream *s = streams; s; s = s->next) {
        struct source *o = source_of(s);
        if (!o->plan.flood || s->pending.len || s->conn->out.len > FLOOD_OUT)
            continue;
        if (s->window <= 0 || s->conn->window <= 0)
            continue;
        change(s, now_ns());
        any = true;
    }
    return any;
}

static void forget(struct conn *c)
{
    struct conn **at = &conns;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    h2_free(c);
}

static void wait_for(int fd, unsigned events, void *what)
{
    struct epoll_event event = {.events = events, .data.ptr = what};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static void accept_all(int listener)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct conn *c = h2_accept(fd);
        c->next = conns;
        conns = c;
        wait_for(fd, EPOLLIN | EPOLLOUT | EPOLLET, c);
    }
}

static void flush_all(void)
{
    for (struct conn *c = conns, *next; c; c = next) {
        next = c->next;
        if (c->dirty && !h2_flush(c))
            forget(c);
    }
}

static void obey(void)
{
    char line[64];
    ssize_t got = read(0, line, sizeof line);
    if (got <= 0)
        exit(0);
    printf("{\"started\":%u,\"open\":%u,\"sent\":%llu,\"skipped\":%llu}\n", started, open_streams,
           sent, skipped);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int port = argc > 1 ? atoi(argv[1]) : 0;
    many_files();
    scratch = calloc(100001, sizeof *scratch);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    timer = timer_new();
    int listener = listen_on(&port), ask = 0;
    wait_for(listener, EPOLLIN, &listener);
    wait_for(timer, EPOLLIN, &timer);
    wait_for(ask, EPOLLIN, &ask);
    printf("listening on %d\n", port);
    fflush(stdout);
    for (bool busy = false;;) {
        struct epoll_event events[256];
        int count = epoll_wait(epoll, events, 256, busy ? 0 : -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++) {
            void *what = events[i].data.ptr;
            if (what == &ask)
                obey();
            else if (what == &listener)
                accept_all(listener);
            else if (what == &timer)
                timer_clear(timer);
            else if (!h2_read(what) || !h2_flush(what))
                forget(what);
        }
        tick();
        busy = flood();
        flush_all();
    }
}
