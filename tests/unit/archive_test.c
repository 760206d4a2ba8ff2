/* Tar streams: what is written can be read, and what a guest could send is not believed. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "filexfer/archive.h"
#include "tests/unit/support/tree_tar.h"
#include "transport/base/fd.h"

static pq_error err;
static tree_tar tar;
static pq_archive_reader *reader;
static int fd = -1;

static void teardown(void)
{
    pq_archive_reader_free(reader);
    pq_close(&fd);
    pq_buf_done(&tar.bytes);
}

TestSuite(archive, .fini = teardown, .timeout = 30);

static void open_tar(void)
{
    fd = tree_tar_open(&tar);
    reader = pq_archive_reader_new(fd, &err);
}

static void must_read(pq_archive_entry *entry)
{
    bool end;
    cr_assert_eq(pq_archive_next(reader, entry, &end, &err), 0, "%s", err.text);
    cr_assert_not(end);
}

static void must_end(void)
{
    pq_archive_entry entry;
    bool end = false;
    cr_assert_eq(pq_archive_next(reader, &entry, &end, &err), 0, "%s", err.text);
    cr_assert(end);
}

/* The content of the entry, as text; holes are dots. */
static const char *content(void)
{
    static char text[4096];
    memset(text, 0, sizeof text);
    for (size_t at = 0;;) {
        const void *bytes;
        size_t length;
        uint64_t offset;
        cr_assert_eq(pq_archive_bytes(reader, &bytes, &length, &offset, &err), 0, "%s", err.text);
        if (length == 0)
            return text;
        cr_assert_lt(offset + length, sizeof text);
        memset(text + at, '.', (size_t)offset - at);
        memcpy(text + offset, bytes, length);
        at = (size_t)offset + length;
    }
}

static void must_fail(const char *part)
{
    pq_archive_entry entry;
    bool end = false;
    int result = reader != NULL ? 0 : -1;
    while (result == 0 && !end)
        result = pq_archive_next(reader, &entry, &end, &err);
    cr_assert_eq(result, -1);
    cr_assert_eq(err.code, PQ_E_REMOTE_FILE, "%s", err.text);
    cr_assert_not_null(strstr(err.text, part), "%s", err.text);
}

/* ---- both ways ---- */

static void add(pq_archive_writer *writer, pq_archive_kind kind, const char *path,
                const char *target, const char *text)
{
    pq_archive_entry entry = {.kind = kind,
                              .path = path,
                              .target = target,
                              .mode = 0751,
                              .size = text != NULL ? strlen(text) : 0,
                              .mtime = {1234567890, 123456789}};
    cr_assert_eq(pq_archive_add(writer, &entry, &err), 0, "%s", err.text);
    if (text != NULL)
        cr_assert_eq(pq_archive_add_bytes(writer, text, strlen(text), &err), 0, "%s", err.text);
}

static void round_trip(pq_archive_format format)
{
    static char long_name[2000];
    const char *names[] = {"./plain",       "./-n",
                           "./new\nline",   "./bad\xFF\xFE",
                           "./back\\slash", "./\xE6\xB1\x89\xE8\xAF\xAD-['foo bar'].txt",
                           long_name};
    size_t count = sizeof names / sizeof names[0];
    pq_archive_entry entry;
    memset(long_name, 'x', sizeof long_name - 1);
    for (size_t i = 1; i < sizeof long_name - 1; i += 200)
        long_name[i] = '/';
    pq_archive_writer *writer = pq_archive_writer_new(format, &tar.bytes, &err);
    cr_assert_not_null(writer, "%s", err.text);
    for (size_t i = 0; i < count; i++)
        add(writer, PQ_ARCHIVE_FILE, names[i], NULL, "content");
    for (size_t i = 0; i < count; i++) {
        add(writer, PQ_ARCHIVE_SYMLINK, "./link", names[i], NULL);
        add(writer, PQ_ARCHIVE_HARDLINK, "./name", names[i], NULL);
    }
    add(writer, PQ_ARCHIVE_DIRECTORY, ".", NULL, NULL);
    cr_assert_eq(pq_archive_close(writer, &err), 0);
    pq_archive_writer_free(writer);

    open_tar();
    for (size_t i = 0; i < count; i++) {
        must_read(&entry);
        cr_assert_eq(entry.kind, PQ_ARCHIVE_FILE);
        cr_assert_str_eq(entry.path, names[i]);
        cr_assert_eq(entry.mode, 0751);
        cr_assert_eq(entry.size, 7);
        cr_assert_eq(entry.mtime.tv_sec, 1234567890);
        cr_assert_eq(entry.mtime.tv_nsec, format == PQ_ARCHIVE_PAX ? 123456789 : 0);
        cr_assert_str_eq(content(), "content");
    }
    for (size_t i = 0; i < 2 * count; i++) {
        must_read(&entry);
        cr_assert_eq(entry.kind, i % 2 == 0 ? PQ_ARCHIVE_SYMLINK : PQ_ARCHIVE_HARDLINK);
        cr_assert_str_eq(entry.target, names[i / 2]);
        cr_assert_str_empty(content());
    }
    must_read(&entry);
    cr_assert_eq(entry.kind, PQ_ARCHIVE_DIRECTORY);
    must_end();
}

