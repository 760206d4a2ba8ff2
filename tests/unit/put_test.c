/* Files into a guest, whole or not at all. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "filexfer/put.h"
#include "tests/unit/support/guest_file.h"
#include "transport/base/fd.h"

static pq_error err;
static pq_put *put;
static pq_put_request request;
static char *bytes;
static int source;
static pq_timer timer;
static struct {
    unsigned ended;
    pq_error err;
    pq_put_result result;
    uint64_t progress;
    unsigned told;
    size_t pushed;
} got;
static size_t push_length; /* bytes to push when asked */

static void setup(void)
{
    guest_setup();
    source = -1;
    request = (pq_put_request){.fd = -1, .mode = -1, .new_mode = 0644, .size = -1};
}

static void teardown(void)
{
    pq_put_drop(put);
    free(bytes);
    pq_close(&source);
    guest_teardown();
}

TestSuite(put, .init = setup, .fini = teardown, .timeout = 30);

static void on_progress(void *context, uint64_t done, int64_t total)
{
    (void)context;
    cr_assert_geq(done, got.progress);
    cr_assert_eq(total, request.size);
    got.progress = done;
    got.told++;
}

static void push(void *context)
{
    (void)context;
    while (got.pushed < push_length) {
        size_t room = pq_put_room(put), left = push_length - got.pushed;
        size_t take = left < room ? left : room;
        if (take == 0)
            return;
        cr_assert_eq(pq_put_content(put, bytes + got.pushed, take, &err), 0);
        got.pushed += take;
        if (got.pushed == push_length)
            pq_put_content_end(put);
    }
}

static void on_done(void *context, const pq_error *failure, const pq_put_result *result)
{
    (void)context;
    cr_assert((failure == NULL) != (result == NULL));
    got.ended++;
    put = NULL;
    if (failure != NULL)
        got.err = *failure;
    else
        got.result = *result;
    pq_loop_stop(guest.loop);
}

static void start(const char *path)
{
    pq_put_events events = {.progress = on_progress, .done = on_done};
    if (request.fd < 0)
        events.content_wanted = push;
    request.remote_path = path;
    put = pq_put_start(guest.session, &request, &events, NULL, &err);
    cr_assert_not_null(put, "%s", err.text);
    cr_assert_eq(got.ended, 0);
}

static void await(void)
{
    while (got.ended == 0)
        guest_run();
    cr_assert_eq(got.ended, 1);
}

/* The source is a file with `length` bytes. */
static void use_file(size_t length)
{
    bytes = guest_bytes(length);
    guest_write("source", bytes, length);
    source = open(guest_path("source"), O_RDONLY | O_CLOEXEC);
    request.fd = source;
}

static void must_succeed(size_t length)
{
    cr_assert_eq(got.err.code, PQ_OK, "%s: %s", pq_code_name(got.err.code), got.err.text);
    cr_assert_eq(got.result.bytes, length);
    cr_assert_str_eq(got.result.sha256, guest_sha256(bytes, length));
    cr_assert_eq(got.progress, length);
}

static void put_file(size_t length)
{
    use_file(length);
    start(guest_path("file"));
    await();
    must_succeed(length);
    cr_assert(got.result.digest_checked);
    cr_assert_eq(got.result.mode, 0644);
    guest_must_have("file", bytes, length, 0644);
    guest_must_close();
}

static void must_fail(pq_code code, pq_effect effect)
{
    await();
    cr_assert_eq(got.err.code, code, "%s: %s", pq_code_name(got.err.code), got.err.text);
    cr_assert_eq(got.err.effect, effect, "%s", pq_effect_name(got.err.effect));
}

/* ---- whole files ---- */

Test(put, small_file_is_one_call)
{
    put_file(1000);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 1);
}

Test(put, empty_file)
{
    put_file(0);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 1);
}

Test(put, file_that_fills_a_call)
{
    put_file(380000);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 1);
}

Test(put, file_in_pieces)
{
    put_file(3000001);
    cr_assert_leq(guest.agent->calls[SHELL_EXEC], 13, "calls are filled");
}

