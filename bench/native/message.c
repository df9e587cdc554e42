#include "message.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define VARINT 0
#define BYTES 2

static char *put_varint(char *p, uint64_t value)
{
    while (value > 127) {
        *p++ = (char)(value | 128);
        value >>= 7;
    }
    *p++ = (char)value;
    return p;
}

static char *put_number(char *p, unsigned field, uint64_t value)
{
    return value ? put_varint(put_varint(p, field << 3 | VARINT), value) : p;
}

static char *put_signed(char *p, unsigned field, int value)
{
    return put_number(p, field, (uint32_t)value << 1 ^ (uint32_t)(value >> 31));
}

static char *put_bytes(char *p, unsigned field, const void *data, size_t len)
{
    p = put_varint(put_varint(p, field << 3 | BYTES), len);
    memcpy(p, data, len);
    return p + len;
}

static size_t varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >>= 7)
        size++;
    return size;
}

/* "row-00042": sprintf would be most of what a delta costs. */
static void put_id(char out[9], unsigned row)
{
    memcpy(out, "row-", 4);
    for (int i = 8; i >= 4; i--, row /= 10)
        out[i] = (char)('0' + row % 10);
}

static size_t put_decimal(char *out, uint64_t value)
{
    char digits[20];
    size_t len = 0;
    do
        digits[len++] = (char)('0' + value % 10);
    while (value /= 10);
    for (size_t i = 0; i < len; i++)
        out[i] = digits[len - 1 - i];
    return len;
}

static char *put_live(char *p, const struct delta *d)
{
    char text[48], inner[24], *q = inner;
    struct timespec at;
    size_t len = put_decimal(text, d->version);
    text[len++] = '-';
    len += put_decimal(text + len, d->n);
    p = put_bytes(p, 8, text, len);
    clock_gettime(CLOCK_REALTIME_COARSE, &at);
    q = put_number(q, 1, (uint64_t)at.tv_sec);
    q = put_number(q, 2, (uint64_t)at.tv_nsec);
    return put_bytes(p, 9, inner, (size_t)(q - inner));
}

static char *put_delta(char *p, const struct delta *d, const char *row, size_t row_len)
{
    char id[9], value[16], cursor[24];
    p = put_number(p, 1, d->op);
    if (d->op == OP_RESET)
        return p;
    put_id(id, d->row);
    p = put_bytes(p, 2, id, sizeof id);
    p = put_number(p, 3, d->version);
    p = put_bytes(p, 4, row, row_len);
    p = put_signed(p, 5, d->old_index);
    p = put_signed(p, 6, d->new_index);
    size_t value_len = (size_t)(put_bytes(value, 6, id, sizeof id) - value);
    size_t cursor_len = (size_t)(put_bytes(cursor, 1, value, value_len) - cursor);
    p = put_bytes(p, 7, cursor, cursor_len);
    return d->live ? put_live(p, d) : p;
}

/* Appends the head of a gRPC message (uncompressed) and of the field of SubscribeResponse in it. */
static void put_head(struct buf *out, unsigned field, size_t len)
{
    size_t all = 1 + varint_size(len) + len;
    char *p = buf_room(out, 16), *begin = p;
    *p++ = 0;
    for (int shift = 24; shift >= 0; shift -= 8)
        *p++ = (char)(all >> shift);
    p = put_varint(put_varint(p, field << 3 | BYTES), len);
    out->len += (size_t)(p - begin);
}

void message_started(struct buf *out, unsigned id)
{
    char text[24], inner[40];
    size_t len = (size_t)sprintf(text, "bench-%u", id);
    size_t inner_len = (size_t)(put_bytes(inner, 1, text, len) - inner);
    put_head(out, 1, inner_len);
    buf_add(out, inner, inner_len);
}

void message_batch(struct buf *out, const struct delta *deltas, size_t count, uint64_t first_seq,
                   bool snapshot_complete, const char *row, size_t row_len)
{
    static struct buf inner, one;
    inner.len = 0;
    char *p = buf_room(&inner, 32), *begin = p;
    p = put_number(p, 1, 1); /* epoch */
    p = put_number(p, 2, first_seq);
    inner.len += (size_t)(p - begin);
    for (size_t i = 0; i < count; i++) {
        one.len = 0;
        char *d = buf_room(&one, row_len + 256);
        size_t len = (size_t)(put_delta(d, &deltas[i], row, row_len) - d);
        char *q = buf_room(&inner, len + 16);
        inner.len += (size_t)(put_bytes(q, 3, d, len) - q);
    }
    p = buf_room(&inner, 8);
    inner.len += (size_t)(put_number(p, 4, snapshot_complete) - p);
    put_head(out, 2, inner.len);
    buf_add(out, inner.data, inner.len);
}

static bool get_varint(const char **p, const char *end, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; *p < end && shift < 64; shift += 7) {
        unsigned char byte = (unsigned char)*(*p)++;
        *value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

/* Finds a field of a message: a number goes to *number, bytes to *bytes and *len. */
static bool find(const char *p, const char *end, unsigned wanted, uint64_t *number,
                 const char **bytes, size_t *len)
{
    uint64_t tag, value;
    while (p < end && get_varint(&p, end, &tag) && get_varint(&p, end, &value)) {
        bool text = (tag & 7) == BYTES;
        if (!text && (tag & 7) != VARINT)
            return false;
        if (text && value > (uint64_t)(end - p))
            return false;
        if (tag >> 3 == wanted) {
            *number = value;
            *bytes = p;
            *len = (size_t)value;
            return true;
        }
        if (text)
            p += value;
    }
    return false;
}

size_t message_request(const char *data, size_t len, const char **entity, unsigned *batch)
{
    const char *query, *none;
    size_t query_len, entity_len, ignored;
    uint64_t number;
    if (len < 5)
        return 0;
    const char *body = data + 5, *end = data + len;
    *batch = find(body, end, 4, &number, &none, &ignored) && number ? (unsigned)number : 1;
    if (!find(body, end, 1, &number, &query, &query_len))
        return 0;
    if (!find(query, query + query_len, 1, &number, entity, &entity_len))
        return 0;
    return entity_len;
}
