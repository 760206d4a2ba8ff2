/* Local directories as tar streams: all that is in them, as it is. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "filexfer/tree_extract.h"
#include "filexfer/tree_source.h"
#include "filexfer/tree_walk.h"
#include "tests/unit/support/tree_tar.h"
#include "transport/base/fd.h"

static pq_error err;
static pq_tree_source *source;
static tree_tar tar;
static pq_tree_extract_result result;

static void setup(void)
{
    tree_setup();
    umask(022);
    cr_assert_eq(mkdir("from", 0755), 0);
}

static void teardown(void)
{
    pq_tree_source_free(source);
    pq_buf_done(&tar.bytes);
    tree_teardown();
}

TestSuite(tree_source, .init = setup, .fini = teardown, .timeout = 60);

static void open_source(pq_archive_format format)
{
    pq_tree_source_free(source);
    source = pq_tree_source_new("from", format, &err);
    cr_assert_not_null(source, "%s", err.text);
}

/* Takes what a step made. Returns false at the end. */
static bool step(void)
{
    bool end;
    pq_buf *made = pq_tree_source_bytes(source);
    cr_assert_eq(pq_tree_source_step(source, &end, &err), 0, "%s", err.text);
    cr_assert_leq(made->length, 128 * 1024, "a step is bounded");
    if (made->length > 0)
        cr_assert_eq(pq_buf_add(&tar.bytes, made->data, made->length, &err), 0);
    pq_buf_clear(made);
    return !end;
}

