/* Fetches for which the guest packs. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/support/fetch_bench.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* Reading is as slow as with a server; otherwise nothing would pay. */
static void setup(void)
{
    fetch_setup();
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ, .delay = 60});
}

TestSuite(fetch_pack, .init = setup, .fini = fetch_teardown, .timeout = 60);

static unsigned packed_sections(void)
{
    return shell_agent_count(guest.agent, SHELL_EXEC, guest_file_script(PQ_FILE_PACK));
}

static unsigned reads(void)
{
    return guest.agent->calls[SHELL_READ];
}

static void fetch_text_file(size_t length)
{
    fetch_make_of("remote", fetch_text(length), length);
    fetch_again();
}

Test(fetch_pack, text)
{
    fetch_text_file(16 * MIB + 12345);
    cr_assert_geq(packed_sections(), 2);
    cr_assert_lt(reads(), 80, "%u; 128 plain ones", reads());
    cr_assert(fetched.result.digest_checked);
    guest_must_close();
}

Test(fetch_pack, text_to_the_end_of_a_section)
{
    for (size_t length = 4 * MIB - 1; length <= 4 * MIB + 1; length++)
        fetch_text_file(length);
    cr_assert_geq(packed_sections(), 3);
}

Test(fetch_pack, noise)
{
    fetch_make("remote", 4 * MIB);
    fetch_again();
    cr_assert_eq(packed_sections(), 0);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], 2, "opening and the checksum");
    cr_assert_eq(guest_entries("tmp"), 0);
}

Test(fetch_pack, zeros_cost_next_to_nothing)
{
    fetch_make_of("remote", calloc(1, 64 * MIB), 64 * MIB);
    fetch_again();
    cr_assert_leq(packed_sections(), 6);
    cr_assert_leq(reads(), 30);
}

Test(fetch_pack, little_text)
{
    fetch_text_file(900 * KIB);
    fetch_text_file(1100 * KIB);
    fetch_text_file(2 * MIB);
    guest_must_close();
}

static char *mixture(size_t *ret_length, bool noise_first)
{
    size_t half = 10 * MIB;
    char *bytes = malloc(2 * half), *noise = guest_bytes(half), *text = fetch_text(half);
    memcpy(bytes, noise_first ? noise : text, half);
    memcpy(bytes + half, noise_first ? text : noise, half);
    free(noise);
    free(text);
    *ret_length = 2 * half;
    return bytes;
}

Test(fetch_pack, text_behind_noise)
{
    size_t length;
    char *bytes = mixture(&length, true);
    fetch_make_of("remote", bytes, length);
    fetch_again();
    cr_assert_geq(packed_sections(), 1);
    cr_assert_lt(reads(), 150);
}

Test(fetch_pack, noise_behind_text)
{
    size_t length;
    char *bytes = mixture(&length, false);
    fetch_make_of("remote", bytes, length);
    fetch_again();
    cr_assert_geq(packed_sections(), 1);
    cr_assert_leq(packed_sections(), 8, "it notices that nothing shrinks");
}

Test(fetch_pack, by_slices)
{
    guest.agent->limits.offset_reads = false;
    fetch_text_file(12 * MIB);
    cr_assert_geq(packed_sections(), 1);
    guest_must_close();
}

Test(fetch_pack, odd_name)
{
    fetch_make_of("\xC3\xA4\n", fetch_text(8 * MIB), 8 * MIB);
    fetch_start(guest_path("\xC3\xA4\n"));
    fetch_await();
    fetch_must_succeed();
    cr_assert_geq(packed_sections(), 1);
    guest_must_close();
}

static unsigned files(void)
{
    return guest_entries(pq_session_files_dir(guest.session) + strlen(guest.dir) + 1);
}

Test(fetch_pack, files_go_with_the_next_fetch)
{
    fetch_text_file(8 * MIB);
    cr_assert_leq(files(), 2, "a section that was read goes with the next but one");
    fetch_text_file(100);
    cr_assert_eq(files(), 0);
}

static unsigned most_files;

static void count_files(void *context)
{
    (void)context;
    if (access(pq_session_files_dir(guest.session), F_OK) < 0)
        return;
    unsigned now = files();
    most_files = now > most_files ? now : most_files;
}

Test(fetch_pack, two_sections_at_most)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS, .event = count_files});
    fetch_text_file(24 * MIB);
    cr_assert_geq(packed_sections(), 3);
    cr_assert_leq(most_files, 2);
}

/* ---- guests that cannot, or not fast enough ---- */

Test(fetch_pack, no_gzip)
{
    guest_hide_tools("gzip");
    fetch_text_file(4 * MIB);
    cr_assert_eq(packed_sections(), 1);
    guest_must_close();
}

Test(fetch_pack, full_disk)
{
    guest_limit_tmp("100k");
    fetch_text_file(4 * MIB);
    cr_assert_eq(packed_sections(), 1);
    guest_must_close();
    guest_unlimit_tmp();
}

Test(fetch_pack, disk_fills_up)
{
    guest_limit_tmp("700k");
    fetch_text_file(16 * MIB);
    cr_assert_geq(packed_sections(), 2);
    guest_must_close();
    guest_unlimit_tmp();
}

Test(fetch_pack, no_remote_tmp)
{
    guest_open_session(guest_path("missing"));
    fetch_text_file(4 * MIB);
}

/* The guest's gzip is this script. */
static void fake_gzip(const char *script)
{
    guest_hide_tools("gzip");
    char file[512];
    snprintf(file, sizeof file, "%s/gzip", guest.agent->path + strlen(guest.dir) + 1);
    guest_write(file, script, strlen(script));
    cr_assert_eq(chmod(guest_path("%s", file), 0755), 0);
}

