/* The keys of -o. */
#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shim/rsh/escape.h"
#include "shim/rsh/options_internal.h"

#define BLANKS " \t"

static bool is(const char *text, const char *word)
{
    return strcasecmp(text, word) == 0;
}

static int bad_value(const char *key, const char *value, const char *expected, pq_error *err)
{
    char shown[100];
    pq_error_clean(shown, sizeof shown, value, strlen(value));
    return pq_fail(err, PQ_E_USAGE, "-o %s: '%s' is not %s", key, shown, expected);
}

static int yes_or_no(const char *key, const char *value, bool *ret, pq_error *err)
{
    bool yes = is(value, "yes") || is(value, "true");
    if (!yes && !is(value, "no") && !is(value, "false"))
        return bad_value(key, value, "yes or no", err);
    *ret = yes;
    return 0;
}

/* ---- one function for each key that means something ---- */

static int take_user(pq_rsh_options *options, char *value, pq_error *err)
{
    (void)err;
    if (options->user == NULL)
        options->user = value;
    return 0;
}

static int take_host_name(pq_rsh_options *options, char *value, pq_error *err)
{
    (void)err;
    if (options->vm == NULL)
        options->vm = value;
    return 0;
}

static int take_tty(pq_rsh_options *options, char *value, pq_error *err)
{
    static const struct {
        const char *word;
        pq_rsh_tty tty;
    } words[] = {{"no", PQ_RSH_TTY_NO},    {"false", PQ_RSH_TTY_NO},    {"yes", PQ_RSH_TTY_YES},
                 {"true", PQ_RSH_TTY_YES}, {"force", PQ_RSH_TTY_FORCE}, {"auto", PQ_RSH_TTY_AUTO}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!is(value, words[i].word))
            continue;
        if (options->tty == PQ_RSH_TTY_AUTO)
            options->tty = words[i].tty;
        return 0;
    }
    return bad_value("RequestTTY", value, "yes, no, force or auto", err);
}

int pq_rsh_options_take_escape(pq_rsh_options *options, char *value, pq_error *err)
{
    int character;
    if (!pq_escape_parse(value, &character))
        return bad_value("EscapeChar", value, "a character, ^ and a letter, or none", err);
    if (!options->has_escape)
        options->escape = character;
    options->has_escape = true;
    return 0;
}

static int take_remote_command(pq_rsh_options *options, char *value, pq_error *err)
{
    (void)err;
    if (options->remote_command == NULL && !is(value, "none"))
        options->remote_command = value;
    return 0;
}

static int take_session_type(pq_rsh_options *options, char *value, pq_error *err)
{
    bool first = !options->has_session_type;
    options->has_session_type = true;
    if (is(value, "none"))
        options->forwarding = first ? "SessionType=none" : options->forwarding;
    else if (is(value, "subsystem"))
        options->subsystem = options->subsystem || first;
    else if (!is(value, "default"))
        return bad_value("SessionType", value, "default, subsystem or none", err);
    return 0;
}

static int take_stdin_null(pq_rsh_options *options, char *value, pq_error *err)
{
    bool yes;
    if (yes_or_no("StdinNull", value, &yes, err) < 0)
        return -1;
    options->no_stdin = options->no_stdin || yes;
    return 0;
}

static int take_background(pq_rsh_options *options, char *value, pq_error *err)
{
    bool yes;
    (void)options;
    if (yes_or_no("ForkAfterAuthentication", value, &yes, err) < 0)
        return -1;
    return yes ? pq_fail(err, PQ_E_UNSUPPORTED,
                         "ForkAfterAuthentication: cannot go to the background; let the shell do "
                         "that, with -n and &")
               : 0;
}

/* A time as ssh has it: seconds, or a sum such as "1m30s". */
static int take_connect_timeout(pq_rsh_options *options, char *value, pq_error *err)
{
    static const char expected[] = "a time in seconds";
    unsigned long total = 0;
    if (is(value, "none"))
        return 0;
    for (const char *at = value; *at != '\0';) {
        if (!isdigit((unsigned char)*at))
            return bad_value("ConnectTimeout", value, expected, err);
        char *end;
        unsigned long number = strtoul(at, &end, 10);
        const char *units = "smhdw", *unit;
        static const unsigned long seconds[] = {1, 60, 3600, 86400, 604800};
        size_t which = 0;
        if (*end != '\0') {
            unit = strchr(units, tolower((unsigned char)*end));
            if (unit == NULL)
                return bad_value("ConnectTimeout", value, expected, err);
            which = (size_t)(unit - units);
            end++;
        }
        /* More than a day is as good as for ever, and as much as there can be. */
        total += number > 86400 ? 86400 : number * seconds[which];
        at = end;
    }
    if (total > 0 && options->connect_timeout[0] == '\0')
        snprintf(options->connect_timeout, sizeof options->connect_timeout, "--connect-timeout=%lu",
                 total > 86400 ? 86400 : total);
    return 0;
}

