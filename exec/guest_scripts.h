/*
 * The texts of exec/guest/NAME.sh, embedded at build time.   (exec)
 */
#pragma once

extern const char *const pq_guest_common;
extern const char *const pq_guest_job;
extern const char *const pq_guest_piece;
extern const char *const pq_guest_look;
extern const char *const pq_guest_kill;
extern const char *const pq_guest_slice;
extern const char *const pq_guest_close;