Test(fetch_pack, slow_guest)
{
    fake_gzip("#!/bin/sh\nsleep 0.4\nexec /bin/gzip \"$@\"\n");
    fetch_text_file(8 * MIB);
    cr_assert_leq(packed_sections(), 2, "once it is seen to be slow it is left alone for a while");
    guest_must_close();
}

/* ---- files that change ---- */

static void shrink(void *context)
{
    (void)context;
    cr_assert_eq(truncate(guest_path("remote"), 2000000), 0);
}

Test(fetch_pack, shrinks_before_it_is_packed)
{
    fetch_make_of("remote", fetch_text(24 * MIB), 24 * MIB);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = guest_file_script(PQ_FILE_PACK),
                                               .skip = 1,
                                               .times = 1,
                                               .event = shrink});
    guest_file_rule(PQ_FILE_SUM, SHELL_STATUS, 0, 0, SHELL_SILENT, PQ_OK);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_CHECKSUM);
    guest_must_close();
}

/* ---- strange answers ---- */

static void answer_packing(const char *answer)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_STATUS,
                                               .part = guest_file_script(PQ_FILE_PACK),
                                               .times = 1,
                                               .fault = SHELL_END,
                                               .answer = answer});
}

Test(fetch_pack, answer_without_numbers)
{
    answer_packing("\npq1 ok\n");
    fetch_text_file(4 * MIB);
}

Test(fetch_pack, section_that_is_not_there)
{
    answer_packing("\npq1 ok 300000 1 1\n");
    fetch_make_of("remote", fetch_text(8 * MIB), 8 * MIB);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_NOT_FOUND);
}

/* A guest that is not what it seems. */
static void fetch_from_a_liar(const char *gzip)
{
    fake_gzip(gzip);
    fetch_make_of("remote", fetch_text(8 * MIB), 8 * MIB);
    fetch_start(guest_path("remote"));
}

Test(fetch_pack, section_is_no_gzip)
{
    fetch_from_a_liar("#!/bin/sh\ncat >/dev/null\nhead -c 200000 /dev/zero\n");
    fetch_must_fail(PQ_E_BAD_ANSWER);
}

Test(fetch_pack, section_is_cut_off)
{
    fetch_from_a_liar("#!/bin/sh\n/bin/gzip \"$@\" | head -c 50000\ncat >/dev/null\n");
    fetch_must_fail(PQ_E_BAD_ANSWER);
}

Test(fetch_pack, section_has_more_than_the_file)
{
    fetch_from_a_liar("#!/bin/sh\n{ cat; head -c 3000000 /dev/zero; } | /bin/gzip -1\n");
    fetch_must_fail(PQ_E_BAD_ANSWER);
}

Test(fetch_pack, section_has_less_than_the_file)
{
    fetch_from_a_liar("#!/bin/sh\nhead -c 500000 | /bin/gzip -1\ncat >/dev/null\n");
    fetch_must_fail(PQ_E_CHECKSUM);
}

Test(fetch_pack, section_has_other_bytes)
{
    fetch_from_a_liar("#!/bin/sh\ntr e f | /bin/gzip -1\n");
    fetch_must_fail(PQ_E_CHECKSUM);
}

Test(fetch_pack, section_is_larger_than_the_file)
{
    fake_gzip("#!/bin/sh\nexec cat - /dev/zero | head -c 3000000\n");
    fetch_text_file(8 * MIB);
    cr_assert_leq(packed_sections(), 2);
}

/* ---- lost calls ---- */

Test(fetch_pack, lost_answers)
{
    guest_file_rule(PQ_FILE_PACK, SHELL_EXEC, 0, 1, SHELL_LOSE, PQ_E_NETWORK);
    guest_file_rule(PQ_FILE_PACK, SHELL_STATUS, 1, 1, SHELL_FORGET, PQ_OK);
    fetch_text_file(16 * MIB);
    guest_await_idle();
    guest_must_close();
}

Test(fetch_pack, delivered_twice)
{
    guest_file_rule(PQ_FILE_PACK, SHELL_EXEC, 0, 0, SHELL_TWICE, PQ_OK);
    fetch_text_file(16 * MIB);
    guest_await_idle();
    guest_must_close();
}

Test(fetch_pack, packing_refused)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = guest_file_script(PQ_FILE_PACK),
                                               .fault = SHELL_REFUSE,
                                               .code = PQ_E_PERMISSION,
                                               .final = true});
    fetch_make_of("remote", fetch_text(4 * MIB), 4 * MIB);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_PERMISSION);
    guest_must_close();
}

Test(fetch_pack, cancelled_while_it_is_packed)
{
    fetch_cancel_on(SHELL_STATUS, guest_file_script(PQ_FILE_PACK), 1);
    fetch_make_of("remote", fetch_text(16 * MIB), 16 * MIB);
    fetch_start(guest_path("remote"));
    fetch_must_fail(PQ_E_CANCELLED);
    guest_await_idle();
    guest_must_close();
}

Test(fetch_pack, dropped_while_it_is_packed)
{
    static pq_timer timer;
    fetch_make_of("remote", fetch_text(16 * MIB), 16 * MIB);
    fetch_start(guest_path("remote"));
    pq_timer_start(guest.loop, &timer, 120, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    pq_fetch_drop(fetched.fetch);
    fetched.fetch = NULL;
    cr_assert_eq(fetched.ended, 0);
    cr_assert_eq(guest_entries("local"), 0);
    guest_must_close();
}
