/*
 * What the files of transport/config share.   (private to transport/config)
 */
#pragma once

#include "transport/config/config.h"

/* Longest description of an origin; longer paths are cut. */
#define PQ_ORIGIN_MAX 256

/* Where a value comes from, as far as its source has such parts. */
typedef struct pq_origin {
    pq_source source;
    const char *name; /* "--port", "PROXMOX_PORT", "port" */
    const char *file;
    unsigned line;
} pq_origin;

typedef struct pq_value {
    bool set;
    pq_source source;
    char *origin; /* for people: "environment PROXMOX_HOST" */
    char *text;   /* canonical; of a secret the file, descriptor or command */
    int64_t number;
    char **items; /* ASSIGN: every value; `text` is the last one */
    size_t item_count;
    pq_secret_kind kind;
    pq_secret secret; /* its value, once known */
} pq_value;

/* A line of a [vm NAME] section, kept until that VM is selected. */
typedef struct pq_section_line {
    struct pq_section_line *next;
    char *vm;
    unsigned id;
    pq_secret_kind kind;
    pq_source source;
    char *file;
    char *name;
    unsigned line;
    char *text;       /* unless kind is VALUE of a SECRET, */
    pq_secret secret; /* which is here */
} pq_section_line;

struct pq_config {
    const pq_option *rows; /* the program's own */
    size_t row_count;
    pq_value *values;                          /* PQ_OPT_COUNT + row_count */
    char *home;                                /* for "~/" in files, or NULL */
    char *vm;                                  /* as last selected */
    pq_section_line *sections, **sections_end; /* of the original, in a copy */
    bool is_copy;
};

/* Without the defaults. NULL with NOMEM. */
pq_config *pq_config_new_empty(const pq_option *rows, size_t row_count, pq_error *err);

/* Number of values. */
size_t pq_config_count(const pq_config *config);

/* Finds a row by its name and checks whether `commands` has it; UINT_MAX if there is none. A
 * program's row goes before a shared one of the same name. */
unsigned pq_config_find_name(const pq_config *config, const char *name, size_t length,
                             unsigned commands);

/* Checks `text` and takes it unless a higher source was there before. For a SECRET, `kind` says
 * what `text` is. Fails with the text "ORIGIN: 'x' is not ...". */
int pq_config_offer(pq_config *config, unsigned id, pq_secret_kind kind, const pq_origin *origin,
                    const char *text, pq_error *err);

/* Checks without taking. */
int pq_config_check(const pq_config *config, unsigned id, pq_secret_kind kind,
                    const pq_origin *origin, const char *text, pq_error *err);

/* Where a value stands: "--port", "PROXMOX_PORT", "FILE:3: port", "request option 'port'". */
void pq_origin_text(const pq_origin *origin, char out[PQ_ORIGIN_MAX]);

/* Keeps a checked line of a [vm NAME] section. */
int pq_config_add_section_line(pq_config *config, const char *vm, unsigned id, pq_secret_kind kind,
                               const pq_origin *origin, const char *text, pq_error *err);
void pq_config_free_sections(pq_config *config);

/* Reads the secret that `value` names, once. `option` names it in messages. */
int pq_secret_read(pq_value *value, const pq_option *option, pq_error *err);
