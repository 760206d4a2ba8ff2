/*
 * The entries of a guest's tar stream as files below a directory.   (filexfer)
 *
 * Theory of operation. Nothing outside the directory is touched, whatever the stream says: an
 * absolute path or one with ".." is refused, and every directory on the way to an entry is opened
 * from the one above it without following links, so that a link in the stream leads nowhere. The
 * targets of hard links are looked up in the same way. Symbolic links are made as they are and
 * never followed.
 *
 * The directories on the way to the last entry are kept open, mode 0700; a directory gets its mode
 * and time when the stream leaves it. So memory and descriptors are bounded by the depth.
 *
 * Permission bits are kept as they are, whatever the umask; setuid and setgid are not, since the
 * owner is another one here, nor is sticky but for directories. What is neither file, directory nor
 * link is left out with a note.
 */
#pragma once

#include "filexfer/archive.h"
#include "filexfer/tree_notes.h"
#include "filexfer/tree_walk.h"

typedef struct pq_tree_extract_options {
    int root;              /* the directory, borrowed; empty, mode 0700 */
    bool keep_root;        /* the stream's own directory gives `root` its mode and time */
    const char *leave_out; /* entries of this name, and what is below them; or NULL */
} pq_tree_extract_options;

typedef struct pq_tree_extract_result {
    uint64_t entries;
    uint64_t bytes; /* of files, without holes */
    pq_tree_notes notes;
} pq_tree_extract_result;

/* Reads the stream to its end, waiting where need be. Fails with REMOTE_FILE for a stream that is
 * damaged, empty or would leave the directory, IO, NOMEM; what was made by then stays. */
int pq_tree_extract(int stream, const pq_tree_extract_options *options,
                    pq_tree_extract_result *result, pq_error *err);

/* Permission bits of a copy. */
mode_t pq_tree_mode(bool directory, mode_t mode);
