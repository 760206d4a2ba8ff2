/* Fetches that go on where an earlier one was interrupted. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/support/fetch_bench.h"

#define LENGTH ((size_t)6 * 1024 * 1024 + 5)

static void setup(void)
{
    fetch_setup();
    setenv("XDG_STATE_HOME", guest_path("state"), 1);
    cr_assert_eq(mkdir(guest_path("state"), 0700), 0);
    fetched.request.resume_key = "web:/remote:/local/file";
}

TestSuite(fetch_resume, .init = setup, .fini = fetch_teardown, .timeout = 30);

static unsigned records(void)
{
    return access(guest_path("state/pve-qga-run"), F_OK) == 0 ? guest_entries("state/pve-qga-run")
                                                              : 0;
}

/* Path below guest.dir of the only file in local/. */
static const char *part_name(void)
{
    static char name[300];
    DIR *dir = opendir(guest_path("local"));
    cr_assert_not_null(dir);
    name[0] = '\0';
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            snprintf(name, sizeof name, "local/%s", entry->d_name);
    }
    closedir(dir);
    return name;
}

/* The guest goes away after so many reads. */
static void interrupt(unsigned reads)
{
    pq_ms patience = guest.connect_timeout;
    guest.connect_timeout = 100;
    guest_open_session(guest.remote_tmp);
    memset(guest.agent->rules, 0, sizeof guest.agent->rules);
    memset(guest.agent->matched, 0, sizeof guest.agent->matched);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ,
                                               .skip = reads,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_AGENT_DOWN});
    fetch_start(guest_path("remote"));
    fetch_await();
    cr_assert_eq(fetched.err.code, PQ_E_AGENT_DOWN);
    /* It comes back after a reboot. */
    char command[192];
    snprintf(command, sizeof command, "rm -rf %s/.pve-qga-run-*", guest.remote_tmp);
    guest_await_idle();
    cr_assert_eq(system(command), 0);
    guest.connect_timeout = patience;
    guest_open_session(guest.remote_tmp);
    memset(guest.agent->rules, 0, sizeof guest.agent->rules);
    memset(guest.agent->matched, 0, sizeof guest.agent->matched);
    memset(guest.agent->calls, 0, sizeof guest.agent->calls);
}

static size_t interrupted(unsigned reads)
{
    struct stat info;
    interrupt(reads);
    cr_assert_eq(guest_entries("local"), 1, "the part stays");
    cr_assert_eq(records(), 1);
    cr_assert_eq(stat(guest_path("%s", part_name()), &info), 0);
    cr_assert_eq(info.st_mode & 07777, 0600);
    return (size_t)info.st_size;
}

static void must_be_all(void)
{
    fetch_must_succeed();
    cr_assert(fetched.result.digest_checked);
    cr_assert_eq(records(), 0);
    guest_must_close();
}

Test(fetch_resume, goes_on)
{
    fetch_make("remote", LENGTH);
    size_t part = interrupted(20);
    cr_assert_gt(part, 1000000);
    fetch_again();
    cr_assert_eq(fetched.first_progress, part);
    cr_assert_leq(guest.agent->calls[SHELL_READ], (LENGTH - part) / 65536 + 2);
    must_be_all();
}

Test(fetch_resume, goes_on_more_than_once)
{
    fetch_make("remote", LENGTH);
    size_t first = interrupted(10);
    size_t second = interrupted(10);
    cr_assert_gt(second, first);
    fetch_again();
    cr_assert_eq(fetched.first_progress, second);
    must_be_all();
}

Test(fetch_resume, text)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ, .delay = 60});
    fetch_make_of("remote", fetch_text(4 * LENGTH), 4 * LENGTH);
    size_t part = interrupted(20);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ, .delay = 60});
    fetch_again();
    cr_assert_eq(fetched.first_progress, part);
    must_be_all();
}

Test(fetch_resume, by_slices)
{
    guest.agent->limits.offset_reads = false;
    fetch_make("remote", LENGTH);
    size_t part = interrupted(20);
    fetch_again();
    cr_assert_eq(fetched.first_progress, part);
    must_be_all();
}

