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
    cr_assert_leq(guest.agent->calls[SHELL_READ], got.pause_after + PQ_RANGE_WINDOW);
    pq_range_pause(range, false);
}

static bool on_data(void *context, const char *data, size_t length)
{
    (void)context;
    cr_assert_eq(got.ended, 0);
    cr_assert_gt(length, 0);
    cr_assert_eq(pq_buf_add(&got.out, data, length, &err), 0);
    got.chunks++;
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

static void start(const char *path, uint64_t from, uint64_t to)
{
    pq_range_request request = {.dir = pq_session_files_dir(guest.session),
                                .number = 1,
                                .path = path,
                                .start = from,
                                .end = to};
    pq_buf_clear(&got.out);
    got.ended = got.chunks = 0;
    range = pq_range_start(guest.session, &request, on_data, on_done, NULL, &err);
    cr_assert_not_null(range);
    cr_assert_eq(got.ended, 0);
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
    cr_assert_leq(got.end, 2 * 262144);
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
    if (mount("pq-test", guest.remote_tmp, "tmpfs", 0, "size=100k") != 0)
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
    cr_assert_eq(got.out.length, 2 * 262144);
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
