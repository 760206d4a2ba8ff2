#include "transport/ssh/hostkey.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "transport/base/digest.h"
#include "transport/base/encode.h"

#define DEFAULT_PORT 22

/* Longest host name in a pattern list that is compared. */
#define NAME_MAX_BYTES 320

typedef struct span {
    const char *text;
    size_t length;
} span;

static bool span_is(span word, const char *text)
{
    return word.length == strlen(text) && memcmp(word.text, text, word.length) == 0;
}

/* The next word of `line`, which is moved behind it; empty at the end. */
static span next_word(span *line)
{
    while (line->length > 0 && (*line->text == ' ' || *line->text == '\t')) {
        line->text++;
        line->length--;
    }
    span word = {line->text, 0};
    while (word.length < line->length && word.text[word.length] != ' ' &&
           word.text[word.length] != '\t' && word.text[word.length] != '\r')
        word.length++;
    line->text += word.length;
    line->length -= word.length;
    return word;
}

bool pq_host_key_type(const void *key, size_t length, char type[PQ_KEY_TYPE_MAX + 1])
{
    const unsigned char *bytes = key;
    if (length < 4)
        return false;
    size_t name =
        (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
    if (name == 0 || name > PQ_KEY_TYPE_MAX || name > length - 4)
        return false;
    for (size_t i = 0; i < name; i++)
        if (!isgraph(bytes[4 + i]))
            return false;
    memcpy(type, bytes + 4, name);
    type[name] = '\0';
    return true;
}

int pq_host_keys_name(const pq_host_keys *keys, pq_buf *out, pq_error *err)
{
    size_t start = out->length;
    int failed = keys->port == DEFAULT_PORT
                     ? pq_buf_add_text(out, keys->host, err)
                     : pq_buf_printf(out, err, "[%s]:%u", keys->host, (unsigned)keys->port);
    for (size_t i = start; failed == 0 && i < out->length; i++)
        out->data[i] = (char)tolower((unsigned char)out->data[i]);
    return failed;
}

/* ---- the hosts of a line ---- */

/* Shell-like "*" and "?", without regard to case. `name` is in lower case. */
static bool glob_matches(span pattern, const char *name)
{
    size_t at = 0, star = SIZE_MAX;
    const char *retry = NULL;
    while (*name != '\0') {
        int want = at < pattern.length ? tolower((unsigned char)pattern.text[at]) : -1;
        if (want == '*') {
            star = at++;
            retry = name;
        } else if (want == '?' || want == (unsigned char)*name) {
            at++;
            name++;
        } else if (star != SIZE_MAX) {
            at = star + 1;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (at < pattern.length && pattern.text[at] == '*')
        at++;
    return at == pattern.length;
}

/* "|1|SALT|HASH": HASH is the HMAC of the name under SALT, both in base64. */
static int hash_matches(span hosts, const char *name, bool *ret, pq_error *err)
{
    unsigned char made[PQ_SHA1_BYTES];
    pq_buf salt = {0}, hash = {0};
    pq_error bad;
    const char *start = hosts.text + 3, *end = hosts.text + hosts.length;
    const char *bar = memchr(start, '|', (size_t)(end - start));
    int failed = 0;
    *ret = false;
    if (bar != NULL && pq_base64_decode(&salt, start, (size_t)(bar - start), &bad) == 0 &&
        pq_base64_decode(&hash, bar + 1, (size_t)(end - bar - 1), &bad) == 0 &&
        hash.length == sizeof made) {
        failed = pq_hmac_sha1(salt.data, salt.length, name, strlen(name), made, err);
        *ret = failed == 0 && memcmp(made, hash.data, sizeof made) == 0;
    }
    pq_buf_done(&salt);
    pq_buf_done(&hash);
    return failed;
}

static bool list_matches(span hosts, const char *name)
{
    bool found = false;
    while (hosts.length > 0) {
        const char *comma = memchr(hosts.text, ',', hosts.length);
        size_t length = comma != NULL ? (size_t)(comma - hosts.text) : hosts.length;
        span pattern = {hosts.text, length};
        bool negated = length > 0 && *pattern.text == '!';
        if (negated) {
            pattern.text++;
            pattern.length--;
        }
        if (pattern.length > 0 && glob_matches(pattern, name)) {
            if (negated)
                return false;
            found = true;
        }
        length += comma != NULL;
        hosts.text += length;
        hosts.length -= length;
    }
    return found;
}

static int hosts_match(span hosts, const char *name, bool *ret, pq_error *err)
{
    if (hosts.length > 3 && memcmp(hosts.text, "|1|", 3) == 0)
        return hash_matches(hosts, name, ret, err);
    *ret = list_matches(hosts, name);
    return 0;
}

/* ---- the key of a line ---- */

static bool is_this_key(const pq_host_keys *keys, span text)
{
    pq_buf key = {0};
    pq_error bad;
    bool same = keys->key != NULL && pq_base64_decode(&key, text.text, text.length, &bad) == 0 &&
                key.length == keys->key_length &&
                memcmp(key.data, keys->key, keys->key_length) == 0;
    pq_buf_done(&key);
    return same;
}

static void add_type(pq_host_keys *keys, span type)
{
    for (size_t i = 0; i < keys->type_count; i++)
        if (span_is(type, keys->types[i]))
            return;
    if (keys->type_count == PQ_HOST_KEY_TYPES || type.length > PQ_KEY_TYPE_MAX)
        return;
    char *name = keys->types[keys->type_count++];
    memcpy(name, type.text, type.length);
    name[type.length] = '\0';
}

static void note_place(pq_host_keys *keys, const char *file, unsigned line)
{
    snprintf(keys->where, sizeof keys->where, "%s:%u", file, line);
}

/* A line of this host's. */
static void take_line(pq_host_keys *keys, span type, span key, const char *file, unsigned number)
{
    char shown[PQ_KEY_TYPE_MAX + 1] = "";
    add_type(keys, type);
    if (keys->key == NULL)
        return;
    if (is_this_key(keys, key)) {
        keys->known = true;
    } else if (pq_host_key_type(keys->key, keys->key_length, shown) && span_is(type, shown)) {
        if (!keys->different && !keys->revoked)
            note_place(keys, file, number);
        keys->different = true;
    }
}

static int read_line(pq_host_keys *keys, span line, const char *name, const char *file,
                     unsigned number, pq_error *err)
{
    bool matches;
    span hosts = next_word(&line);
    bool revoked = span_is(hosts, "@revoked");
    if (hosts.length == 0 || *hosts.text == '#' || (*hosts.text == '@' && !revoked))
        return 0;
    if (revoked)
        hosts = next_word(&line);
    span type = next_word(&line);
    span key = next_word(&line);
    if (key.length == 0)
        return 0;
    if (hosts_match(hosts, name, &matches, err) < 0)
        return -1;
    if (!matches)
        return 0;
    if (!revoked) {
        take_line(keys, type, key, file, number);
    } else if (is_this_key(keys, key)) {
        note_place(keys, file, number);
        keys->revoked = true;
    }
    return 0;
}

int pq_host_keys_read(pq_host_keys *keys, const char *file, const char *text, size_t length,
                      pq_error *err)
{
    pq_buf name = {.maximum = NAME_MAX_BYTES};
    unsigned number = 0;
    int failed = pq_host_keys_name(keys, &name, err);
    while (failed == 0 && length > 0) {
        const char *end = memchr(text, '\n', length);
        size_t line = end != NULL ? (size_t)(end - text) : length;
        failed = read_line(keys, (span){text, line}, name.data, file, ++number, err);
        line += end != NULL;
        text += line;
        length -= line;
    }
    pq_buf_done(&name);
    return failed;
}
