/* Files into a guest, whole or not at all. */
#include "filexfer/put.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "tests/unit/support/guest_put.h"
#include "transport/base/fd.h"

static pq_error err;
static pq_timer timer;

TestSuite(put, .init = guest_put_setup, .fini = guest_put_teardown, .timeout = 30);

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
        start(guest_path("file"));
        await();
        must_succeed(sizes[i]);
        guest_must_have("file", copy.bytes, sizes[i], 0644);
        free(copy.bytes);
        copy.bytes = NULL;
        pq_close(&copy.source);
    }
    guest_must_close();
}

Test(put, text)
{
    static const char text[] = "line one\nline \"two\"\n\\three\n";
    copy.bytes = strdup(text);
    copy.push_length = strlen(text);
    start(guest_path("file"));
    push(NULL);
    await();
    must_succeed(copy.push_length);
    guest_must_have("file", text, copy.push_length, 0644);
    guest_must_close();
}

/* ---- sources ---- */

Test(put, pipe)
{
    int ends[2];
    size_t length = 2000000;
    copy.bytes = guest_bytes(length);
    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    copy.request.fd = copy.source = ends[0];
    start(guest_path("file"));
    for (size_t sent = 0; copy.got.ended == 0;) {
        if (sent < length) {
            ssize_t wrote = write(ends[1], copy.bytes + sent, length - sent);
            sent += wrote > 0 ? (size_t)wrote : 0;
            if (sent == length)
                close(ends[1]);
        }
        pq_timer_start(guest.loop, &timer, 1, (pq_loop_fn)pq_loop_stop, guest.loop);
        guest_run();
    }
    pq_timer_stop(&timer);
    must_succeed(length);
    guest_must_have("file", copy.bytes, length, 0644);
    guest_must_close();
}

Test(put, pipe_that_is_empty_at_first)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    copy.request.fd = copy.source = ends[0];
    start(guest_path("file"));
    pq_timer_start(guest.loop, &timer, 20, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    cr_assert_eq(copy.got.ended, 0);
    copy.bytes = strdup("late");
    cr_assert_eq(write(ends[1], copy.bytes, 4), 4);
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
    copy.push_length = 3000001;
    copy.request.size = 3000001;
    copy.bytes = guest_bytes(copy.push_length);
    start(guest_path("file"));
    push(NULL);
    await();
    must_succeed(copy.push_length);
    guest_must_have("file", copy.bytes, copy.push_length, 0644);
    guest_must_close();
}

Test(put, pushed_nothing)
{
    start(guest_path("file"));
    pq_put_content_end(copy.put);
    cr_assert_eq(pq_put_room(copy.put), 0);
    await();
    cr_assert_eq(copy.got.err.code, PQ_OK);
    guest_must_have("file", "", 0, 0644);
    guest_must_close();
}

Test(put, room_is_bounded)
{
    copy.bytes = calloc(1, PQ_PUT_WINDOW);
    start(guest_path("file"));
    cr_assert_eq(pq_put_room(copy.put), PQ_PUT_WINDOW);
    cr_assert_eq(pq_put_content(copy.put, copy.bytes, PQ_PUT_WINDOW, &err), 0);
    cr_assert_eq(pq_put_room(copy.put), 0);
    pq_put_content_end(copy.put);
    cr_assert_eq(pq_put_content(copy.put, copy.bytes, 1, &err), 0, "ignored behind the end");
    await();
    must_succeed(PQ_PUT_WINDOW);
    guest_must_close();
}

