/* Files out of a guest, whole or not at all. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "exec/guest_scripts.h"
#include "tests/unit/support/fetch_bench.h"
#include "transport/base/fd.h"

static pq_error err;
static pq_timer timer;

TestSuite(fetch, .init = fetch_setup, .fini = fetch_teardown, .timeout = 30);

/* ---- whole files ---- */

Test(fetch, small_file_is_one_call)
{
    fetch_file(1000);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 1);
    cr_assert_eq(guest.agent->calls[SHELL_READ], 0);
}

Test(fetch, empty_file)
{
    fetch_file(0);
}

Test(fetch, largest_that_comes_at_once)
{
    fetch_file(131072);
    cr_assert_eq(guest.agent->calls[SHELL_READ], 0);
}

Test(fetch, smallest_that_is_read)
{
    fetch_file(131073);
    cr_assert_geq(guest.agent->calls[SHELL_READ], 1);
}

Test(fetch, large_file)
{
    fetch_file(3000001);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 2, "opening and the checksum");
}

static unsigned helper_files(void)
{
    return guest_entries(pq_session_files_dir(guest.session) + strlen(guest.dir) + 1);
}

Test(fetch, large_file_by_slices)
{
    guest.agent->limits.offset_reads = false;
    fetch_make("remote", 3000001);
    fetch_again();
    cr_assert_eq(guest.agent->calls[SHELL_EXEC] -
                     shell_agent_count(guest.agent, SHELL_EXEC, pq_guest_slice),
                 2, "opening and the checksum");
    cr_assert_gt(helper_files(), 0);
    fetch_make("remote", 10);
    fetch_again();
    cr_assert_eq(helper_files(), 0, "slices go with the next fetch");
    guest_must_close();
}

Test(fetch, odd_names)
{
    static const char *const names[] = {"-n",         "a b", "new\nline\n", "\xFF\x80",
                                        "'\"\\$(id)", "*",   "\xC3\xA4",    "end\\"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (size_t length = 10; length <= 200000; length += 199990) {
            fetch_make(names[i], length);
            fetch_start(guest_path("%s", names[i]));
            fetch_await();
            fetch_must_succeed();
        }
    }
    guest_must_close();
}

Test(fetch, odd_name_by_slices)
{
    guest.agent->limits.offset_reads = false;
    fetch_make("\xC3\xA4\n", 300000);
    fetch_start(guest_path("\xC3\xA4\n"));
    fetch_await();
    fetch_must_succeed();
    guest_must_close();
}

Test(fetch, relative_path_starts_at_home)
{
    fetch_start("pq-no-such-file-there");
    fetch_must_fail(PQ_E_NOT_FOUND);
}

Test(fetch, file_of_the_kernel)
{
    fetch_start("/proc/version");
    fetch_await();
    cr_assert_eq(fetched.err.code, PQ_OK, "%s", fetched.err.text);
    cr_assert_gt(fetched.result.bytes, 10);
    guest_must_close();
}

/* Says that it is empty, and is larger than what comes at once. */
static const char *kernel_file(void)
{
    static const char name[] = "/proc/kallsyms";
    struct stat info;
    FILE *file = fopen(name, "r");
    if (file == NULL || stat(name, &info) < 0 || info.st_size > 0)
        cr_skip_test("no %s here", name);
    char *text = malloc(32000000);
    size_t length = fread(text, 1, 32000000, file);
    fclose(file);
    if (length < 200000)
        cr_skip_test("%s is small", name);
    fetched.bytes = text;
    fetched.length = length;
    return name;
}

Test(fetch, large_file_of_the_kernel)
{
    fetch_start(kernel_file());
    fetch_await();
    fetch_must_succeed();
    cr_assert(fetched.result.digest_checked, "of the copy");
    guest_must_close();
}

Test(fetch, large_file_of_the_kernel_on_a_full_disk)
{
    const char *name = kernel_file();
    guest_limit_tmp("100k");
    fetch_start(name);
    fetch_must_fail(PQ_E_GUEST_FULL);
    guest_must_close();
    guest_unlimit_tmp();
}

/* An attribute says that it has a page. */
Test(fetch, file_of_the_kernel_with_a_size)
{
    char page[64];
    int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, page, sizeof page) : -1;
    if (length <= 0)
        cr_skip_test("no such file here");
    close(fd);
    fetched.bytes = malloc((size_t)length);
    fetched.length = (size_t)length;
    memcpy(fetched.bytes, page, fetched.length);
    fetch_start("/sys/kernel/mm/transparent_hugepage/enabled");
    fetch_await();
    fetch_must_succeed();
    cr_assert_not(fetched.result.digest_checked, "it may read differently each time");
}

Test(fetch, symlink)
{
    fetch_make("remote", 1000);
    cr_assert_eq(symlink("remote", guest_path("link")), 0);
    fetch_start(guest_path("link"));
    fetch_await();
    fetch_must_succeed();
    guest_must_close();
}

