/* HTTP/2, the server's side, as much of it as gRPC clients need (RFC 9113).

   Header blocks are never decoded: a request is known by its body, so no compression state is
   kept. Every answer is the same few header bytes, none of them indexed. */
#ifndef H2_H
#define H2_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

struct conn;

struct stream {
    struct stream *next, *prev; /* the owner's list */
    struct conn *conn;
    uint32_t id;
    int64_t window;     /* what the client still takes */
    struct buf body;    /* the request */
    struct buf pending; /* what flow control does not let go yet */
    void *owner;
};

struct conn {
    struct conn *next; /* the owner's list */
    int fd;
    bool greeted, dirty;
    int64_t window;
    int64_t initial_window;
    uint32_t max_frame;
    struct buf in, out;
    struct stream **streams; /* by id / 2 */
    size_t capacity;
};

/* What the owner is told. */
void on_request(struct stream *stream);
void on_gone(struct stream *stream);

struct conn *h2_accept(int fd);
/* Reads what has come; false when the connection is over. */
bool h2_read(struct conn *c);
/* Writes what is due; false when the connection is over. */
bool h2_flush(struct conn *c);
void h2_free(struct conn *c);

/* Answers a request: 200 and the headers of gRPC. */
void h2_answer(struct stream *s);
/* Refuses one with a gRPC status. */
void h2_refuse(struct stream *s, const char status[2]);
/* Moves what `pending` holds to the connection, as far as the windows allow. */
void h2_push(struct stream *s);

#endif
