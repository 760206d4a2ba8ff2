/* Directories out of a guest: as with cp -r, whole or not at all, and nowhere else. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filexfer/tree_fetch.h"
#include "tests/unit/support/guest_file.h"
#include "tests/unit/support/tree_tar.h"
#include "transport/base/log.h"

static pq_error err;
static pq_tree_fetch *fetch;
static pq_tree_fetch_request request;
static char local[160];
static char last_warning[512];
static unsigned warnings;
static tree_tar tar;
static struct {
    unsigned ended;
    pq_error err;
    pq_tree_fetch_result result;
    uint64_t progress;
    int64_t total;
} got;

static void count_warnings(void *context, pq_log_level level, const char *line)
{
    (void)context;
    if (level != PQ_LOG_WARNING)
        return;
    warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", line);
}

static void run(const char *command)
{
    char line[1024];
    snprintf(line, sizeof line, "cd '%s' && %s", guest.dir, command);
    cr_assert_eq(system(line), 0, "%s", command);
}

/* The tree is guest.dir/src; the local side is guest.dir/local. */
static void setup(void)
{
    guest_setup();
    umask(077);
    pq_log_set_sink(count_warnings, NULL);
    snprintf(local, sizeof local, "%s/local/new", guest.dir);
    request = (pq_tree_fetch_request){.local_path = local};
    run("mkdir -p local src/a/b src/empty && echo content >src/a/b/file && chmod 640 src/a/b/file "
        "&& ln -s a/b/file src/link && ln src/a/b/file src/other && printf x >'src/new\nline' && "
        "chmod 1777 src/empty && chmod 755 src");
}

static void teardown(void)
{
    pq_tree_fetch_drop(fetch);
    pq_buf_done(&tar.bytes);
    guest_teardown();
}

TestSuite(tree_fetch, .init = setup, .fini = teardown, .timeout = 60);

static void on_progress(void *context, uint64_t bytes, int64_t total)
{
    (void)context;
    cr_assert_geq(bytes, got.progress);
    got.progress = bytes;
    got.total = total;
}

static void on_done(void *context, const pq_error *failure, const pq_tree_fetch_result *result)
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
    static const pq_tree_fetch_events events = {.progress = on_progress, .done = on_done};
    request.remote_path = path;
    memset(&got, 0, sizeof got);
    fetch = pq_tree_fetch_start(guest.session, &request, &events, NULL, &err);
    cr_assert_not_null(fetch, "%s", err.text);
    cr_assert_eq(got.ended, 0);
}

static void await(void)
{
    while (got.ended == 0)
        guest_run();
    cr_assert_eq(got.ended, 1);
}

static void must_succeed(void)
{
    await();
    cr_assert_eq(got.err.code, PQ_OK, "%s: %s", pq_code_name(got.err.code), got.err.text);
}

/* And leaves nothing. */
static void must_fail(pq_code code, const char *part)
{
    await();
    cr_assert_eq(got.err.code, code, "%s: %s", pq_code_name(got.err.code), got.err.text);
    cr_assert_eq(got.err.effect, PQ_EFFECT_NONE, "reading changes nothing");
    cr_assert_not_null(strstr(got.err.text, part), "%s", got.err.text);
    cr_assert_eq(guest_entries("local"), 0, "nothing is left");
    guest_must_close();
}

static void must_be_here(const char *name)
{
    char command[512];
    snprintf(command, sizeof command,
             "diff -r --no-dereference src '%s' && "
             "(cd src && find . -printf '%%p %%M %%T@ %%n %%l\\0' | sort -z) >one && "
             "(cd '%s' && find . -printf '%%p %%M %%T@ %%n %%l\\0' | sort -z) | cmp - one",
             name, name);
    run(command);
    run("! find local -name '.*' | grep .");
    guest_must_close();
}

/* ---- whole trees ---- */