/* ---- the local end ---- */

Test(fetch, mode_of_the_guest)
{
    fetch_make("remote", 10);
    cr_assert_eq(chmod(guest_path("remote"), 0751), 0);
    fetch_start(guest_path("remote"));
    fetch_await();
    fetch_must_succeed();
    cr_assert_eq(fetched.result.mode, 0751);
    guest_must_have("local/file", fetched.bytes, 10, 0751);
}

Test(fetch, mode_less_the_umask_and_never_setuid)
{
    fetch_make("remote", 10);
    cr_assert_eq(chmod(guest_path("remote"), 06777), 0);
    umask(027);
    fetch_start(guest_path("remote"));
    fetch_await();
    fetch_must_succeed();
    guest_must_have("local/file", fetched.bytes, 10, 0750);
}

Test(fetch, mode_asked_for)
{
    fetched.request.mode = 0601;
    fetch_make("remote", 10);
    fetch_start(guest_path("remote"));
    fetch_await();
    fetch_must_succeed();
    guest_must_have("local/file", fetched.bytes, 10, 0601);
}

Test(fetch, into_a_directory)
{
    fetched.request.local_path = guest_path("local");
    fetch_make("remote", 10);
    fetch_start(guest_path("remote"));
    fetch_await();
    fetch_must_succeed();
    guest_must_have("local/remote", fetched.bytes, 10, 0644);
}

Test(fetch, to_a_descriptor)
{
    int ends[2];
    char back[1000];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    fetched.request.fd = ends[1];
    fetch_make("remote", 1000);
    fetch_start(guest_path("remote"));
    fetch_await();
    fetch_must_succeed();
    cr_assert_eq(read(ends[0], back, sizeof back), 1000);
    cr_assert_arr_eq(back, fetched.bytes, 1000);
    cr_assert_geq(fcntl(ends[1], F_GETFD), 0, "it stays the caller's");
    close(ends[0]);
    close(ends[1]);
}

Test(fetch, to_nowhere)
{
    fetched.request.local_path = guest_path("local/missing/file");
    fetch_make("remote", 10);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_IO);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 0, "nothing is asked");
}

Test(fetch, to_a_full_device)
{
    fetched.request.local_path = "/dev/full";
    fetch_make("remote", 10);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_IO);
    fetch_make("remote", 300000);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_IO);
    guest_must_close();
}

static void take_the_place(void *context)
{
    (void)context;
    cr_assert_eq(mkdir(guest_path("local/file"), 0700), 0);
}

Test(fetch, destination_becomes_a_directory)
{
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = SHELL_STATUS, .times = 1, .event = take_the_place});
    fetch_make("remote", 10);
    fetch_start(guest_path("remote"));
    fetch_await();
    cr_assert_eq(fetched.err.code, PQ_E_IO);
    cr_assert_eq(guest_entries("local"), 1);
}

Test(fetch, empty_path)
{
    pq_fetch_events events = {0};
    fetched.request.remote_path = "";
    cr_assert_null(pq_fetch_start(guest.session, &fetched.request, &events, NULL, &err));
    cr_assert_eq(err.code, PQ_E_USAGE);
}

/* ---- what cannot be fetched ---- */

Test(fetch, missing)
{
    fetch_start(guest_path("missing"));
    fetch_must_fail(PQ_E_NOT_FOUND);
    guest_must_close();
}

Test(fetch, directory)
{
    fetch_start(guest.dir);
    fetch_must_fail(PQ_E_IS_DIRECTORY);
    guest_must_close();
}

Test(fetch, fifo)
{
    cr_assert_eq(mkfifo(guest_path("remote"), 0600), 0);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_REMOTE_FILE);
    cr_assert(strstr(fetched.err.text, "FIFO") != NULL, "%s", fetched.err.text);
}

Test(fetch, device)
{
    fetch_start("/dev/zero");
    fetch_must_fail(PQ_E_REMOTE_FILE);
    cr_assert(strstr(fetched.err.text, "device") != NULL, "%s", fetched.err.text);
}

Test(fetch, socket)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", guest_path("remote"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_REMOTE_FILE);
    cr_assert(strstr(fetched.err.text, "socket") != NULL, "%s", fetched.err.text);
    close(fd);
}

Test(fetch, unreadable)
{
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_STATUS, .fault = SHELL_END, .answer = "\npq1 denied\n"});
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_REMOTE_FILE);
}

Test(fetch, no_remote_tmp_for_an_odd_name)
{
    guest_open_session(guest_path("missing"));
    fetch_make("\xC3\xA4", 300000);
    fetch_start(guest_path("\xC3\xA4"));
    fetch_must_fail(PQ_E_REMOTE_TMP);
}