static int take_log_level(pq_rsh_options *options, char *value, pq_error *err)
{
    static const struct {
        const char *word;
        bool quiet;
        unsigned verbose;
    } levels[] = {{"QUIET", true, 0},   {"FATAL", true, 0},    {"ERROR", true, 0},
                  {"INFO", false, 0},   {"VERBOSE", false, 1}, {"DEBUG", false, 2},
                  {"DEBUG1", false, 2}, {"DEBUG2", false, 2},  {"DEBUG3", false, 2}};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (!is(value, levels[i].word))
            continue;
        if (!options->has_log_level) {
            options->quiet = options->quiet || levels[i].quiet;
            options->verbose += levels[i].verbose;
        }
        options->has_log_level = true;
        return 0;
    }
    return bad_value("LogLevel", value, "QUIET, FATAL, ERROR, INFO, VERBOSE or DEBUG", err);
}

static int take_clear(pq_rsh_options *options, char *value, pq_error *err)
{
    bool yes;
    if (yes_or_no("ClearAllForwardings", value, &yes, err) < 0)
        return -1;
    options->clears_forwardings = options->clears_forwardings || yes;
    return 0;
}

static int take_forwarding(pq_rsh_options *options, char *value, pq_error *err)
{
    (void)err;
    if (!is(value, "none"))
        options->forwarding = "LocalForward, RemoteForward and DynamicForward";
    return 0;
}

static int take_tunnel(pq_rsh_options *options, char *value, pq_error *err)
{
    (void)err;
    if (!is(value, "no") && !is(value, "false"))
        options->forwarding = "Tunnel";
    return 0;
}

/* Cuts the next word out of *text, which may stand in double quotes as a whole or from the "=" on;
 * NULL at the end. */
static char *next_word(char **text)
{
    char *from = *text + strspn(*text, BLANKS), *to = from, *word = from;
    if (*from == '\0')
        return NULL;
    for (bool quoted = false; *from != '\0' && (quoted || strchr(BLANKS, *from) == NULL); from++) {
        if (*from == '"')
            quoted = !quoted;
        else
            *to++ = *from;
    }
    *text = from + (*from != '\0');
    *to = '\0';
    return word;
}

static int take_send_env(pq_rsh_options *options, char *value, pq_error *err)
{
    for (char *word; (word = next_word(&value)) != NULL;) {
        if (pq_rsh_options_add(&options->send_env, &options->send_env_count, word, err) < 0)
            return -1;
    }
    return 0;
}

static int take_set_env(pq_rsh_options *options, char *value, pq_error *err)
{
    for (char *word; (word = next_word(&value)) != NULL;) {
        if (strchr(word, '=') == NULL)
            return bad_value("SetEnv", word, "NAME=VALUE", err);
        if (pq_rsh_options_add(&options->env, &options->env_count, word, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- the keys ---- */

typedef struct key {
    const char *name;
    int (*take)(pq_rsh_options *options, char *value, pq_error *err);
    bool whole; /* the value is the rest of the line, quotes and all */
} key;

static const key keys[] = {
#define KEY(name, take, whole, ...) {name, take, whole},
#include "shim/rsh/options.def"
    /* Refused, unless the value asks for nothing. */
    {"DynamicForward", take_forwarding, false},
    {"ForkAfterAuthentication", take_background, false},
    {"LocalForward", take_forwarding, false},
    {"RemoteForward", take_forwarding, false},
    {"Tunnel", take_tunnel, false},
};

/* Splits "Key=Value" and the like; the value is without blanks around it. NULL if there is none. */
static char *split(char *text)
{
    char *value = text + strcspn(text, "=" BLANKS);
    char *end = value;
    value += strspn(value, BLANKS);
    if (*value == '=')
        value += 1 + strspn(value + 1, BLANKS);
    *end = '\0';
    for (char *last = value + strlen(value); last > value && strchr(BLANKS, last[-1]) != NULL;)
        *--last = '\0';
    return *value != '\0' ? value : NULL;
}

/* "pve.NAME=VALUE", "pve.NAME VALUE" or "pve.NAME" -> "--NAME=VALUE" or "--NAME", in place: a
 * secret must be wiped where the system shows it. */
static int take_own(pq_rsh_options *options, char *text, pq_error *err)
{
    char *option = text + 2, *value = split(text);
    size_t length = strlen(text);
    option[0] = option[1] = '-';
    if (value != NULL) {
        text[length] = '=';
        memmove(text + length + 1, value, strlen(value) + 1);
    }
    return pq_rsh_options_add(&options->own, &options->own_count, option, err);
}

int pq_rsh_options_take_key(pq_rsh_options *options, char *text, pq_error *err)
{
    text += strspn(text, BLANKS);
    if (strncasecmp(text, "pve.", 4) == 0)
        return take_own(options, text, err);
    char *value = split(text);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (!is(text, keys[i].name))
            continue;
        if (value == NULL)
            return pq_fail(err, PQ_E_USAGE, "-o %s needs a value", keys[i].name);
        return keys[i].take(options, keys[i].whole ? value : next_word(&value), err);
    }
    return 0; /* about how ssh gets to its host, or unknown */
}

bool pq_rsh_options_sends(const pq_rsh_options *options, const char *name, size_t length)
{
    char copy[256];
    bool sends = false;
    if (length == 0 || length >= sizeof copy)
        return false;
    memcpy(copy, name, length);
    copy[length] = '\0';
    for (size_t i = 0; i < options->send_env_count; i++) {
        const char *pattern = options->send_env[i];
        bool negated = pattern[0] == '-';
        if (fnmatch(pattern + negated, copy, 0) == 0)
            sends = !negated;
    }
    return sends;
}
