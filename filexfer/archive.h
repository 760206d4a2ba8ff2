/*
 * Tar streams; the only place that includes libarchive.   (filexfer)
 *
 * Paths and link targets are bytes, whatever their encoding: nothing is converted, so the locale
 * does not matter. Modification times have fractions where the format can say them.
 *
 * A writer is pushed: what an entry makes is appended to a buffer at once. A reader pulls from a
 * descriptor and may wait there, so it runs in a thread of its own (tree_thread.h). It believes
 * nothing: one header may take no more than PQ_ARCHIVE_HEADER_MAX bytes of the stream, which bounds
 * the memory that long names and maps of sparse files can claim.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "transport/base/buf.h"

/* libarchive itself takes names of up to 1 MiB; no file system has names above 4 KiB. */
#define PQ_ARCHIVE_HEADER_MAX ((size_t)512 * 1024)

/* Bytes of an entry's header in most archives. */
#define PQ_ARCHIVE_BLOCK 512

typedef enum pq_archive_format {
    PQ_ARCHIVE_PAX, /* POSIX: times with fractions; GNU tar and bsdtar know it */
    PQ_ARCHIVE_GNU  /* whole seconds; busybox and toybox know it */
} pq_archive_format;

typedef enum pq_archive_kind {
    PQ_ARCHIVE_FILE,
    PQ_ARCHIVE_DIRECTORY,
    PQ_ARCHIVE_SYMLINK,
    PQ_ARCHIVE_HARDLINK, /* another name for an entry before it */
    PQ_ARCHIVE_OTHER     /* devices, FIFOs and what else there may be; only read */
} pq_archive_kind;

typedef struct pq_archive_entry {
    pq_archive_kind kind;
    const char *path;
    const char *target; /* SYMLINK: its text; HARDLINK: the other entry's path; else NULL */
    mode_t mode;        /* permission bits, 07777 */
    uint64_t size;      /* of a FILE */
    struct timespec mtime;
} pq_archive_entry;

/* ---- writing ---- */

typedef struct pq_archive_writer pq_archive_writer;

/* Appends to `out`, which outlives the writer. Entries belong to root. Fails with NOMEM. */
pq_archive_writer *pq_archive_writer_new(pq_archive_format format, pq_buf *out, pq_error *err);

/* Begins an entry. Fails with IO if the format cannot say it, NOMEM, TOO_LARGE. */
int pq_archive_add(pq_archive_writer *writer, const pq_archive_entry *entry, pq_error *err);

/* The bytes of a FILE; what its size promised and never came is filled with zeros. */
int pq_archive_add_bytes(pq_archive_writer *writer, const void *bytes, size_t length,
                         pq_error *err);

/* The end of the archive. */
int pq_archive_close(pq_archive_writer *writer, pq_error *err);

/* NULL is fine. */
void pq_archive_writer_free(pq_archive_writer *writer);

/* ---- reading ---- */

typedef struct pq_archive_reader pq_archive_reader;

/* `fd` is borrowed. Fails with NOMEM or REMOTE_FILE. */
pq_archive_reader *pq_archive_reader_new(int fd, pq_error *err);

/* The next entry, valid until the next call; *ret_end at the end. Fails with REMOTE_FILE for what
 * is no tar archive or is cut off, IO, NOMEM. */
int pq_archive_next(pq_archive_reader *reader, pq_archive_entry *ret, bool *ret_end, pq_error *err);

/* The next bytes of the entry and their place in the file: there may be holes before them.
 * *ret_length is 0 at the end. */
int pq_archive_bytes(pq_archive_reader *reader, const void **ret_bytes, size_t *ret_length,
                     uint64_t *ret_offset, pq_error *err);

/* NULL is fine. */
void pq_archive_reader_free(pq_archive_reader *reader);