Test(fetch, strange_answer)
{
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_STATUS, .fault = SHELL_END, .answer = "\npq1 hello\n"});
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_BAD_ANSWER);
}

Test(fetch, answer_without_a_size)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .fault = SHELL_END,
                                               .answer = "\npq1 ok - 644 whole=1\n"});
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_BAD_ANSWER);
}

/* ---- checks ---- */

static void change(void *context)
{
    (void)context;
    guest_write("remote", "changed", 7);
}

Test(fetch, changed_while_it_is_read)
{
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = SHELL_READ, .skip = 1, .times = 1, .event = change});
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = guest_file_script(PQ_FILE_SUM),
                                               .times = 1,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_AGENT_DOWN});
    fetch_make("remote", 3000000);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_CHECKSUM);
    guest_must_close();
}

/* ---- files that change ---- */

static void append(void *context)
{
    (void)context;
    int fd = open(guest_path("remote"), O_WRONLY | O_APPEND | O_CLOEXEC);
    cr_assert_eq(write(fd, "more", 4), 4);
    close(fd);
}

static void append_on(shell_call call, const char *part, unsigned skip)
{
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = call, .part = part, .skip = skip, .times = 1, .event = append});
}

Test(fetch, grows_while_it_is_read)
{
    append_on(SHELL_READ, NULL, 2);
    guest_file_rule(PQ_FILE_SUM, SHELL_EXEC, 0, 1, SHELL_REFUSE, PQ_E_AGENT_DOWN);
    fetch_make("remote", 3000001);
    fetch_again();
    cr_assert(fetched.result.digest_checked);
    guest_must_close();
}

Test(fetch, grows_without_sha256)
{
    guest_hide_tools("sha256sum openssl python3");
    append_on(SHELL_READ, NULL, 2);
    guest_file_rule(PQ_FILE_SUM, SHELL_EXEC, 0, 1, SHELL_REFUSE, PQ_E_AGENT_DOWN);
    fetch_make("remote", 3000001);
    fetch_again();
    guest_must_close();
}

/* Its checksum came with the opening and has what came behind it. */
Test(fetch, grew_while_it_was_opened)
{
    char answer[128];
    fetch_make("remote", 300000);
    snprintf(answer, sizeof answer, "\npq1 ok 200000 644 whole=0 sum=sha256 sha256=%s cksum=-\n",
             guest_sha256(fetched.bytes, 300000));
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_STATUS, .times = 1, .fault = SHELL_END, .answer = answer});
    fetched.length = 200000;
    fetch_again();
    cr_assert_eq(shell_agent_count(guest.agent, SHELL_EXEC, guest_file_script(PQ_FILE_SUM)), 1);
}

Test(fetch, small_file_grew_while_it_was_opened)
{
    fetch_make("remote", 10);
    memcpy(fetched.bytes, "0123456789", 10);
    guest_write("remote", "0123456789abc", 13);
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = SHELL_STATUS,
                                  .times = 1,
                                  .fault = SHELL_END,
                                  .answer = "0123456789ab\npq1 ok 10 644 whole=1 sum=sha256 "
                                            "sha256=00 cksum=-\n"});
    fetch_again();
}

static void shrink(void *context)
{
    (void)context;
    cr_assert_eq(truncate(guest_path("remote"), 1500000), 0);
}

Test(fetch, shrinks_while_it_is_read)
{
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = SHELL_READ, .skip = 1, .times = 1, .event = shrink});
    fetch_make("remote", 3000000);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_CHECKSUM);
    guest_must_close();
}

Test(fetch, shrank_before_it_was_summed)
{
    guest_file_rule(PQ_FILE_SUM, SHELL_EXEC, 0, 2, SHELL_REFUSE, PQ_E_AGENT_DOWN);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = guest_file_script(PQ_FILE_SUM),
                                               .times = 1,
                                               .fault = SHELL_FINE,
                                               .event = NULL});
    fetch_make("remote", 3000000);
    fetch_start(guest_path("remote"));
    pq_timer_start(guest.loop, &timer, 150, shrink, NULL);
    fetch_must_fail(PQ_E_CHECKSUM);
    guest_must_close();
}

static void remove_it(void *context)
{
    (void)context;
    unlink(guest_path("remote"));
}

Test(fetch, gone_while_it_is_read)
{
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = SHELL_READ, .skip = 1, .times = 1, .event = remove_it});
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = guest_file_script(PQ_FILE_SUM),
                                               .times = 1,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_AGENT_DOWN});
    fetch_make("remote", 3000000);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_NOT_FOUND);
    guest_must_close();
}

Test(fetch, gone_when_it_is_summed)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .part = guest_file_script(PQ_FILE_SUM),
                                               .fault = SHELL_END,
                                               .answer = "\npq1 missing\n"});
    fetch_make("remote", 3000000);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_NOT_FOUND);
}

