#include "filexfer/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "transport/base/fd.h"

#define READ_BYTES ((size_t)64 * 1024)
#define SECOND_NS 1000000000

/* ---- writing ---- */

struct pq_archive_writer {
    struct archive *archive;
    struct archive_entry *entry;
    pq_buf *out;      /* NULL: given up */
    pq_error failure; /* of appending to `out` */
};

static la_ssize_t append(struct archive *archive, void *context, const void *bytes, size_t length)
{
    pq_archive_writer *writer = context;
    (void)archive;
    if (writer->out == NULL)
        return -1;
    /* libarchive leaks memory when it is freed after a failure that it knows of. */
    if (writer->failure.code == PQ_OK)
        (void)pq_buf_add(writer->out, bytes, length, &writer->failure);
    return (la_ssize_t)length;
}

/* libarchive's texts name the entry in the way of whatever failed, with line ends and all. */
static int failed(struct archive *archive, pq_code code, pq_error *err)
{
    char text[200];
    const char *said = archive_error_string(archive);
    if (said == NULL)
        said = "libarchive failed";
    pq_error_clean(text, sizeof text, said, strlen(said));
    return pq_fail(err, code, "%s", text);
}

/* The end of every operation. */
static int written(pq_archive_writer *writer, bool good, pq_error *err)
{
    if (writer->failure.code != PQ_OK) {
        *err = writer->failure;
        return -1;
    }
    return good ? 0 : failed(writer->archive, PQ_E_IO, err);
}

static int set_format(struct archive *archive, pq_archive_format format)
{
    int result = format == PQ_ARCHIVE_PAX ? archive_write_set_format_pax(archive)
                                          : archive_write_set_format_gnutar(archive);
    /* Names are bytes. */
    if (result == ARCHIVE_OK && format == PQ_ARCHIVE_PAX)
        result = archive_write_set_options(archive, "hdrcharset=BINARY");
    /* No blocks: each entry is passed on at once. */
    return result == ARCHIVE_OK ? archive_write_set_bytes_per_block(archive, 0) : result;
}

