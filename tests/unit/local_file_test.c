/* The local end of a fetch: whole files under their name, nothing left otherwise. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filexfer/local_file.h"

static pq_error err;
static pq_local_file file;
static char directory[64];
static char home[256];

static void setup(void)
{
    strcpy(directory, "/tmp/pq-local-file-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    cr_assert_not_null(getcwd(home, sizeof home));
    cr_assert_eq(chdir(directory), 0);
}

static void teardown(void)
{
    char command[128];
    cr_assert_eq(chdir(home), 0);
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    cr_assert_eq(system(command), 0);
}

TestSuite(local_file, .init = setup, .fini = teardown, .timeout = 20);

static unsigned entries(const char *path)
{
    unsigned count = 0;
    DIR *dir = opendir(path);
    cr_assert_not_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static void make_file(const char *path, const char *text)
{
    FILE *to = fopen(path, "w");
    cr_assert_not_null(to);
    fputs(text, to);
    fclose(to);
}

static const char *content(const char *path)
{
    static char text[128];
    FILE *from = fopen(path, "r");
    cr_assert_not_null(from, "%s: %s", path, strerror(errno));
    text[fread(text, 1, sizeof text - 1, from)] = '\0';
    fclose(from);
    return text;
}

static mode_t mode_of(const char *path)
{
    struct stat info;
    cr_assert_eq(lstat(path, &info), 0, "%s: %s", path, strerror(errno));
    return info.st_mode & 07777;
}

static void must_open(const char *path)
{
    cr_assert_eq(pq_local_file_open(&file, path, "name", &err), 0, "%s", err.text);
}

static void must_write(const char *text)
{
    cr_assert_eq(pq_local_file_write(&file, text, strlen(text), &err), 0, "%s", err.text);
}

static void must_keep(int mode)
{
    cr_assert_eq(pq_local_file_keep(&file, mode, &err), 0, "%s", err.text);
}

static void must_not_open(const char *path, const char *part)
{
    cr_assert_eq(pq_local_file_open(&file, path, "name", &err), -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_eq(err.effect, PQ_EFFECT_NONE);
    cr_assert_not_null(strstr(err.text, part), "%s", err.text);
    pq_local_file_done(&file);
}

Test(local_file, appears_when_kept)
{
    must_open("a");
    must_write("one ");
    must_write("two");
    cr_assert_eq(access("a", F_OK), -1);
    cr_assert_eq(entries("."), 1, "the temporary file is next to it");
    cr_assert_not_null(file.temporary);
    cr_assert_eq(mode_of(file.temporary), 0600);
    must_keep(0640);
    cr_assert_str_eq(content("a"), "one two");
    cr_assert_eq(mode_of("a"), 0640);
    pq_local_file_done(&file);
    cr_assert_eq(entries("."), 1);
    cr_assert_str_eq(content("a"), "one two", "what was kept stays");
}

Test(local_file, mode_is_exact_whatever_the_umask)
{
    umask(077);
    must_open("a");
    must_keep(04777);
    pq_local_file_done(&file);
    cr_assert_eq(mode_of("a"), 04777);
}

Test(local_file, without_a_mode_it_stays_private)
{
    must_open("a");
    must_keep(-1);
    pq_local_file_done(&file);
    cr_assert_eq(mode_of("a"), 0600);
}

Test(local_file, not_kept_leaves_nothing)
{
    must_open("a");
    must_write("part");
    pq_local_file_done(&file);
    cr_assert_eq(entries("."), 0);
    pq_local_file_done(&file);
}

Test(local_file, old_file_stays_until_the_new_one_is_whole)
{
    make_file("a", "old");
    must_open("a");
    must_write("new");
    cr_assert_str_eq(content("a"), "old");
    pq_local_file_done(&file);
    cr_assert_str_eq(content("a"), "old");
    must_open("a");
    must_write("new");
    must_keep(0600);
    pq_local_file_done(&file);
    cr_assert_str_eq(content("a"), "new");
    cr_assert_eq(entries("."), 1);
}

Test(local_file, temporary_names_differ)
{
    pq_local_file other;
    must_open("a");
    cr_assert_eq(pq_local_file_open(&other, "a", "name", &err), 0, "%s", err.text);
    cr_assert_str_neq(file.temporary, other.temporary);
    pq_local_file_done(&other);
    pq_local_file_done(&file);
}

Test(local_file, into_a_directory)
{
    cr_assert_eq(mkdir("d", 0700), 0);
    must_open("d");
    must_keep(0600);
    pq_local_file_done(&file);
    cr_assert_eq(mode_of("d/name"), 0600);
    cr_assert_eq(entries("d"), 1);
}

Test(local_file, directory_of_that_name_in_a_directory)
{
    cr_assert_eq(mkdir("d", 0700), 0);
    cr_assert_eq(mkdir("d/name", 0700), 0);
    must_not_open("d", "'d/name': it is a directory");
    cr_assert_eq(entries("d"), 1);
}

Test(local_file, symlink_is_followed)
{
    cr_assert_eq(mkdir("d", 0700), 0);
    make_file("d/target", "old");
    cr_assert_eq(symlink("d/target", "link"), 0);
    must_open("link");
    must_write("new");
    cr_assert_eq(entries("d"), 2, "staged where the file is");
    must_keep(0600);
    pq_local_file_done(&file);
    cr_assert_str_eq(content("d/target"), "new");
    char target[32] = "";
    cr_assert_eq(readlink("link", target, sizeof target - 1), 8);
    cr_assert_eq(entries("."), 2);
}

Test(local_file, symlink_to_nothing_is_replaced)
{
    cr_assert_eq(symlink("nowhere", "link"), 0);
    must_open("link");
    must_write("new");
    must_keep(0600);
    pq_local_file_done(&file);
    cr_assert_str_eq(content("link"), "new");
}

Test(local_file, fifo_is_written_in_place)
{
    cr_assert_eq(mkfifo("fifo", 0600), 0);
    int reader = open("fifo", O_RDONLY | O_NONBLOCK);
    char got[8] = "";
    must_open("fifo");
    must_write("bytes");
    must_keep(0644);
    cr_assert_eq(read(reader, got, sizeof got), 5);
    cr_assert_str_eq(got, "bytes");
    pq_local_file_done(&file);
    close(reader);
    cr_assert_eq(mode_of("fifo"), 0600);
    cr_assert_eq(entries("."), 1);
}

Test(local_file, device_is_written_in_place)
{
    mode_t before = mode_of("/dev/null");
    must_open("/dev/null");
    must_write("bytes");
    must_keep(0600);
    pq_local_file_done(&file);
    cr_assert_eq(mode_of("/dev/null"), before);
}

Test(local_file, full_device)
{
    must_open("/dev/full");
    cr_assert_eq(pq_local_file_write(&file, "x", 1, &err), -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_not_null(strstr(err.text, "'/dev/full': "), "%s", err.text);
    cr_assert_not_null(strstr(err.text, strerror(ENOSPC)), "%s", err.text);
    pq_local_file_done(&file);
}

Test(local_file, path_below_a_file)
{
    make_file("a", "");
    must_not_open("a/b", "'a/b': ");
    cr_assert_eq(entries("."), 1);
}

Test(local_file, missing_directory)
{
    must_not_open("missing/b", strerror(ENOENT));
}

Test(local_file, empty_path)
{
    must_not_open("", strerror(ENOENT));
    cr_assert_eq(entries("."), 0);
}

Test(local_file, unwritable_directory)
{
    cr_assert_eq(mkdir("d", 0755), 0);
    if (geteuid() == 0)
        cr_assert_eq(chmod(directory, 0755) | seteuid(65534), 0);
    else
        cr_assert_eq(chmod("d", 0555), 0);
    must_not_open("d/a", strerror(EACCES));
    if (getuid() == 0)
        cr_assert_eq(seteuid(0), 0);
    cr_assert_eq(entries("d"), 0);
}

Test(local_file, unwritable_device)
{
    cr_assert_eq(mkfifo("fifo", 0444), 0);
    int reader = open("fifo", O_RDONLY | O_NONBLOCK);
    if (geteuid() == 0)
        cr_assert_eq(chmod(directory, 0755) | seteuid(65534), 0);
    must_not_open("fifo", strerror(EACCES));
    if (getuid() == 0)
        cr_assert_eq(seteuid(0), 0);
    close(reader);
}

Test(local_file, destination_that_became_a_directory)
{
    must_open("a");
    must_write("new");
    cr_assert_eq(mkdir("a", 0700), 0);
    cr_assert_eq(pq_local_file_keep(&file, 0600, &err), -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_not_null(strstr(err.text, "'a'"), "%s", err.text);
    pq_local_file_done(&file);
    cr_assert_eq(entries("."), 1);
    cr_assert_eq(entries("a"), 0);
}

Test(local_file, names_up_to_the_longest)
{
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    must_open(name);
    must_keep(0600);
    pq_local_file_done(&file);
    cr_assert_eq(mode_of(name), 0600);
}

Test(local_file, borrowed_descriptor_stays_open)
{
    int ends[2];
    char got[8] = "";
    cr_assert_eq(pipe(ends), 0);
    pq_local_file_borrow(&file, ends[1]);
    must_write("bytes");
    must_keep(0600);
    pq_local_file_done(&file);
    cr_assert_eq(read(ends[0], got, sizeof got), 5);
    cr_assert_eq(fcntl(ends[1], F_GETFD) >= 0, true);
    close(ends[0]);
    close(ends[1]);
}

Test(local_file, closed_descriptor)
{
    pq_local_file_borrow(&file, -1);
    cr_assert_eq(pq_local_file_write(&file, "x", 1, &err), -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_not_null(strstr(err.text, "'-': "), "%s", err.text);
    pq_local_file_done(&file);
}

Test(local_file, descriptor_is_close_on_exec)
{
    must_open("a");
    cr_assert(fcntl(file.fd, F_GETFD) & FD_CLOEXEC);
    pq_local_file_done(&file);
}

/* ---- parts ---- */

