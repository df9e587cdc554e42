#include "frame.h"

#include <stdio.h>
#include <string.h>

#define ROW_HEAD                                                                              \
    "{\"carrier\":\"UA\",\"flight\":1545,\"origin\":\"EWR\",\"dest\":\"IAH\",\"dep_delay\":2," \
    "\"gate\":\"C71\",\"boarding\":true,\"note\":\""
#define ROW_TAIL "\"}"
/* A FRAME without its row, the numbers being as long as they usually are. */
#define AROUND 165

size_t frame_row(char *out, unsigned bytes)
{
    size_t fixed = AROUND + sizeof ROW_HEAD - 1 + sizeof ROW_TAIL - 1;
    size_t pad = bytes > fixed ? bytes - fixed : 0;
    char *p = out;
    memcpy(p, ROW_HEAD, sizeof ROW_HEAD - 1);
    p += sizeof ROW_HEAD - 1;
    for (size_t i = 0; i < pad; i++)
        *p++ = "on time, on track, "[i % 19];
    memcpy(p, ROW_TAIL, sizeof ROW_TAIL - 1);
    p += sizeof ROW_TAIL - 1;
    return (size_t)(p - out);
}

size_t frame_update(char *out, unsigned bytes, unsigned row, uint64_t version, unsigned n)
{
    char *p = out;
    p += sprintf(p, "{\"op\":\"update\",\"agg_id\":\"row-%05u\",\"version\":%llu,\"row\":", row,
                 (unsigned long long)version);
    p += frame_row(p, bytes);
    p += sprintf(p,
                 ",\"old_index\":%u,\"new_index\":%u,\"cursor\":{\"values\":[\"row-%05u\"]},"
                 "\"stream_id\":\"%llu-%u\"}",
                 row, row, row, (unsigned long long)version, n);
    return (size_t)(p - out);
}
