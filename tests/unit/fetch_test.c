/* Files out of a guest, whole or not at all. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec/guest_scripts.h"
#include "filexfer/fetch.h"
#include "tests/unit/support/guest_file.h"
#include "transport/base/fd.h"

static pq_error err;
static pq_fetch *fetch;
static pq_fetch_request request;
static char *bytes;
static pq_timer timer;
static struct {
    unsigned ended;
    pq_error err;
    pq_fetch_result result;
    uint64_t progress;
    int64_t total;
} got;

/* The local side is guest.dir/local/, the guest's is guest.dir itself. */
static void setup(void)
{
    guest_setup();
    cr_assert_eq(mkdir(guest_path("local"), 0755), 0);
    request = (pq_fetch_request){.fd = -1, .mode = -1};
}

static void teardown(void)
{
    pq_fetch_drop(fetch);
    free(bytes);
    guest_teardown();
}

TestSuite(fetch, .init = setup, .fini = teardown, .timeout = 30);

static void on_progress(void *context, uint64_t done, int64_t total)
{
    (void)context;
    cr_assert_geq(done, got.progress);
    got.progress = done;
    got.total = total;
}

static void on_done(void *context, const pq_error *failure, const pq_fetch_result *result)
{
    (void)context;
    cr_assert((failure == NULL) != (result == NULL));
    got.ended++;
    fetch = NULL;
    if (failure != NULL)
        got.err = *failure;
    else
        got.result = *result;
    pq_loop_stop(guest.loop);
}

static void start(const char *path)
{
    pq_fetch_events events = {.progress = on_progress, .done = on_done};
    char local[128];
    snprintf(local, sizeof local, "%s/local/file", guest.dir);
    bool by_name = request.local_path == NULL && request.fd < 0;
    if (by_name)
        request.local_path = local;
    request.remote_path = path;
    memset(&got, 0, sizeof got);
    fetch = pq_fetch_start(guest.session, &request, &events, NULL, &err);
    cr_assert_not_null(fetch, "%s", err.text);
    cr_assert_eq(got.ended, 0);
    if (by_name)
        request.local_path = NULL;
}

static void await(void)
{
    while (got.ended == 0)
        guest_run();
    cr_assert_eq(got.ended, 1);
}

static void make(const char *name, size_t length)
{
    free(bytes);
    bytes = guest_bytes(length);
    guest_write(name, bytes, length);
}

static void must_succeed(size_t length)
{
    cr_assert_eq(got.err.code, PQ_OK, "%s: %s", pq_code_name(got.err.code), got.err.text);
    cr_assert_eq(got.result.bytes, length);
    cr_assert_str_eq(got.result.sha256, guest_sha256(bytes, length));
    cr_assert_eq(got.progress, length);
}

static void fetch_file(size_t length)
{
    make("remote", length);
    start(guest_path("remote"));
    await();
    must_succeed(length);
    cr_assert_eq(got.result.digest_checked, length > 0);
    guest_must_have("local/file", bytes, length, 0644);
    cr_assert_eq(guest_entries("local"), 1);
    guest_must_close();
}

static void must_fail(pq_code code)
{
    await();
    cr_assert_eq(got.err.code, code, "%s: %s", pq_code_name(got.err.code), got.err.text);
    cr_assert_eq(got.err.effect, PQ_EFFECT_NONE, "reading changes nothing");
    cr_assert_eq(guest_entries("local"), 0, "nothing is left");
}

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
    fetch_file(65536);
    cr_assert_eq(guest.agent->calls[SHELL_READ], 0);
}

Test(fetch, smallest_that_is_read)
{
    fetch_file(65537);
    cr_assert_eq(guest.agent->calls[SHELL_READ], 1);
}

Test(fetch, large_file)
{
    fetch_file(3000001);
    cr_assert_eq(got.total, 3000001);
}

Test(fetch, large_file_by_slices)
{
    guest.agent->limits.offset_reads = false;
    make("remote", 3000001);
    start(guest_path("remote"));
    await();
    must_succeed(3000001);
    guest_must_have("local/file", bytes, 3000001, 0644);
    guest_await_idle();
    cr_assert_eq(guest_entries(pq_session_files_dir(guest.session) + strlen(guest.dir) + 1), 0,
                 "slices go with the fetch");
    guest_must_close();
}

Test(fetch, odd_names)
{
    static const char *const names[] = {"-n",         "a b", "new\nline\n", "\xFF\x80",
                                        "'\"\\$(id)", "*",   "\xC3\xA4",    "end\\"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (size_t length = 10; length <= 100000; length += 99990) {
            make(names[i], length);
            start(guest_path("%s", names[i]));
            await();
            must_succeed(length);
            guest_must_have("local/file", bytes, length, 0644);
        }
    }
    guest_must_close();
}