static char place[512];
static uint64_t length;

/* Leaves a part of `to` with this text; its place is known then. */
static void leave_part(const char *to, const char *text)
{
    must_open(to);
    must_write(text);
    cr_assert(pq_local_file_place(&file, place, sizeof place));
    pq_local_file_leave(&file);
    cr_assert_eq(access(place, F_OK), 0);
}

static void must_adopt(uint64_t most, uint64_t expected)
{
    cr_assert(pq_local_file_adopt(&file, place, most, &length));
    cr_assert_eq(length, expected);
}

/* The part cannot be used; the fetch goes on with an empty one. */
static void must_not_adopt(const char *to)
{
    must_open(to);
    cr_assert_not(pq_local_file_adopt(&file, place, 100, &length));
    must_write("whole");
    must_keep(0600);
    pq_local_file_done(&file);
    cr_assert_str_eq(content(to), "whole");
}

Test(local_file, part_is_gone_on_with)
{
    leave_part("a", "first ");
    must_open("a");
    must_adopt(100, 6);
    cr_assert_eq(entries("."), 1, "the empty one is gone");
    must_write("second");
    must_keep(0600);
    pq_local_file_done(&file);
    cr_assert_str_eq(content("a"), "first second");
    cr_assert_eq(entries("."), 1);
}