Test(put, each_size_around_the_edges)
{
    static const size_t sizes[] = {384000, 386000, 388000, 390000, 400000, 1048576, 1048577};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        use_file(sizes[i]);
        memset(&got, 0, sizeof got);
        start(guest_path("file"));
        await();
        must_succeed(sizes[i]);
        guest_must_have("file", bytes, sizes[i], 0644);
        free(bytes);
        bytes = NULL;
        pq_close(&source);
    }
    guest_must_close();
}

Test(put, text)
{
    static const char text[] = "line one\nline \"two\"\n\\three\n";
    bytes = strdup(text);
    push_length = strlen(text);
    start(guest_path("file"));
    push(NULL);
    await();
    must_succeed(push_length);
    guest_must_have("file", text, push_length, 0644);
    guest_must_close();
}

/* ---- sources ---- */

Test(put, pipe)
{
    int ends[2];
    size_t length = 2000000;
    bytes = guest_bytes(length);
    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    request.fd = source = ends[0];
    start(guest_path("file"));
    for (size_t sent = 0; got.ended == 0;) {
        if (sent < length) {
            ssize_t wrote = write(ends[1], bytes + sent, length - sent);
            sent += wrote > 0 ? (size_t)wrote : 0;
            if (sent == length)
                close(ends[1]);
        }
        pq_timer_start(guest.loop, &timer, 1, (pq_loop_fn)pq_loop_stop, guest.loop);
        guest_run();
    }
    pq_timer_stop(&timer);
    must_succeed(length);
    guest_must_have("file", bytes, length, 0644);
    guest_must_close();
}

Test(put, pipe_that_is_empty_at_first)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    request.fd = source = ends[0];
    start(guest_path("file"));
    pq_timer_start(guest.loop, &timer, 20, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    cr_assert_eq(got.ended, 0);
    bytes = strdup("late");
    cr_assert_eq(write(ends[1], bytes, 4), 4);
    close(ends[1]);
    await();
    must_succeed(4);
    guest_must_have("file", "late", 4, 0644);
    guest_must_close();
}

Test(put, more_in_parallel_than_pieces)
{
    guest.agent->limits.parallel = 100;
    put_file(3000001);
}

Test(put, pushed)
{
    push_length = 3000001;
    request.size = 3000001;
    bytes = guest_bytes(push_length);
    start(guest_path("file"));
    push(NULL);
    await();
    must_succeed(push_length);
    guest_must_have("file", bytes, push_length, 0644);
    guest_must_close();
}

Test(put, pushed_nothing)
{
    start(guest_path("file"));
    pq_put_content_end(put);
    cr_assert_eq(pq_put_room(put), 0);
    await();
    cr_assert_eq(got.err.code, PQ_OK);
    guest_must_have("file", "", 0, 0644);
    guest_must_close();
}

Test(put, room_is_bounded)
{
    bytes = calloc(1, PQ_PUT_WINDOW);
    start(guest_path("file"));
    cr_assert_eq(pq_put_room(put), PQ_PUT_WINDOW);
    cr_assert_eq(pq_put_content(put, bytes, PQ_PUT_WINDOW, &err), 0);
    cr_assert_eq(pq_put_room(put), 0);
    pq_put_content_end(put);
    cr_assert_eq(pq_put_content(put, bytes, 1, &err), 0, "ignored behind the end");
    await();
    must_succeed(PQ_PUT_WINDOW);
    guest_must_close();
}