Test(tree_fetch, new_name)
{
    start(guest_path("src"));
    must_succeed();
    must_be_here("local/new");
    cr_assert_eq(got.result.entries, 8);
    cr_assert_eq(got.result.bytes, 9);
    cr_assert_not(got.result.file);
    cr_assert_eq(got.total, (int64_t)got.progress);
    cr_assert_gt(got.progress, 0);
    cr_assert_eq(warnings, 0, "%s", last_warning);
}

Test(tree_fetch, into_a_directory)
{
    run("mkdir local/new");
    start(guest_path("src/"));
    must_succeed();
    must_be_here("local/new/src");
}

Test(tree_fetch, content_of_a_directory)
{
    run("mkdir local/new");
    start(guest_path("src/."));
    must_succeed();
    run("touch -r src local/new && chmod 755 local/new");
    must_be_here("local/new");
}

Test(tree_fetch, merge)
{
    run("mkdir -p local/new/src/a && echo old >local/new/src/a/old && chmod 755 local/new/src "
        "&& echo old >local/new/src/link");
    start(guest_path("src"));
    must_succeed();
    run("rm local/new/src/a/old && touch -r src local/new/src && touch -r src/a local/new/src/a");
    must_be_here("local/new/src");
}

Test(tree_fetch, clash)
{
    run("mkdir -p local/new/src && echo old >local/new/src/a");
    start(guest_path("src"));
    await();
    cr_assert_eq(got.err.code, PQ_E_IO);
    cr_assert_not_null(strstr(got.err.text, "new/src/a': it is no directory"), "%s", got.err.text);
    cr_assert_eq(guest_entries("local/new/src"), 1);
    guest_must_close();
}

Test(tree_fetch, odd_names)
{
    run("mv src \"$(printf 'dir\\377 \\n(*x')\"");
    run("mkdir local/new");
    start(guest_path("dir\xFF \n(*x"));
    must_succeed();
    run("mv dir* src && mv local/new/dir* local/new/src");
    must_be_here("local/new/src");
}

Test(tree_fetch, large)
{
    char *bytes = guest_bytes(5000000);
    guest_write("src/large", bytes, 5000000);
    free(bytes);
    start(guest_path("src"));
    must_succeed();
    must_be_here("local/new");
    cr_assert_eq(got.result.bytes, 5000009);
}

Test(tree_fetch, many_files)
{
    run("mkdir src/many && seq 3000 | (cd src/many && xargs touch)");
    start(guest_path("src"));
    must_succeed();
    must_be_here("local/new");
}

/* Such as the session's own directory. */
Test(tree_fetch, what_is_ours_is_left_out)
{
    start(guest_path("tmp"));
    must_succeed();
    cr_assert_eq(guest_entries("local/new"), 0);
    guest_must_close();
}

Test(tree_fetch, file)
{
    start(guest_path("src/link"));
    must_succeed();
    cr_assert(got.result.file);
    guest_must_have("local/new", "content\n", 8, 0600);
    guest_must_close();
}

Test(tree_fetch, file_over_a_file)
{
    run("echo old >local/new");
    start(guest_path("src/other"));
    must_succeed();
    guest_must_have("local/new", "content\n", 8, 0600);
    guest_must_close();
}

Test(tree_fetch, remarks_of_tar)
{
    run("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"src/socket\")' && "
        "mkfifo src/fifo");
    start(guest_path("src"));
    must_succeed();
    cr_assert_eq(warnings, 2);
    run("rm src/fifo src/socket && touch -r local/new src");
    must_be_here("local/new");
}

/* ---- what cannot be ---- */

Test(tree_fetch, missing)
{
    start(guest_path("missing"));
    must_fail(PQ_E_NOT_FOUND, "no such file or directory");
}

Test(tree_fetch, no_place)
{
    snprintf(local, sizeof local, "%s/local/missing/new", guest.dir);
    start(guest_path("src"));
    must_fail(PQ_E_IO, "missing/new");
    cr_assert_eq(shell_agent_count(guest.agent, SHELL_EXEC, guest_file_script(PQ_FILE_TREE_DROP)),
                 0, "nothing was packed");
}

