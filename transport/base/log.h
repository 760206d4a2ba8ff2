/*
 * What the user is told beside the result, and the trace.   (transport/base)
 *
 * Log lines are for people: `program: text` on stderr, or `log` notifications in serve mode.
 * Library code logs at PQ_LOG_WARNING only for what the user must know though the operation goes
 * on (certificate checks are off; still waiting for the agent), and else at INFO (-v) or DEBUG
 * (-vv).
 *
 * The trace (PVE_QGA_TRACE=file) is for finding out what happened: one JSON object a line, typed
 * fields, each with a class. Guest data is reported as its length only; there is no way to put
 * a secret in.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "transport/base/error.h"

typedef enum pq_log_level {
    PQ_LOG_ERROR = 0,
    PQ_LOG_WARNING,
    PQ_LOG_INFO,
    PQ_LOG_DEBUG
} pq_log_level;

/* Receives finished lines without line end. `context` is as given to pq_log_set_sink(). */
typedef void (*pq_log_sink)(void *context, pq_log_level level, const char *line);

/* Replaces the default sink, pq_log_to_stderr(). NULL restores it. */
void pq_log_set_sink(pq_log_sink sink, void *context);

/* `program: line`, for sinks that do something besides. */
void pq_log_to_stderr(pq_log_level level, const char *line);

/* Lines above `level` are dropped; the default is PQ_LOG_WARNING. */
void pq_log_set_level(pq_log_level level);

/* The name in front of stderr lines; a string that outlives the process' logging. */
void pq_log_set_program(const char *name);

/* What ends a line on stderr, "\n"; a terminal in raw mode needs "\r\n". As long-lived. */
void pq_log_set_line_end(const char *line_end);

void pq_log(pq_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* `program: doing 'object': cause; hint` for an error that ends a command. */
void pq_log_error(const pq_error *err, const char *doing);

/* ---- trace ---- */

typedef enum pq_field_kind {
    PQ_FIELD_TEXT, /* public text */
    PQ_FIELD_INT,  /* public number */
    PQ_FIELD_GUEST /* guest data: only its length is written */
} pq_field_kind;

typedef struct pq_field {
    const char *name;
    pq_field_kind kind;
    const char *text;
    int64_t number; /* the value, or for GUEST the length in bytes */
} pq_field;

#define PQ_TEXT(field_name, value) ((pq_field){(field_name), PQ_FIELD_TEXT, (value), 0})
#define PQ_INT(field_name, value) ((pq_field){(field_name), PQ_FIELD_INT, NULL, (int64_t)(value)})
#define PQ_GUEST(field_name, bytes)                                                                \
    ((pq_field){(field_name), PQ_FIELD_GUEST, NULL, (int64_t)(bytes)})

/* Opens the trace for appending, mode 0600. Fails with IO. */
int pq_trace_open(const char *path, pq_error *err);
void pq_trace_close(void);

/* Writes an event if a trace is open; cheap otherwise. */
void pq_trace_event(const char *event, const pq_field *fields, size_t count);

#define pq_trace(event, ...)                                                                       \
    do {                                                                                           \
        const pq_field pq_fields_[] = {__VA_ARGS__};                                               \
        pq_trace_event((event), pq_fields_, sizeof pq_fields_ / sizeof pq_fields_[0]);             \
    } while (0)
