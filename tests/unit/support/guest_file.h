/*
 * What the tests of put and fetch share.   (tests)
 */
#pragma once

#include <sys/stat.h>

#include "filexfer/guest_scripts.h"
#include "tests/unit/support/guest_bench.h"

/* The text that calls of a script have in them, for rules; valid until the test ends. */
const char *guest_file_script(pq_file_script which);

/* A rule for calls of a script. */
void guest_file_rule(pq_file_script which, shell_call call, unsigned skip, unsigned times,
                     shell_fault fault, pq_code code);

/* A file below guest.dir must have these bytes and this mode. */
void guest_must_have(const char *name, const void *bytes, size_t length, mode_t mode);

/* SHA-256 in hexadecimal; valid until the next call. */
const char *guest_sha256(const void *bytes, size_t length);

/* A file system of this size ("100k") at guest.remote_tmp, which goes with the test; skips the test
 * where none can be made. */
void guest_limit_tmp(const char *size);
void guest_unlimit_tmp(void);
