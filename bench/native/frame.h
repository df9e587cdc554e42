/* FRAME: what a browser is told of one row's change (docs/wire.md §2), as text.

   The version of a row is the moment of its change, in nanoseconds of the monotonic clock: that is
   how clients know the latency, whatever peer carried the frame and however it spells it. */
#ifndef FRAME_H
#define FRAME_H

#include <stddef.h>
#include <stdint.h>

/* The largest FRAME, and what surrounds one on any transport. */
#define FRAME_MAX (65536 + 512)

/* Prints a row such that a FRAME around it has about `bytes`; returns its length. */
size_t frame_row(char *out, unsigned bytes);

/* Prints an update of row `row`, the `n`-th change of its moment; returns its length. */
size_t frame_update(char *out, unsigned bytes, unsigned row, uint64_t version, unsigned n);

#endif