Test(fetch, odd_name_by_slices)
{
    guest.agent->limits.offset_reads = false;
    make("\xC3\xA4\n", 300000);
    start(guest_path("\xC3\xA4\n"));
    await();
    must_succeed(300000);
    guest_must_have("local/file", bytes, 300000, 0644);
    guest_must_close();
}

Test(fetch, relative_path_starts_at_home)
{
    start("pq-no-such-file-there");
    must_fail(PQ_E_NOT_FOUND);
}

Test(fetch, file_of_the_kernel)
{
    start("/proc/version");
    await();
    cr_assert_eq(got.err.code, PQ_OK, "%s", got.err.text);
    cr_assert_gt(got.result.bytes, 10);
    guest_must_close();
}

Test(fetch, symlink)
{
    make("remote", 1000);
    cr_assert_eq(symlink("remote", guest_path("link")), 0);
    start(guest_path("link"));
    await();
    must_succeed(1000);
    guest_must_close();
}

/* ---- the local end ---- */

Test(fetch, mode_of_the_guest)
{
    make("remote", 10);
    cr_assert_eq(chmod(guest_path("remote"), 0751), 0);
    start(guest_path("remote"));
    await();
    must_succeed(10);
    cr_assert_eq(got.result.mode, 0751);
    guest_must_have("local/file", bytes, 10, 0751);
}

Test(fetch, mode_less_the_umask_and_never_setuid)
{
    make("remote", 10);
    cr_assert_eq(chmod(guest_path("remote"), 06777), 0);
    umask(027);
    start(guest_path("remote"));
    await();
    must_succeed(10);
    guest_must_have("local/file", bytes, 10, 0750);
}

Test(fetch, mode_asked_for)
{
    request.mode = 0601;
    make("remote", 10);
    start(guest_path("remote"));
    await();
    must_succeed(10);
    guest_must_have("local/file", bytes, 10, 0601);
}

Test(fetch, into_a_directory)
{
    request.local_path = guest_path("local");
    make("remote", 10);
    start(guest_path("remote"));
    await();
    must_succeed(10);
    guest_must_have("local/remote", bytes, 10, 0644);
}

Test(fetch, to_a_descriptor)
{
    int ends[2];
    char back[1000];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    request.fd = ends[1];
    make("remote", 1000);
    start(guest_path("remote"));
    await();
    must_succeed(1000);
    cr_assert_eq(read(ends[0], back, sizeof back), 1000);
    cr_assert_arr_eq(back, bytes, 1000);
    cr_assert_geq(fcntl(ends[1], F_GETFD), 0, "it stays the caller's");
    close(ends[0]);
    close(ends[1]);
}

Test(fetch, to_nowhere)
{
    request.local_path = guest_path("local/missing/file");
    make("remote", 10);
    start(guest_path("remote"));
    must_fail(PQ_E_IO);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 0, "nothing is asked");
}

Test(fetch, to_a_full_device)
{
    request.local_path = "/dev/full";
    make("remote", 10);
    start(guest_path("remote"));
    must_fail(PQ_E_IO);
    make("remote", 300000);
    start(guest_path("remote"));
    must_fail(PQ_E_IO);
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
    make("remote", 10);
    start(guest_path("remote"));
    await();
    cr_assert_eq(got.err.code, PQ_E_IO);
    cr_assert_eq(guest_entries("local"), 1);
}

Test(fetch, empty_path)
{
    pq_fetch_events events = {.done = on_done};
    request.remote_path = "";
    cr_assert_null(pq_fetch_start(guest.session, &request, &events, NULL, &err));
    cr_assert_eq(err.code, PQ_E_USAGE);
}

/* ---- what cannot be fetched ---- */

Test(fetch, missing)
{
    start(guest_path("missing"));
    must_fail(PQ_E_NOT_FOUND);
    guest_must_close();
}

Test(fetch, directory)
{
    start(guest.dir);
    must_fail(PQ_E_IS_DIRECTORY);
    guest_must_close();
}

Test(fetch, unreadable)
{
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_STATUS, .fault = SHELL_END, .answer = "\npq1 denied\n"});
    start(guest_path("remote"));
    must_fail(PQ_E_REMOTE_FILE);
}

Test(fetch, no_remote_tmp_for_an_odd_name)
{
    guest_open_session(guest_path("missing"));
    make("\xC3\xA4", 300000);
    start(guest_path("\xC3\xA4"));
    must_fail(PQ_E_REMOTE_TMP);
}

