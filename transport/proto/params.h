/*
 * Checked access to the members of a message.   (inside transport/proto)
 *
 * A member that is absent or null leaves *ret alone. One of a wrong type or value fails with
 * PROTOCOL and a text that begins with its name. Texts belong to the JSON value.
 */
#pragma once

#include "transport/proto/message.h"

int pq_param_text(const pq_json *params, const char *name, size_t maximum, const char **ret,
                  pq_error *err);
int pq_param_flag(const pq_json *params, const char *name, bool *ret, pq_error *err);

/* A whole number. */
int pq_param_count(const pq_json *params, const char *name, int64_t *ret, pq_error *err);

/* Seconds above 0, fractions allowed, as milliseconds rounded up. */
int pq_param_seconds(const pq_json *params, const char *name, pq_ms *ret, pq_error *err);

/* Permission bits as an octal string. */
int pq_param_mode(const pq_json *params, const char *name, int *ret, pq_error *err);

/* `params`: an object or nothing. */
int pq_param_object(const pq_json *parent, const char *name, const pq_json **ret, pq_error *err);

/* The text `name`, or the bytes that NAME_base64 stands for, decoded into the empty buffer
 * `decoded`, which then owns *ret. Not both, and no NUL. */
int pq_param_bytes(const pq_json *params, const char *name, size_t maximum, pq_buf *decoded,
                   const char **ret, pq_error *err);

/* A name or a whole number; a number is written to `digits`, which *ret then points to. */
int pq_param_name(const pq_json *params, const char *name, char digits[24], const char **ret,
                  pq_error *err);

int pq_param_id(const pq_json *object, const char *name, pq_id *ret, pq_error *err);

/* Fails if an object in `value`, or that itself, has a member twice. */
int pq_param_unique(const pq_json *value, pq_error *err);

/* Fails, naming the member, if `value` is NULL. */
int pq_param_require(const void *value, const char *name, pq_error *err);
