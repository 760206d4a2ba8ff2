/* Reading parts of guest files. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "exec/guest_scripts.h"
#include "exec/range.h"
#include "tests/unit/support/guest_bench.h"

#define FILE_BYTES 3000001

static pq_error err;
static char *bytes;
static pq_range *range;
static struct {
    pq_buf out;
    unsigned chunks, ended;
    pq_error err;
    uint64_t end;
    unsigned stop_after; /* chunks; 0: never */
    unsigned pause_after;
    void (*on_chunk)(void);
} got;
static pq_timer timer;

static void setup(void)
{
    guest_setup();
    bytes = guest_bytes(FILE_BYTES);
    guest_write("file", bytes, FILE_BYTES);
}

static void teardown(void)
{
    free(bytes);
    pq_buf_done(&got.out);
    guest_teardown();
}

TestSuite(range, .init = setup, .fini = teardown, .timeout = 20);

static void resume(void *context)
{
    (void)context;
    cr_assert_eq(got.chunks, got.pause_after, "nothing is delivered while it is paused");
    cr_assert_leq(guest.agent->calls[SHELL_READ], got.pause_after + PQ_RANGE_HELD);
    pq_range_pause(range, false);
}

static bool on_data(void *context, const char *data, size_t length)
{
    (void)context;
    cr_assert_eq(got.ended, 0);
    cr_assert_gt(length, 0);
    cr_assert_eq(pq_buf_add(&got.out, data, length, &err), 0);
    got.chunks++;
    if (got.on_chunk != NULL)
        got.on_chunk();
    if (got.chunks == got.stop_after) {
        pq_loop_stop(guest.loop);
        return false;
    }
    if (got.chunks == got.pause_after) {
        pq_range_pause(range, true);
        pq_timer_start(guest.loop, &timer, 50, resume, NULL);
    }
    return true;
}

static void on_done(void *context, const pq_error *failure, uint64_t end)
{
    (void)context;
    got.ended++;
    got.end = end;
    if (failure != NULL)
        got.err = *failure;
    pq_loop_stop(guest.loop);
}

static void start_request(const char *path, uint64_t from, uint64_t to, bool more)
{
    pq_range_request request = {.dir = pq_session_files_dir(guest.session),
                                .number = 1,
                                .path = path,
                                .start = from,
                                .end = to,
                                .more = more};
    pq_buf_clear(&got.out);
    got.ended = got.chunks = 0;
    range = pq_range_start(guest.session, &request, on_data, on_done, NULL, &err);
    cr_assert_not_null(range);
    cr_assert_eq(got.ended, 0);
}

static void start(const char *path, uint64_t from, uint64_t to)
{
    start_request(path, from, to, false);
}

static void read_part(uint64_t from, uint64_t to)
{
    start(guest_path("file"), from, to);
    guest_run();
    cr_assert_eq(got.ended, 1);
}

static void check_part(uint64_t from, uint64_t to)
{
    read_part(from, to);
    cr_assert_eq(got.err.code, PQ_OK, "%s", got.err.text);
    uint64_t end = to > FILE_BYTES ? FILE_BYTES : to;
    cr_assert_eq(got.end, end > from ? end : from, "%llu", (unsigned long long)got.end);
    cr_assert_eq(got.out.length, end > from ? end - from : 0);
    if (got.out.length > 0)
        cr_assert_arr_eq(got.out.data, bytes + from, got.out.length);
}

static void check_parts(void)
{
    check_part(0, FILE_BYTES);
    check_part(0, PQ_RANGE_TO_END);
    check_part(0, 1);
    check_part(4095, 4097);
    check_part(4096, 8192);
    check_part(262143, 262145);
    check_part(1000000, 2000001);
    check_part(2999999, PQ_RANGE_TO_END);
    check_part(100, FILE_BYTES + 5000000);
    check_part(5, 5);
    check_part(7, 5);
    check_part(FILE_BYTES, PQ_RANGE_TO_END);
}

Test(range, by_offsets)
{
    check_parts();
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 0);
    cr_assert_eq(guest_entries("tmp"), 0);
}

