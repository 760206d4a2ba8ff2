/*
 * The texts of exec/guest/NAME.sh, embedded at build time.   (exec)
 */
#pragma once

#include "exec/script.h"

extern const char *const pq_guest_common;
extern const char *const pq_guest_launch;
extern const char *const pq_guest_text;
extern const char *const pq_guest_job;
extern const char *const pq_guest_stream_common;
extern const char *const pq_guest_stream;
extern const char *const pq_guest_pump;
extern const char *const pq_guest_piece;
extern const char *const pq_guest_look;
extern const char *const pq_guest_kill;
extern const char *const pq_guest_slice;
extern const char *const pq_guest_close;

/* Begin with the text of job.sh, stream.sh or pump.sh, and what these share in front of it. Fail
 * with NOMEM. */
int pq_job_script_begin(pq_script *script, pq_error *err);
int pq_duplex_launcher_begin(pq_script *script, pq_error *err);
int pq_duplex_turn_begin(pq_script *script, pq_error *err);
