/*
 * Texts to values: the types of the option table.   (transport/config; pure)
 */
#pragma once

#include "transport/config/option.h"

/* Longest value in bytes, except for RAW and ASSIGN, which the kernel or the frame bounds. */
#define PQ_VALUE_MAX 4096

typedef enum pq_value_result {
    PQ_VALUE_OK = 0,
    PQ_VALUE_BAD, /* not what pq_option_expected() says */
    PQ_VALUE_NO_MEMORY
} pq_value_result;

/* Checks `text`. On success gives its canonical form, to be freed by the caller, and for types
 * that have one the number (BOOL and FLAG 0/1, DURATION milliseconds). */
pq_value_result pq_value_parse(const pq_option *option, const char *text, char **ret_text,
                               int64_t *ret_number);

/* Whether `text` may be a secret: not empty, not too long, no line breaks. */
bool pq_value_is_secret(const char *text, size_t length);

/* The same for a secret of `option`, which may have several lines. */
bool pq_value_fits_secret(const pq_option *option, const char *text, size_t length);
