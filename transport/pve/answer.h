/*
 * What the API's successful answers hold.   (transport/pve; pure)
 *
 * Every function takes the parsed `data` member, checks all it uses and fails with BAD_ANSWER.
 */
#pragma once

#include "transport/agent.h"
#include "transport/base/json.h"

/* {"pid":N} */
int pq_answer_pid(const pq_json *data, int64_t *ret_pid, pq_error *err);

/* {"exited":0} or {"exited":1,"exitcode":N,"out-data":..}. Output comes as one character per byte.
 * `status` is all-zero before; after a failure the caller frees what it holds. */
int pq_answer_status(const pq_json *data, pq_exec_status *status, pq_error *err);

/* {"result":..}, which stays part of `data`. A command that failed in the agent is an answer like
 * any other, with {"error":{"class":..,"desc":..}} for a result; it fails as an agent's error does.
 */
int pq_answer_query(const pq_json *data, const pq_json **ret_result, pq_error *err);

/* {"content":..,"truncated":1?}. `base64`: asked for with decode=0, else one character per byte.
 * At most `count` bytes are handed out; *ret_eof tells that the file has no more. */
int pq_answer_file(const pq_json *data, bool base64, size_t count, pq_buf *bytes, bool *ret_eof,
                   pq_error *err);
