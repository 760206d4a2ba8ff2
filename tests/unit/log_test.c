#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "transport/base/encode.h"
#include "transport/base/json.h"
#include "transport/base/log.h"

static char last_line[4096];
static pq_log_level last_level;
static int lines;

static void note(void *context, pq_log_level level, const char *line)
{
    cr_assert_eq(context, &lines);
    snprintf(last_line, sizeof last_line, "%s", line);
    last_level = level;
    lines++;
}

static void use_sink(void)
{
    lines = 0;
    pq_log_set_sink(note, &lines);
}

TestSuite(log, .init = use_sink);

/* What function() writes to stderr. */
static const char *stderr_of(void (*function)(void))
{
    static char text[4096];
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    function();
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

Test(log, default_level_is_warning)
{
    pq_log(PQ_LOG_DEBUG, "no");
    pq_log(PQ_LOG_INFO, "no");
    cr_assert_eq(lines, 0);
    pq_log(PQ_LOG_WARNING, "certificate checks are %s", "off");
    cr_assert_str_eq(last_line, "certificate checks are off");
    cr_assert_eq(last_level, PQ_LOG_WARNING);
    pq_log(PQ_LOG_ERROR, "bad");
    cr_assert_eq(lines, 2);
}

Test(log, level_can_be_changed)
{
    pq_log_set_level(PQ_LOG_DEBUG);
    pq_log(PQ_LOG_DEBUG, "yes");
    cr_assert_eq(last_level, PQ_LOG_DEBUG);
    pq_log_set_level(PQ_LOG_ERROR);
    pq_log(PQ_LOG_WARNING, "no");
    cr_assert_eq(lines, 1);
}

Test(log, long_lines_are_cut_at_a_character)
{
    for (size_t shift = 0; shift < 3; shift++) {
        char text[3 * 1000 + 1];
        for (size_t i = 0; i < 1000; i++)
            memcpy(text + 3 * i, "\xE2\x82\xAC", 4);
        pq_log(PQ_LOG_ERROR, "%.*s%s", (int)shift, "ab", text);
        size_t length = strlen(last_line);
        cr_assert_geq(length, 2 * PQ_ERROR_TEXT_MAX - 4);
        cr_assert_eq(pq_utf8_valid_length(last_line, length), length);
    }
}

Test(log, line_that_cannot_be_formatted_is_dropped)
{
    /* No such character in the "C" locale. */
    pq_log(PQ_LOG_ERROR, "%lc", (wint_t)0x20AC);
    cr_assert_eq(lines, 0);
}

Test(log, error_with_hint)
{
    pq_error err;
    pq_fail(&err, PQ_E_VM_STOPPED, "VM 101 is not running");
    pq_log_error(&err, "exec on 'web'");
    cr_assert_str_eq(last_line, "exec on 'web': VM 101 is not running; start the VM");
    cr_assert_eq(last_level, PQ_LOG_ERROR);
    pq_log_error(&err, NULL);
    cr_assert_str_eq(last_line, "VM 101 is not running; start the VM");
}

Test(log, error_without_hint)
{
    pq_error err;
    pq_fail(&err, PQ_E_IO, "100%% of nothing: %%s");
    pq_log_error(&err, "writing 'a%sb'");
    cr_assert_str_eq(last_line, "writing 'a%sb': 100% of nothing: %s");
}

static void three_lines(void)
{
    pq_log(PQ_LOG_ERROR, "one");
    pq_log(PQ_LOG_WARNING, "two");
    pq_log(PQ_LOG_INFO, "three");
}

Test(log, default_sink_is_stderr)
{
    pq_log_set_sink(NULL, NULL);
    pq_log_set_level(PQ_LOG_INFO);
    cr_assert_str_eq(stderr_of(three_lines),
                     "pve-qga-run: one\npve-qga-run: warning: two\npve-qga-run: three\n");
    pq_log_set_program("pve-qga-rsh");
    pq_log_set_level(PQ_LOG_ERROR);
    cr_assert_str_eq(stderr_of(three_lines), "pve-qga-rsh: one\n");
    cr_assert_eq(lines, 0);
}

/* ---- trace ---- */

static char folder[] = "/tmp/pq-trace-test-XXXXXX";
static char path[64];

static void make_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/trace", folder);
}

static void remove_folder(void)
{
    pq_trace_close();
    unlink(path);
    cr_assert_eq(rmdir(folder), 0);
}

TestSuite(trace, .init = make_folder, .fini = remove_folder);