Test(local_file, part_from_another_working_directory)
{
    cr_assert_eq(mkdir("d", 0700), 0);
    leave_part("d/a", "first ");
    cr_assert_eq(place[0], '/');
    cr_assert_eq(chdir("d"), 0);
    must_open("a");
    must_adopt(100, 6);
    pq_local_file_done(&file);
    cr_assert_eq(entries("."), 0, "not kept, not left");
}

Test(local_file, part_is_cut)
{
    leave_part("a", "first second");
    must_open("a");
    must_adopt(6, 6);
    must_write("third");
    must_keep(0600);
    pq_local_file_done(&file);
    cr_assert_str_eq(content("a"), "first third");
}

Test(local_file, part_is_read_and_begun_again)
{
    char bytes[32];
    size_t got;
    leave_part("a", "first ");
    must_open("a");
    must_adopt(100, 6);
    cr_assert_eq(pq_local_file_read(&file, 2, bytes, sizeof bytes, &got, &err), 0);
    cr_assert_eq(got, 4);
    cr_assert_arr_eq(bytes, "rst ", 4);
    cr_assert_eq(pq_local_file_restart(&file, &err), 0);
    must_write("second");
    must_keep(0600);
    pq_local_file_done(&file);
    cr_assert_str_eq(content("a"), "second");
}

Test(local_file, part_of_another_file)
{
    leave_part("a", "first ");
    must_not_adopt("b");
    cr_assert_eq(entries("."), 2, "it stays");
}

Test(local_file, part_in_another_directory)
{
    cr_assert_eq(mkdir("d", 0700), 0);
    leave_part("d/a", "first ");
    must_not_adopt("a");
    cr_assert_eq(entries("d"), 1);
}

Test(local_file, part_with_a_name_that_is_not_ours)
{
    static const char *const names[] = {
        "b",
        ".a.",
        ".a.0123456789abcde",
        ".a.0123456789abcdef0",
        ".a.0123456789abcdeg",
        ".a.0123456789abcdef/../b",
        "",
    };
    make_file("b", "precious");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(place, sizeof place, "%s/%s", directory, names[i]);
        must_not_adopt("a");
        cr_assert_str_eq(content("b"), "precious");
    }
}

Test(local_file, part_that_is_no_file)
{
    leave_part("a", "first ");
    make_file("b", "precious");
    cr_assert_eq(unlink(place), 0);
    cr_assert_eq(symlink("b", place), 0);
    must_not_adopt("a");
    cr_assert_eq(unlink(place), 0);
    cr_assert_eq(mkfifo(place, 0600), 0);
    must_not_adopt("a");
    cr_assert_eq(unlink(place), 0);
    cr_assert_eq(mkdir(place, 0700), 0);
    must_not_adopt("a");
    cr_assert_eq(rmdir(place), 0);
    must_not_adopt("a");
    cr_assert_str_eq(content("b"), "precious");
}

Test(local_file, part_with_a_second_name)
{
    make_file("b", "precious");
    leave_part("a", "first ");
    cr_assert_eq(unlink(place), 0);
    cr_assert_eq(link("b", place), 0);
    must_not_adopt("a");
    cr_assert_str_eq(content("b"), "precious");
}

Test(local_file, part_of_another_user)
{
    if (geteuid() != 0)
        cr_skip_test("only root can make one");
    leave_part("a", "first ");
    cr_assert_eq(chown(place, 1234, 1234), 0);
    must_not_adopt("a");
}

Test(local_file, no_part)
{
    cr_assert_eq(mkfifo("fifo", 0600), 0);
    int fd = open("fifo", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    must_open("fifo");
    cr_assert_not(pq_local_file_place(&file, place, sizeof place));
    cr_assert_not(pq_local_file_adopt(&file, "/x/.fifo.0123456789abcdef", 100, &length));
    pq_local_file_done(&file);
    close(fd);
    must_open("a");
    cr_assert_not(pq_local_file_place(&file, place, 10), "it does not fit");
    pq_local_file_done(&file);
}