Test(tree_fetch, over_a_file)
{
    run("echo old >local/new");
    start(guest_path("src"));
    await();
    cr_assert_eq(got.err.code, PQ_E_IO);
    guest_must_have("local/new", "old\n", 4, 0600);
}

Test(tree_fetch, empty_path)
{
    static const pq_tree_fetch_events events = {.done = on_done};
    request.remote_path = "";
    cr_assert_null(pq_tree_fetch_start(guest.session, &request, &events, NULL, &err));
    cr_assert_eq(err.code, PQ_E_USAGE);
}

Test(tree_fetch, guest_without_tar)
{
    guest_hide_tools("");
    start(guest_path("src"));
    must_fail(PQ_E_GUEST_TOOL, "no tar");
}

Test(tree_fetch, full_remote_tmp)
{
    char *bytes = guest_bytes(2000000);
    guest_write("src/large", bytes, 2000000);
    free(bytes);
    guest_limit_tmp("1m");
    start(guest_path("src"));
    must_fail(PQ_E_GUEST_FULL, "no space");
    guest_unlimit_tmp();
}

Test(tree_fetch, full_disk_here)
{
    char *bytes = guest_bytes(3000000);
    guest_write("src/large", bytes, 3000000);
    free(bytes);
    if (mount("pq-test", guest_path("local"), "tmpfs", 0, "size=1m") != 0)
        cr_skip_test("cannot mount a tmpfs");
    start(guest_path("src"));
    must_fail(PQ_E_IO, "No space left");
    cr_assert_eq(umount(guest_path("local")), 0);
}

/* ---- hostile guests ---- */

/* The guest's tar "packs" what is in the archive so far. */
static void use_hostile_tar(bool whole)
{
    if (whole)
        tree_tar_end(&tar);
    guest_write("evil.tar", tar.bytes.data, tar.bytes.length);
    guest_hide_tools("");
    run("printf '#!/bin/sh\\nwhile [ \"$1\" != -f ]; do shift || exit; done; cat %s/evil.tar >$2' "
        "\"$PWD\" >bin/tar && chmod 755 bin/tar && echo untouched >outside");
}

static void must_refuse(const char *part)
{
    start(guest_path("src"));
    must_fail(PQ_E_REMOTE_FILE, part);
    guest_must_have("outside", "untouched\n", 10, 0600);
}

Test(tree_fetch, hostile_path)
{
    tree_tar_file(&tar, "../../outside", "evil");
    use_hostile_tar(true);
    must_refuse("'../../outside' from the guest: it leads out");
}

Test(tree_fetch, hostile_link)
{
    tree_tar_add(&tar, '2', "link", "../..", 0777, NULL, 0);
    tree_tar_file(&tar, "link/outside", "evil");
    use_hostile_tar(true);
    must_refuse("no directory");
}

/* A link that was fetched once leads nowhere the next time. */
Test(tree_fetch, hostile_link_of_an_earlier_fetch)
{
    run("ln -s ../../.. src/sub");
    start(guest_path("src"));
    must_succeed();
    run("mv local/new local/src && rm src/sub && mkdir src/sub && echo evil >src/sub/outside && "
        "echo untouched >outside");
    snprintf(local, sizeof local, "%s/local", guest.dir);
    start(guest_path("src"));
    await();
    cr_assert_eq(got.err.code, PQ_E_IO);
    cr_assert_not_null(strstr(got.err.text, "src/sub': it is no directory"), "%s", got.err.text);
    guest_must_have("outside", "untouched\n", 10, 0600);
    guest_must_close();
}

Test(tree_fetch, hostile_end)
{
    tree_tar_file(&tar, "file", "content");
    tar.bytes.length -= 100;
    use_hostile_tar(false);
    must_refuse("damaged");
}

Test(tree_fetch, no_archive)
{
    cr_assert_eq(pq_buf_add_text(&tar.bytes, "this is none", &err), 0);
    use_hostile_tar(false);
    must_refuse("archive");
}