Test(range, by_slices)
{
    guest.agent->limits.offset_reads = false;
    check_parts();
    guest_must_close();
}

Test(range, beyond_the_end)
{
    read_part(FILE_BYTES + 1000000, PQ_RANGE_TO_END);
    cr_assert_eq(got.err.code, PQ_OK);
    cr_assert_eq(got.out.length, 0);
}

Test(range, one_at_a_time)
{
    guest.agent->limits.parallel = 1;
    check_part(0, FILE_BYTES);
}

Test(range, more_in_parallel_than_the_window)
{
    guest.agent->limits.parallel = 100;
    check_part(0, FILE_BYTES);
}

Test(range, small_pieces)
{
    guest.agent->limits.read_bytes = 5000;
    check_part(1, 100000);
    cr_assert_geq(guest.agent->calls[SHELL_READ], 25);
}

Test(range, small_slices)
{
    guest.agent->limits.offset_reads = false;
    guest.agent->limits.read_bytes = 4096;
    check_part(5000, 200000);
    guest_must_close();
}

Test(range, slow_answer_does_not_stop_the_others)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ, .times = 1, .delay = 200});
    start(guest_path("file"), 0, FILE_BYTES);
    pq_timer_start(guest.loop, &timer, 100, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    cr_assert_eq(got.chunks, 0);
    cr_assert_eq(guest.agent->calls[SHELL_READ], PQ_RANGE_HELD, "and memory stays bounded");
    guest_run();
    cr_assert_eq(got.end, FILE_BYTES);
    cr_assert_arr_eq(got.out.data, bytes, FILE_BYTES);
}

Test(range, answers_out_of_order)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ, .times = 1, .delay = 100});
    shell_agent_rule(guest.agent,
                     (shell_rule){.call = SHELL_READ, .skip = 4, .times = 1, .delay = 50});
    check_part(0, FILE_BYTES);
}

Test(range, lost_answers)
{
    shell_agent_rule(
        guest.agent,
        (shell_rule){
            .call = SHELL_READ, .skip = 1, .times = 2, .fault = SHELL_LOSE, .code = PQ_E_NETWORK});
    check_part(0, FILE_BYTES);
}

Test(range, gives_up)
{
    guest.connect_timeout = 200;
    guest_open_session(guest.remote_tmp);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ,
                                               .skip = 2,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_AGENT_DOWN});
    read_part(0, FILE_BYTES);
    cr_assert_eq(got.err.code, PQ_E_AGENT_DOWN);
    cr_assert_leq(got.end, 2 * pq_session_read_pace(guest.session)->piece);
    cr_assert_eq(got.end, got.out.length);
}

Test(range, missing_file)
{
    start(guest_path("none"), 0, 100);
    guest_run();
    cr_assert_eq(got.err.code, PQ_E_NOT_FOUND);
}

Test(range, missing_file_by_slices)
{
    guest.agent->limits.offset_reads = false;
    start(guest_path("none"), 0, 100);
    guest_run();
    cr_assert_eq(got.err.code, PQ_E_REMOTE_FILE);
    guest_must_close();
}

Test(range, slices_without_space)
{
    if (mount("pq-test", guest.remote_tmp, "tmpfs", 0, "size=60k") != 0)
        cr_skip_test("cannot mount a tmpfs");
    guest.agent->limits.offset_reads = false;
    read_part(0, FILE_BYTES);
    guest_must_close();
    umount(guest.remote_tmp);
    cr_assert_eq(got.err.code, PQ_E_GUEST_FULL, "%s", got.err.text);
}

Test(range, slicing_refused)
{
    guest.agent->limits.offset_reads = false;
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = pq_guest_slice,
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_PERMISSION,
                                               .final = true});
    read_part(0, FILE_BYTES);
    cr_assert_eq(got.err.code, PQ_E_PERMISSION);
}

Test(range, no_offsets_after_all)
{
    guest.agent->refuse_offsets = true;
    check_part(300000, FILE_BYTES);
    guest_must_close();
}

static void refuse_offsets(void *context)
{
    (void)context;
    guest.agent->refuse_offsets = true;
}

