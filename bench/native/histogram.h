/* Histogram of durations: 32 steps to each power of two, so a value is told within 3 %. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

struct histogram {
    uint64_t counts[64 * 32];
    uint64_t total, largest;
};

void histogram_clear(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t ns);
/* The duration that `share` (0 to 1) of all are not longer than; 0 when there is none. */
uint64_t histogram_at(const struct histogram *h, double share);

#endif
