/* Directories into a guest: as with cp -r, and whole or not at all. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filexfer/tree_put.h"
#include "tests/unit/support/guest_file.h"
#include "transport/base/log.h"

static pq_error err;
static pq_tree_put *put;
static pq_tree_put_request request;
static char local[128];
static unsigned warnings;
static struct {
    unsigned ended;
    pq_error err;
    pq_tree_put_result result;
    uint64_t progress;
    int64_t total;
} got;

static void count_warnings(void *context, pq_log_level level, const char *line)
{
    (void)context;
    (void)line;
    warnings += level == PQ_LOG_WARNING;
}

static void run(const char *command)
{
    char line[1024];
    snprintf(line, sizeof line, "cd '%s' && %s", guest.dir, command);
    cr_assert_eq(system(line), 0, "%s", command);
}

/* The tree is guest.dir/src, and goes below guest.dir. */
static void setup(void)
{
    guest_setup();
    pq_log_set_sink(count_warnings, NULL);
    snprintf(local, sizeof local, "%s/src", guest.dir);
    request = (pq_tree_put_request){.local_path = local, .with_total = true};
    run("mkdir -p src/a/b src/empty && echo content >src/a/b/file && chmod 640 src/a/b/file && "
        "ln -s a/b/file src/link && ln src/a/b/file src/other && printf x >'src/new\nline' && "
        "chmod 1777 src/empty");
}

static void teardown(void)
{
    pq_tree_put_drop(put);
    guest_teardown();
}

TestSuite(tree_put, .init = setup, .fini = teardown, .timeout = 60);

static void on_progress(void *context, uint64_t bytes, int64_t total)
{
    (void)context;
    cr_assert_geq(bytes, got.progress);
    cr_assert(total == -1 || (uint64_t)total >= bytes);
    got.progress = bytes;
    got.total = total;
}

static void on_done(void *context, const pq_error *failure, const pq_tree_put_result *result)
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
    static const pq_tree_put_events events = {.progress = on_progress, .done = on_done};
    request.remote_path = path;
    memset(&got, 0, sizeof got);
    put = pq_tree_put_start(guest.session, &request, &events, NULL, &err);
    cr_assert_not_null(put, "%s", err.text);
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

static void must_fail(pq_code code, pq_effect effect)
{
    await();
    cr_assert_eq(got.err.code, code, "%s: %s", pq_code_name(got.err.code), got.err.text);
    cr_assert_eq(got.err.effect, effect, "%s", pq_effect_name(got.err.effect));
}

/* It is there as it is here, and nothing else of ours is. */
static void must_be_there(const char *name)
{
    char command[512];
    snprintf(command, sizeof command,
             "diff -r --no-dereference src '%s' && "
             "(cd src && find . -printf '%%p %%M %%T@ %%n %%l\\0' | sort -z) >one && "
             "(cd '%s' && find . -printf '%%p %%M %%T@ %%n %%l\\0' | sort -z) | cmp - one && "
             "! find . -path ./tmp -prune -o -name '.pve*' -print | grep .",
             name, name);
    run(command);
    guest_must_close();
}

static void must_not_be_there(const char *name)
{
    cr_assert_eq(access(guest_path("%s", name), F_OK), -1);
    run("! find . -path ./tmp -prune -o -name '.pve*' -print | grep .");
    guest_must_close();
}

/* ---- whole trees ---- */

Test(tree_put, new_name)
{
    start(guest_path("new"));
    must_succeed();
    must_be_there("new");
    cr_assert_eq(got.result.entries, 8);
    cr_assert_eq(got.progress, got.result.bytes);
    cr_assert_geq(got.total, (int64_t)got.result.bytes);
    cr_assert_eq(warnings, 0);
}

Test(tree_put, into_a_directory)
{
    run("mkdir dir");
    start(guest_path("dir/"));
    must_succeed();
    must_be_there("dir/src");
}

Test(tree_put, content_of_a_directory)
{
    snprintf(local, sizeof local, "%s/src/.", guest.dir);
    run("mkdir dir && touch -r src dir");
    start(guest_path("dir"));
    must_succeed();
    run("touch -r src dir");
    must_be_there("dir");
}

Test(tree_put, merge)
{
    run("mkdir -p dir/src/a && echo old >dir/src/a/old && echo old >dir/src/link");
    start(guest_path("dir"));
    must_succeed();
    run("rm dir/src/a/old && touch -r src dir/src && touch -r src/a dir/src/a");
    must_be_there("dir/src");
}

