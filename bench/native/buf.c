#include "buf.h"

#include <stdlib.h>
#include <string.h>

#include "net.h"

char *buf_room(struct buf *b, size_t more)
{
    if (b->cap - b->len < more) {
        size_t cap = b->cap ? b->cap : 512;
        while (cap - b->len < more)
            cap *= 2;
        b->data = realloc(b->data, cap);
        if (!b->data)
            die("realloc");
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    memcpy(buf_room(b, len), data, len);
    b->len += len;
}

void buf_drop(struct buf *b, size_t len)
{
    b->len -= len;
    memmove(b->data, b->data + len, b->len);
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}
