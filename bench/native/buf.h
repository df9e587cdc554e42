/* Bytes that grow. */
#ifndef BUF_H
#define BUF_H

#include <stddef.h>

struct buf {
    char *data;
    size_t len, cap;
};

/* Makes room for so many bytes more and returns where they go; `len` is the caller's to move. */
char *buf_room(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *data, size_t len);
/* Drops bytes from the front. */
void buf_drop(struct buf *b, size_t len);
void buf_free(struct buf *b);

#endif
