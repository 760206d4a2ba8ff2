/*
 * The agent's own commands and answers, one JSON object a line, as the relay carries them.
 * (transport/ssh; pure)
 */
#pragma once

#include "transport/ssh/qm.h"

/* Each appends the lines of one call. Fail with INTERNAL for what is not ASCII, NOMEM. */
int pq_agent_json_exec(pq_buf *out, const pq_exec_request *request, pq_error *err);
int pq_agent_json_status(pq_buf *out, int64_t pid, pq_error *err);
int pq_agent_json_read(pq_buf *out, const char *path, uint64_t offset, size_t count, pq_error *err);
int pq_agent_json_query(pq_buf *out, const char *name, pq_error *err);

/* The `return` member of one line, which is changed in place; *ret is to be freed as *ret_value's
 * root. Fails as pq_qm_refused() if it is an error, with BAD_ANSWER if it is neither. */
int pq_agent_json_result(pq_qm_kind kind, char *line, size_t length, pq_json **ret,
                         const pq_json **ret_value, pq_error *err);

/* {"exited":..} with output in base64. */
int pq_agent_json_read_status(const pq_json *value, pq_exec_status *status, pq_error *err);

/* The lines that pq_agent_json_read() was answered with. At most `count` bytes are handed out. */
int pq_agent_json_read_bytes(char *lines, size_t length, size_t count, pq_buf *bytes, bool *ret_eof,
                             pq_error *err);
