/* The command line of pve-qga-rsh as rows. */
#include "contrib/generate/docgen.h"

static const pq_option letters[] = {
#define OPTION(...) {__VA_ARGS__},
#include "shim/rsh/options.def"
};

const pq_option rsh_keys[] = {
#define KEY(key, take, whole, ...) {.name = key, __VA_ARGS__},
#include "shim/rsh/options.def"
};

const size_t rsh_key_count = sizeof rsh_keys / sizeof rsh_keys[0];

const pq_program rsh_program = {
    .name = "pve-qga-rsh",
    .rows = letters,
    .row_count = sizeof letters / sizeof letters[0],
};