/* The thread fails while much is still to come. */
Test(tree_fetch, hostile_start_of_a_large_archive)
{
    char *bytes = guest_bytes(5000000);
    tree_tar_file(&tar, "/absolute", "evil");
    tree_tar_add(&tar, '0', "file", NULL, 0644, bytes, 5000000);
    free(bytes);
    use_hostile_tar(true);
    must_refuse("absolute");
}

/* ---- lost answers ---- */

static void rule(pq_file_script script, shell_call call, unsigned times, shell_fault fault)
{
    guest_file_rule(script, call, 0, times, fault, PQ_E_NETWORK);
}

Test(tree_fetch, lost_answers)
{
    rule(PQ_FILE_TREE_PACK, SHELL_EXEC, 1, SHELL_LOSE);
    rule(PQ_FILE_TREE_PACK, SHELL_STATUS, 1, SHELL_LOSE);
    rule(PQ_FILE_TREE_DROP, SHELL_EXEC, 1, SHELL_LOSE);
    rule(PQ_FILE_TREE_DROP, SHELL_STATUS, 1, SHELL_LOSE);
    start(guest_path("src"));
    must_succeed();
    must_be_here("local/new");
}

Test(tree_fetch, delivered_twice)
{
    rule(PQ_FILE_TREE_PACK, SHELL_EXEC, 1, SHELL_TWICE);
    rule(PQ_FILE_TREE_DROP, SHELL_EXEC, 1, SHELL_TWICE);
    start(guest_path("src"));
    must_succeed();
    must_be_here("local/new");
}

Test(tree_fetch, guest_that_is_gone)
{
    guest_file_rule(PQ_FILE_TREE_PACK, SHELL_EXEC, 0, 0, SHELL_REFUSE, PQ_E_AGENT);
    guest.agent->rules[0].final = true;
    start(guest_path("src"));
    must_fail(PQ_E_AGENT, "");
}

/* ---- giving up ---- */

static void cancel(void *context)
{
    (void)context;
    if (fetch != NULL)
        pq_tree_fetch_cancel(fetch);
}

static void cancel_at(const char *part, shell_call call, unsigned skip)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = call,
                                               .part = part,
                                               .skip = skip,
                                               .times = 1,
                                               .fault = SHELL_FINE,
                                               .event = cancel});
}

Test(tree_fetch, cancelled_at_the_start)
{
    cancel_at(guest_file_script(PQ_FILE_TREE_PACK), SHELL_EXEC, 0);
    start(guest_path("src"));
    must_fail(PQ_E_CANCELLED, "cancelled");
}

Test(tree_fetch, cancelled_while_it_packs)
{
    guest_hide_tools("");
    run("printf '#!/bin/sh\\ncase $1 in -c) exec sleep 1000; esac\\n' >bin/tar && "
        "chmod 755 bin/tar");
    cancel_at(guest_file_script(PQ_FILE_TREE_PACK), SHELL_STATUS, 0);
    start(guest_path("src"));
    must_fail(PQ_E_CANCELLED, "cancelled");
}

Test(tree_fetch, cancelled_while_it_fetches)
{
    char *bytes = guest_bytes(5000000);
    guest_write("src/large", bytes, 5000000);
    free(bytes);
    cancel_at(".tar", SHELL_READ, 3);
    start(guest_path("src"));
    must_fail(PQ_E_CANCELLED, "cancelled");
}

static void drop(void *context)
{
    (void)context;
    pq_tree_fetch_drop(fetch);
    fetch = NULL;
    pq_loop_stop(guest.loop);
}

Test(tree_fetch, dropped)
{
    pq_timer timer = {0};
    char *bytes = guest_bytes(5000000);
    guest_write("src/large", bytes, 5000000);
    free(bytes);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_READ, .skip = 3, .delay = PQ_NEVER});
    start(guest_path("src"));
    pq_timer_start(guest.loop, &timer, 1000, drop, NULL);
    guest_run();
    cr_assert_eq(got.ended, 0);
    cr_assert_eq(guest_entries("local"), 0);
    guest_must_close();
}
