/* Records of interrupted transfers. */
#include "filexfer/resume.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char home[64], records[128];
static pq_resume_record record;
static bool found;

static void setup(void)
{
    strcpy(home, "/tmp/pq-resume-XXXXXX");
    cr_assert_not_null(mkdtemp(home));
    snprintf(records, sizeof records, "%s/.local/state/pve-qga-run", home);
    setenv("HOME", home, 1);
    unsetenv("XDG_STATE_HOME");
    umask(022);
}

static void teardown(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", home);
    cr_assert_eq(system(command), 0);
}

TestSuite(resume, .init = setup, .fini = teardown);

static pq_resume *must_open(const char *key)
{
    pq_resume *resume = pq_resume_open(key, &record, &found);
    cr_assert_not_null(resume);
    return resume;
}

static void note(pq_resume *resume, const char *place, bool is_local, uint64_t bytes)
{
    pq_resume_record new = {.bytes = bytes, .size = 5000000000, .is_local = is_local};
    snprintf(new.place, sizeof new.place, "%s", place);
    pq_resume_note(resume, &new);
}

static void leave_one(const char *key, const char *place, bool is_local)
{
    pq_resume *resume = must_open(key);
    note(resume, place, is_local, 1234);
    pq_resume_leave(resume);
}

/* Path of a record, of which there is only one. */
static const char *only_record(void)
{
    static char path[512];
    unsigned count = 0;
    DIR *list = opendir(records);
    cr_assert_not_null(list);
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", records, entry->d_name);
        count++;
    }
    closedir(list);
    cr_assert_leq(count, 1);
    return count == 1 ? path : NULL;
}

static const char *make_file(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", home, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
    return path;
}

