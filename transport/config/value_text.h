/*
 * Shapes of texts that options take.   (transport/config; pure)
 *
 * Each says whether all of `text` has the shape. The patterns of users, tokens and nodes are those
 * of Proxmox VE's own parameter checks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* No control bytes; bytes above 0x7f are taken as text of the user's. */
bool pq_text_is_printable(const char *text);

/* Name, IPv4 or IPv6 address, the latter with or without brackets; no port. */
bool pq_text_is_host(const char *text);

bool pq_text_is_user(const char *text);
bool pq_text_is_token_id(const char *text, size_t length);
bool pq_text_is_node(const char *text);
bool pq_text_is_proxy(const char *text);
bool pq_text_is_guest_path(const char *text);
bool pq_text_is_assignment(const char *text);

/* "AA:BB:...", 32 pairs; also reads lower case and digits without colons. */
#define PQ_FINGERPRINT_SIZE 96
bool pq_text_read_fingerprint(const char *text, char out[PQ_FINGERPRINT_SIZE]);
