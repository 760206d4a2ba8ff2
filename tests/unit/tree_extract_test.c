/* What a guest's archive may make of a directory, and what it may not. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filexfer/tree_extract.h"
#include "tests/unit/support/tree_tar.h"
#include "transport/base/fd.h"

static pq_error err;
static tree_tar tar;
static pq_tree_extract_options options;
static pq_tree_extract_result result;

/* The tree goes to in/; what is outside must stay as it is. */
static void setup(void)
{
    tree_setup();
    umask(077);
    cr_assert_eq(mkdir("in", 0700), 0);
    cr_assert_eq(mkdir("outside", 0700), 0);
    tree_write("outside/file", "untouched");
    options = (pq_tree_extract_options){.root = open("in", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
}

static void teardown(void)
{
    cr_expect_eq(tree_entries("."), 2);
    cr_expect_eq(tree_entries("outside"), 1);
    cr_expect_str_eq(tree_read("outside/file"), "untouched");
    cr_expect_eq(tree_stat("outside/file").st_nlink, 1);
    cr_expect_eq(tree_stat("outside").st_mode & 07777, 0700);
    pq_close(&options.root);
    pq_buf_done(&tar.bytes);
    tree_teardown();
}

TestSuite(tree_extract, .init = setup, .fini = teardown, .timeout = 30);

static int extract(void)
{
    tree_tar_end(&tar);
    int fd = tree_tar_open(&tar);
    int status = pq_tree_extract(fd, &options, &result, &err);
    close(fd);
    return status;
}

static void must_extract(void)
{
    cr_assert_eq(extract(), 0, "%s", err.text);
}

static void must_refuse(const char *part)
{
    cr_assert_eq(extract(), -1);
    cr_assert_eq(err.code, PQ_E_REMOTE_FILE, "%s: %s", pq_code_name(err.code), err.text);
    cr_assert_not_null(strstr(err.text, part), "%s", err.text);
}

static void add_directory(const char *path, mode_t mode)
{
    tree_tar_add(&tar, '5', path, NULL, mode, NULL, 0);
}

static void add_link(const char *path, const char *target)
{
    tree_tar_add(&tar, '2', path, target, 0777, NULL, 0);
}

static void add_hardlink(const char *path, const char *target)
{
    tree_tar_add(&tar, '1', path, target, 0644, NULL, 0);
}

static mode_t mode_of(const char *path)
{
    return tree_stat(path).st_mode & 07777;
}

/* ---- whole trees ---- */

Test(tree_extract, tree)
{
    add_directory("./", 0751);
    add_directory("./a", 0555);
    tree_tar_file(&tar, "./a/file", "content");
    add_hardlink("./other", "./a/file");
    add_link("./link", "a/file");
    add_directory("./empty", 0710);
    options.keep_root = true;
    must_extract();
    cr_assert_eq(result.entries, 6);
    cr_assert_eq(result.bytes, 7);
    cr_assert_str_eq(tree_read("in/link"), "content");
    cr_assert_eq(tree_stat("in/other").st_nlink, 2);
    cr_assert_eq(mode_of("in"), 0751);
    cr_assert_eq(mode_of("in/a"), 0555);
    cr_assert_eq(mode_of("in/empty"), 0710);
    cr_assert_eq(mode_of("in/a/file"), 0644, "whatever the umask");
    cr_assert_eq(tree_stat("in").st_mtime, 1000000000);
    cr_assert_eq(tree_stat("in/a").st_mtime, 1000000000);
    cr_assert_eq(tree_stat("in/a/file").st_mtime, 1000000000);
    cr_assert_eq(tree_stat("in/link").st_mtime, 1000000000);
    cr_assert_eq(result.notes.count, 0);
}

Test(tree_extract, root_is_left_alone)
{
    add_directory("./", 0777);
    must_extract();
    cr_assert_eq(mode_of("in"), 0700);
}

/* As some write them. */
Test(tree_extract, directories_behind_their_content)
{
    tree_tar_file(&tar, "a/b/file", "content");
    add_directory("a/b", 0500);
    tree_tar_file(&tar, "a/c/file", "content");
    add_directory("a/c", 0511);
    add_directory("a", 0711);
    must_extract();
    cr_assert_eq(mode_of("in/a"), 0711);
    cr_assert_eq(mode_of("in/a/b"), 0500);
    cr_assert_eq(mode_of("in/a/c"), 0511);
    cr_assert_eq(tree_stat("in/a").st_mtime, 1000000000);
    cr_assert_eq(tree_stat("in/a/b").st_mtime, 1000000000);
}

/* A directory that is left and comes again keeps what it was given. */
Test(tree_extract, directories_that_come_again)
{
    add_directory("a", 0500);
    tree_tar_file(&tar, "a/one", "1");
    tree_tar_file(&tar, "other", "content");
    tree_tar_file(&tar, "a/two", "2");
    must_extract();
    cr_assert_str_eq(tree_read("in/a/two"), "2");
    cr_assert_eq(mode_of("in/a"), 0500);
    cr_assert_eq(tree_stat("in/a").st_mtime, 1000000000);
}

Test(tree_extract, directories_without_an_entry)
{
    tree_tar_file(&tar, "a/b/c/file", "content");
    must_extract();
    cr_assert_str_eq(tree_read("in/a/b/c/file"), "content");
    cr_assert_eq(mode_of("in/a/b"), 0755);
}

Test(tree_extract, modes)
{
    tree_tar_add(&tar, '0', "setuid", NULL, 06755, NULL, 0);
    tree_tar_add(&tar, '0', "sticky", NULL, 01666, NULL, 0);
    tree_tar_add(&tar, '0', "none", NULL, 0, NULL, 0);
    add_directory("tmp", 01777);
    add_directory("group", 02775);
    must_extract();
    cr_assert_eq(mode_of("in/setuid"), 0755);
    cr_assert_eq(mode_of("in/sticky"), 0666);
    cr_assert_eq(mode_of("in/none"), 0);
    cr_assert_eq(mode_of("in/tmp"), 01777);
    cr_assert_eq(mode_of("in/group"), 0775);
}

Test(tree_extract, the_last_of_a_name_counts)
{
    tree_tar_file(&tar, "file", "first");
    tree_tar_file(&tar, "file", "second");
    tree_tar_file(&tar, "was-file", "first");
    add_link("was-file", "file");
    add_link("was-link", "../outside/file");
    tree_tar_file(&tar, "was-link", "second");
    add_link("to-link", "../outside/file");
    add_hardlink("to-link", "file");
    must_extract();
    cr_assert_str_eq(tree_read("in/file"), "second");
    cr_assert_str_eq(tree_read("in/was-file"), "second");
    cr_assert(S_ISREG(tree_stat("in/was-link").st_mode));
    cr_assert_eq(tree_stat("in/to-link").st_ino, tree_stat("in/file").st_ino);
}

Test(tree_extract, padding_behind_the_end)
{
    static char padding[100000];
    tree_tar_file(&tar, "file", "content");
    tree_tar_end(&tar);
    cr_assert_eq(pq_buf_add(&tar.bytes, padding, sizeof padding, &err), 0);
    must_extract();
}

Test(tree_extract, what_is_no_file_is_left_out)
{
    tree_tar_add(&tar, '3', "char", NULL, 0666, NULL, 0);
    tree_tar_add(&tar, '4', "block", NULL, 0666, NULL, 0);
    tree_tar_add(&tar, '6', "fifo\n", NULL, 0666, NULL, 0);
    tree_tar_file(&tar, "file", "content");
    must_extract();
    cr_assert_eq(tree_entries("in"), 1);
    cr_assert_eq(result.notes.count, 3);
    cr_assert_not_null(strstr(result.notes.texts[0], "'char'"), "%s", result.notes.texts[0]);
    cr_assert_null(strchr(result.notes.texts[2], '\n'));
}

Test(tree_extract, many_notes)
{
    for (int i = 0; i < 1000; i++)
        tree_tar_add(&tar, '6', "fifo", NULL, 0666, NULL, 0);
    must_extract();
    cr_assert_eq(result.notes.count, 1000);
}

Test(tree_extract, what_is_ours_is_left_out)
{
    add_directory("ours.files", 0700);
    tree_tar_file(&tar, "ours.files/file", "content");
    add_directory("sub", 0700);
    tree_tar_file(&tar, "sub/ours.files/deep/file", "content");
    tree_tar_file(&tar, "sub/ours.filesystem", "content");
    options.leave_out = "ours.files";
    must_extract();
    cr_assert_eq(tree_entries("in"), 1);
    cr_assert_eq(tree_entries("in/sub"), 1);
    cr_assert_eq(result.entries, 2);
}

/* ---- ways out ---- */

Test(tree_extract, absolute_path)
{
    char path[64] = "/tmp/pq-tree-extract-was-here";
    tree_tar_file(&tar, path, "evil");
    must_refuse("absolute");
    cr_assert_eq(access(path, F_OK), -1);
}

Test(tree_extract, path_upwards)
{
    static const char *const paths[] = {"..",   "../evil",         "./../evil", "a/../../evil",
                                        "a/..", "../outside/file", "a/./.././x"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        static const char types[] = "0512";
        for (size_t j = 0; j < sizeof types - 1; j++) {
            tree_tar_add(&tar, types[j], paths[i], "x", 0644, NULL, 0);
            must_refuse("out of the directory");
        }
    }
    cr_assert_eq(tree_entries("in"), 0);
}

Test(tree_extract, file_through_a_link)
{
    add_link("link", "../outside");
    tree_tar_file(&tar, "link/file", "evil");
    must_refuse("no directory");
}

Test(tree_extract, file_through_a_deep_link)
{
    add_directory("a", 0755);
    add_link("a/b", "../../outside");
    tree_tar_file(&tar, "a/b/c/d", "evil");
    must_refuse("no directory");
}

Test(tree_extract, directory_in_the_place_of_a_link)
{
    add_link("link", "../outside");
    add_directory("link", 0777);
    must_refuse("no directory");
}

/* Times and modes that are given late must not go to what a link leads to. */
Test(tree_extract, directory_that_becomes_a_link)
{
    add_directory("dir", 0777);
    add_link("dir", "../outside");
    must_refuse("directory, too");
}

Test(tree_extract, link_through_a_link)
{
    add_link("link", "../outside");
    add_link("link/evil", "x");
    must_refuse("no directory");
}

Test(tree_extract, hardlink_through_a_link)
{
    add_link("link", "../outside");
    add_hardlink("evil", "link/file");
    must_refuse("link to nothing");
}

Test(tree_extract, hardlink_to_outside)
{
    add_hardlink("evil", "../outside/file");
    must_refuse("out of the directory");
    add_hardlink("evil", "/etc/passwd");
    must_refuse("absolute");
    add_hardlink("evil", "missing");
    must_refuse("link to nothing");
    add_directory("a", 0755);
    add_hardlink("evil", "a");
    must_refuse("link to nothing");
    add_hardlink("evil", ".");
    must_refuse("link to nothing");
}

/* A hard link to a link is one more link, and a file behind it takes its place. */
Test(tree_extract, file_through_a_hardlink_to_a_link)
{
    add_link("link", "../outside/file");
    add_hardlink("again", "link");
    tree_tar_file(&tar, "again", "evil");
    must_extract();
    cr_assert(S_ISREG(tree_stat("in/again").st_mode));
}

/* A hard link may bring content, which must not go to the file that it is linked to. */
Test(tree_extract, hardlink_with_content)
{
    static const char records[] = "18 comment=a word\n";
    tree_tar_file(&tar, "file", "good");
    tree_tar_add(&tar, 'x', "pax", NULL, 0644, records, sizeof records - 1);
    tree_tar_add(&tar, '1', "link", "file", 0644, "evil", 4);
    must_extract();
    cr_assert_str_eq(tree_read("in/file"), "good");
}

Test(tree_extract, link_with_content)
{
    tree_tar_add(&tar, '2', "link", "../outside/file", 0777, "evil", 4);
    tree_tar_file(&tar, "file", "content");
    must_refuse("damaged");
}

/* Links that lead anywhere are content. */
Test(tree_extract, links_are_kept_as_they_are)
{
    char target[64] = "";
    add_link("absolute", "/etc/passwd");
    add_link("up", "../../../../x");
    must_extract();
    cr_assert_eq(readlink("in/absolute", target, sizeof target - 1), 11);
    cr_assert_str_eq(target, "/etc/passwd");
}

Test(tree_extract, file_in_a_file)
{
    tree_tar_file(&tar, "file", "content");
    tree_tar_file(&tar, "file/evil", "content");
    must_refuse("no directory");
}

Test(tree_extract, file_in_the_place_of_a_directory)
{
    add_directory("dir", 0755);
    tree_tar_file(&tar, "dir", "content");
    must_refuse("directory, too");
}

Test(tree_extract, the_root_as_a_file)
{
    tree_tar_file(&tar, ".", "content");
    must_refuse("no directory");
    add_link(".", "../outside");
    must_refuse("no directory");
}

Test(tree_extract, very_deep)
{
    char path[100];
    char name[2048];
    memset(path, 'a', sizeof path - 1);
    path[99] = '\0';
    for (size_t i = 1; i < sizeof path - 1; i += 2)
        path[i] = '/';
    tree_tar_file(&tar, path, "deep");
    must_extract();
    for (size_t i = 0; i + 2 < sizeof name; i += 2)
        memcpy(name + i, "a/", 3);
    tree_tar_add(&tar, 'L', "././@LongLink", NULL, 0, name, strlen(name) + 1);
    add_directory("x", 0755);
    must_refuse("too many directories");
}

Test(tree_extract, name_that_is_too_long)
{
    char name[1000];
    memset(name, 'x', sizeof name);
    name[999] = '\0';
    tree_tar_add(&tar, 'L', "././@LongLink", NULL, 0, name, sizeof name);
    tree_tar_file(&tar, "x", "content");
    cr_assert_eq(extract(), -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_not_null(strstr(err.text, strerror(ENAMETOOLONG)), "%s", err.text);
}

Test(tree_extract, huge_sparse_file)
{
    static const char records[] = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
                                  "24 GNU.sparse.name=file\n"
                                  "43 GNU.sparse.realsize=9223372036854775807\n";
    static const char map[512] = "1\n9223372036854775800\n0\n";
    tree_tar_add(&tar, 'x', "pax", NULL, 0644, records, sizeof records - 1);
    tree_tar_add(&tar, '0', "file", NULL, 0644, map, sizeof map);
    cr_assert_eq(extract(), -1);
    cr_assert_leq(tree_stat("in/file").st_blocks, 8);
}

/* Gigabytes that are not there. */
Test(tree_extract, size_that_is_not_there)
{
    tree_tar_file(&tar, "file", "");
    memcpy(tar.bytes.data + 124, "77777777777", 11);
    unsigned sum = 0;
    memset(tar.bytes.data + 148, ' ', 8);
    for (size_t i = 0; i < 512; i++)
        sum += (unsigned char)tar.bytes.data[i];
    snprintf(tar.bytes.data + 148, 8, "%06o", sum);
    must_refuse("damaged");
    cr_assert_leq(tree_stat("in/file").st_blocks, 8);
}

Test(tree_extract, nothing)
{
    must_refuse("empty");
}

Test(tree_extract, root_that_cannot_be_changed)
{
    pq_close(&options.root);
    options.root = open("in", O_PATH | O_DIRECTORY | O_CLOEXEC);
    options.keep_root = true;
    add_directory("./", 0755);
    cr_assert_eq(extract(), -1);
    cr_assert_eq(err.code, PQ_E_IO);
}
