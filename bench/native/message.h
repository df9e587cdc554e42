/* Messages of livequery.v1 as protobuf bytes: what the tier says and what it is asked. */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* One change; `row` is the JSON text that its FRAME carries. */
struct delta {
    unsigned op; /* DeltaOp */
    unsigned row;
    uint64_t version;
    int old_index, new_index;
    unsigned n;  /* which change of its moment */
    bool live;   /* has a stream_id and a time */
};

enum { OP_ENTER = 1, OP_UPDATE = 4, OP_RESET = 5 };

/* Each appends one gRPC message (its 5 bytes of head included). */
void message_started(struct buf *out, unsigned id);
void message_batch(struct buf *out, const struct delta *deltas, size_t count, uint64_t first_seq,
                   bool snapshot_complete, const char *row, size_t row_len);

/* Reads the entity and max_batch_deltas of a SubscribeRequest in a gRPC message. Returns the
   entity's length, 0 when it is no such request. */
size_t message_request(const char *data, size_t len, const char **entity, unsigned *batch);

#endif
