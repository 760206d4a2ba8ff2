/* Configuration files; the only place that includes inih. */
#include <ini.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/config/internal.h"

/* inih keeps sections and names of up to 49 bytes and cuts longer ones without a word. */
#define SECTION_MAX 49

/* Gives inih one line at a time and knows, while it is handled, which one it is: inih tells the
 * handler neither its number nor that it cut something. */
typedef struct reader {
    pq_config *config;
    const pq_config_text_file *file;
    const char *next, *end;
    unsigned line;
    bool has_comment; /* " ;" in the line, where inih cuts the value */
    bool failed;      /* `err` is filled; the rest is not read */
    pq_error *err;
} reader;

__attribute__((format(printf, 3, 4))) static void fail_line(reader *r, pq_code code,
                                                            const char *format, ...)
{
    char text[PQ_ERROR_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pq_fail(r->err, code, "%.180s:%u: %s", r->file->name, r->line, text);
    r->failed = true;
}

static bool has_inline_comment(const char *line, size_t length)
{
    for (size_t i = 1; i < length; i++) {
        if (line[i] == ';' && (line[i - 1] == ' ' || line[i - 1] == '\t'))
            return true;
    }
    return false;
}

static bool line_is_usable(reader *r, const char *line, size_t length, size_t size)
{
    const char *close = memchr(line, ']', length);

    if (memchr(line, '\0', length) != NULL)
        fail_line(r, PQ_E_CONFIG, "a NUL byte");
    else if (length >= size)
        fail_line(r, PQ_E_CONFIG, "the line has more than %zu bytes", size - 1);
    else if (length > 0 && line[0] == '[' && close != NULL && close - line - 1 > SECTION_MAX)
        fail_line(r, PQ_E_CONFIG, "the section's name has more than %d bytes", SECTION_MAX);
    return !r->failed;
}

/* An ini_reader. White space in front goes: inih would take an indented line for more of the value
 * above. */
static char *read_line(char *out, int size, void *context)
{
    reader *r = context;
    const char *line = r->next, *line_end;
    size_t length;

    if (r->failed || line == r->end)
        return NULL;
    line_end = memchr(line, '\n', (size_t)(r->end - line));
    r->next = line_end != NULL ? line_end + 1 : r->end;
    r->line++;
    while (line < r->next && (*line == ' ' || *line == '\t'))
        line++;
    length = (size_t)(r->next - line);
    if (!line_is_usable(r, line, length, (size_t)size))
        return NULL;
    r->has_comment = has_inline_comment(line, length);
    memcpy(out, line, length);
    out[length] = '\0';
    return out;
}

/* "token-id" and "token_id" are the same key. */
static bool key_is(const char *key, const char *suffix, const char *name)
{
    size_t length = strlen(key);

    for (size_t i = 0; i < length; i++) {
        if (name[i] != key[i] && !(name[i] == '-' && key[i] == '_'))
            return false;
    }
    name += length;
    if (suffix[0] == '_' && name[0] == '-')
        return strcmp(name + 1, suffix + 1) == 0;
    return strcmp(name, suffix) == 0;
}

static unsigned find_key(const pq_config *config, const char *name, pq_secret_kind *ret_kind)
{
    const pq_option *option;

    for (unsigned id = 0; (option = pq_config_row(config, id)) != NULL; id++) {
        size_t kinds = option->type == PQ_TYPE_SECRET ? PQ_SECRET_KIND_COUNT : 1;

        for (size_t kind = 0; option->key != NULL && kind < kinds; kind++) {
            const char *suffix = pq_secret_ways[kind].key_suffix;

            if (suffix != NULL && key_is(option->key, suffix, name)) {
                *ret_kind = (pq_secret_kind)kind;
                return id;
            }
        }
    }
    return UINT_MAX;
}

/* A secret's own text or command is trusted only in a file that nobody else could read or have
 * written. */
static bool may_hold(reader *r, const char *name, const pq_option *option, pq_secret_kind kind)
{
    if (option->type != PQ_TYPE_SECRET || kind == PQ_SECRET_FILE)
        return true;
    if (!r->file->owned)
        fail_line(r, PQ_E_SECRET, "%s: not in a file that belongs to another user", name);
    else if (kind == PQ_SECRET_VALUE && (r->file->mode & 077) != 0)
        fail_line(r, PQ_E_SECRET,
                  "%s: not in a file that is open to other users (mode %04o); make it 0600, or use "
                  "%s_file",
                  name, r->file->mode & 07777, option->key);
    else if (kind == PQ_SECRET_COMMAND && (r->file->mode & 022) != 0)
        fail_line(r, PQ_E_SECRET, "%s: not in a file that others can write (mode %04o)", name,
                  r->file->mode & 07777);
    else if (kind == PQ_SECRET_VALUE && r->has_comment)
        fail_line(r, PQ_E_SECRET,
                  "%s: ';' behind a space begins a comment; use %s_file for such a "
                  "secret",
                  name, option->key);
    return !r->failed;
}

/* Sections: none and [defaults] give "", [vm NAME] gives NAME, others NULL. */
static const char *section_vm(const char *section)
{
    if (section[0] == '\0' || strcmp(section, "defaults") == 0)
        return "";
    if (strncmp(section, "vm ", 3) != 0)
        return NULL;
    section += 3;
    section += strspn(section, " \t");
    return section[0] != '\0' ? section : NULL;
}

/* "~/x" -> "$HOME/x" into `out`; other texts as they are. */
static const char *expand_home(const reader *r, const char *text, char *out, size_t size)
{
    int length;

    if (text[0] != '~' || text[1] != '/' || r->config->home == NULL)
        return text;
    length = snprintf(out, size, "%s%s", r->config->home, text + 1);
    return length > 0 && (size_t)length < size ? out : text;
}

static void take_key(reader *r, const char *vm, const char *name, const char *text)
{
    pq_secret_kind kind = PQ_SECRET_VALUE;
    unsigned id = find_key(r->config, name, &kind);
    const pq_option *option = id != UINT_MAX ? pq_config_row(r->config, id) : NULL;
    pq_origin origin = {r->file->source, name, r->file->name, r->line};
    char expanded[PATH_MAX];
    int failed;

    if (option == NULL) {
        char clean[60];

        pq_error_clean(clean, sizeof clean, name, strlen(name));
        fail_line(r, PQ_E_CONFIG, "unknown key '%s'", clean);
        return;
    }
    if (!may_hold(r, name, option, kind))
        return;
    if (kind == PQ_SECRET_FILE || option->type == PQ_TYPE_PATH)
        text = expand_home(r, text, expanded, sizeof expanded);
    if (vm[0] != '\0') {
        origin.source += PQ_SOURCE_SYSTEM_VM - PQ_SOURCE_SYSTEM_FILE;
        failed = pq_config_add_section_line(r->config, vm, id, kind, &origin, text, r->err);
    } else {
        failed = pq_config_offer(r->config, id, kind, &origin, text, r->err);
    }
    r->failed = failed < 0;
}

/* An ini_handler: 0 counts as an error of the file. */
static int handle(void *context, const char *section, const char *name, const char *value)
{
    reader *r = context;
    const char *vm = section_vm(section);
    char clean[80];

    if (r->failed)
        return 0;
    if (vm == NULL) {
        pq_error_clean(clean, sizeof clean, section, strlen(section));
        fail_line(r, PQ_E_CONFIG, "in unknown section [%s]: only [defaults] and [vm NAME] exist",
                  clean);
    } else if (name != NULL) { /* NULL: some builds of inih report the section by itself */
        take_key(r, vm, name, value != NULL ? value : "");
    }
    return !r->failed;
}

int pq_config_parse_file(pq_config *config, const pq_config_text_file *file, const char *text,
                         size_t length, pq_error *err)
{
    reader r = {.config = config, .file = file, .next = text, .end = text + length, .err = err};
    int bad_line;

    if (length > PQ_CONFIG_FILE_MAX)
        return pq_fail(err, PQ_E_CONFIG, "%.180s: the file has more than %zu bytes", file->name,
                       PQ_CONFIG_FILE_MAX);
    bad_line = ini_parse_stream(read_line, &r, handle, &r);
    if (bad_line < 0)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    /* inih goes on behind a line that it does not understand: that one is the first error. */
    if (bad_line > 0 && (!r.failed || (unsigned)bad_line < r.line)) {
        r.line = (unsigned)bad_line;
        fail_line(&r, PQ_E_CONFIG, "not `key = value`, [defaults] or [vm NAME]");
    }
    return r.failed ? -1 : 0;
}
