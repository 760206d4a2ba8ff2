/*
 * Texts from servers and guests in a form that Ansible takes as nothing but text.   (shim; pure)
 *
 * Ansible evaluates templates in the variables of an inventory, so a guest that reports
 * "{{ lookup('pipe', ...) }}" for its name would run commands on the controller. What Ansible must
 * not evaluate is written as {"__ansible_unsafe": TEXT}, which its JSON decoder takes for the bare
 * text, marked as such, since 2.5. Texts of letters, digits, blanks and a few signs, none of which
 * can begin a template, are written bare, for the sake of everyone else who reads the output.
 */
#pragma once

#include "transport/base/buf.h"

/* Bytes of a text that are kept; longer ones are cut. */
#define PQ_ANSIBLE_TEXT_MAX 1023

/* Bytes of names with their NUL; longer ones are cut. */
#define PQ_ANSIBLE_HOST_SIZE 240 /* a DNS name has 253, and an id may follow */
#define PQ_ANSIBLE_GROUP_SIZE 100

/* Appends a JSON value: one line of printable text, made so as pq_error_clean() does. Fails with
 * NOMEM or TOO_LARGE. */
int pq_ansible_write_text(pq_buf *out, const char *text, pq_error *err);

/* Makes a host name. Letters, digits, '.', '_', '-' inside, and characters beyond ASCII stay,
 * anything else, such as what has a meaning in Ansible's patterns, becomes '_'. May be empty. */
void pq_ansible_host_name(char out[PQ_ANSIBLE_HOST_SIZE], const char *text);

/* Makes a group name, such as "tag_web": ASCII letters and digits stay, each other character
 * becomes '_'. */
void pq_ansible_group_name(char out[PQ_ANSIBLE_GROUP_SIZE], const char *prefix, const char *text);