static char *read_trace(void)
{
    static char text[65536];
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void open_trace(void)
{
    pq_error err;
    cr_assert_eq(pq_trace_open(path, &err), 0, "%s", err.text);
}

Test(trace, events_are_json_lines)
{
    open_trace();
    const char *nothing = NULL;
    pq_trace("api.call", PQ_TEXT("path", "/nodes/\"p\n1\"/\xC3\xA9\xFF"), PQ_INT("status", -5),
             PQ_GUEST("out", 4096), PQ_TEXT("none", nothing));
    pq_trace_event("bare", NULL, 0);
    char *text = read_trace();
    char *second = strchr(text, '\n') + 1;
    pq_error err;
    pq_json *event = pq_json_parse(text, (size_t)(second - text), &err);
    cr_assert_not_null(event, "%s", err.text);
    int64_t number = 0;
    cr_assert_str_eq(pq_json_text(event, "event"), "api.call");
    cr_assert_str_eq(pq_json_text(event, "path"), "/nodes/\"p\n1\"/\xC3\xA9?");
    cr_assert(pq_json_int(event, "status", &number));
    cr_assert_eq(number, -5);
    cr_assert(pq_json_int(event, "pid", &number));
    cr_assert_eq(number, getpid());
    cr_assert_str_eq(pq_json_text(event, "out"), "<4096 bytes>");
    cr_assert(pq_json_is_null(pq_json_member(event, "none")));
    cr_assert_not_null(pq_json_member(event, "time"));
    pq_json_free(event);
    event = pq_json_parse(second, strlen(second), &err);
    cr_assert_str_eq(pq_json_text(event, "event"), "bare");
    pq_json_free(event);
}

/* Even a field that was given guest bytes by mistake tells their number only. */
Test(trace, guest_data_is_a_length)
{
    open_trace();
    const pq_field field = {"stdout", PQ_FIELD_GUEST, "CANARY-OF-THE-GUEST", 19};
    pq_trace_event("exec", &field, 1);
    char *text = read_trace();
    cr_assert_null(strstr(text, "CANARY"));
    cr_assert_not_null(strstr(text, "\"stdout\":\"<19 bytes>\""));
}

Test(trace, unknown_kind_writes_nothing)
{
    open_trace();
    const pq_field field = {"x", (pq_field_kind)99, "CANARY", 0};
    pq_trace_event("bad", &field, 1);
    cr_assert_str_eq(read_trace(), "");
}

Test(trace, file_is_private_and_appended_to)
{
    struct stat status;
    umask(0);
    open_trace();
    pq_trace_event("one", NULL, 0);
    pq_trace_close();
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 07777, 0600);
    open_trace();
    pq_trace_event("two", NULL, 0);
    char *text = read_trace();
    cr_assert_not_null(strstr(text, "one"));
    cr_assert_not_null(strstr(text, "two"));
}

Test(trace, closed_means_silent)
{
    pq_trace_event("before", NULL, 0);
    open_trace();
    pq_trace_close();
    pq_trace_close();
    pq_trace_event("after", NULL, 0);
    cr_assert_str_eq(read_trace(), "");
}

Test(trace, a_link_is_not_followed)
{
    char target[80];
    pq_error err;
    snprintf(target, sizeof target, "%s/target", folder);
    cr_assert_eq(symlink(target, path), 0);
    cr_assert_eq(pq_trace_open(path, &err), -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_not_null(strstr(err.text, path));
    cr_assert_eq(access(target, F_OK), -1);
}

Test(trace, failure_to_open_keeps_the_open_one)
{
    pq_error err;
    open_trace();
    cr_assert_eq(pq_trace_open("/nonexistent/trace", &err), -1);
    cr_assert_eq(err.code, PQ_E_IO);
    cr_assert_not_null(strstr(err.text, strerror(ENOENT)));
    pq_trace_event("still", NULL, 0);
    cr_assert_not_null(strstr(read_trace(), "still"));
}

Test(trace, reopening_closes_the_old_file)
{
    open_trace();
    int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(first);
    open_trace();
    open_trace();
    int second = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(second);
    cr_assert_eq(first, second, "descriptors leak");
}

Test(trace, a_full_disk_does_not_matter)
{
    pq_error err;
    if (pq_trace_open("/dev/full", &err) < 0)
        cr_skip_test("no /dev/full");
    pq_trace_event("lost", NULL, 0);
    open_trace();
    cr_assert_str_eq(read_trace(), "");
}
