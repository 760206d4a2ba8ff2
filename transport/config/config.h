/*
 * The options of one run: values, and where each came from.   (transport/config: may use
 * transport/base)
 *
 * Theory of operation: a pq_config has one value per row of the option table. Each source offers
 * values with its rank, and a value stays unless one of the same or a higher rank is offered, so
 * the sources may be read in any order:
 *
 *   default < system file < user file < environment < command line < request
 *
 * In a file, `key = value` lines before any section or under [defaults] hold for all VMs; a section
 * [vm NAME] holds for the VM that the user calls NAME, and outranks the defaults of its own file.
 * `--config FILE` replaces both files. Every offered value is checked, even one that does not win.
 *
 * A secret is not read until it is wanted: sources only say where it is. So no command is run and
 * no file is read for a password that a token makes unnecessary.
 *
 * Use by a program:
 *
 *   pq_config *config = pq_config_new(rows, row_count, &err);
 *   pq_operands operands;
 *   pq_config_parse_args(config, argc - 1, argv + 1, 0, 0, &operands, &err);
 *   // operands.items[0] names the command, whose bit and number of operands are known now:
 *   pq_config_parse_args(config, operands.count - 1, operands.items + 1, bit, 1, &operands, &err);
 *   pq_config_load(config, NULL, pq_config_getenv, NULL, &err);
 *   pq_config_select_vm(config, name or NULL, &vm, &err);
 *   host = pq_config_text(config, PQ_OPT_HOST); ...
 *
 * `serve` keeps the loaded configuration, and for each request takes a pq_config_copy(), applies
 * the request's options and selects the VM. It reads the secrets first (pq_config_read_secrets),
 * because a descriptor can be read once only.
 *
 * Errors: USAGE for the command line, names of VMs and requests, CONFIG for environment and files,
 * SECRET for a secret that cannot be read, IO for a configuration file that cannot, and NOMEM. The
 * text names the option, its source (`file:line`, variable, ...) and what was expected. All have
 * effect "none".
 */
#pragma once

#include "transport/base/clock.h"
#include "transport/base/error.h"
#include "transport/base/json.h"
#include "transport/base/secret.h"
#include "transport/config/option.h"

#define PQ_CONFIG_SYSTEM_FILE "/etc/pve-qga-run.conf"
#define PQ_CONFIG_USER_FILE "pve-qga-run.conf" /* in $XDG_CONFIG_HOME or ~/.config */

/* Largest configuration file. One line of it has less than 200 bytes, the limit of inih. */
#define PQ_CONFIG_FILE_MAX ((size_t)1024 * 1024)

/* In order of rank. */
typedef enum pq_source {
    PQ_SOURCE_DEFAULT = 0,
    PQ_SOURCE_SYSTEM_FILE,
    PQ_SOURCE_SYSTEM_VM, /* a [vm NAME] section of it */
    PQ_SOURCE_USER_FILE, /* also the file given with --config */
    PQ_SOURCE_USER_VM,
    PQ_SOURCE_ENVIRONMENT,
    PQ_SOURCE_COMMAND_LINE,
    PQ_SOURCE_REQUEST
} pq_source;

typedef struct pq_config pq_config;

/* Every option at its default. `rows` are the program's own options, whose ids are PQ_OPT_COUNT
 * and up; they outlive the configuration. Free with pq_config_free(). Fails with NOMEM. */
pq_config *pq_config_new(const pq_option *rows, size_t row_count, pq_error *err);

/* Values, sources and secrets read so far. The copy uses the sections of the original and must be
 * freed before it. Fails with NOMEM. */
pq_config *pq_config_copy(const pq_config *config, pq_error *err);
void pq_config_free(pq_config *config);

/* ---- sources ---- */

/* What is left of a command line: `items` are its operands in order, in the front of the argv that
 * was parsed. Those from index `dashes` on stood behind "--"; without one, `dashes` is `count`. */
typedef struct pq_operands {
    char **items;
    size_t count;
    size_t dashes;
    bool had_dashes;
} pq_operands;

