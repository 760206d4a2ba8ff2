/* How a put travels: pieces, packed or not, several at a time, and what the source does meanwhile.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/support/guest_put.h"
#include "transport/base/fd.h"

#define MIB ((size_t)1024 * 1024)

static pq_error err;

TestSuite(put_pieces, .init = guest_put_setup, .fini = guest_put_teardown, .timeout = 60);

static char *make_text(size_t length)
{
    pq_buf text = {0};
    size_t ignored;
    for (unsigned line = 0; text.length < length; line++)
        cr_assert_eq(
            pq_buf_printf(&text, &err, "%u bottles, %x glasses\n", line, line * 2654435761u), 0);
    return pq_buf_take(&text, &ignored);
}

static unsigned count(pq_file_script which, shell_call call)
{
    return shell_agent_count(guest.agent, call, guest_file_script(which));
}

/* ---- packing ---- */

Test(put_pieces, text_is_packed)
{
    put_bytes(make_text(3 * MIB), 3 * MIB);
    cr_assert_leq(count(PQ_FILE_WRITE, SHELL_EXEC), 5);
}

Test(put_pieces, text_that_fits_a_call_packed)
{
    put_bytes(make_text(700000), 700000);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 1);
}

Test(put_pieces, nothing_to_unpack_with)
{
    guest_hide_tools("gzip gunzip python3");
    put_bytes(make_text(2 * MIB), 2 * MIB);
    cr_assert(pq_session_lacks_unpacker(guest.session));
    unsigned calls = guest.agent->calls[SHELL_EXEC];
    put_bytes(make_text(2 * MIB), 2 * MIB);
    cr_assert_lt(guest.agent->calls[SHELL_EXEC], 2 * calls, "the second put knows that");
}

Test(put_pieces, nothing_to_unpack_a_single_call_with)
{
    guest_hide_tools("gzip gunzip python3");
    put_bytes(make_text(700000), 700000);
    put_bytes(make_text(200000), 200000);
}

Test(put_pieces, nothing_to_decode_or_unpack_with)
{
    guest_hide_tools("base64 openssl python3 perl gzip gunzip");
    put_bytes(make_text(700000), 700000);
}

Test(put_pieces, packed_and_too_large)
{
    guest.agent->refuse_bytes = 60000;
    put_bytes(make_text(3 * MIB), 3 * MIB);
    cr_assert_lt(guest.agent->calls[SHELL_EXEC], 40, "smaller pieces are packed as well");
}

/* ---- runs of zeros ---- */

static void put_sparse(size_t length, size_t data_at, size_t data_length)
{
    char *bytes = calloc(1, length), *data = guest_bytes(data_length);
    cr_assert_not_null(bytes);
    memcpy(bytes + data_at, data, data_length);
    free(data);
    put_bytes(bytes, length);
}

Test(put_pieces, zeros_are_not_sent)
{
    put_sparse(64 * MIB, 0, 0);
    cr_assert_eq(count(PQ_FILE_WRITE, SHELL_EXEC), 1);
    cr_assert_eq(count(PQ_FILE_PUT, SHELL_EXEC), 1);
}

Test(put_pieces, holes_stay_holes)
{
    struct stat info;
    put_sparse(20 * MIB + 5, 10 * MIB + 77, 100000);
    cr_assert_eq(count(PQ_FILE_WRITE, SHELL_EXEC), 2);
    cr_assert_eq(stat(guest_path("file"), &info), 0);
    cr_assert_lt(info.st_blocks * 512, (blkcnt_t)MIB);
}

Test(put_pieces, few_zeros_fit_a_call)
{
    put_sparse(100000, 50000, 1000);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 1);
}

Test(put_pieces, many_small_ones_and_nothing_to_decode_with)
{
    size_t length = 16 * MIB;
    char *bytes = calloc(1, length);
    cr_assert_not_null(bytes);
    for (size_t at = 0; at < length; at += MIB)
        memcpy(bytes + at, "island", 6);
    guest.agent->limits.args_proven = true;
    guest_hide_tools("base64 openssl python3 perl");
    put_bytes(bytes, length);
}

/* ---- several at a time ---- */

static void start_in_silence(void)
{
    guest_file_rule(PQ_FILE_WRITE, SHELL_EXEC, 0, 0, SHELL_SILENT, PQ_OK);
    use_file(3 * MIB);
    start(guest_path("file"));
    run_for(100);
}

Test(put_pieces, the_first_goes_alone)
{
    start_in_silence();
    cr_assert_eq(count(PQ_FILE_WRITE, SHELL_EXEC), 1);
}

Test(put_pieces, not_where_the_server_has_taken_such_calls)
{
    guest.agent->limits.args_proven = true;
    start_in_silence();
    cr_assert_eq(count(PQ_FILE_WRITE, SHELL_EXEC), 3);
}

Test(put_pieces, no_more_than_the_agent_wants)
{
    guest.agent->limits.args_proven = true;
    guest.agent->limits.parallel = 2;
    start_in_silence();
    cr_assert_eq(count(PQ_FILE_WRITE, SHELL_EXEC), 2);
}

Test(put_pieces, those_that_nobody_has_asked_about_are_few)
{
    guest_file_rule(PQ_FILE_WRITE, SHELL_STATUS, 0, 0, SHELL_SILENT, PQ_OK);
    use_file(8 * MIB);
    start(guest_path("file"));
    run_for(300);
    cr_assert_leq(count(PQ_FILE_WRITE, SHELL_EXEC), 7);
    cr_assert_geq(count(PQ_FILE_WRITE, SHELL_EXEC), 5, "the next ones do not wait for answers");
}