Test(tree_put, odd_names)
{
    run("mkdir \"$(printf 'dir\\377 \\n(*x')\" && mv -- src \"$(printf -- '-s\\346\\261\\211 "
        "r\\nc')\"");
    snprintf(local, sizeof local, "%s/-s\xE6\xB1\x89 r\nc", guest.dir);
    start(guest_path("dir\xFF \n(*x"));
    must_succeed();
    run("mv ./-s* src && mv ./dir*/-s* new");
    must_be_there("new");
}

Test(tree_put, large)
{
    char *bytes = guest_bytes(5000000);
    guest_write("src/large", bytes, 5000000);
    free(bytes);
    start(guest_path("new"));
    must_succeed();
    must_be_there("new");
    cr_assert_gt(got.progress, 5000000);
}

Test(tree_put, many_files)
{
    run("mkdir src/many && seq 3000 | (cd src/many && xargs touch)");
    start(guest_path("new"));
    must_succeed();
    must_be_there("new");
    cr_assert_eq(got.result.entries, 3009);
}

Test(tree_put, without_a_total)
{
    request.with_total = false;
    start(guest_path("new"));
    must_succeed();
    cr_assert_eq(got.total, -1);
    must_be_there("new");
}

Test(tree_put, special_files_are_told)
{
    run("mkfifo src/fifo");
    start(guest_path("new"));
    must_succeed();
    cr_assert_eq(warnings, 1);
    run("rm src/fifo && touch -r new src");
    must_be_there("new");
}

/* ---- what cannot be ---- */

Test(tree_put, no_directory_there)
{
    start(guest_path("missing/new"));
    must_fail(PQ_E_NOT_FOUND, PQ_EFFECT_NONE);
    run("echo x >file");
    start(guest_path("file"));
    must_fail(PQ_E_REMOTE_FILE, PQ_EFFECT_NONE);
    guest_must_close();
}

Test(tree_put, no_directory_here)
{
    static const pq_tree_put_events events = {.done = on_done};
    request.remote_path = "/x";
    request.local_path = "/no/such/directory";
    cr_assert_null(pq_tree_put_start(guest.session, &request, &events, NULL, &err));
    cr_assert_eq(err.code, PQ_E_IO);
    request.with_total = false;
    start(guest_path("new"));
    must_fail(PQ_E_IO, PQ_EFFECT_NONE);
    must_not_be_there("new");
}

Test(tree_put, empty_path)
{
    static const pq_tree_put_events events = {.done = on_done};
    request.remote_path = "";
    cr_assert_null(pq_tree_put_start(guest.session, &request, &events, NULL, &err));
    cr_assert_eq(err.code, PQ_E_USAGE);
}

Test(tree_put, guest_without_tar)
{
    guest_hide_tools("");
    start(guest_path("new"));
    must_fail(PQ_E_GUEST_TOOL, PQ_EFFECT_NONE);
    must_not_be_there("new");
}

Test(tree_put, remote_tmp_that_is_not_there)
{
    guest_open_session("/no/such/directory");
    start(guest_path("new"));
    must_fail(PQ_E_REMOTE_TMP, PQ_EFFECT_NONE);
}

Test(tree_put, clash)
{
    run("mkdir -p dir/src && echo old >dir/src/a");
    start(guest_path("dir"));
    must_fail(PQ_E_REMOTE_FILE, PQ_EFFECT_NONE);
    cr_assert_not_null(strstr(got.err.text, "dir/src/a is no directory"), "%s", got.err.text);
    run("test -f dir/src/a && test $(ls dir/src | wc -l) = 1");
    must_not_be_there("dir/src/empty");
}

Test(tree_put, full_remote_tmp)
{
    char *bytes = guest_bytes(2000000);
    guest_write("src/large", bytes, 2000000);
    free(bytes);
    guest_limit_tmp("1m");
    start(guest_path("new"));
    must_fail(PQ_E_GUEST_FULL, PQ_EFFECT_NONE);
    must_not_be_there("new");
    guest_unlimit_tmp();
}

Test(tree_put, source_that_fails_on_the_way)
{
    static const char script[] = "i=0; cd src && while [ $i -le 200 ]; do mkdir d && cd d || exit; "
                                 "i=$((i+1)); done";
    char *bytes = guest_bytes(3000000);
    guest_write("src/large", bytes, 3000000);
    free(bytes);
    run(script);
    request.with_total = false;
    start(guest_path("new"));
    must_fail(PQ_E_IO, PQ_EFFECT_NONE);
    must_not_be_there("new");
}