/* Parses `argc` arguments, argv[0] being the first of them, not the program. Takes --name=value,
 * --name value, -n value, -nvalue, -vvq and, for BOOL, --no-name. The shared options are always
 * accepted, the program's own if they have one of the bits in `commands`. After `stop_after`
 * operands the next one ends the options, so `exec VM CMD --opt` leaves --opt to CMD; SIZE_MAX:
 * options may stand anywhere. "--" ends the options in any case.
 * A secret given as a value is refused and wiped from argv. */
int pq_config_parse_args(pq_config *config, size_t argc, char **argv, unsigned commands,
                         size_t stop_after, pq_operands *ret, pq_error *err);

/* Returns the variable's value or NULL. */
typedef const char *(*pq_getenv_fn)(void *context, const char *name);

/* The process' environment; `context` is not used. */
const char *pq_config_getenv(void *context, const char *name);

/* Reads the environment and the files: the one named by --config, which must exist, or else
 * `system_file` (NULL: PQ_CONFIG_SYSTEM_FILE) and the user's. Parse the command line before. */
int pq_config_load(pq_config *config, const char *system_file, pq_getenv_fn get, void *context,
                   pq_error *err);

/* A file's text; `name` stands for it in messages, `source` is SYSTEM_FILE or USER_FILE, and `mode`
 * and `owned` (by us or root) decide whether secrets and commands in it are accepted. */
typedef struct pq_config_text_file {
    const char *name;
    pq_source source;
    unsigned mode;
    bool owned;
} pq_config_text_file;

int pq_config_parse_file(pq_config *config, const pq_config_text_file *file, const char *text,
                         size_t length, pq_error *err);

/* Sets one option by its request key. */
int pq_config_set_request(pq_config *config, const char *key, const char *text, pq_error *err);

/* Whether `key` names an option in requests. */
bool pq_config_is_request_key(const pq_config *config, const char *key);

/* Sets every member of a JSON object: texts, numbers, true and false; null leaves an option as it
 * is. Fails with USAGE at the first unknown key or bad value. */
int pq_config_apply_request(pq_config *config, const pq_json *object, pq_error *err);

/* Which VM is meant by `name` (NULL: the option vmid): applies the sections [vm NAME] and gives the
 * id or name they map it to, or else the name itself. *ret_vm is valid as long as the
 * configuration. Select once: for several VMs, one copy each. Fails with USAGE if no VM is named
 * anywhere. */
int pq_config_select_vm(pq_config *config, const char *name, const char **ret_vm, pq_error *err);

/* ---- values; `id` is a pq_option_id or that of a program's row ---- */

/* Text as given, in its canonical form for HOST, FINGERPRINT, PATH, BOOL; NULL when not set. Valid
 * until the option changes. */
const char *pq_config_text(const pq_config *config, unsigned id);

/* INT, MODE, COUNT; DURATION in ms; 0 when not set. */
int64_t pq_config_int(const pq_config *config, unsigned id);
pq_ms pq_config_duration_ms(const pq_config *config, unsigned id);

/* BOOL, FLAG; false when not set. */
bool pq_config_bool(const pq_config *config, unsigned id);

/* All values of an ASSIGN option in the order given. */
const char *const *pq_config_list(const pq_config *config, unsigned id, size_t *ret_count);

/* The secret, read now if it was not yet; unset (pq_secret_is_set() false) if nobody named one.
 * The pointer is valid as long as the configuration. */
int pq_config_secret(pq_config *config, unsigned id, const pq_secret **ret, pq_error *err);

/* Reads all secrets that were named. */
int pq_config_read_secrets(pq_config *config, pq_error *err);

bool pq_config_is_set(const pq_config *config, unsigned id);
pq_source pq_config_source(const pq_config *config, unsigned id);

/* The row of an id, or NULL past the last one. */
const pq_option *pq_config_row(const pq_config *config, unsigned id);

/* Appends "host = pve1.example (environment PROXMOX_HOST)" lines for all options that can be
 * configured; secrets as "<set>" or "<not set>", unread. */
int pq_config_print(const pq_config *config, pq_buf *out, pq_error *err);
