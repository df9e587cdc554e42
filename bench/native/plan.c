#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Wake-ups come on a grid: streams that are spread over time still share a few of them. */
#define GRID_NS 500000u

static bool set(struct plan *plan, const char *name, unsigned value)
{
    if (!strcmp(name, "rows"))
        plan->rows = value;
    else if (!strcmp(name, "rate"))
        plan->rate = value;
    else if (!strcmp(name, "flood"))
        plan->flood = value;
    else if (!strcmp(name, "burst"))
        plan->burst = value;
    else if (!strcmp(name, "batch"))
        plan->batch = value;
    else if (!strcmp(name, "bytes"))
        plan->bytes = value;
    else if (!strcmp(name, "spread"))
        plan->spread = value;
    else if (strcmp(name, "id"))
        return false;
    return true;
}

bool plan_read(struct plan *plan, const char *text, size_t len)
{
    char copy[256], *state = NULL;
    *plan = (struct plan){.rows = 50, .rate = 20, .burst = 1, .batch = 1, .bytes = 340};
    if (len >= sizeof copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = 0;
    for (char *part = strtok_r(copy, ",", &state); part; part = strtok_r(NULL, ",", &state)) {
        char *equals = strchr(part, '=');
        if (!equals)
            return false;
        *equals = 0;
        if (!set(plan, part, (unsigned)strtoul(equals + 1, NULL, 10)))
            return false;
    }
    return plan->rows && plan->burst && plan->batch && plan->rows <= 100000 && plan->bytes <= 65536;
}

uint64_t plan_next(const struct plan *plan, uint64_t after, unsigned id)
{
    if (!plan->rate)
        return UINT64_MAX;
    uint64_t period = 1000000000u / plan->rate;
    uint64_t phase = plan->spread ? (uint64_t)id * 2654435761u % period / GRID_NS * GRID_NS : 0;
    return (after - phase) / period * period + period + phase;
}
