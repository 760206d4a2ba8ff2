/*
 * A configuration on its way to another process of this program.   (transport/config; no I/O)
 *
 * A server that is shared by several clients (shim/control/control.h) does for each of them what
 * the client's own configuration says, so that has to get there with everything that was read:
 * values, where they came from, sections and secrets. Both sides are the same version of the
 * program and the same user; the bytes are checked for being whole all the same.
 */
#pragma once

#include "transport/base/buf.h"
#include "transport/config/config.h"

/* Both configuration files may be nothing but sections, and a line of them takes its file's name
 * along. */
#define PQ_CONFIG_PACK_MAX ((size_t)16 * 1024 * 1024)

/* Puts `cwd` (NULL: does nothing) in front of the files that are named relative to it. Fails with
 * NOMEM, or USAGE for a path that becomes too long. */
int pq_config_resolve_paths(pq_config *config, const char *cwd, pq_error *err);

/* Replaces what `out` holds. The bytes have the secrets that were read in them: pq_buf_wipe() is
 * for them. Fails with NOMEM, TOO_LARGE. */
int pq_config_pack(const pq_config *config, pq_buf *out, pq_error *err);

/* `rows` as for pq_config_new(), and the same as those of the packed one. Fails with PROTOCOL,
 * NOMEM. */
pq_config *pq_config_unpack(const pq_option *rows, size_t row_count, const char *bytes,
                            size_t length, pq_error *err);
