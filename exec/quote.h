/*
 * Text on its way to the guest.   (exec; pure)
 *
 * Arguments of an exec call must be pure ASCII (PVE cuts the message to the agent otherwise, and
 * the agent hangs), and a NUL cannot be in one. Two encodings carry bytes there:
 *   escaped  for printf %b: text that is mostly ASCII stays readable and needs no process in the
 *            guest to decode; a byte outside 0x20..0x7E takes 5 characters
 *   base64   4 characters for 3 bytes; needs a tool in the guest
 */
#pragma once

#include <stdbool.h>

#include "transport/base/buf.h"

/* Appends `bytes` for printf %b. The result has no line breaks and no control characters. */
int pq_quote_escape(pq_buf *out, const void *bytes, size_t length, pq_error *err);

/* Characters pq_quote_escape() makes of `bytes`. */
size_t pq_quote_escaped_length(const void *bytes, size_t length);

/* Appends `text` as one word of a POSIX shell, in single quotes unless it needs none. */
int pq_quote_shell(pq_buf *out, const char *text, pq_error *err);

/* Appends a line that sets a variable of a POSIX shell; `value` NULL is as good as empty. */
int pq_quote_variable(pq_buf *out, const char *name, const char *value, pq_error *err);

/* True for a name that `export` takes: [A-Za-z_][A-Za-z0-9_]*, before an '='. */
bool pq_quote_is_assignment(const char *text);