/* As after the VM has moved to an older node. */
Test(range, no_offsets_from_the_middle_on)
{
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_READ, .skip = 3, .times = 1, .event = refuse_offsets});
    check_part(5, FILE_BYTES);
    cr_assert_geq(shell_agent_count(guest.agent, SHELL_EXEC, pq_guest_slice), 1);
    guest_must_close();
}

Test(range, receiver_has_enough)
{
    got.stop_after = 2;
    start(guest_path("file"), 0, FILE_BYTES);
    guest_run();
    cr_assert_eq(got.ended, 0, "done does not run");
    cr_assert_eq(got.out.length, 2 * pq_session_read_pace(guest.session)->piece);
}

Test(range, paused)
{
    got.pause_after = 3;
    check_part(0, FILE_BYTES);
}

Test(range, paused_by_slices)
{
    guest.agent->limits.offset_reads = false;
    got.pause_after = 3;
    check_part(0, FILE_BYTES);
    guest_must_close();
}

Test(range, dropped)
{
    start(guest_path("file"), 0, FILE_BYTES);
    pq_range_drop(range);
    pq_range_drop(NULL);
    start(guest_path("file"), 0, FILE_BYTES);
    pq_timer_start(guest.loop, &timer, 0, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    pq_range_drop(range);
    cr_assert_eq(got.ended, 0);
}

/* ---- several parts ---- */

static const char *second_path;
static uint64_t cut_at;

static void add_second(void)
{
    if (got.chunks != 2)
        return;
    cut_at = pq_range_cut(range, 700000);
    cr_assert_geq(cut_at, 700000);
    cr_assert_eq(pq_range_add(range, second_path, 1000, 500000, &err), 0);
    cr_assert_eq(pq_range_add(range, guest_path("file"), cut_at, FILE_BYTES, &err), 0);
    pq_range_end(range);
}

static void check_three_parts(void)
{
    char *second = guest_bytes(600000);
    memset(second, 'x', 300000);
    guest_write("second", second, 600000);
    second_path = guest_path("second");
    got.on_chunk = add_second;
    start_request(guest_path("file"), 5, FILE_BYTES, true);
    guest_run();
    cr_assert_eq(got.err.code, PQ_OK, "%s", got.err.text);
    cr_assert_eq(got.ended, 1);
    cr_assert_eq(got.end, FILE_BYTES);
    size_t first = (size_t)cut_at - 5;
    cr_assert_eq(got.out.length, FILE_BYTES - 5 + 499000);
    cr_assert_arr_eq(got.out.data, bytes + 5, first);
    cr_assert_arr_eq(got.out.data + first, second + 1000, 499000);
    cr_assert_arr_eq(got.out.data + first + 499000, bytes + cut_at, FILE_BYTES - cut_at);
    free(second);
}

Test(range, parts)
{
    check_three_parts();
    cr_assert_eq(cut_at, 700000, "little was asked for so far: %llu", (unsigned long long)cut_at);
}

Test(range, parts_by_slices)
{
    guest.agent->limits.offset_reads = false;
    check_three_parts();
    guest_must_close();
}

Test(range, parts_without_offsets_from_the_middle_on)
{
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_READ, .skip = 8, .times = 1, .event = refuse_offsets});
    check_three_parts();
    guest_must_close();
}

