/*
 * What the tests of transport/config share.   (tests/unit)
 *
 * Functions named must_* end the test when what they do fails.
 */
#pragma once

#include <sys/stat.h>

#include "transport/config/config.h"

/* Rows of a program's own, as tests need them. */
enum {
    OPT_ENV = PQ_OPT_COUNT,
    OPT_MODE,
    OPT_NO_STDIN,
    OPT_RUN_ONLY, /* belongs to RUN, the others to any command */
    OPT_END
};

#define RUN 1u
#define COPY 2u

extern const pq_option test_rows[];
#define TEST_ROW_COUNT ((size_t)(OPT_END - PQ_OPT_COUNT))

/* An environment: NAME, value, NAME, value, ..., NULL. */
const char *get_test_variable(void *context, const char *name);

pq_config *must_new(void);

/* Text as a file "test.conf" of the source, mode 0600 and ours. */
void must_parse(pq_config *config, pq_source source, const char *text);

/* Variables only; neither of the files exists. */
void must_load(pq_config *config, const char *const *variables);

/* Space-separated arguments, as one command line of RUN whose options may stand anywhere. */
void must_take_args(pq_config *config, const char *arguments);

/* These fail, with `code` and a text that contains `part`. */
void must_not_parse(const char *text, pq_code code, const char *part);
void must_not_load(const char *const *variables, pq_code code, const char *part);
void must_not_take_args(const char *arguments, pq_code code, const char *part);

void must_be_error(const pq_error *err, pq_code code, const char *part);

/* Writes a file below a directory of this test, which is made when first needed, and returns its
 * path, valid until the test ends. */
const char *must_write(const char *name, mode_t mode, const char *text);
const char *test_directory(void);