Test(put, sources_that_cannot_be_read)
{
    pq_put_events events = {.done = on_done};
    request.remote_path = "/x";
    source = open(guest.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    request.fd = source;
    cr_assert_null(pq_put_start(guest.session, &request, &events, NULL, &err));
    cr_assert_eq(err.code, PQ_E_IO);
    request.fd = 999;
    cr_assert_null(pq_put_start(guest.session, &request, &events, NULL, &err));
    cr_assert_eq(err.code, PQ_E_IO);
    request.remote_path = "";
    cr_assert_null(pq_put_start(guest.session, &request, &events, NULL, &err));
    cr_assert_eq(err.code, PQ_E_USAGE);
}

Test(put, read_error)
{
    source = open(guest_path("write-only"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    request.fd = source;
    start(guest_path("file"));
    must_fail(PQ_E_IO, PQ_EFFECT_NONE);
    guest_must_close();
}

/* ---- destinations ---- */

Test(put, mode)
{
    request.mode = 02751;
    use_file(10);
    start(guest_path("file"));
    await();
    must_succeed(10);
    cr_assert_eq(got.result.mode, 02751);
    guest_must_have("file", bytes, 10, 02751);
    guest_must_close();
}

Test(put, existing_file_keeps_mode_and_owner)
{
    struct stat info;
    guest_write("file", "old", 3);
    cr_assert_eq(chmod(guest_path("file"), 0604), 0);
    if (geteuid() == 0)
        cr_assert_eq(chown(guest_path("file"), 1234, 5678), 0);
    use_file(2000000);
    start(guest_path("file"));
    await();
    must_succeed(2000000);
    cr_assert_eq(got.result.mode, 0604);
    guest_must_have("file", bytes, 2000000, 0604);
    cr_assert_eq(stat(guest_path("file"), &info), 0);
    cr_assert_eq(info.st_uid, geteuid() == 0 ? 1234 : geteuid());
    guest_must_close();
}

Test(put, symlink_is_followed)
{
    guest_write("target", "old", 3);
    cr_assert_eq(symlink("target", guest_path("file")), 0);
    use_file(10);
    start(guest_path("file"));
    await();
    must_succeed(10);
    guest_must_have("target", bytes, 10, 0644);
    struct stat info;
    cr_assert_eq(lstat(guest_path("file"), &info), 0);
    cr_assert(S_ISLNK(info.st_mode));
    guest_must_close();
}

Test(put, into_a_directory)
{
    cr_assert_eq(mkdir(guest_path("d"), 0755), 0);
    request.name = "na me\n";
    use_file(10);
    start(guest_path("d"));
    await();
    must_succeed(10);
    guest_must_have("d/na me\n", bytes, 10, 0644);
    guest_must_close();
}

Test(put, onto_a_directory)
{
    cr_assert_eq(mkdir(guest_path("d"), 0755), 0);
    use_file(10);
    start(guest_path("d"));
    must_fail(PQ_E_IS_DIRECTORY, PQ_EFFECT_NONE);
    guest_must_close();
}

Test(put, odd_names)
{
    static const char *const names[] = {"-n",         "a b",      "new\nline\n", "\xFF\x80",
                                        "'\"\\$(id)", "\xC3\xA4", "*",           "end\\"};
    use_file(10);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        cr_assert_eq(lseek(source, 0, SEEK_SET), 0);
        memset(&got, 0, sizeof got);
        start(guest_path("%s", names[i]));
        await();
        must_succeed(10);
        guest_must_have(names[i], bytes, 10, 0644);
    }
    guest_must_close();
}

Test(put, missing_directory)
{
    use_file(10);
    start(guest_path("missing/file"));
    must_fail(PQ_E_NOT_FOUND, PQ_EFFECT_NONE);
    guest_must_close();
}

Test(put, missing_directory_for_a_large_file)
{
    use_file(1000000);
    start(guest_path("missing/file"));
    must_fail(PQ_E_NOT_FOUND, PQ_EFFECT_NONE);
    guest_must_close();
}

Test(put, directory_that_cannot_be_written)
{
    cr_assert_eq(mkdir(guest_path("d"), 0555), 0);
    if (geteuid() == 0 && mount("pq-test", guest_path("d"), "tmpfs", MS_RDONLY, NULL) != 0)
        cr_skip_test("cannot mount a tmpfs");
    use_file(10);
    start(guest_path("d/file"));
    await();
    umount(guest_path("d"));
    must_fail(PQ_E_REMOTE_FILE, PQ_EFFECT_NONE);
    guest_must_close();
}

Test(put, no_remote_tmp)
{
    guest_open_session(guest_path("missing"));
    use_file(10);
    start(guest_path("file"));
    must_fail(PQ_E_REMOTE_TMP, PQ_EFFECT_NONE);
}

Test(put, no_remote_tmp_for_a_large_file)
{
    guest_open_session(guest_path("missing"));
    use_file(1000000);
    start(guest_path("file"));
    must_fail(PQ_E_REMOTE_TMP, PQ_EFFECT_NONE);
}

Test(put, no_space)
{
    guest_limit_tmp("100k");
    use_file(300000);
    start(guest_path("file"));
    must_fail(PQ_E_GUEST_FULL, PQ_EFFECT_NONE);
    cr_assert_eq(guest_entries("tmp"), 0);
    guest_must_close();
    guest_unlimit_tmp();
    cr_assert_neq(access(guest_path("file"), F_OK), 0);
}

Test(put, no_space_for_pieces)
{
    guest_limit_tmp("600k");
    use_file(2000000);
    start(guest_path("file"));
    must_fail(PQ_E_GUEST_FULL, PQ_EFFECT_NONE);
    guest_must_close();
    guest_unlimit_tmp();
    cr_assert_neq(access(guest_path("file"), F_OK), 0);
}

Test(put, across_file_systems)
{
    guest_limit_tmp("4m");
    put_file(2000000);
    guest_unlimit_tmp();
}

Test(put, without_sha256)
{
    guest_hide_tools("sha256sum openssl python3");
    use_file(2000000);
    start(guest_path("file"));
    await();
    must_succeed(2000000);
    cr_assert_not(got.result.digest_checked);
    guest_must_have("file", bytes, 2000000, 0644);
    guest_must_close();
}

Test(put, without_any_checksum)
{
    guest_hide_tools("sha256sum openssl python3 cksum stat");
    use_file(1000);
    start(guest_path("file"));
    await();
    must_succeed(1000);
    cr_assert_not(got.result.digest_checked);
    guest_must_have("file", bytes, 1000, 0644);
    guest_must_close();
}

Test(put, nothing_to_decode_with)
{
    guest_hide_tools("base64 openssl python3 perl");
    put_file(1000000);
}

/* ---- lost calls ---- */

Test(put, small_and_lost)
{
    guest_file_rule(PQ_FILE_PUT, SHELL_EXEC, 0, 2, SHELL_LOSE, PQ_E_NETWORK);
    guest_file_rule(PQ_FILE_PUT, SHELL_STATUS, 0, 1, SHELL_FORGET, PQ_OK);
    put_file(1000);
}

Test(put, pieces_lost_and_twice)
{
    guest_file_rule(PQ_FILE_WRITE, SHELL_EXEC, 0, 1, SHELL_LOSE, PQ_E_NETWORK);
    guest_file_rule(PQ_FILE_WRITE, SHELL_EXEC, 3, 1, SHELL_TWICE, PQ_OK);
    guest_file_rule(PQ_FILE_WRITE, SHELL_EXEC, 5, 1, SHELL_REFUSE, PQ_E_AGENT_DOWN);
    guest_file_rule(PQ_FILE_WRITE, SHELL_STATUS, 4, 1, SHELL_FORGET, PQ_OK);
    put_file(3000001);
}

Test(put, last_step_lost)
{
    guest_file_rule(PQ_FILE_PUT, SHELL_STATUS, 0, 1, SHELL_FORGET, PQ_OK);
    put_file(1000000);
}

Test(put, last_step_twice)
{
    guest_file_rule(PQ_FILE_PUT, SHELL_EXEC, 0, 1, SHELL_TWICE, PQ_OK);
    put_file(1000000);
}

Test(put, small_and_twice)
{
    guest_file_rule(PQ_FILE_PUT, SHELL_EXEC, 0, 1, SHELL_TWICE, PQ_OK);
    put_file(100000);
}

Test(put, first_call_is_too_large)
{
    guest.agent->refuse_bytes = 60000;
    put_file(300000);
}

Test(put, pieces_are_too_large)
{
    guest.agent->refuse_bytes = 60000;
    put_file(2000000);
}

Test(put, everything_is_too_large)
{
    guest_file_rule(PQ_FILE_PUT, SHELL_EXEC, 0, 0, SHELL_REFUSE, PQ_E_TOO_LARGE);
    guest_file_rule(PQ_FILE_WRITE, SHELL_EXEC, 0, 0, SHELL_REFUSE, PQ_E_TOO_LARGE);
    use_file(300000);
    start(guest_path("file"));
    must_fail(PQ_E_TOO_LARGE, PQ_EFFECT_NONE);
    cr_assert_lt(guest.agent->calls[SHELL_EXEC], 12);
    guest_must_close();
}

Test(put, arrives_changed)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .part = guest_file_script(PQ_FILE_PUT),
                                               .fault = SHELL_END,
                                               .answer = "\npq1 sum\n"});
    use_file(1000000);
    start(guest_path("file"));
    must_fail(PQ_E_CHECKSUM, PQ_EFFECT_NONE);
    guest_must_close();
}

