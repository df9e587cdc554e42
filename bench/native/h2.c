#include "h2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE };
enum { ACK = 1, END_STREAM = 1, END_HEADERS = 4, PADDED = 8 };

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE_LEN (sizeof PREFACE - 1)
#define HEAD_LEN 9
#define DEFAULT_WINDOW 65535

/* :status 200 is entry 8 of the static table, content-type is 31 (RFC 7541, appendix A). */
#define COMMON "\x88\x0f\x10\x10" "application/grpc"

static void put32(char *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (char)(value >> (24 - 8 * i));
}

static uint32_t get32(const char *data)
{
    const unsigned char *p = (const unsigned char *)data;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void frame(struct conn *c, int type, int flags, uint32_t id, const void *data, size_t len)
{
    char *p = buf_room(&c->out, HEAD_LEN + len);
    put32(p, (uint32_t)len << 8 | (uint32_t)type);
    p[4] = (char)flags;
    put32(p + 5, id);
    if (len)
        memcpy(p + HEAD_LEN, data, len);
    c->out.len += HEAD_LEN + len;
    c->dirty = true;
}

struct conn *h2_accept(int fd)
{
    struct conn *c = calloc(1, sizeof *c);
    if (!c)
        die("calloc");
    c->fd = fd;
    c->window = c->initial_window = DEFAULT_WINDOW;
    c->max_frame = 16384;
    frame(c, SETTINGS, 0, 0, NULL, 0);
    return c;
}

/* ---------------------------------------------------------------- streams */

static struct stream *find(struct conn *c, uint32_t id)
{
    return id / 2 < c->capacity ? c->streams[id / 2] : NULL;
}

static struct stream *begin(struct conn *c, uint32_t id)
{
    if (id / 2 >= c->capacity) {
        size_t capacity = c->capacity ? c->capacity : 64;
        while (capacity <= id / 2)
            capacity *= 2;
        c->streams = realloc(c->streams, capacity * sizeof *c->streams);
        if (!c->streams)
            die("realloc");
        memset(c->streams + c->capacity, 0, (capacity - c->capacity) * sizeof *c->streams);
        c->capacity = capacity;
    }
    struct stream *s = calloc(1, sizeof *s);
    if (!s)
        die("calloc");
    s->conn = c;
    s->id = id;
    s->window = c->initial_window;
    return c->streams[id / 2] = s;
}

static void end(struct stream *s)
{
    on_gone(s);
    s->conn->streams[s->id / 2] = NULL;
    buf_free(&s->body);
    buf_free(&s->pending);
    free(s);
}

void h2_free(struct conn *c)
{
    for (size_t i = 0; i < c->capacity; i++)
        if (c->streams[i])
            end(c->streams[i]);
    free(c->streams);
    buf_free(&c->in);
    buf_free(&c->out);
    close(c->fd);
    free(c);
}

void h2_answer(struct stream *s)
{
    frame(s->conn, HEADERS, END_HEADERS, s->id, COMMON, sizeof COMMON - 1);
}

void h2_refuse(struct stream *s, const char status[2])
{
    char block[sizeof COMMON + 16];
    size_t len = sizeof COMMON - 1;
    memcpy(block, COMMON, len);
    memcpy(block + len, "\x00\x0bgrpc-status\x02", 14);
    memcpy(block + len + 14, status, 2);
    frame(s->conn, HEADERS, END_HEADERS | END_STREAM, s->id, block, len + 16);
}

void h2_push(struct stream *s)
{
    struct conn *c = s->conn;
    size_t sent = 0;
    while (sent < s->pending.len) {
        int64_t room = s->window < c->window ? s->window : c->window;
        size_t part = s->pending.len - sent;
        if (room <= 0)
            break;
        if (part > (size_t)room)
            part = (size_t)room;
        if (part > c->max_frame)
            part = c->max_frame;
        frame(c, DATA, 0, s->id, s->pending.data + sent, part);
        s->window -= (int64_t)part;
        c->window -= (int64_t)part;
        sent += part;
    }
    buf_drop(&s->pending, sent);
}

/* ---------------------------------------------------------------- what the client says */

static void push_all(struct conn *c)
{
    for (size_t i = 0; i < c->capacity && c->window > 0; i++)
        if (c->streams[i] && c->streams[i]->pending.len)
            h2_push(c->streams[i]);
}

static void take_settings(struct conn *c, const char *p, size_t len)
{
    for (; len >= 6; p += 6, len -= 6) {
        uint32_t name = get32(p) >> 16, value = get32(p + 2);
        if (name == 5)
            c->max_frame = value;
        if (name != 4)
            continue;
        for (size_t i = 0; i < c->capacity; i++)
            if (c->streams[i])
                c->streams[i]->window += (int64_t)value - c->initial_window;
        c->initial_window = value;
    }
    frame(c, SETTINGS, ACK, 0, NULL, 0);
    push_all(c);
}

static void take_window(struct conn *c, uint32_t id, uint32_t more)
{
    struct stream *s = find(c, id);
    if (!id) {
        c->window += more;
        push_all(c);
    } else if (s) {
        s->window += more;
        h2_push(s);
    }
}

static void take_body(struct conn *c, uint32_t id, int flags, const char *p, size_t len)
{
    struct stream *s = find(c, id);
    char more[4];
    if (len) {
        put32(more, (uint32_t)len);
        frame(c, WINDOW_UPDATE, 0, 0, more, 4);
    }
    if (!s)
        return;
    if (flags & PADDED && len) {
        size_t pad = (unsigned char)*p;
        p++;
        len = len - 1 > pad ? len - 1 - pad : 0;
    }
    buf_add(&s->body, p, len);
    if (flags & END_STREAM)
        on_request(s);
}

static bool take(struct conn *c, int type, int flags, uint32_t id, const char *p, size_t len)
{
    struct stream *s = find(c, id);
    if (type == DATA)
        take_body(c, id, flags, p, len);
    else if (type == HEADERS && !s && id)
        s = begin(c, id);
    else if (type == RST_STREAM && s)
        end(s);
    else if (type == SETTINGS && !(flags & ACK))
        take_settings(c, p, len);
    else if (type == PING && !(flags & ACK))
        frame(c, PING, ACK, 0, p, len);
    else if (type == WINDOW_UPDATE && len == 4)
        take_window(c, id, get32(p) & 0x7fffffff);
    if (type == HEADERS && flags & END_STREAM && s)
        on_request(s);
    return true;
}

static bool take_all(struct conn *c)
{
    const char *p = c->in.data;
    size_t left = c->in.len;
    if (!c->greeted) {
        if (left < PREFACE_LEN)
            return true;
        if (memcmp(p, PREFACE, PREFACE_LEN))
            return false;
        c->greeted = true;
        p += PREFACE_LEN;
        left -= PREFACE_LEN;
    }
    while (left >= HEAD_LEN) {
        size_t len = get32(p) >> 8;
        if (left < HEAD_LEN + len)
            break;
        if (!take(c, p[3], p[4], get32(p + 5) & 0x7fffffff, p + HEAD_LEN, len))
            return false;
        p += HEAD_LEN + len;
        left -= HEAD_LEN + len;
    }
    buf_drop(&c->in, (size_t)(p - c->in.data));
    return true;
}

bool h2_read(struct conn *c)
{
    for (;;) {
        ssize_t got = recv(c->fd, buf_room(&c->in, 65536), 65536, 0);
        if (got < 0)
            return errno == EAGAIN || errno == EINTR;
        if (got == 0)
            return false;
        c->in.len += (size_t)got;
        if (!take_all(c))
            return false;
        if (got < 65536)
            return true;
    }
}

bool h2_flush(struct conn *c)
{
    size_t sent = 0;
    while (sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + sent, c->out.len - sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                return false;
            break;
        }
        sent += (size_t)n;
    }
    buf_drop(&c->out, sent);
    c->dirty = c->out.len > 0;
    return true;
}
