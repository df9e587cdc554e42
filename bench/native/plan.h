/* Plan: what a peer is fed with. Read from text like `rows=50,rate=20,burst=1,batch=1,bytes=340`. */
#ifndef PLAN_H
#define PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plan {
    unsigned rows;  /* of the window */
    unsigned rate;  /* source changes come so many times a second; 0 none */
    bool flood;     /* as fast as they are taken, whatever the rate */
    unsigned burst; /* changes each time */
    unsigned batch; /* changes in one message */
    unsigned bytes; /* of a FRAME */
    bool spread;    /* streams change at moments of their own, not together */
};

/* Returns whether the text is a plan. */
bool plan_read(struct plan *plan, const char *text, size_t len);

/* The moment after `after` at which a plan's rows change; `id` matters where they are spread. */
uint64_t plan_next(const struct plan *plan, uint64_t after, unsigned id);

#endif