Test(put, sources_that_cannot_be_read)
{
    pq_put_events events = {0};
    copy.request.remote_path = "/x";
    copy.source = open(guest.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    copy.request.fd = copy.source;
    cr_assert_null(pq_put_start(guest.session, &copy.request, &events, NULL, &err));
    cr_assert_eq(err.code, PQ_E_IO);
    copy.request.fd = 999;
    cr_assert_null(pq_put_start(guest.session, &copy.request, &events, NULL, &err));
    cr_assert_eq(err.code, PQ_E_IO);
    copy.request.remote_path = "";
    cr_assert_null(pq_put_start(guest.session, &copy.request, &events, NULL, &err));
    cr_assert_eq(err.code, PQ_E_USAGE);
}

Test(put, read_error)
{
    copy.source = open(guest_path("write-only"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    copy.request.fd = copy.source;
    start(guest_path("file"));
    must_fail(PQ_E_IO, PQ_EFFECT_NONE);
    guest_must_close();
}

/* ---- destinations ---- */

Test(put, mode)
{
    copy.request.mode = 02751;
    use_file(10);
    start(guest_path("file"));
    await();
    must_succeed(10);
    cr_assert_eq(copy.got.result.mode, 02751);
    guest_must_have("file", copy.bytes, 10, 02751);
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
    cr_assert_eq(copy.got.result.mode, 0604);
    guest_must_have("file", copy.bytes, 2000000, 0604);
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
    guest_must_have("target", copy.bytes, 10, 0644);
    struct stat info;
    cr_assert_eq(lstat(guest_path("file"), &info), 0);
    cr_assert(S_ISLNK(info.st_mode));
    guest_must_close();
}

Test(put, into_a_directory)
{
    cr_assert_eq(mkdir(guest_path("d"), 0755), 0);
    copy.request.name = "na me\n";
    use_file(10);
    start(guest_path("d"));
    await();
    must_succeed(10);
    guest_must_have("d/na me\n", copy.bytes, 10, 0644);
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
        cr_assert_eq(lseek(copy.source, 0, SEEK_SET), 0);
        start(guest_path("%s", names[i]));
        await();
        must_succeed(10);
        guest_must_have(names[i], copy.bytes, 10, 0644);
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
    cr_assert_not(copy.got.result.digest_checked);
    guest_must_have("file", copy.bytes, 2000000, 0644);
    guest_must_close();
}

Test(put, without_any_checksum)
{
    guest_hide_tools("sha256sum openssl python3 cksum stat");
    use_file(1000);
    start(guest_path("file"));
    await();
    must_succeed(1000);
    cr_assert_not(copy.got.result.digest_checked);
    guest_must_have("file", copy.bytes, 1000, 0644);
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
    cr_assert_eq(copy.got.err.code, PQ_E_BAD_ANSWER);
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

Test(put, cancelled_at_once)
{
    use_file(10);
    start(guest_path("file"));
    /* From a callback, as all cancels are. */
    pq_timer_start(guest.loop, &timer, 0, cancel, NULL);
    await();
    cr_assert_eq(copy.got.err.code, PQ_E_CANCELLED);
    guest_await_idle();
    guest_must_close();
}

Test(put, cancelled_while_it_is_read)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    copy.request.fd = copy.source = ends[0];
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
    cancel_on_call(PQ_FILE_WRITE, SHELL_STATUS, 3, SHELL_FINE);
    use_file(3000000);
    start(guest_path("file"));
    must_fail(PQ_E_CANCELLED, PQ_EFFECT_NONE);
    guest_await_idle();
    cr_assert_neq(access(guest_path("file"), F_OK), 0);
    guest_must_close();
}

Test(put, cancelled_while_it_is_placed)
{
    cancel_on_call(PQ_FILE_PUT, SHELL_EXEC, 0, SHELL_FINE);
    use_file(3000000);
    start(guest_path("file"));
    must_fail(PQ_E_CANCELLED, PQ_EFFECT_UNKNOWN);
    guest_must_close();
}

Test(put, cancelled_while_it_is_cleaned)
{
    cancel_on_call(PQ_FILE_DROP, SHELL_EXEC, 0, SHELL_FINE);
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
    pq_put_drop(copy.put);
    copy.put = NULL;
    cr_assert_eq(copy.got.ended, 0);
    guest_must_close();
}