Test(fetch, strange_answer)
{
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_STATUS, .fault = SHELL_END, .answer = "\npq1 hello\n"});
    start(guest_path("remote"));
    must_fail(PQ_E_BAD_ANSWER);
}

Test(fetch, answer_without_a_size)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .fault = SHELL_END,
                                               .answer = "\npq1 ok - 644 whole=1\n"});
    start(guest_path("remote"));
    must_fail(PQ_E_BAD_ANSWER);
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
    make("remote", 3000000);
    start(guest_path("remote"));
    must_fail(PQ_E_CHECKSUM);
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
    make("remote", 3000000);
    start(guest_path("remote"));
    must_fail(PQ_E_NOT_FOUND);
    guest_must_close();
}

Test(fetch, gone_when_it_is_summed)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .part = guest_file_script(PQ_FILE_SUM),
                                               .fault = SHELL_END,
                                               .answer = "\npq1 missing\n"});
    make("remote", 3000000);
    start(guest_path("remote"));
    must_fail(PQ_E_NOT_FOUND);
}

Test(fetch, wrong_sum_of_a_small_file)
{
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = SHELL_STATUS,
                                  .fault = SHELL_END,
                                  .answer = "abc\npq1 ok 3 644 whole=1 sha256=00 cksum=-\n"});
    start(guest_path("remote"));
    must_fail(PQ_E_CHECKSUM);
}

Test(fetch, without_sha256)
{
    guest_hide_tools("sha256sum openssl python3");
    for (size_t length = 1000; length <= 1000000; length += 999000) {
        make("remote", length);
        start(guest_path("remote"));
        await();
        must_succeed(length);
        cr_assert_not(got.result.digest_checked);
        guest_must_have("local/file", bytes, length, 0644);
    }
    guest_must_close();
}

Test(fetch, without_any_checksum)
{
    guest_hide_tools("sha256sum openssl python3 cksum stat");
    make("remote", 100000);
    start(guest_path("remote"));
    await();
    must_succeed(100000);
    cr_assert_not(got.result.digest_checked);
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
    start(guest_path("remote"));
    must_fail(PQ_E_TOO_LARGE);
}

Test(fetch, reading_refused)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_PERMISSION,
                                               .final = true});
    make("remote", 300000);
    start(guest_path("remote"));
    must_fail(PQ_E_PERMISSION);
    guest_must_close();
}

Test(fetch, sum_refused)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = guest_file_script(PQ_FILE_SUM),
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_PERMISSION,
                                               .final = true});
    make("remote", 300000);
    start(guest_path("remote"));
    must_fail(PQ_E_PERMISSION);
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
    make("remote", 3000000);
    start(guest_path("remote"));
    must_fail(PQ_E_AGENT_DOWN);
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
    make("remote", 300000);
    start(guest_path("remote"));
    await();
    must_succeed(300000);
    guest_must_close();
}

/* ---- cancelling ---- */

static void cancel(void *context)
{
    (void)context;
    pq_fetch_cancel(fetch);
}

static void on_call(shell_call call, const char *part)
{
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = call, .part = part, .times = 1, .event = cancel});
}

Test(fetch, cancelled_while_it_is_opened)
{
    on_call(SHELL_EXEC, guest_file_script(PQ_FILE_OPEN));
    make("remote", 10);
    start(guest_path("remote"));
    must_fail(PQ_E_CANCELLED);
    guest_await_idle();
    guest_must_close();
}

Test(fetch, cancelled_while_it_is_read)
{
    on_call(SHELL_READ, NULL);
    make("remote", 3000000);
    start(guest_path("remote"));
    must_fail(PQ_E_CANCELLED);
    guest_must_close();
}

Test(fetch, cancelled_while_it_is_sliced)
{
    guest.agent->limits.offset_reads = false;
    on_call(SHELL_STATUS, pq_guest_slice);
    make("remote", 3000000);
    start(guest_path("remote"));
    must_fail(PQ_E_CANCELLED);
    guest_must_close();
}

Test(fetch, cancelled_while_it_is_cleaned)
{
    guest.agent->limits.offset_reads = false;
    on_call(SHELL_EXEC, guest_file_script(PQ_FILE_DROP));
    make("remote", 300000);
    start(guest_path("remote"));
    await();
    must_succeed(300000);
    guest_must_close();
}

Test(fetch, dropped)
{
    make("remote", 3000000);
    start(guest_path("remote"));
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = SHELL_READ, .skip = 2, .fault = SHELL_SILENT});
    pq_timer_start(guest.loop, &timer, 150, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    pq_fetch_drop(fetch);
    pq_fetch_drop(NULL);
    fetch = NULL;
    cr_assert_eq(got.ended, 0);
    cr_assert_eq(guest_entries("local"), 0);
    guest_must_close();
}