Test(fetch, wrong_sum_of_a_small_file)
{
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = SHELL_STATUS,
                                  .fault = SHELL_END,
                                  .answer = "abc\npq1 ok 3 644 whole=1 sha256=00 cksum=-\n"});
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_CHECKSUM);
}

Test(fetch, without_sha256)
{
    guest_hide_tools("sha256sum openssl python3");
    for (size_t length = 1000; length <= 1000000; length += 999000) {
        fetch_make("remote", length);
        fetch_start(guest_path("remote"));
        fetch_await();
        fetch_must_succeed();
        cr_assert_not(fetched.result.digest_checked);
    }
    guest_must_close();
}

Test(fetch, without_any_checksum)
{
    guest_hide_tools("sha256sum openssl python3 cksum stat");
    fetch_make("remote", 100000);
    fetch_start(guest_path("remote"));
    fetch_await();
    fetch_must_succeed();
    cr_assert_not(fetched.result.digest_checked);
    guest_must_close();
}

/* ---- lost calls ---- */

Test(fetch, lost_answers)
{
    guest_file_rule(PQ_FILE_OPEN, SHELL_EXEC, 0, 1, SHELL_LOSE, PQ_E_NETWORK);
    guest_file_rule(PQ_FILE_OPEN, SHELL_STATUS, 1, 1, SHELL_FORGET, PQ_OK);
    guest_file_rule(PQ_FILE_SUM, SHELL_STATUS, 0, 1, SHELL_FORGET, PQ_OK);
    shell_agent_rule(
        guest.agent,
        (shell_rule){
            .call = SHELL_READ, .skip = 1, .times = 3, .fault = SHELL_LOSE, .code = PQ_E_NETWORK});
    fetch_file(3000001);
}

Test(fetch, opening_refused)
{
    guest_file_rule(PQ_FILE_OPEN, SHELL_EXEC, 0, 0, SHELL_REFUSE, PQ_E_TOO_LARGE);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_TOO_LARGE);
}

Test(fetch, reading_refused)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_PERMISSION,
                                               .final = true});
    fetch_make("remote", 300000);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_PERMISSION);
    guest_must_close();
}

Test(fetch, sum_refused)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = guest_file_script(PQ_FILE_SUM),
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_PERMISSION,
                                               .final = true});
    fetch_make("remote", 3000000);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_PERMISSION);
    guest_must_close();
}

Test(fetch, guest_gone)
{
    guest.connect_timeout = 200;
    guest_open_session(guest.remote_tmp);
    guest.agent->limits.offset_reads = false;
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ,
                                               .skip = 2,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_AGENT_DOWN});
    fetch_make("remote", 3000000);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_AGENT_DOWN);
    guest_must_close();
}

Test(fetch, cleaning_fails)
{
    guest.agent->limits.offset_reads = false;
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = guest_file_script(PQ_FILE_DROP),
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_PERMISSION,
                                               .final = true});
    fetch_make("remote", 300000);
    fetch_start(guest_path("remote"));
    fetch_await();
    fetch_must_succeed();
    guest_must_close();
}

/* ---- cancelling ---- */

Test(fetch, cancelled_while_it_is_opened)
{
    fetch_cancel_on(SHELL_EXEC, guest_file_script(PQ_FILE_OPEN), 0);
    fetch_make("remote", 10);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_CANCELLED);
    guest_await_idle();
    guest_must_close();
}

Test(fetch, cancelled_while_it_is_read)
{
    fetch_cancel_on(SHELL_READ, NULL, 0);
    fetch_make("remote", 3000000);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_CANCELLED);
    guest_must_close();
}

Test(fetch, cancelled_while_it_is_sliced)
{
    guest.agent->limits.offset_reads = false;
    fetch_cancel_on(SHELL_STATUS, pq_guest_slice, 0);
    fetch_make("remote", 3000000);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_CANCELLED);
    guest_must_close();
}

Test(fetch, cancelled_while_it_is_cleaned)
{
    guest.agent->limits.offset_reads = false;
    fetch_cancel_on(SHELL_EXEC, guest_file_script(PQ_FILE_DROP), 0);
    fetch_make("remote", 300000);
    fetch_start(guest_path("remote"));
    fetch_await();
    fetch_must_succeed();
    guest_must_close();
}

Test(fetch, dropped)
{
    fetch_make("remote", 3000000);
    fetch_start(guest_path("remote"));
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = SHELL_READ, .skip = 2, .fault = SHELL_SILENT});
    pq_timer_start(guest.loop, &timer, 150, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    pq_fetch_drop(fetched.fetch);
    pq_fetch_drop(NULL);
    fetched.fetch = NULL;
    cr_assert_eq(fetched.ended, 0);
    cr_assert_eq(guest_entries("local"), 0);
    guest_must_close();
}