Test(fetch_resume, odd_name)
{
    fetch_make("remote", LENGTH);
    size_t part = interrupted(20);
    cr_assert_eq(rename(guest_path("remote"), guest_path("\xC3\xA4\n")), 0);
    fetch_start(guest_path("\xC3\xA4\n"));
    fetch_await();
    cr_assert_eq(fetched.first_progress, part, "the key says what it is");
    must_be_all();
}

Test(fetch_resume, without_sha256)
{
    guest_hide_tools("sha256sum openssl python3");
    fetch_make("remote", LENGTH);
    interrupted(20);
    fetch_again();
    cr_assert_lt(fetched.first_progress, 200000, "from the beginning");
    fetch_must_succeed();
    guest_must_close();
}

/* ---- what is not gone on with ---- */

static void must_begin_anew(void)
{
    fetch_again();
    cr_assert_lt(fetched.first_progress, 200000, "from the beginning");
    must_be_all();
}

Test(fetch_resume, other_content_now)
{
    fetch_make("remote", LENGTH);
    interrupted(20);
    fetched.bytes[1000000] ^= 1;
    guest_write("remote", fetched.bytes, LENGTH);
    must_begin_anew();
}

Test(fetch_resume, other_part)
{
    fetch_make("remote", LENGTH);
    interrupted(20);
    int fd = open(guest_path("%s", part_name()), O_WRONLY | O_CLOEXEC);
    cr_assert_eq(pwrite(fd, "changed", 7, 1000), 7);
    close(fd);
    must_begin_anew();
}

Test(fetch_resume, shorter_now)
{
    fetch_make("remote", LENGTH);
    interrupted(36);
    fetched.length = 2200000;
    cr_assert_eq(truncate(guest_path("remote"), 2200000), 0);
    fetch_again();
    cr_assert_eq(fetched.first_progress, 2200000, "the part has all of it");
    cr_assert_eq(guest.agent->calls[SHELL_READ], 0);
    must_be_all();
}

Test(fetch_resume, small_now)
{
    fetch_make("remote", LENGTH);
    interrupted(20);
    fetched.length = 1000;
    cr_assert_eq(truncate(guest_path("remote"), 1000), 0);
    fetch_start(guest_path("remote"));
    fetch_await();
    cr_assert_eq(fetched.err.code, PQ_OK);
    guest_must_have("local/file", fetched.bytes, 1000, 0644);
}

Test(fetch_resume, part_is_gone)
{
    fetch_make("remote", LENGTH);
    interrupted(20);
    unlink(guest_path("%s", part_name()));
    must_begin_anew();
}

Test(fetch_resume, part_is_a_link)
{
    fetch_make("remote", LENGTH);
    interrupted(20);
    char name[300];
    snprintf(name, sizeof name, "%s", part_name());
    guest_write("precious", "precious", 8);
    unlink(guest_path("%s", name));
    cr_assert_eq(symlink(guest_path("precious"), guest_path("%s", name)), 0);
    fetch_start(guest_path("remote"));
    fetch_await();
    cr_assert_eq(fetched.err.code, PQ_OK);
    guest_must_have("precious", "precious", 8, 0644);
    guest_must_have("local/file", fetched.bytes, LENGTH, 0644);
}

Test(fetch_resume, part_has_another_name)
{
    fetch_make("remote", LENGTH);
    interrupted(20);
    char name[300];
    snprintf(name, sizeof name, "%s", part_name());
    cr_assert_eq(link(guest_path("%s", name), guest_path("other")), 0);
    fetch_start(guest_path("remote"));
    fetch_await();
    cr_assert_eq(fetched.err.code, PQ_OK);
    guest_must_have("local/file", fetched.bytes, LENGTH, 0644);
    cr_assert_lt(fetched.first_progress, 200000);
}

Test(fetch_resume, another_key)
{
    fetch_make("remote", LENGTH);
    interrupted(20);
    fetched.request.resume_key = "db:/remote:/local/file";
    fetch_start(guest_path("remote"));
    fetch_await();
    cr_assert_eq(fetched.err.code, PQ_OK);
    cr_assert_lt(fetched.first_progress, 200000);
    cr_assert_eq(guest_entries("local"), 2, "the other's part is not touched");
}