Test(put_pieces, one_question_each)
{
    /* As long as on a real agent. */
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_EXEC, .part = guest_file_script(PQ_FILE_WRITE), .delay = 100});
    put_file(4 * MIB);
    unsigned pieces = count(PQ_FILE_WRITE, SHELL_EXEC);
    cr_assert_leq(count(PQ_FILE_WRITE, SHELL_STATUS), pieces + pieces / 2);
}

Test(put_pieces, one_that_the_agent_forgot_is_sent_again)
{
    guest_file_rule(PQ_FILE_WRITE, SHELL_STATUS, 2, 3, SHELL_FORGET, PQ_OK);
    put_file(3 * MIB);
    cr_assert_geq(count(PQ_FILE_WRITE, SHELL_EXEC), 9 + 3);
}

Test(put_pieces, several_are_too_large_at_once)
{
    guest.agent->limits.args_proven = true;
    guest.agent->refuse_bytes = 60000;
    put_file(2 * MIB);
}

Test(put_pieces, they_become_too_large_in_the_middle)
{
    guest.agent->limits.args_proven = true;
    use_file(3 * MIB);
    start(guest_path("file"));
    while (count(PQ_FILE_WRITE, SHELL_EXEC) < 5)
        run_for(1);
    guest.agent->refuse_bytes = 60000;
    await();
    must_succeed(3 * MIB);
    guest_must_have("file", copy.bytes, 3 * MIB, 0644);
    guest_must_close();
}

/* ---- an agent that is slow ---- */

Test(put_pieces, time_outs_make_them_smaller)
{
    guest_file_rule(PQ_FILE_WRITE, SHELL_EXEC, 2, 2, SHELL_LOSE, PQ_E_AGENT_TIMEOUT);
    put_file(3 * MIB);
    cr_assert_geq(count(PQ_FILE_WRITE, SHELL_EXEC), 9 + 4);
}

Test(put_pieces, and_later_larger_again)
{
    guest_file_rule(PQ_FILE_WRITE, SHELL_EXEC, 0, 3, SHELL_LOSE, PQ_E_AGENT_TIMEOUT);
    put_file(16 * MIB);
    cr_assert_leq(count(PQ_FILE_WRITE, SHELL_EXEC), 42 + 40);
}

Test(put_pieces, an_agent_that_is_too_slow_for_anything)
{
    guest.connect_timeout = 300;
    guest_open_session(guest.remote_tmp);
    guest_file_rule(PQ_FILE_WRITE, SHELL_EXEC, 0, 0, SHELL_REFUSE, PQ_E_AGENT_TIMEOUT);
    use_file(1 * MIB);
    start(guest_path("file"));
    must_fail(PQ_E_AGENT_TIMEOUT, PQ_EFFECT_NONE);
    guest_must_close();
}

/* ---- a source that changes ---- */

static void change_source(void *context)
{
    const char *how = context;
    int fd = open(guest_path("source"), O_WRONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    if (how[0] == 's')
        cr_assert_eq(ftruncate(fd, 2 * MIB), 0);
    else
        cr_assert_eq(pwrite(fd, "x", 1, how[0] == 'g' ? 6 * MIB : 10), 1);
    close(fd);
}

static void start_changing(const char *how)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = guest_file_script(PQ_FILE_WRITE),
                                               .skip = 1,
                                               .times = 1,
                                               .event = change_source,
                                               .context = (void *)(uintptr_t)how});
    use_file(6 * MIB);
    start(guest_path("file"));
}

static void must_refuse(const char *text)
{
    must_fail(PQ_E_IO, PQ_EFFECT_NONE);
    cr_assert_not_null(strstr(copy.got.err.text, text), "%s", copy.got.err.text);
    cr_assert_neq(access(guest_path("file"), F_OK), 0);
    guest_must_close();
}

Test(put_pieces, a_file_that_becomes_shorter)
{
    start_changing("shorter");
    must_refuse("shorter");
}

Test(put_pieces, a_file_that_is_changed)
{
    start_changing("changed");
    must_refuse("changed");
}

Test(put_pieces, a_file_that_grows)
{
    start_changing("grows");
    await();
    must_succeed(6 * MIB);
    guest_must_have("file", copy.bytes, 6 * MIB, 0644);
    guest_must_close();
}

Test(put_pieces, a_file_that_says_it_is_empty)
{
    char bytes[4096];
    int fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, bytes, sizeof bytes);
    cr_assert_gt(length, 0);
    close(fd);
    copy.request.fd = copy.source = open("/proc/version", O_RDONLY | O_CLOEXEC);
    start(guest_path("file"));
    await();
    cr_assert_eq(copy.got.err.code, PQ_OK);
    guest_must_have("file", bytes, (size_t)length, 0644);
    guest_must_close();
}

Test(put_pieces, a_file_from_where_it_is_read)
{
    use_file(2 * MIB);
    cr_assert_eq(lseek(copy.source, 1000001, SEEK_SET), 1000001);
    start(guest_path("file"));
    await();
    cr_assert_eq(copy.got.err.code, PQ_OK);
    guest_must_have("file", copy.bytes + 1000001, 2 * MIB - 1000001, 0644);
    cr_assert_eq(lseek(copy.source, 0, SEEK_CUR), 2 * MIB);
    cr_assert_eq(lseek(copy.source, 1, SEEK_END), (off_t)(2 * MIB + 1));
    start(guest_path("file"));
    await();
    guest_must_have("file", "", 0, 0644);
    guest_must_close();
}