/* ---- lost answers ---- */

static void rule(pq_file_script script, shell_call call, unsigned times, shell_fault fault)
{
    guest_file_rule(script, call, 0, times, fault, PQ_E_NETWORK);
}

Test(tree_put, lost_answers)
{
    static const pq_file_script scripts[] = {PQ_FILE_TREE_OPEN, PQ_FILE_TREE_UNPACK};
    for (size_t i = 0; i < 2; i++) {
        rule(scripts[i], SHELL_EXEC, 1, SHELL_LOSE);
        rule(scripts[i], SHELL_STATUS, 1, SHELL_LOSE);
    }
    start(guest_path("new"));
    must_succeed();
    must_be_there("new");
}

Test(tree_put, delivered_twice)
{
    rule(PQ_FILE_TREE_OPEN, SHELL_EXEC, 1, SHELL_TWICE);
    rule(PQ_FILE_TREE_UNPACK, SHELL_EXEC, 1, SHELL_TWICE);
    start(guest_path("new"));
    must_succeed();
    must_be_there("new");
}

Test(tree_put, killed_while_it_unpacks)
{
    rule(PQ_FILE_TREE_UNPACK, SHELL_EXEC, 2, SHELL_KILL);
    start(guest_path("new"));
    must_succeed();
    must_be_there("new");
}

Test(tree_put, guest_that_is_gone)
{
    guest_file_rule(PQ_FILE_TREE_UNPACK, SHELL_EXEC, 0, 0, SHELL_REFUSE, PQ_E_AGENT);
    guest.agent->rules[0].final = true;
    start(guest_path("new"));
    must_fail(PQ_E_AGENT, PQ_EFFECT_NONE);
    must_not_be_there("new");
}

/* ---- giving up ---- */

static void cancel(void *context)
{
    (void)context;
    if (put != NULL)
        pq_tree_put_cancel(put);
}

static void cancel_at(pq_file_script script, shell_call call)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = call,
                                               .part = guest_file_script(script),
                                               .times = 1,
                                               .fault = SHELL_FINE,
                                               .event = cancel});
}

Test(tree_put, cancelled_while_it_opens)
{
    cancel_at(PQ_FILE_TREE_OPEN, SHELL_EXEC);
    start(guest_path("new"));
    must_fail(PQ_E_CANCELLED, PQ_EFFECT_NONE);
    must_not_be_there("new");
}

Test(tree_put, cancelled_while_it_sends)
{
    char *bytes = guest_bytes(5000000);
    guest_write("src/large", bytes, 5000000);
    free(bytes);
    cancel_at(PQ_FILE_WRITE, SHELL_STATUS);
    start(guest_path("new"));
    must_fail(PQ_E_CANCELLED, PQ_EFFECT_NONE);
    must_not_be_there("new");
}

/* A tar that ends when it is killed. */
Test(tree_put, cancelled_while_it_unpacks)
{
    guest_hide_tools("");
    run("printf '#!/bin/sh\\ncase $1 in -x) echo x >%s/began; exec sleep 1000; esac\\n' \"$PWD\" "
        ">bin/tar && chmod 755 bin/tar");
    cancel_at(PQ_FILE_TREE_UNPACK, SHELL_STATUS);
    start(guest_path("new"));
    must_fail(PQ_E_CANCELLED, PQ_EFFECT_NONE);
    must_not_be_there("new");
}

/* The answer is that it is all there. */
Test(tree_put, cancelled_too_late)
{
    rule(PQ_FILE_TREE_UNPACK, SHELL_STATUS, 1, SHELL_LOSE);
    shell_agent_rule(guest.agent, (shell_rule){.call = SHELL_EXEC,
                                               .part = guest_file_script(PQ_FILE_TREE_UNPACK),
                                               .skip = 1,
                                               .times = 1,
                                               .fault = SHELL_FINE,
                                               .event = cancel});
    start(guest_path("new"));
    must_succeed();
    must_be_there("new");
}

Test(tree_put, dropped)
{
    start(guest_path("new"));
    pq_tree_put_drop(put);
    put = NULL;
    guest_must_close();
    cr_assert_eq(got.ended, 0);
}