/* ---- what leaves no part ---- */

static void must_leave_nothing(void)
{
    cr_assert_eq(guest_entries("local"), 0);
    cr_assert_eq(records(), 0);
}

Test(fetch_resume, no_key)
{
    fetched.request.resume_key = NULL;
    fetch_make("remote", LENGTH);
    interrupt(20);
    must_leave_nothing();
}

Test(fetch_resume, small_file)
{
    fetch_make("remote", 1000000);
    interrupt(3);
    must_leave_nothing();
}

Test(fetch_resume, to_a_descriptor)
{
    int fd = open(guest_path("other"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    fetched.request.fd = fd;
    fetch_make("remote", LENGTH);
    interrupt(20);
    must_leave_nothing();
    close(fd);
}

Test(fetch_resume, to_no_regular_file)
{
    fetched.request.local_path = "/dev/null";
    fetch_make("remote", LENGTH);
    interrupt(20);
    must_leave_nothing();
}

Test(fetch_resume, refused)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ,
                                               .skip = 20,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_PERMISSION,
                                               .final = true});
    fetch_make("remote", LENGTH);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_PERMISSION);
    must_leave_nothing();
}

Test(fetch_resume, cancelled)
{
    fetch_cancel_on(SHELL_READ, NULL, 30);
    fetch_make("remote", LENGTH);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_CANCELLED);
    must_leave_nothing();
}

Test(fetch_resume, cancelled_but_to_be_kept)
{
    fetched.request.keep_partial = true;
    fetch_cancel_on(SHELL_READ, NULL, 30);
    fetch_make("remote", LENGTH);
    fetch_start(guest_path("remote"));
    fetch_await();
    cr_assert_eq(fetched.err.code, PQ_E_CANCELLED);
    cr_assert_eq(guest_entries("local"), 1);
    fetch_again();
    cr_assert_gt(fetched.first_progress, 1000000);
    must_be_all();
}

Test(fetch_resume, dropped)
{
    static pq_timer timer;
    fetch_make("remote", LENGTH);
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = SHELL_READ, .skip = 20, .fault = SHELL_SILENT});
    fetch_start(guest_path("remote"));
    pq_timer_start(guest.loop, &timer, 150, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    pq_fetch_drop(fetched.fetch);
    fetched.fetch = NULL;
    must_leave_nothing();
}

Test(fetch_resume, no_place_for_a_record)
{
    setenv("XDG_STATE_HOME", "/dev/null/none", 1);
    fetch_make("remote", LENGTH);
    interrupt(20);
    must_leave_nothing();
    fetch_again();
    cr_assert_lt(fetched.first_progress, 200000);
}

/* ---- while the part is looked at ---- */

Test(fetch_resume, guest_is_gone_again)
{
    fetch_make("remote", LENGTH);
    size_t part = interrupted(20);
    guest.connect_timeout = 100;
    guest_open_session(guest.remote_tmp);
    guest_file_rule(PQ_FILE_SUM, SHELL_EXEC, 0, 0, SHELL_REFUSE, PQ_E_AGENT_DOWN);
    fetch_start(guest_path("remote"));
    fetch_await();
    cr_assert_eq(fetched.err.code, PQ_E_AGENT_DOWN);
    cr_assert_eq(guest_entries("local"), 1, "the part stays");
    memset(guest.agent->rules, 0, sizeof guest.agent->rules);
    fetch_again();
    cr_assert_eq(fetched.first_progress, part);
    must_be_all();
}

Test(fetch_resume, cancelled_while_the_part_is_looked_at)
{
    fetch_make("remote", LENGTH);
    interrupted(20);
    fetch_cancel_on(SHELL_STATUS, guest_file_script(PQ_FILE_SUM), 0);
    fetch_start(guest_path("remote"));
    fetch_await();
    cr_assert_eq(fetched.err.code, PQ_E_CANCELLED);
    must_leave_nothing();
    guest_must_close();
}
