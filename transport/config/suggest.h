/*
 * "Did you mean": the option nearest to a misspelled one.   (transport/config; pure)
 */
#pragma once

#include "transport/config/config.h"

#define PQ_SUGGESTION_MAX 64

/* Gives the one option that `name` is the beginning of, or that is nearest to it within two edits;
 * false if there is none or more than one. Options that `commands` does not have do not count. */
bool pq_suggest_option(const pq_config *config, unsigned commands, const char *name, size_t length,
                       char out[PQ_SUGGESTION_MAX]);

/* Edits (insert, delete, replace, swap of neighbours) that make `a` of `b`; texts of more than
 * PQ_SUGGESTION_MAX bytes are SIZE_MAX apart. */
size_t pq_edit_distance(const char *a, size_t a_length, const char *b, size_t b_length);
