/*
 * Man page parts and completions from the option table.   (a tool of the build)
 *
 * Writes to `out`; whether that worked is asked once, when the file is closed.
 */
#pragma once

#include <stdio.h>

#include "transport/config/help.h"

/* Called for every spelling an option has on the command line: of a secret one for each way, of a
 * BOOL also the one with "no-". `placeholder` is NULL without value. */
typedef struct spelling {
    const pq_program *program;
    const pq_option *option;     /* its name is NULL if it is only a letter */
    const char *lead;            /* "--", or what is in front of a key's name */
    const char *prefix, *suffix; /* around the option's name */
    char letter;                 /* the short option that stands for it, or 0 */
    const char *placeholder;
    bool is_file; /* its value is the path of a file here */
    bool is_key;  /* it stands behind -o, and its value behind a "=" */
} spelling;

typedef void (*spelling_fn)(FILE *out, const spelling *s);

void for_each_spelling(FILE *out, const pq_program *program, const pq_option *option,
                       spelling_fn fn);

/* The same for all of the program's own options, for all shared ones that are options there, and
 * for all keys of its -o. */
void for_own(FILE *out, const pq_program *program, spelling_fn fn);
void for_shared(FILE *out, const pq_program *program, spelling_fn fn);
void for_keys(FILE *out, const pq_program *program, spelling_fn fn);

/* Whether the program's options are ssh's, whose -o takes keys, among them the shared options. */
bool has_keys(const pq_program *program);

/* Whether it is that -o. */
bool takes_keys(const spelling *s);

/* pve-qga-rsh, and the keys of ssh's that mean something there. */
extern const pq_program rsh_program;
extern const pq_option rsh_keys[];
extern const size_t rsh_key_count;

/* Whether a row belongs to the command; NULL asks for rows of no command in particular. */
bool belongs_to(const pq_option *option, const pq_command *command);

/* Length of the first sentence of a text, without its full stop. */
int sentence_length(const char *text);

/* An ENUM's values, separated by spaces. */
void put_values(FILE *out, const char *values);

/* What a shell's function for the program is called: "_pve_qga_run". */
void put_function(FILE *out, const pq_program *program);

/* A spelling's description in a list of completions, written by `put` for the shell. */
void put_summary(FILE *out, const spelling *s,
                 void (*put)(FILE *out, const char *text, int length));

/* The man page: `frame` with its lines `.\" generated: options` and the like filled in. */
int write_man(FILE *out, const pq_program *program, const char *frame_path);

void write_bash(FILE *out, const pq_program *program);
void write_zsh(FILE *out, const pq_program *program);
void write_fish(FILE *out, const pq_program *program);
