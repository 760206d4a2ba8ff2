/* Puts that go on where an earlier one was interrupted. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "filexfer/resume.h"
#include "tests/unit/support/guest_put.h"

#define LENGTH ((size_t)6000000)
#define KEY "put a file"

static void setup(void)
{
    guest_put_setup();
    setenv("HOME", guest.dir, 1);
    unsetenv("XDG_STATE_HOME");
    guest.connect_timeout = 200;
    guest_open_session(guest.remote_tmp);
    copy.request.resume_key = KEY;
}

TestSuite(put_resume, .init = setup, .fini = guest_put_teardown, .timeout = 60);

static unsigned pieces(void)
{
    return shell_agent_count(guest.agent, SHELL_EXEC, guest_file_script(PQ_FILE_WRITE));
}

/* From now on nothing goes wrong, in a new session. */
static void reconnect(void)
{
    memset(guest.agent->rules, 0, sizeof guest.agent->rules);
    memset(guest.agent->matched, 0, sizeof guest.agent->matched);
    guest_open_session(guest.remote_tmp);
}

static unsigned count_records(void)
{
    return access(guest_path(".local/state/pve-qga-run"), F_OK) == 0
               ? guest_entries(".local/state/pve-qga-run")
               : 0;
}

/* A put of LENGTH bytes that loses its guest after `after` calls of pieces. */
static void interrupt(unsigned after)
{
    guest_file_rule(PQ_FILE_WRITE, SHELL_EXEC, after, 0, SHELL_REFUSE, PQ_E_AGENT_DOWN);
    use_file(LENGTH);
    start(guest_path("file"));
    must_fail(PQ_E_AGENT_DOWN, PQ_EFFECT_NONE);
    cr_assert_eq(count_records(), 1);
    cr_assert_gt(guest_entries("tmp"), 0);
    reconnect();
}

/* Puts the source, whatever it is now; returns how many pieces were sent. */
static unsigned put_again(void)
{
    unsigned before = pieces();
    cr_assert_eq(lseek(copy.source, 0, SEEK_SET), 0);
    start(guest_path("file"));
    await();
    must_succeed(LENGTH);
    guest_must_have("file", copy.bytes, LENGTH, 0644);
    cr_assert_eq(count_records(), 0);
    guest_must_close();
    return pieces() - before;
}

/* ---- what is resumed ---- */

Test(put_resume, after_the_guest_was_lost)
{
    interrupt(10);
    cr_assert_leq(put_again(), 10);
}

Test(put_resume, however_far_it_had_come)
{
    for (unsigned after = 1; after < 16; after += 4) {
        interrupt(after);
        put_again();
    }
}

Test(put_resume, twice)
{
    interrupt(6);
    guest_file_rule(PQ_FILE_WRITE, SHELL_EXEC, 4, 0, SHELL_REFUSE, PQ_E_AGENT_DOWN);
    cr_assert_eq(lseek(copy.source, 0, SEEK_SET), 0);
    start(guest_path("file"));
    must_fail(PQ_E_AGENT_DOWN, PQ_EFFECT_NONE);
    reconnect();
    cr_assert_leq(put_again(), 10);
}

Test(put_resume, after_the_program_was_killed)
{
    guest_file_rule(PQ_FILE_WRITE, SHELL_EXEC, 8, 0, SHELL_SILENT, PQ_OK);
    use_file(LENGTH);
    start(guest_path("file"));
    run_for(300);
    pq_put_drop(copy.put);
    copy.put = NULL;
    cr_assert_eq(count_records(), 1);
    reconnect();
    cr_assert_leq(put_again(), 15);
}

Test(put_resume, when_all_was_there_but_not_placed)
{
    guest_file_rule(PQ_FILE_PUT, SHELL_EXEC, 0, 0, SHELL_REFUSE, PQ_E_AGENT_DOWN);
    use_file(LENGTH / 4096 * 4096);
    start(guest_path("file"));
    must_fail(PQ_E_AGENT_DOWN, PQ_EFFECT_NONE);
    reconnect();
    unsigned before = pieces();
    cr_assert_eq(lseek(copy.source, 0, SEEK_SET), 0);
    start(guest_path("file"));
    await();
    must_succeed(LENGTH / 4096 * 4096);
    cr_assert_eq(pieces(), before);
    guest_must_close();
}

