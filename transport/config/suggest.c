#include "transport/config/suggest.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define DISTANCE_MAX 2

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t pq_edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    /* Rows i-2, i-1 and i of the table of distances between beginnings. */
    size_t rows[3][PQ_SUGGESTION_MAX + 1];

    if (a_length > PQ_SUGGESTION_MAX || b_length > PQ_SUGGESTION_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            row[j] = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(row[j], least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

typedef struct search {
    const char *name;
    size_t length;
    size_t best;  /* distance; 0 for a beginning */
    size_t found; /* options at that distance */
    char *out;
} search;

static void consider(search *s, const char *prefix, const char *name, const char *suffix)
{
    char candidate[PQ_SUGGESTION_MAX];
    size_t distance;

    snprintf(candidate, sizeof candidate, "%s%s%s", prefix, name, suffix);
    if (strncmp(candidate, s->name, s->length) == 0)
        distance = 0;
    else
        distance = pq_edit_distance(s->name, s->length, candidate, strlen(candidate));
    if (distance > s->best || distance > DISTANCE_MAX)
        return;
    s->found = distance < s->best ? 1 : s->found + 1;
    s->best = distance;
    memcpy(s->out, candidate, strlen(candidate) + 1);
}

bool pq_suggest_option(const pq_config *config, unsigned commands, const char *name, size_t length,
                       char out[PQ_SUGGESTION_MAX])
{
    search s = {.name = name, .length = length, .best = SIZE_MAX, .out = out};
    const pq_option *option;

    if (length == 0)
        return false;
    for (unsigned id = 0; (option = pq_config_row(config, id)) != NULL; id++) {
        if (option->commands != 0 && (option->commands & commands) == 0)
            continue;
        consider(&s, "", option->name, "");
        if (option->type == PQ_TYPE_SECRET) {
            for (size_t kind = 1; kind < PQ_SECRET_KIND_COUNT; kind++)
                consider(&s, "", option->name, pq_secret_ways[kind].suffix);
        }
        if (option->type == PQ_TYPE_BOOL)
            consider(&s, "no-", option->name, "");
    }
    return s.found == 1;
}
