#include "histogram.h"

#include <string.h>

#define STEPS 32u
#define STEP_BITS 5

static unsigned place(uint64_t ns)
{
    if (ns < STEPS)
        return (unsigned)ns;
    unsigned power = 63u - (unsigned)__builtin_clzll(ns);
    return (power - STEP_BITS + 1) * STEPS + (unsigned)(ns >> (power - STEP_BITS)) % STEPS;
}

static uint64_t middle(unsigned at)
{
    if (at < STEPS)
        return at;
    unsigned shift = at / STEPS - 1;
    return (uint64_t)(STEPS + at % STEPS) * (1ull << shift) + (1ull << shift) / 2;
}

void histogram_clear(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}

void histogram_add(struct histogram *h, uint64_t ns)
{
    h->counts[place(ns)]++;
    h->total++;
    if (ns > h->largest)
        h->largest = ns;
}

uint64_t histogram_at(const struct histogram *h, double share)
{
    uint64_t wanted = (uint64_t)((double)h->total * share), seen = 0;
    for (unsigned at = 0; at < 64 * STEPS && h->total; at++) {
        seen += h->counts[at];
        if (seen > wanted)
            return middle(at);
    }
    return h->largest;
}