Test(put_resume, content_with_holes)
{
    char *bytes = calloc(1, LENGTH), *data = guest_bytes(1000000);
    memcpy(bytes + 1000000, data, 1000000);
    memcpy(bytes + 4000000, data, 1000000);
    free(data);
    guest_file_rule(PQ_FILE_WRITE, SHELL_EXEC, 4, 0, SHELL_REFUSE, PQ_E_AGENT_DOWN);
    use_bytes(bytes, LENGTH);
    start(guest_path("file"));
    must_fail(PQ_E_AGENT_DOWN, PQ_EFFECT_NONE);
    reconnect();
    cr_assert_leq(put_again(), 5);
}

Test(put_resume, lost_answers_while_it_is_compared)
{
    interrupt(10);
    guest_file_rule(PQ_FILE_ADOPT, SHELL_EXEC, 0, 1, SHELL_LOSE, PQ_E_NETWORK);
    guest_file_rule(PQ_FILE_ADOPT, SHELL_STATUS, 0, 1, SHELL_FORGET, PQ_OK);
    cr_assert_leq(put_again(), 10);
}

Test(put_resume, comparing_is_delivered_twice)
{
    interrupt(10);
    guest_file_rule(PQ_FILE_ADOPT, SHELL_EXEC, 0, 1, SHELL_TWICE, PQ_OK);
    put_again();
}

Test(put_resume, cancelled_with_the_part_kept)
{
    copy.request.keep_partial = true;
    use_file(LENGTH);
    start(guest_path("file"));
    while (copy.got.progress < 2000000)
        run_for(1);
    pq_put_cancel(copy.put);
    must_fail(PQ_E_CANCELLED, PQ_EFFECT_NONE);
    guest_await_idle();
    cr_assert_eq(count_records(), 1);
    reconnect();
    cr_assert_leq(put_again(), 15);
}

/* ---- what is not ---- */

Test(put_resume, another_content)
{
    interrupt(10);
    copy.bytes[100] ^= 1;
    guest_write("source", copy.bytes, LENGTH);
    cr_assert_geq(put_again(), 15);
}

Test(put_resume, another_content_behind_what_was_sent)
{
    interrupt(10);
    copy.bytes[LENGTH - 100] ^= 1;
    guest_write("source", copy.bytes, LENGTH);
    cr_assert_leq(put_again(), 10);
}

Test(put_resume, zeros_where_something_else_was)
{
    interrupt(10);
    memset(copy.bytes + 3000000, 0, LENGTH - 3000000);
    guest_write("source", copy.bytes, LENGTH);
    put_again();
}

Test(put_resume, another_size)
{
    interrupt(10);
    char *bytes = guest_bytes(LENGTH + 1);
    unsigned before = pieces();
    use_bytes(bytes, LENGTH + 1);
    start(guest_path("file"));
    await();
    must_succeed(LENGTH + 1);
    cr_assert_geq(pieces() - before, 15);
}

Test(put_resume, what_is_gone_in_the_guest)
{
    char command[256];
    interrupt(10);
    snprintf(command, sizeof command, "rm -rf %s/.pve*", guest.remote_tmp);
    cr_assert_eq(system(command), 0);
    cr_assert_geq(put_again(), 15);
}

Test(put_resume, a_guest_without_digests)
{
    interrupt(10);
    guest_hide_tools("sha256sum openssl python3");
    cr_assert_geq(put_again(), 15);
}

Test(put_resume, another_key)
{
    interrupt(10);
    copy.request.resume_key = "put another file";
    unsigned before = pieces();
    cr_assert_eq(lseek(copy.source, 0, SEEK_SET), 0);
    start(guest_path("file"));
    await();
    must_succeed(LENGTH);
    cr_assert_geq(pieces() - before, 15);
    cr_assert_eq(count_records(), 1);
}