static void make_old(const char *path, time_t age)
{
    struct timespec times[2] = {{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};
    cr_assert_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* ---- a transfer and the next one ---- */

Test(resume, what_is_left_is_found)
{
    pq_resume *resume = must_open("put a b");
    cr_assert_not(found);
    note(resume, "/tmp/a\nb c", false, 4096);
    note(resume, "/tmp/longer than the next", false, 8192);
    note(resume, "/tmp/a\nb c", true, UINT64_MAX);
    pq_resume_leave(resume);
    resume = must_open("put a b");
    cr_assert(found);
    cr_assert_str_eq(record.place, "/tmp/a\nb c");
    cr_assert_eq(record.bytes, UINT64_MAX);
    cr_assert_eq(record.size, 5000000000);
    cr_assert(record.is_local);
    pq_resume_leave(resume);
    resume = must_open("put a b");
    cr_assert(found, "it is there until it is forgotten");
    pq_resume_forget(resume);
    resume = must_open("put a b");
    cr_assert_not(found);
    pq_resume_forget(resume);
}

Test(resume, keys_have_records_of_their_own)
{
    leave_one("one", "/tmp/one", false);
    pq_resume *two = must_open("two");
    cr_assert_not(found);
    pq_resume *one = must_open("one");
    cr_assert(found);
    pq_resume_forget(two);
    pq_resume_forget(one);
    cr_assert_null(only_record());
}

Test(resume, nothing_noted_leaves_nothing)
{
    pq_resume_leave(must_open("key"));
    cr_assert_null(only_record());
    pq_resume_leave(NULL);
    pq_resume_forget(NULL);
}

Test(resume, nobody_else_can_read_it)
{
    struct stat info;
    leave_one("key", "/tmp/x", false);
    cr_assert_eq(stat(only_record(), &info), 0);
    cr_assert_eq(info.st_mode & 07777, 0600);
    cr_assert_eq(stat(records, &info), 0);
    cr_assert_eq(info.st_mode & 07777, 0700);
    cr_assert_null(strstr(only_record(), "key"));
}

Test(resume, only_one_at_a_time)
{
    pq_resume *resume = must_open("key");
    note(resume, "/tmp/x", false, 1);
    cr_assert_null(pq_resume_open("key", &record, &found));
    pq_resume_leave(resume);
    pq_resume_forget(must_open("key"));
}

Test(resume, a_killed_process_leaves_its_record)
{
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        note(must_open("key"), "/tmp/x", false, 77);
        kill(getpid(), SIGKILL);
    }
    cr_assert_eq(waitpid(child, NULL, 0), child);
    pq_resume *resume = must_open("key");
    cr_assert(found);
    cr_assert_eq(record.bytes, 77);
    pq_resume_forget(resume);
}

/* ---- records that are no good ---- */

Test(resume, damaged_records_are_as_none)
{
    static const char *const texts[] = {"",
                                        "\n",
                                        "1 2\n/tmp/x",
                                        "1 2 3 0 /tmp/x",
                                        "2 2 3 0\n/tmp/x",
                                        "1 2 3 0\n",
                                        "1 2 3 0\nrelative",
                                        "garbage"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        leave_one("key", "/tmp/x", false);
        int fd = open(only_record(), O_WRONLY | O_TRUNC | O_CLOEXEC);
        cr_assert_eq(write(fd, texts[i], strlen(texts[i])), (ssize_t)strlen(texts[i]));
        close(fd);
        pq_resume *resume = must_open("key");
        cr_assert_not(found, "'%s'", texts[i]);
        note(resume, "/tmp/y", false, 5);
        pq_resume_leave(resume);
        resume = must_open("key");
        cr_assert(found);
        cr_assert_str_eq(record.place, "/tmp/y");
        pq_resume_forget(resume);
    }
}

Test(resume, a_place_with_nul_or_too_long)
{
    char text[1200];
    memset(text, 'x', sizeof text);
    memcpy(text, "1 2 3 0\n/", 9);
    for (int i = 0; i < 2; i++) {
        leave_one("key", "/tmp/x", false);
        int fd = open(only_record(), O_WRONLY | O_TRUNC | O_CLOEXEC);
        cr_assert_eq(write(fd, text, sizeof text), (ssize_t)sizeof text);
        close(fd);
        pq_resume *resume = must_open("key");
        cr_assert_not(found);
        pq_resume_forget(resume);
        text[20] = '\0';
    }
}

Test(resume, old_records_go_and_take_local_parts_along)
{
    const char *part = make_file("part");
    leave_one("old", part, true);
    make_old(only_record(), PQ_RESUME_MAX_AGE_S + 60);
    pq_resume_leave(must_open("another"));
    cr_assert_null(only_record());
    cr_assert_neq(access(part, F_OK), 0);

    leave_one("old", part, true);
    make_old(only_record(), PQ_RESUME_MAX_AGE_S + 60);
    pq_resume *resume = must_open("old");
    cr_assert_not(found, "nor is it resumed");
    pq_resume_forget(resume);
}

Test(resume, younger_ones_stay)
{
    const char *part = make_file("part");
    leave_one("young", part, true);
    make_old(only_record(), PQ_RESUME_MAX_AGE_S - 60);
    pq_resume_leave(must_open("another"));
    cr_assert_not_null(only_record());
    cr_assert_eq(access(part, F_OK), 0);
}

Test(resume, what_is_in_a_guest_is_not_removed_here)
{
    const char *part = make_file("part");
    leave_one("old", part, false);
    make_old(only_record(), PQ_RESUME_MAX_AGE_S + 60);
    pq_resume_leave(must_open("another"));
    cr_assert_null(only_record());
    cr_assert_eq(access(part, F_OK), 0);
}

Test(resume, an_old_one_that_is_in_use_stays)
{
    pq_resume *resume = must_open("old");
    note(resume, "/tmp/x", false, 1);
    make_old(only_record(), PQ_RESUME_MAX_AGE_S + 60);
    pq_resume *other = must_open("another");
    pq_resume_leave(other);
    cr_assert_not_null(only_record());
    pq_resume_forget(resume);
}

Test(resume, only_files_of_ours_are_removed)
{
    char path[128], link[128];
    snprintf(path, sizeof path, "%s/directory", home);
    snprintf(link, sizeof link, "%s/link", home);
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(symlink(make_file("target"), link), 0);
    const char *const places[] = {path, link};
    for (int i = 0; i < 2; i++) {
        struct stat info;
        leave_one("old", places[i], true);
        make_old(only_record(), PQ_RESUME_MAX_AGE_S + 60);
        pq_resume_leave(must_open("another"));
        cr_assert_eq(lstat(places[i], &info), 0);
    }
}

Test(resume, other_files_are_left_alone)
{
    char path[256];
    leave_one("key", "/tmp/x", false);
    snprintf(path, sizeof path, "%s/notes", records);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    make_old(path, 10 * PQ_RESUME_MAX_AGE_S);
    pq_resume_leave(must_open("another"));
    cr_assert_eq(access(path, F_OK), 0);
}

/* ---- places ---- */

Test(resume, state_home_is_used)
{
    char path[96];
    snprintf(path, sizeof path, "%s/state", home);
    setenv("XDG_STATE_HOME", path, 1);
    leave_one("key", "/tmp/x", false);
    snprintf(records, sizeof records, "%s/pve-qga-run", path);
    cr_assert_not_null(only_record());
}

Test(resume, without_a_place_there_is_none)
{
    setenv("XDG_STATE_HOME", "relative", 1);
    setenv("HOME", "", 1);
    cr_assert_null(pq_resume_open("key", &record, &found));
    unsetenv("HOME");
    cr_assert_null(pq_resume_open("key", &record, &found));
    setenv("HOME", make_file("no directory"), 1);
    cr_assert_null(pq_resume_open("key", &record, &found));
}

Test(resume, a_directory_that_others_can_write_is_not_trusted)
{
    leave_one("key", "/tmp/x", false);
    cr_assert_eq(chmod(records, 0770), 0);
    cr_assert_null(pq_resume_open("key", &record, &found));
    cr_assert_eq(chmod(records, 0755), 0);
    pq_resume_forget(must_open("key"));
}

Test(resume, a_record_that_is_a_link_is_not_followed)
{
    char path[512];
    leave_one("key", "/tmp/x", false);
    strcpy(path, only_record());
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(symlink(make_file("target"), path), 0);
    cr_assert_null(pq_resume_open("key", &record, &found));
}

Test(resume, a_disk_without_space)
{
    pq_resume *resume = must_open("key");
    struct stat info;
    note(resume, "/tmp/x", false, 1);
    pq_resume_record longer = {.bytes = 1};
    memset(longer.place, 'x', sizeof longer.place - 1);
    longer.place[0] = '/';
    cr_assert_eq(stat(only_record(), &info), 0);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = 100, .rlim_max = 100}), 0);
    pq_resume_note(resume, &longer);
    cr_assert_eq(stat(only_record(), &info), 0);
    cr_assert_eq(info.st_size, 0, "half a record would name another place");
    pq_resume_leave(resume);
    cr_assert_null(only_record());
}