Test(put, small_one_that_arrives_changed_is_sent_again)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .times = 2,
                                               .fault = SHELL_END,
                                               .answer = "\npq1 sum\n"});
    put_file(1000);
}

Test(put, strange_answer)
{
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_STATUS, .fault = SHELL_END, .answer = "\npq1 hello\n"});
    use_file(10);
    start(guest_path("file"));
    await();
    cr_assert_eq(got.err.code, PQ_E_BAD_ANSWER);
}

Test(put, guest_gone_in_the_middle)
{
    guest.connect_timeout = 200;
    guest_open_session(guest.remote_tmp);
    guest_file_rule(PQ_FILE_WRITE, SHELL_EXEC, 2, 0, SHELL_REFUSE, PQ_E_AGENT_DOWN);
    use_file(3000000);
    start(guest_path("file"));
    must_fail(PQ_E_AGENT_DOWN, PQ_EFFECT_NONE);
    cr_assert_neq(access(guest_path("file"), F_OK), 0);
    guest_must_close();
}

Test(put, cleaning_fails_too)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .skip = 2,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_VM_STOPPED,
                                               .final = true});
    use_file(3000000);
    start(guest_path("file"));
    must_fail(PQ_E_VM_STOPPED, PQ_EFFECT_NONE);
}

/* ---- cancelling ---- */