Test(range, cut_is_not_before_what_was_asked_for)
{
    start(guest_path("file"), 0, FILE_BYTES);
    pq_timer_start(guest.loop, &timer, 0, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    cr_assert_eq(got.chunks, 0);
    size_t asked = 3 * pq_session_read_pace(guest.session)->piece;
    cr_assert_eq(pq_range_cut(range, 10), asked);
    guest_run();
    cr_assert_eq(got.end, asked);
    cr_assert_eq(got.out.length, asked);
}

static void add_late(void *context)
{
    (void)context;
    cr_assert_eq(got.ended, 0, "it waits for more");
    cr_assert_eq(got.out.length, 200000);
    cr_assert_eq(pq_range_add(range, guest_path("file"), 200000, 300000, &err), 0);
    pq_range_end(range);
}

Test(range, part_that_comes_late)
{
    start_request(guest_path("file"), 0, 200000, true);
    pq_timer_start(guest.loop, &timer, 100, add_late, NULL);
    guest_run();
    cr_assert_eq(got.end, 300000);
    cr_assert_arr_eq(got.out.data, bytes, 300000);
}

static void end_late(void *context)
{
    (void)context;
    cr_assert_eq(got.ended, 0);
    pq_range_end(range);
}

Test(range, no_part_after_all)
{
    start_request(guest_path("file"), 0, 200000, true);
    pq_timer_start(guest.loop, &timer, 100, end_late, NULL);
    guest_run();
    cr_assert_eq(got.ended, 1);
    cr_assert_eq(got.end, 200000);
}

Test(range, part_that_is_shorter_is_the_end)
{
    start_request(guest_path("file"), 0, FILE_BYTES + 1, true);
    cr_assert_eq(pq_range_add(range, guest_path("file"), 0, 1000, &err), 0);
    guest_run();
    cr_assert_eq(got.err.code, PQ_OK);
    cr_assert_eq(got.end, FILE_BYTES);
    cr_assert_eq(got.out.length, FILE_BYTES);
}

/* ---- time-outs ---- */

Test(range, pieces_that_time_out_become_smaller)
{
    guest.agent->limits.read_bytes = 524288;
    pq_pace *pace = pq_session_read_pace(guest.session);
    pace->piece = 524288;
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ,
                                               .times = 7,
                                               .fault = SHELL_LOSE,
                                               .code = PQ_E_AGENT_TIMEOUT});
    check_part(1, FILE_BYTES);
    cr_assert_lt(pace->piece, 524288);
}

Test(range, small_pieces_that_time_out)
{
    pq_session_read_pace(guest.session)->piece = 65536;
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ,
                                               .times = 5,
                                               .fault = SHELL_LOSE,
                                               .code = PQ_E_AGENT_TIMEOUT});
    check_part(1, FILE_BYTES);
}

/* ---- slices ---- */

static unsigned most_files;

static void count_files(void)
{
    unsigned files = guest_entries(pq_session_files_dir(guest.session) + strlen(guest.dir) + 1);
    most_files = files > most_files ? files : most_files;
}

Test(range, at_most_two_batches_of_slices)
{
    guest.agent->limits.offset_reads = false;
    guest.agent->limits.read_bytes = 65536;
    got.on_chunk = count_files;
    check_part(0, FILE_BYTES);
    cr_assert_leq(most_files, 2 * 8);
    guest_must_close();
}

Test(range, cut_twice)
{
    guest.agent->limits.offset_reads = false;
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = SHELL_EXEC, .part = pq_guest_slice, .fault = SHELL_TWICE});
    check_part(100, FILE_BYTES);
    guest_await_idle();
    guest_must_close();
}

Test(range, slices_with_little_space)
{
    if (mount("pq-test", guest.remote_tmp, "tmpfs", 0, "size=300k") != 0)
        cr_skip_test("cannot mount a tmpfs");
    guest.agent->limits.offset_reads = false;
    check_part(0, FILE_BYTES);
    guest_must_close();
    umount(guest.remote_tmp);
}

Test(range, slices_without_a_place)
{
    guest_open_session(guest_path("missing"));
    guest.agent->limits.offset_reads = false;
    read_part(0, FILE_BYTES);
    cr_assert_eq(got.err.code, PQ_E_REMOTE_TMP, "%s", got.err.text);
}

Test(range, strange_answer_to_a_cut)
{
    static const char *const answers[] = {"\npq1 ok\n", "\npq1 ok 9 5\n", "\npq1 ok 3\n",
                                          "\npq1 hello\n"};
    guest.agent->limits.offset_reads = false;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                                   .times = 1,
                                                   .fault = SHELL_END,
                                                   .answer = answers[i]});
        read_part(0, FILE_BYTES);
        cr_assert_eq(got.err.code, PQ_E_BAD_ANSWER, "%s: %s", answers[i], got.err.text);
    }
}
