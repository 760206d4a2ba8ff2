#include "transport/config/value_text.h"

#include <string.h>
#include <strings.h>

/* The C locale's classes whatever locale the program has set. */
static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_alpha(c) || is_digit(c);
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

bool pq_text_is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if (is_control(*text))
            return false;
    }
    return true;
}

static bool is_name_of(const char *text, size_t length, const char *also)
{
    for (size_t i = 0; i < length; i++) {
        if (!is_alnum(text[i]) && strchr(also, text[i]) == NULL)
            return false;
    }
    return length > 0;
}

static bool is_address6(const char *text, size_t length)
{
    const char *colon = memchr(text, ':', length);

    /* One colon alone is HOST:PORT; the zone of a link-local address follows "%". */
    return colon != NULL && memchr(colon + 1, ':', length - (size_t)(colon - text) - 1) != NULL &&
           is_name_of(text, length, ":.%-_");
}

bool pq_text_is_host(const char *text)
{
    size_t length = strlen(text);

    if (length > 2 && text[0] == '[' && text[length - 1] == ']')
        return is_address6(text + 1, length - 2);
    return (is_name_of(text, length, ".-_") && is_alnum(text[0])) || is_address6(text, length);
}

/* A realm or token id: a letter, then letters, digits, ".", "-", "_". */
static bool is_id(const char *text, size_t length)
{
    return length >= 2 && is_alpha(text[0]) && is_name_of(text, length, ".-_");
}

bool pq_text_is_token_id(const char *text, size_t length)
{
    return is_id(text, length);
}

bool pq_text_is_user(const char *text)
{
    const char *at = strrchr(text, '@');
    const char *realm = at != NULL ? at + 1 : text;
    size_t realm_length = strcspn(realm, "!");

    if (at == NULL || at == text || !is_id(realm, realm_length))
        return false;
    for (const char *c = text; c < at; c++) {
        if (is_control(*c) || strchr(" :/", *c) != NULL)
            return false;
    }
    if (realm[realm_length] == '\0')
        return true;
    return is_id(realm + realm_length + 1, strlen(realm + realm_length + 1));
}

bool pq_text_is_node(const char *text)
{
    size_t length = strlen(text);

    return length <= 63 && is_name_of(text, length, "-") && text[0] != '-' &&
           text[length - 1] != '-';
}

static bool is_proxy_scheme(const char *text, size_t length)
{
    /* What libcurl takes. */
    static const char *const schemes[] = {"http",    "https",  "socks4",
                                          "socks4a", "socks5", "socks5h"};

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (length == strlen(schemes[i]) && strncasecmp(text, schemes[i], length) == 0)
            return true;
    }
    return false;
}

bool pq_text_is_proxy(const char *text)
{
    const char *mark = strstr(text, "://"), *host = mark != NULL ? mark + 3 : text;
    size_t length = strlen(host);

    if (text[0] == '\0')
        return true;
    if (mark != NULL && !is_proxy_scheme(text, (size_t)(mark - text)))
        return false;
    if (length > 0 && host[length - 1] == '/')
        length--;
    return is_name_of(host, length, ".-_:[]%");
}

bool pq_text_is_guest_path(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (is_control(*c) || (unsigned char)*c > 0x7e)
            return false;
    }
    return text[0] == '/';
}

bool pq_text_is_assignment(const char *text)
{
    const char *equals = strchr(text, '=');

    return equals != NULL && !is_digit(text[0]) && is_name_of(text, (size_t)(equals - text), "_");
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *found;

    if (c >= 'a' && c <= 'f')
        c = (char)(c - 'a' + 'A');
    found = c != '\0' ? strchr(digits, c) : NULL;
    return found != NULL ? *found : -1;
}

bool pq_text_read_fingerprint(const char *text, char out[PQ_FINGERPRINT_SIZE])
{
    bool colons = strlen(text) == PQ_FINGERPRINT_SIZE - 1;

    if (!colons && strlen(text) != 64)
        return false;
    for (size_t i = 0; i < 32; i++) {
        const char *pair = text + i * (colons ? 3 : 2);
        int high = hex_digit(pair[0]), low = hex_digit(pair[1]);

        if (high < 0 || low < 0 || (colons && i < 31 && pair[2] != ':'))
            return false;
        out[3 * i] = (char)high;
        out[3 * i + 1] = (char)low;
        out[3 * i + 2] = i < 31 ? ':' : '\0';
    }
    return true;
}
