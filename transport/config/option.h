/*
 * The rows of the option table.   (transport/config: may use transport/base)
 *
 * An option is one row, and a row is all there is to know about it: how it is spelled on the
 * command line, in the environment, in a configuration file and in a protocol request, what values
 * it takes, and its help. Parsing, --help, --print-config, the man page and the completions are
 * loops over rows. `options.def` has the rows every program shares; a program may bring more of
 * its own (shim/command/commands.def), whose ids follow PQ_OPT_COUNT.
 *
 * Rows are constant and live as long as the process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum pq_type {
    PQ_TYPE_TEXT,        /* printable text */
    PQ_TYPE_RAW,         /* any bytes without NUL, such as a shell line */
    PQ_TYPE_HOST,        /* name or address without port; brackets around IPv6 are taken off */
    PQ_TYPE_USER,        /* USER@REALM or USER@REALM!TOKENID */
    PQ_TYPE_TOKEN_ID,    /* USER@REALM!TOKENID, or the part behind "!" */
    PQ_TYPE_NODE,        /* a node's name */
    PQ_TYPE_FINGERPRINT, /* SHA-256 as 32 hex pairs; stored as "AA:BB:..." */
    PQ_TYPE_PROXY,       /* URL of a proxy without credentials; "" for none */
    PQ_TYPE_PATH,        /* a file here; "~/" is the home directory */
    PQ_TYPE_GUEST_PATH,  /* absolute and ASCII: it goes into agent calls */
    PQ_TYPE_INT,         /* minimum..maximum */
    PQ_TYPE_DURATION,    /* minimum..maximum in seconds; stored in milliseconds */
    PQ_TYPE_MODE,        /* octal permissions, 0..07777 */
    PQ_TYPE_BOOL,        /* also --no-NAME */
    PQ_TYPE_ENUM,        /* one of `values` */
    PQ_TYPE_SECRET,      /* never on the command line: --NAME-file, --NAME-fd, --NAME-command */
    PQ_TYPE_ASSIGN,      /* NAME=VALUE, may be repeated */
    PQ_TYPE_FLAG,        /* on when given; command line only */
    PQ_TYPE_COUNT        /* how often it was given; command line only */
} pq_type;

/* Headings of --help and of the man page, in order. */
typedef enum pq_group {
    PQ_GROUP_COMMAND = 0, /* options of one command */
    PQ_GROUP_SERVER,
    PQ_GROUP_LOGIN,
    PQ_GROUP_TLS,
    PQ_GROUP_SSH,
    PQ_GROUP_GUEST,
    PQ_GROUP_LIMITS,
    PQ_GROUP_GENERAL,
    PQ_GROUP_COUNT
} pq_group;

typedef struct pq_option {
    const char *name; /* long option without dashes */
    char short_name;  /* or 0 */
    pq_type type;
    pq_group group;
    const char *fallback;     /* the default as text, or NULL */
    const char *environment;  /* variables, the first one that is set wins; or NULL */
    const char *key;          /* in configuration files, or NULL */
    const char *request;      /* in protocol requests, or NULL */
    const char *values;       /* ENUM: "a|b" */
    int64_t minimum, maximum; /* INT, DURATION */
    bool lines;               /* SECRET: may have several lines */
    unsigned commands;        /* rows of a program: bits of the commands that take it */
    const char *placeholder;  /* stands for the value in help texts, or NULL without value */
    const char *help;         /* sentences without markup */
} pq_option;

/* Ids of the rows in options.def. */
typedef enum pq_option_id {
#define X(id, ...) PQ_OPT_##id,
#include "transport/config/options.def"
#undef X
    PQ_OPT_COUNT
} pq_option_id;

/* PQ_OPT_COUNT rows, by id. */
extern const pq_option pq_options[];

/* A command of a program, for help and completions. */
typedef struct pq_command {
    const char *name;
    unsigned bit;         /* in pq_option.commands */
    const char *operands; /* "VM COMMAND [ARG...]" */
    const char *summary;  /* one line */
    size_t stop_after;    /* operands before those that end the options; see config.h */
    unsigned groups;      /* bits 1u << pq_group of shared options worth showing in its --help */
} pq_command;

/* "Login", ... */
const char *pq_group_title(pq_group group);

/* Whether the option is followed by a value on the command line. */
bool pq_option_takes_value(const pq_option *option);

/* What a value must be, for messages: "a whole number from 1 to 65535". `out` has `size` bytes. */
void pq_option_expected(const pq_option *option, char *out, size_t size);

/* The spellings in which a secret is given on the command line. */
typedef struct pq_secret_way {
    const char *suffix;     /* "-file" */
    const char *key_suffix; /* in configuration files, "_file"; NULL: not there */
    const char *placeholder;
} pq_secret_way;

typedef enum pq_secret_kind {
    PQ_SECRET_VALUE = 0, /* the secret itself: environment, private file, request */
    PQ_SECRET_FILE,
    PQ_SECRET_FD,
    PQ_SECRET_COMMAND,
    PQ_SECRET_KIND_COUNT
} pq_secret_kind;

/* By pq_secret_kind; the row of PQ_SECRET_VALUE has empty suffixes. */
extern const pq_secret_way pq_secret_ways[PQ_SECRET_KIND_COUNT];