Test(archive, pax_round_trip)
{
    round_trip(PQ_ARCHIVE_PAX);
}

Test(archive, gnu_round_trip)
{
    round_trip(PQ_ARCHIVE_GNU);
}

Test(archive, what_was_promised_and_did_not_come_is_zeros)
{
    pq_archive_entry entry = {.kind = PQ_ARCHIVE_FILE, .path = "./file", .size = 5};
    pq_archive_writer *writer = pq_archive_writer_new(PQ_ARCHIVE_PAX, &tar.bytes, &err);
    cr_assert_eq(pq_archive_add(writer, &entry, &err), 0);
    cr_assert_eq(pq_archive_add_bytes(writer, "ab", 2, &err), 0);
    cr_assert_eq(pq_archive_close(writer, &err), 0);
    pq_archive_writer_free(writer);
    open_tar();
    must_read(&entry);
    cr_assert_eq(entry.size, 5);
    cr_assert_arr_eq(content(), "ab\0\0\0", 5);
    must_end();
}

Test(archive, a_writer_that_is_given_up_writes_no_end)
{
    pq_archive_writer *writer = pq_archive_writer_new(PQ_ARCHIVE_PAX, &tar.bytes, &err);
    add(writer, PQ_ARCHIVE_DIRECTORY, "./dir", NULL, NULL);
    size_t length = tar.bytes.length;
    pq_archive_writer_free(writer);
    cr_assert_eq(tar.bytes.length, length);
}

Test(archive, a_full_buffer_is_told)
{
    tar.bytes.maximum = 600;
    pq_archive_writer *writer = pq_archive_writer_new(PQ_ARCHIVE_PAX, &tar.bytes, &err);
    pq_archive_entry entry = {.kind = PQ_ARCHIVE_FILE, .path = "./file", .size = 1000};
    int result = pq_archive_add(writer, &entry, &err);
    char zeros[1000] = "";
    if (result == 0)
        result = pq_archive_add_bytes(writer, zeros, sizeof zeros, &err);
    cr_assert_eq(result, -1);
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    pq_archive_writer_free(writer);
}

/* ---- what a guest could send ---- */

Test(archive, kinds)
{
    static const struct {
        char type;
        pq_archive_kind kind;
    } kinds[] = {
        {'0', PQ_ARCHIVE_FILE},  {'1', PQ_ARCHIVE_HARDLINK}, {'2', PQ_ARCHIVE_SYMLINK},
        {'3', PQ_ARCHIVE_OTHER}, {'4', PQ_ARCHIVE_OTHER},    {'5', PQ_ARCHIVE_DIRECTORY},
        {'6', PQ_ARCHIVE_OTHER}, {'7', PQ_ARCHIVE_FILE},
    };
    size_t count = sizeof kinds / sizeof kinds[0];
    for (size_t i = 0; i < count; i++)
        tree_tar_add(&tar, kinds[i].type, "./x", "target", 0644, NULL, 0);
    tree_tar_end(&tar);
    open_tar();
    for (size_t i = 0; i < count; i++) {
        pq_archive_entry entry;
        must_read(&entry);
        cr_assert_eq(entry.kind, kinds[i].kind, "type %c", kinds[i].type);
    }
    must_end();
}

