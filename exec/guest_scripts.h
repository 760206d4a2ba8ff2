/*
 * The texts of exec/guest/NAME.sh, embedded at build time.   (exec)
 */
#pragma once

#include "exec/script.h"

extern const char *const pq_guest_common;
extern const char *const pq_guest_launch;
extern const char *const pq_guest_job;
extern const char *const pq_guest_piece;
extern const char *const pq_guest_look;
extern const char *const pq_guest_kill;
extern const char *const pq_guest_slice;
extern const char *const pq_guest_close;

/* Begins with the text of a script that starts a command, with what these share in front of it. */
int pq_launcher_begin(pq_script *script, const char *text, pq_error *err);
