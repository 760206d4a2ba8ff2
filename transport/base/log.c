#include "transport/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "transport/base/buf.h"
#include "transport/base/encode.h"
#include "transport/base/fd.h"
#include "transport/base/json.h"

static struct {
    pq_log_sink sink;
    void *context;
    pq_log_level level;
    const char *program;
    const char *line_end;
    int trace_fd;
} logger = {NULL, NULL, PQ_LOG_WARNING, "pve-qga-run", "\n", -1};

void pq_log_set_sink(pq_log_sink sink, void *context)
{
    logger.sink = sink;
    logger.context = context;
}

void pq_log_set_level(pq_log_level level)
{
    logger.level = level;
}

void pq_log_set_program(const char *name)
{
    logger.program = name;
}

void pq_log_set_line_end(const char *line_end)
{
    logger.line_end = line_end;
}

void pq_log_to_stderr(pq_log_level level, const char *line)
{
    fprintf(stderr, "%s: %s%s%s", logger.program, level == PQ_LOG_WARNING ? "warning: " : "", line,
            logger.line_end);
}

static void emit(pq_log_level level, const char *line)
{
    if (logger.sink != NULL)
        logger.sink(logger.context, level, line);
    else
        pq_log_to_stderr(level, line);
}

void pq_log(pq_log_level level, const char *format, ...)
{
    if (level > logger.level)
        return;
    char line[2 * PQ_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length < 0)
        return;
    if ((size_t)length >= sizeof line)
        line[pq_utf8_boundary(line, sizeof line - 2)] = '\0';
    emit(level, line);
}

void pq_log_error(const pq_error *err, const char *doing)
{
    const char *hint = pq_code_hint(err->code);
    pq_log(PQ_LOG_ERROR, "%s%s%s%s%s", doing != NULL ? doing : "", doing != NULL ? ": " : "",
           err->text, hint != NULL ? "; " : "", hint != NULL ? hint : "");
}

int pq_trace_open(const char *path, pq_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return pq_fail(err, PQ_E_IO, "cannot open the trace file '%s': %s", path, strerror(errno));
    pq_trace_close();
    logger.trace_fd = fd;
    return 0;
}

void pq_trace_close(void)
{
    pq_close(&logger.trace_fd);
}

static int trace_field(pq_buf *line, const pq_field *field, pq_error *err)
{
    if (pq_buf_add_byte(line, ',', err) < 0 ||
        pq_json_write_text(line, field->name, strlen(field->name), err) < 0 ||
        pq_buf_add_byte(line, ':', err) < 0)
        return -1;
    switch (field->kind) {
    case PQ_FIELD_TEXT:
        if (field->text == NULL)
            return pq_buf_add_text(line, "null", err);
        return pq_json_write_text(line, field->text, strlen(field->text), err);
    case PQ_FIELD_INT:
        return pq_buf_printf(line, err, "%lld", (long long)field->number);
    case PQ_FIELD_GUEST:
        return pq_buf_printf(line, err, "\"<%lld bytes>\"", (long long)field->number);
    }
    return pq_fail(err, PQ_E_INTERNAL, "unknown kind of trace field");
}

void pq_trace_event(const char *event, const pq_field *fields, size_t count)
{
    if (logger.trace_fd < 0)
        return;
    pq_buf line = {0};
    pq_error err;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    int failed = pq_buf_printf(&line, &err, "{\"time\":%lld.%06ld,\"pid\":%ld,\"event\":",
                               (long long)wall.tv_sec, wall.tv_nsec / 1000, (long)getpid());
    failed = failed < 0 ? failed : pq_json_write_text(&line, event, strlen(event), &err);
    for (size_t i = 0; i < count && failed == 0; i++)
        failed = trace_field(&line, &fields[i], &err);
    failed = failed < 0 ? failed : pq_buf_add_text(&line, "}\n", &err);
    if (failed == 0)
        /* A full disk must not end the program that is traced. */
        (void)pq_write_all(logger.trace_fd, line.data, line.length, &err);
    pq_buf_done(&line);
}