static void cancel(void *context)
{
    (void)context;
    pq_put_cancel(put);
}

static void on_call(pq_file_script which, shell_call call, unsigned skip, shell_fault fault)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = call,
                                               .part = guest_file_script(which),
                                               .skip = skip,
                                               .times = 1,
                                               .fault = fault,
                                               .event = cancel});
}

Test(put, cancelled_at_once)
{
    use_file(10);
    start(guest_path("file"));
    /* From a callback, as all cancels are. */
    pq_timer_start(guest.loop, &timer, 0, cancel, NULL);
    await();
    cr_assert_eq(got.err.code, PQ_E_CANCELLED);
    guest_await_idle();
    guest_must_close();
}

Test(put, cancelled_while_it_is_read)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    request.fd = source = ends[0];
    cr_assert_eq(write(ends[1], "part", 4), 4);
    start(guest_path("file"));
    pq_timer_start(guest.loop, &timer, 20, cancel, NULL);
    must_fail(PQ_E_CANCELLED, PQ_EFFECT_NONE);
    close(ends[1]);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 0);
    guest_must_close();
}

Test(put, cancelled_in_the_middle)
{
    on_call(PQ_FILE_WRITE, SHELL_STATUS, 3, SHELL_FINE);
    use_file(3000000);
    start(guest_path("file"));
    must_fail(PQ_E_CANCELLED, PQ_EFFECT_NONE);
    guest_await_idle();
    cr_assert_neq(access(guest_path("file"), F_OK), 0);
    guest_must_close();
}

Test(put, cancelled_while_it_is_placed)
{
    on_call(PQ_FILE_PUT, SHELL_EXEC, 0, SHELL_FINE);
    use_file(3000000);
    start(guest_path("file"));
    must_fail(PQ_E_CANCELLED, PQ_EFFECT_UNKNOWN);
    guest_must_close();
}

Test(put, cancelled_while_it_is_cleaned)
{
    on_call(PQ_FILE_DROP, SHELL_EXEC, 0, SHELL_FINE);
    use_file(1000000);
    start(guest_path("missing/file"));
    must_fail(PQ_E_NOT_FOUND, PQ_EFFECT_NONE);
    guest_must_close();
}

Test(put, dropped_in_the_middle)
{
    guest_file_rule(PQ_FILE_WRITE, SHELL_EXEC, 2, 0, SHELL_SILENT, PQ_OK);
    use_file(3000000);
    start(guest_path("file"));
    pq_timer_start(guest.loop, &timer, 200, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    pq_put_drop(put);
    put = NULL;
    cr_assert_eq(got.ended, 0);
    guest_must_close();
}
