/* Where a fetched tree goes, and how it is shown. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "filexfer/tree_place.h"
#include "tests/unit/support/tree_tar.h"

static pq_error err;
static pq_tree_place place;

static void setup(void)
{
    tree_setup();
    umask(022);
    place = PQ_TREE_PLACE_NONE;
}

static void teardown(void)
{
    pq_tree_place_done(&place);
    tree_teardown();
}

TestSuite(tree_place, .init = setup, .fini = teardown, .timeout = 30);

/* A directory or file in the hidden directory. */
static void make(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "/proc/self/fd/%d/%s", place.root, path);
    if (text != NULL)
        tree_write(full, text);
    else
        cr_assert_eq(mkdir(full, 0755), 0, "%s", strerror(errno));
}

static void open_place(const char *destination, const char *name)
{
    cr_assert_eq(pq_tree_place_find(&place, destination, name, &err), 0, "%s", err.text);
    cr_assert_eq(pq_tree_place_make(&place, &err), 0, "%s", err.text);
}

static void show(void)
{
    cr_assert_eq(pq_tree_place_show(&place, &err), 0, "%s", err.text);
    pq_tree_place_done(&place);
}

static void must_not_find(const char *destination, const char *name, const char *part)
{
    cr_assert_eq(pq_tree_place_find(&place, destination, name, &err), -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_not_null(strstr(err.text, part), "%s", err.text);
    pq_tree_place_done(&place);
}

static void must_not_show(const char *part)
{
    cr_assert_eq(pq_tree_place_show(&place, &err), -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_eq(err.effect, PQ_EFFECT_NONE);
    cr_assert_not_null(strstr(err.text, part), "%s", err.text);
    pq_tree_place_done(&place);
}

/* ---- the place ---- */

Test(tree_place, new_name)
{
    static const char *const destinations[] = {"new", "new/", "./new", "new//"};
    for (size_t i = 0; i < sizeof destinations / sizeof destinations[0]; i++) {
        open_place(destinations[i], "tree");
        make("file", "content");
        show();
        cr_assert_str_eq(tree_read("new/file"), "content");
        cr_assert_eq(tree_entries("."), 1);
        cr_assert_eq(system("rm -r new"), 0);
    }
}

Test(tree_place, into_a_directory)
{
    static const char *const destinations[] = {"dir", "dir/", "link", "."};
    cr_assert_eq(mkdir("dir", 0755), 0);
    cr_assert_eq(symlink("dir", "link"), 0);
    for (size_t i = 0; i < sizeof destinations / sizeof destinations[0]; i++) {
        open_place(destinations[i], "tree");
        make("file", "content");
        show();
        cr_assert_str_eq(tree_read(i == 3 ? "tree/file" : "dir/tree/file"), "content");
        cr_assert_eq(system("rm -r tree dir/tree 2>/dev/null; test -d dir"), 0);
    }
}

Test(tree_place, tree_without_a_name)
{
    static const char *const names[] = {".", "..", ""};
    cr_assert_eq(mkdir("dir", 0755), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        open_place("dir", names[i]);
        make("file", "content");
        show();
        cr_assert_str_eq(tree_read("dir/file"), "content");
        cr_assert_eq(tree_entries("dir"), 1);
    }
    open_place("new", ".");
    show();
    cr_assert_eq(tree_entries("new"), 0);
}

Test(tree_place, long_name)
{
    char name[256];
    memset(name, 'x', 255);
    name[255] = '\0';
    open_place(".", name);
    show();
    cr_assert_eq(tree_entries(name), 0);
}

Test(tree_place, no_place)
{
    tree_write("file", "x");
    cr_assert_eq(symlink("nowhere", "dangling"), 0);
    cr_assert_eq(mkdir("dir", 0755), 0);
    tree_write("dir/file", "x");
    cr_assert_eq(symlink(".", "dir/link"), 0);
    must_not_find("file", "tree", strerror(ENOTDIR));
    must_not_find("file/new", "tree", strerror(ENOTDIR));
    must_not_find("missing/new", "tree", strerror(ENOENT));
    must_not_find("dangling", "tree", "link to nothing");
    must_not_find("", "tree", strerror(ENOENT));
    must_not_find("dir", "file", strerror(ENOTDIR));
    must_not_find("dir", "link", strerror(ENOTDIR));
    must_not_find("new/.", "tree", strerror(ENOENT));
}

Test(tree_place, hidden_and_unpredictable)
{
    open_place("new", "tree");
    cr_assert_eq(place.hidden[0], '.');
    cr_assert_geq(strlen(place.hidden), 16);
    cr_assert_eq(tree_stat(place.hidden).st_mode & 07777, 0700);
}

Test(tree_place, nothing_is_left)
{
    open_place("new", "tree");
    make("a", NULL);
    make("a/b", NULL);
    make("a/b/file", "x");
    cr_assert_eq(fchmodat(place.root, "a/b", 0, 0), 0);
    cr_assert_eq(fchmodat(place.root, "a", 0500, 0), 0);
    cr_assert_eq(symlinkat("/", place.root, "link"), 0);
    pq_tree_place_done(&place);
    cr_assert_eq(tree_entries("."), 0);
}

Test(tree_place, somebody_took_the_name)
{
    open_place("new", "tree");
    cr_assert_eq(mkdir("new", 0755), 0);
    tree_write("new/file", "mine");
    must_not_show("new");
    cr_assert_eq(tree_entries("."), 1);
    cr_assert_str_eq(tree_read("new/file"), "mine");
}

/* ---- merging ---- */

/* old/ is there, with both/deep/old in it. */
static void make_old(void)
{
    cr_assert_eq(mkdir("old", 0755), 0);
    cr_assert_eq(mkdir("old/both", 0755), 0);
    cr_assert_eq(mkdir("old/both/deep", 0755), 0);
    cr_assert_eq(chmod("old/both", 01777), 0);
    tree_write("old/both/deep/old", "old");
    tree_write("old/both/deep/changed", "old");
    tree_write("old/stays", "old");
    cr_assert_eq(symlink("stays", "old/to-file"), 0);
    open_place("old", ".");
    make("both", NULL);
    make("both/deep", NULL);
}

static void merge(void)
{
    make_old();
    make("both/deep/changed", "new");
    make("both/deep/new\n", "new");
    make("both/dir", NULL);
    make("both/dir/file", "new");
    make("to-file", "new");
    cr_assert_eq(fchmodat(place.root, "both/dir", 0500, 0), 0);
    cr_assert_eq(fchmodat(place.root, "both", 0, 0), 0);
    show();
    cr_assert_str_eq(tree_read("old/both/deep/old"), "old");
    cr_assert_str_eq(tree_read("old/both/deep/changed"), "new");
    cr_assert_str_eq(tree_read("old/both/deep/new\n"), "new");
    cr_assert_str_eq(tree_read("old/both/dir/file"), "new");
    cr_assert_str_eq(tree_read("old/to-file"), "new");
    cr_assert_str_eq(tree_read("old/stays"), "old", "links are not followed");
    cr_assert_eq(tree_stat("old/both").st_mode & 07777, 01777, "directories stay as they are");
    cr_assert_eq(tree_stat("old/both/dir").st_mode & 07777, 0500);
    cr_assert_eq(tree_entries("old"), 3);
    cr_assert_eq(tree_entries("old/both"), 2);
}

Test(tree_place, merge)
{
    merge();
}

/* Whom modes restrict. */
Test(tree_place, merge_not_as_root)
{
    uid_t me = geteuid();
    if (me == 0)
        cr_assert(chown(".", 65534, 65534) == 0 && seteuid(65534) == 0);
    merge();
    cr_assert_eq(seteuid(me), 0);
}

static void must_be_old(void)
{
    cr_assert_str_eq(tree_read("old/both/deep/changed"), "old", "nothing was moved");
    cr_assert_eq(tree_entries("old/both/deep"), 2);
    cr_assert_eq(tree_entries("old"), 3);
}

Test(tree_place, file_in_the_place_of_a_directory)
{
    make_old();
    make("both/deep/changed", "new");
    cr_assert_eq(mkdir("old/zz", 0755), 0);
    make("zz", "file");
    must_not_show("old/zz': it is a directory");
    cr_assert_eq(rmdir("old/zz"), 0);
    must_be_old();
}

Test(tree_place, directory_in_the_place_of_a_file)
{
    make_old();
    make("both/deep/changed", "new");
    make("both/deep/old", NULL);
    must_not_show("old/both/deep/old': it is no directory");
    must_be_old();
}

/* The guest may have made the link in an earlier fetch. */
Test(tree_place, directory_in_the_place_of_a_link)
{
    cr_assert_eq(mkdir("outside", 0755), 0);
    make_old();
    make("both/deep/changed", "new");
    make("both/link", NULL);
    make("both/link/evil", "new");
    cr_assert_eq(symlink("../../outside", "old/both/link"), 0);
    must_not_show("old/both/link': it is no directory");
    must_be_old();
    cr_assert_eq(tree_entries("outside"), 0);
}

Test(tree_place, another_file_system)
{
    make_old();
    make("both/deep/changed", "new");
    if (mount("pq-test", "old/both/deep", "tmpfs", 0, "size=100k") != 0)
        cr_skip_test("cannot mount a tmpfs: %s", strerror(errno));
    int status = pq_tree_place_show(&place, &err);
    unsigned entries = tree_entries("old/both/deep");
    cr_assert_eq(umount("old/both/deep"), 0);
    cr_assert_eq(status, -1);
    cr_assert_not_null(strstr(err.text, "another file system"), "%s", err.text);
    cr_assert_eq(entries, 0);
    pq_tree_place_done(&place);
    must_be_old();
}