pq_archive_writer *pq_archive_writer_new(pq_archive_format format, pq_buf *out, pq_error *err)
{
    pq_archive_writer *writer = calloc(1, sizeof *writer);
    if (writer != NULL) {
        writer->out = out;
        writer->archive = archive_write_new();
        writer->entry = archive_entry_new();
    }
    if (writer == NULL || writer->archive == NULL || writer->entry == NULL ||
        set_format(writer->archive, format) != ARCHIVE_OK ||
        archive_write_open(writer->archive, writer, NULL, append, NULL) != ARCHIVE_OK) {
        pq_archive_writer_free(writer);
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    return writer;
}

int pq_archive_add(pq_archive_writer *writer, const pq_archive_entry *entry, pq_error *err)
{
    static const mode_t types[] = {[PQ_ARCHIVE_FILE] = S_IFREG,
                                   [PQ_ARCHIVE_DIRECTORY] = S_IFDIR,
                                   [PQ_ARCHIVE_SYMLINK] = S_IFLNK,
                                   [PQ_ARCHIVE_HARDLINK] = S_IFREG};
    struct archive_entry *to = archive_entry_clear(writer->entry);
    archive_entry_set_pathname(to, entry->path);
    archive_entry_set_mode(to, types[entry->kind] | entry->mode);
    archive_entry_set_mtime(to, entry->mtime.tv_sec, entry->mtime.tv_nsec);
    archive_entry_set_size(to, entry->kind == PQ_ARCHIVE_FILE ? (la_int64_t)entry->size : 0);
    if (entry->kind == PQ_ARCHIVE_SYMLINK)
        archive_entry_set_symlink(to, entry->target);
    if (entry->kind == PQ_ARCHIVE_HARDLINK)
        archive_entry_set_hardlink(to, entry->target);
    return written(writer, archive_write_header(writer->archive, to) == ARCHIVE_OK, err);
}

int pq_archive_add_bytes(pq_archive_writer *writer, const void *bytes, size_t length, pq_error *err)
{
    la_ssize_t taken = archive_write_data(writer->archive, bytes, length);
    return written(writer, taken == (la_ssize_t)length, err);
}

int pq_archive_close(pq_archive_writer *writer, pq_error *err)
{
    return written(writer, archive_write_close(writer->archive) == ARCHIVE_OK, err);
}

void pq_archive_writer_free(pq_archive_writer *writer)
{
    if (writer == NULL)
        return;
    /* libarchive would write the end of the archive. */
    writer->out = NULL;
    if (writer->archive != NULL)
        archive_write_free(writer->archive);
    archive_entry_free(writer->entry);
    free(writer);
}

/* ---- reading ---- */

struct pq_archive_reader {
    struct archive *archive;
    int fd;
    size_t header_bytes; /* of the stream, since a header was asked for */
    bool in_header;
    pq_error failure; /* of reading */
    char bytes[READ_BYTES];
};

static la_ssize_t read_some(struct archive *archive, void *context, const void **ret_bytes)
{
    pq_archive_reader *reader = context;
    size_t length;
    (void)archive;
    *ret_bytes = reader->bytes;
    if (reader->in_header && reader->header_bytes > PQ_ARCHIVE_HEADER_MAX)
        return pq_fail(&reader->failure, PQ_E_REMOTE_FILE,
                       "a header in the guest's archive is longer than %zu bytes",
                       PQ_ARCHIVE_HEADER_MAX);
    if (pq_read_some(reader->fd, reader->bytes, sizeof reader->bytes, &length, &reader->failure) <
        0)
        return -1;
    reader->header_bytes += length;
    return (la_ssize_t)length;
}

static int read_failed(pq_archive_reader *reader, pq_error *err)
{
    if (reader->failure.code == PQ_OK) {
        failed(reader->archive, PQ_E_REMOTE_FILE, err);
        return pq_error_prefix(err, "the guest's archive is damaged: ");
    }
    *err = reader->failure;
    return -1;
}

pq_archive_reader *pq_archive_reader_new(int fd, pq_error *err)
{
    pq_archive_reader *reader = calloc(1, sizeof *reader);
    if (reader != NULL) {
        reader->fd = fd;
        reader->archive = archive_read_new();
    }
    if (reader == NULL || reader->archive == NULL) {
        pq_archive_reader_free(reader);
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    reader->in_header = true;
    if (archive_read_support_format_tar(reader->archive) < ARCHIVE_WARN ||
        archive_read_open(reader->archive, reader, NULL, read_some, NULL) != ARCHIVE_OK) {
        read_failed(reader, err);
        pq_archive_reader_free(reader);
        return NULL;
    }
    return reader;
}

/* RETRY is for damage that libarchive would skip. A warning is about the encoding of a name, which
 * is taken as it is. */
static bool is_good(int result)
{
    return result == ARCHIVE_OK || result == ARCHIVE_WARN;
}

static int convert(struct archive_entry *from, pq_archive_entry *to, pq_error *err)
{
    const char *hardlink = archive_entry_hardlink(from);
    const char *symlink = archive_entry_symlink(from);
    mode_t type = archive_entry_filetype(from);
    la_int64_t size = archive_entry_size(from);
    long fraction = archive_entry_mtime_nsec(from);
    *to = (pq_archive_entry){
        .kind = PQ_ARCHIVE_OTHER,
        .path = archive_entry_pathname(from),
        .mode = archive_entry_mode(from) & 07777,
        .size = size > 0 ? (uint64_t)size : 0,
        .mtime = {archive_entry_mtime(from), fraction >= 0 && fraction < SECOND_NS ? fraction : 0},
    };
    if (hardlink != NULL)
        to->kind = PQ_ARCHIVE_HARDLINK;
    else if (type == S_IFLNK)
        to->kind = PQ_ARCHIVE_SYMLINK;
    else if (type == S_IFREG)
        to->kind = PQ_ARCHIVE_FILE;
    else if (type == S_IFDIR)
        to->kind = PQ_ARCHIVE_DIRECTORY;
    to->target = hardlink != NULL ? hardlink : symlink;
    bool links = to->kind == PQ_ARCHIVE_HARDLINK || to->kind == PQ_ARCHIVE_SYMLINK;
    if (to->path == NULL || (links && to->target == NULL))
        return pq_fail(err, PQ_E_REMOTE_FILE, "an entry of the guest's archive has no name");
    return 0;
}

int pq_archive_next(pq_archive_reader *reader, pq_archive_entry *ret, bool *ret_end, pq_error *err)
{
    struct archive_entry *entry;
    reader->in_header = true;
    reader->header_bytes = 0;
    int result = archive_read_next_header(reader->archive, &entry);
    reader->in_header = false;
    *ret_end = result == ARCHIVE_EOF;
    if (*ret_end)
        return 0;
    return is_good(result) ? convert(entry, ret, err) : read_failed(reader, err);
}

int pq_archive_bytes(pq_archive_reader *reader, const void **ret_bytes, size_t *ret_length,
                     uint64_t *ret_offset, pq_error *err)
{
    la_int64_t offset = 0;
    int result;
    /* Blocks without bytes stand for holes. */
    do {
        *ret_length = 0;
        result = archive_read_data_block(reader->archive, ret_bytes, ret_length, &offset);
    } while (is_good(result) && *ret_length == 0);
    if (offset < 0 || (result != ARCHIVE_EOF && !is_good(result)))
        return read_failed(reader, err);
    *ret_offset = (uint64_t)offset;
    return 0;
}

void pq_archive_reader_free(pq_archive_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->archive != NULL)
        archive_read_free(reader->archive);
    free(reader);
}
