/*
 * A local directory as a tar stream.   (filexfer)
 *
 * Made a little at a time, so that whoever asks is never kept long and memory stays bounded.
 * Entries are "./a/b", the directory itself is "."; directories come behind what is in them, since
 * a plain tar gives them their time when it meets them.
 *
 * Permission bits are kept as pq_tree_mode() says, and modification times. Files with several names
 * stay one file, up to PQ_TREE_LINKS_MAX of them; more are sent once for each name. What is neither
 * file, directory nor link is left out with a note; so is what vanishes meanwhile, and a file that
 * changes while it is read is noted.
 */
#pragma once

#include "filexfer/archive.h"
#include "filexfer/tree_notes.h"

/* Files whose other names are still to come are remembered with their paths: about 10 MiB. */
#define PQ_TREE_LINKS_MAX 65536

typedef struct pq_tree_source pq_tree_source;

/* `path` is a directory. Fails with IO, or NOMEM. */
pq_tree_source *pq_tree_source_new(const char *path, pq_archive_format format, pq_error *err);

/* Where the stream's bytes are; who takes some consumes them. */
pq_buf *pq_tree_source_bytes(pq_tree_source *source);

/* Makes one more piece, of 64 KiB or less and a header. *ret_end: there is no more. Fails with IO
 * for a file that cannot be read; the text names it. NOMEM. */
int pq_tree_source_step(pq_tree_source *source, bool *ret_end, pq_error *err);

pq_tree_notes *pq_tree_source_notes(pq_tree_source *source);
uint64_t pq_tree_source_entries(const pq_tree_source *source);

/* NULL is fine. */
void pq_tree_source_free(pq_tree_source *source);