/* Makes to/ of what the source still has. */
static void extract(void)
{
    while (step())
        continue;
    cr_assert_eq(mkdir("to", 0700), 0);
    pq_tree_extract_options options = {.root = open("to", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                                       .keep_root = true};
    int fd = tree_tar_open(&tar);
    cr_assert_eq(pq_tree_extract(fd, &options, &result, &err), 0, "%s", err.text);
    close(fd);
    close(options.root);
}

static void copy(pq_archive_format format)
{
    open_source(format);
    extract();
    cr_assert_eq(result.entries, pq_tree_source_entries(source));
}

static void make_tree(void)
{
    static const struct timespec times[2] = {{1000000000, 0}, {1234567890, 123456789}};
    static const char *const files[] = {"from/a/b/file",
                                        "from/a/-n",
                                        "from/new\nline",
                                        "from/bad\xFF\xFE",
                                        "from/.hidden",
                                        "from/a/..dots",
                                        "from/\xE6\xB1\x89\xE8\xAF\xAD-['foo bar'].txt"};
    cr_assert_eq(mkdir("from/a", 0755), 0);
    cr_assert_eq(mkdir("from/a/b", 0755), 0);
    cr_assert_eq(mkdir("from/empty", 0755), 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        tree_write(files[i], files[i]);
        cr_assert_eq(chmod(files[i], (mode_t)(0600 + i)), 0);
    }
    cr_assert_eq(symlink("a/b/file", "from/link"), 0);
    cr_assert_eq(symlink("/no/such", "from/a/dangling"), 0);
    cr_assert_eq(link("from/a/b/file", "from/other"), 0);
    static const char *const all[] = {"from/a/b/file", "from/link", "from/a/b",
                                      "from/empty",    "from/a",    "from"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        cr_assert_eq(utimensat(AT_FDCWD, all[i], times, AT_SYMLINK_NOFOLLOW), 0);
    cr_assert_eq(chmod("from/empty", 01777), 0);
    cr_assert_eq(chmod("from", 0750), 0);
}

static void must_be_same(const char *command)
{
    cr_assert_eq(system(command), 0, "%s", command);
}

Test(tree_source, pax)
{
    make_tree();
    copy(PQ_ARCHIVE_PAX);
    must_be_same("diff -r --no-dereference from to");
    must_be_same("(cd from && find . -printf '%p %M %T@ %n %l\\0' | sort -z) >one;"
                 "(cd to && find . -printf '%p %M %T@ %n %l\\0' | sort -z) | cmp - one");
    cr_assert_eq(pq_tree_source_notes(source)->count, 0);
}

Test(tree_source, gnu)
{
    make_tree();
    copy(PQ_ARCHIVE_GNU);
    must_be_same("diff -r --no-dereference from to");
    must_be_same("(cd from && find . -printf '%p %M %n %l\\0' | sort -z) >one;"
                 "(cd to && find . -printf '%p %M %n %l\\0' | sort -z) | cmp - one");
    cr_assert_eq(tree_stat("to/a").st_mtime, 1234567890);
}

Test(tree_source, empty_directory)
{
    copy(PQ_ARCHIVE_PAX);
    cr_assert_eq(result.entries, 1);
    cr_assert_eq(tree_entries("to"), 0);
}

Test(tree_source, setuid_is_not_kept)
{
    tree_write("from/file", "x");
    cr_assert_eq(chmod("from/file", 06755), 0);
    copy(PQ_ARCHIVE_PAX);
    cr_assert_eq(tree_stat("to/file").st_mode & 07777, 0755);
}

Test(tree_source, large_file)
{
    static char bytes[3000001];
    memset(bytes, 'x', sizeof bytes - 1);
    tree_write("from/file", bytes);
    tree_write("from/other", "small");
    copy(PQ_ARCHIVE_PAX);
    must_be_same("diff -r from to");
}

Test(tree_source, what_is_no_file_is_left_out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "from/socket"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(mkfifo("from/fifo", 0644), 0);
    tree_write("from/file", "x");
    copy(PQ_ARCHIVE_PAX);
    cr_assert_eq(tree_entries("to"), 1);
    cr_assert_eq(pq_tree_source_notes(source)->count, 2);
    cr_assert_not_null(strstr(pq_tree_source_notes(source)->texts[0], "left out"));
    close(fd);
}

/* ---- trees that change meanwhile ---- */

/* Steps until the file's header and its first block were made. */
static void begin_large_file(void)
{
    static char bytes[1000001];
    memset(bytes, 'x', sizeof bytes - 1);
    tree_write("from/file", bytes);
    open_source(PQ_ARCHIVE_PAX);
    while (tar.bytes.length < 10000)
        cr_assert(step());
}

static void must_note(const char *part)
{
    const pq_tree_notes *notes = pq_tree_source_notes(source);
    cr_assert_eq(notes->count, 1);
    cr_assert_not_null(strstr(notes->texts[0], part), "%s", notes->texts[0]);
    cr_assert_not_null(strstr(notes->texts[0], "'file'"), "%s", notes->texts[0]);
}

Test(tree_source, file_that_shrinks)
{
    begin_large_file();
    cr_assert_eq(truncate("from/file", 300000), 0);
    extract();
    must_note("changed");
    cr_assert_eq(tree_stat("to/file").st_size, 1000000, "filled up with zeros");
}

Test(tree_source, file_that_grows)
{
    begin_large_file();
    cr_assert_eq(truncate("from/file", 3000000), 0);
    extract();
    must_note("changed");
    cr_assert_eq(tree_stat("to/file").st_size, 1000000);
}

Test(tree_source, file_that_goes)
{
    begin_large_file();
    cr_assert_eq(unlink("from/file"), 0);
    extract();
    cr_assert_eq(pq_tree_source_notes(source)->count, 0, "it was open");
    cr_assert_eq(tree_stat("to/file").st_size, 1000000);
}

/* Root can read anything, so somebody else tries. */
Test(tree_source, file_that_cannot_be_read)
{
    bool end = false;
    int status = 0;
    tree_write("from/file\n", "x");
    cr_assert_eq(chmod("from/file\n", 0), 0);
    open_source(PQ_ARCHIVE_PAX);
    uid_t me = geteuid();
    if (me == 0)
        cr_assert_eq(seteuid(65534), 0);
    while (status == 0 && !end)
        status = pq_tree_source_step(source, &end, &err);
    cr_assert_eq(seteuid(me), 0);
    cr_assert_eq(status, -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_str_eq(err.text, "cannot read 'file': Permission denied");
}

Test(tree_source, no_directory)
{
    cr_assert_null(pq_tree_source_new("missing", PQ_ARCHIVE_PAX, &err));
    cr_assert_eq(err.code, PQ_E_IO);
    tree_write("file", "x");
    cr_assert_null(pq_tree_source_new("file", PQ_ARCHIVE_PAX, &err));
    cr_assert_not_null(strstr(err.text, strerror(ENOTDIR)), "%s", err.text);
}

Test(tree_source, too_deep)
{
    bool end = false;
    int status = 0, above = open("from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < PQ_TREE_DEPTH_MAX + 1; i++) {
        cr_assert_eq(mkdirat(above, "d", 0755), 0);
        int below = openat(above, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert_geq(below, 0);
        close(above);
        above = below;
    }
    close(above);
    open_source(PQ_ARCHIVE_PAX);
    while (status == 0 && !end)
        status = pq_tree_source_step(source, &end, &err);
    cr_assert_eq(status, -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_not_null(strstr(err.text, "too many directories"), "%s", err.text);
}

/* ---- walking ---- */

Test(tree_source, walk_order)
{
    pq_tree_item item;
    bool end = false;
    unsigned files = 0;
    make_tree();
    pq_tree_walk *walk = pq_tree_walk_new("from/", &err);
    char last[512] = "-";
    for (;;) {
        cr_assert_eq(pq_tree_walk_next(walk, &item, &end, &err), 0);
        if (end)
            break;
        files++;
        if (S_ISDIR(item.info.st_mode))
            cr_assert(strcmp(item.path, "empty") == 0 || strchr(last, '/') != NULL ||
                      item.path[0] == '\0');
        snprintf(last, sizeof last, "%s", item.path);
    }
    cr_assert_str_eq(last, "", "the root comes last");
    cr_assert_eq(files, 14);
    pq_tree_walk_free(walk);
}

Test(tree_source, walk_of_what_goes_meanwhile)
{
    pq_tree_item item;
    bool end = false;
    unsigned found = 0;
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "from/%d", i);
        cr_assert_eq(mkdir(name, 0755), 0);
    }
    pq_tree_walk *walk = pq_tree_walk_new("from", &err);
    cr_assert_eq(pq_tree_walk_next(walk, &item, &end, &err), 0);
    cr_assert_eq(system("rm -rf from/*"), 0);
    while (!end) {
        found++;
        cr_assert_eq(pq_tree_walk_next(walk, &item, &end, &err), 0, "%s", err.text);
    }
    cr_assert_geq(found, 2);
    pq_tree_walk_free(walk);
}