Test(archive, no_archive)
{
    cr_assert_eq(pq_buf_add_text(&tar.bytes, "this is no archive, of whatever kind", &err), 0);
    open_tar();
    must_fail("archive");
}

Test(archive, nothing)
{
    open_tar();
    must_fail("archive");
}

Test(archive, compressed)
{
    static const char gzip[] = "\x1F\x8B\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";
    cr_assert_eq(pq_buf_add(&tar.bytes, gzip, sizeof gzip, &err), 0);
    open_tar();
    must_fail("archive");
}

Test(archive, cut_off)
{
    tree_tar_file(&tar, "./a", "content");
    tree_tar_file(&tar, "./b", "content");
    tar.bytes.length -= 600;
    open_tar();
    must_fail("damaged");
}

Test(archive, cut_off_in_a_file)
{
    pq_archive_entry entry;
    const void *bytes;
    size_t length = 1;
    uint64_t offset;
    static char much[100000];
    tree_tar_add(&tar, '0', "./a", NULL, 0644, much, sizeof much);
    tar.bytes.length = 80000;
    open_tar();
    must_read(&entry);
    int result = 0;
    while (result == 0 && length > 0)
        result = pq_archive_bytes(reader, &bytes, &length, &offset, &err);
    cr_assert_eq(result, -1);
    cr_assert_eq(err.code, PQ_E_REMOTE_FILE);
}

Test(archive, wrong_checksum)
{
    tree_tar_file(&tar, "./a", "content");
    tree_tar_file(&tar, "./b", "content");
    tar.bytes.data[1024 + 10] ^= 1;
    open_tar();
    must_fail("damaged");
}

/* A pax header can have as many records as its size says. */
Test(archive, endless_header)
{
    static char records[2 * PQ_ARCHIVE_HEADER_MAX];
    for (size_t i = 0; i + 16 <= sizeof records; i += 16)
        memcpy(records + i, "16 comment=yyyy\n", 16);
    tree_tar_add(&tar, 'x', "./pax", NULL, 0644, records, sizeof records);
    tree_tar_file(&tar, "./a", "content");
    tree_tar_end(&tar);
    open_tar();
    must_fail("longer than");
}

/* The map of a sparse file, which may say that it goes on for ever. */
Test(archive, endless_map)
{
    static const char records[] = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
                                  "24 GNU.sparse.name=file\n30 GNU.sparse.realsize=100000\n";
    static char map[4 * PQ_ARCHIVE_HEADER_MAX];
    memcpy(map, "900000000\n", 10);
    for (size_t i = 10; i + 4 <= sizeof map; i += 4)
        memcpy(map + i, "0\n0\n", 4);
    tree_tar_add(&tar, 'x', "./pax", NULL, 0644, records, sizeof records - 1);
    tree_tar_add(&tar, '0', "./file", NULL, 0644, map, sizeof map);
    tree_tar_end(&tar);
    open_tar();
    must_fail("longer than");
}

Test(archive, sparse_file)
{
    static const char records[] = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
                                  "26 GNU.sparse.name=./file\n26 GNU.sparse.realsize=20\n";
    char map[512 + 6] = "2\n2\n3\n10\n3\n";
    pq_archive_entry entry;
    memcpy(map + 512, "abcdef", 6);
    tree_tar_add(&tar, 'x', "./pax", NULL, 0644, records, sizeof records - 1);
    tree_tar_add(&tar, '0', "./GNUSparseFile/file", NULL, 0644, map, sizeof map);
    tree_tar_end(&tar);
    open_tar();
    must_read(&entry);
    cr_assert_str_eq(entry.path, "./file");
    cr_assert_eq(entry.size, 20);
    cr_assert_str_eq(content(), "..abc.....def");
    must_end();
}

Test(archive, impossible_times)
{
    static const char records[] = "37 mtime=1234567890.9999999999999999\n"
                                  "25 atime=-1.-9999999999\n";
    pq_archive_entry entry;
    tree_tar_add(&tar, 'x', "./pax", NULL, 0644, records, sizeof records - 1);
    tree_tar_file(&tar, "./a", "content");
    tree_tar_end(&tar);
    open_tar();
    must_read(&entry);
    cr_assert(entry.mtime.tv_nsec >= 0 && entry.mtime.tv_nsec < 1000000000);
}