Test(put_resume, places_that_are_not_ours)
{
    static const char *const places[] = {
        "/etc/passwd",
        "%s/file",
        "%s/.pve-qga-run-0123456789abcdef0123456789abcdef.files/file",
        "%s/.pve-qga-run-0123456789abcdef0123456789abcdef/"
        ".pve-qga-run-0123456789abcdef0123456789abcdef",
        "%s/.pve-qga-run-0123456789abcdef0123456789abcde.files/"
        ".pve-qga-run-0123456789abcdef0123456789abcdef",
        "%s/.pve-qga-run-0123456789abcdef0123456789abcdef.files/../"
        ".pve-qga-run-0123456789abcdef0123456789abcdef",
        "/elsewhere/.pve-qga-run-0123456789abcdef0123456789abcdef.files/"
        ".pve-qga-run-0123456789abcdef0123456789abcdef",
        "%s/.pve-qga-run-0123456789abcdef0123456789abcdef.files/"
        ".pve-qga-run-0123456789abcdef0123456789abcdef0",
    };
    use_file(LENGTH);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        pq_resume_record record = {.bytes = 4096, .size = LENGTH};
        bool found;
        const char *end = strncmp(places[i], "%s", 2) == 0 ? places[i] + 2 : places[i];
        snprintf(record.place, sizeof record.place, "%s%s",
                 end == places[i] ? "" : guest.remote_tmp, end);
        pq_resume *resume = pq_resume_open(KEY, &record, &found);
        cr_assert_not_null(resume);
        pq_resume_note(resume, &record);
        pq_resume_leave(resume);
        put_again();
        cr_assert_eq(shell_agent_count(guest.agent, SHELL_EXEC, guest_file_script(PQ_FILE_ADOPT)),
                     0, "%s", places[i]);
    }
}

Test(put_resume, while_another_process_is_at_it)
{
    pq_resume_record record;
    bool found;
    pq_resume *resume = pq_resume_open(KEY, &record, &found);
    cr_assert_not_null(resume);
    use_file(LENGTH);
    start(guest_path("file"));
    await();
    must_succeed(LENGTH);
    guest_must_close();
    pq_resume_forget(resume);
}

/* ---- what leaves nothing to resume ---- */

static void must_leave_nothing(void)
{
    cr_assert_eq(count_records(), 0);
    guest_must_be_clean();
}

Test(put_resume, small_files)
{
    use_file(1000000);
    start(guest_path("file"));
    run_for(1);
    cr_assert_eq(count_records(), 0);
    await();
    must_succeed(1000000);
    guest_must_close();
}

Test(put_resume, a_put_that_went_well_needs_no_close)
{
    put_file(LENGTH);
    cr_assert_eq(count_records(), 0);
    cr_assert_eq(guest.agent->calls[SHELL_EXEC], pieces() + 1);
}

Test(put_resume, a_file_that_cannot_be_placed)
{
    use_file(LENGTH);
    start(guest_path("missing/file"));
    must_fail(PQ_E_NOT_FOUND, PQ_EFFECT_NONE);
    must_leave_nothing();
}

Test(put_resume, a_guest_without_space)
{
    guest_limit_tmp("3m");
    use_file(LENGTH);
    start(guest_path("file"));
    must_fail(PQ_E_GUEST_FULL, PQ_EFFECT_NONE);
    must_leave_nothing();
    guest_unlimit_tmp();
}

Test(put_resume, cancelled)
{
    cancel_on_call(PQ_FILE_WRITE, SHELL_STATUS, 6, SHELL_FINE);
    use_file(LENGTH);
    start(guest_path("file"));
    must_fail(PQ_E_CANCELLED, PQ_EFFECT_NONE);
    must_leave_nothing();
}

Test(put_resume, cancelled_while_pieces_are_under_way)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = guest_file_script(PQ_FILE_WRITE),
                                               .skip = 3,
                                               .delay = 50});
    cancel_on_call(PQ_FILE_WRITE, SHELL_STATUS, 0, SHELL_FINE);
    use_file(LENGTH);
    start(guest_path("file"));
    must_fail(PQ_E_CANCELLED, PQ_EFFECT_NONE);
    must_leave_nothing();
}

Test(put_resume, cancelled_while_earlier_content_is_compared)
{
    interrupt(10);
    cancel_on_call(PQ_FILE_ADOPT, SHELL_EXEC, 0, SHELL_FINE);
    cr_assert_eq(lseek(copy.source, 0, SEEK_SET), 0);
    start(guest_path("file"));
    must_fail(PQ_E_CANCELLED, PQ_EFFECT_NONE);
    guest_await_idle();
    cr_assert_eq(count_records(), 0);
}

Test(put_resume, cancelled_when_nothing_was_sent)
{
    static pq_timer timer;
    copy.request.keep_partial = true;
    use_file(LENGTH);
    start(guest_path("file"));
    pq_timer_start(guest.loop, &timer, 0, cancel, NULL);
    await();
    cr_assert_eq(copy.got.err.code, PQ_E_CANCELLED);
    must_leave_nothing();
}

Test(put_resume, without_a_home)
{
    unsetenv("HOME");
    put_file(LENGTH);
}
