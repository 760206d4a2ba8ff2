#include "exec/quote.h"

#include <string.h>

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c <= 0x7E && c != '\\';
}

size_t pq_quote_escaped_length(const void *bytes, size_t length)
{
    const unsigned char *in = bytes;
    size_t total = 0;
    for (size_t i = 0; i < length; i++)
        total += is_plain(in[i]) ? 1 : in[i] == '\\' || in[i] == '\n' ? 2 : 5;
    return total;
}

int pq_quote_escape(pq_buf *out, const void *bytes, size_t length, pq_error *err)
{
    const unsigned char *in = bytes;
    if (pq_buf_reserve(out, pq_quote_escaped_length(bytes, length), err) < 0)
        return -1;
    char *to = out->data + out->length;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = in[i];
        if (is_plain(c)) {
            *to++ = (char)c;
            continue;
        }
        *to++ = '\\';
        if (c == '\\') {
            *to++ = '\\';
        } else if (c == '\n') {
            *to++ = 'n';
        } else {
            /* \0ooo is the one octal form that dash, bash and ash all read alike. */
            *to++ = '0';
            *to++ = (char)('0' + (c >> 6));
            *to++ = (char)('0' + (c >> 3 & 7));
            *to++ = (char)('0' + (c & 7));
        }
    }
    *to = '\0';
    out->length = (size_t)(to - out->data);
    return 0;
}

int pq_quote_shell(pq_buf *out, const char *text, pq_error *err)
{
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                               "@%_+=:,./-";
    if (text[0] != '\0' && strspn(text, safe) == strlen(text))
        return pq_buf_add_text(out, text, err);
    if (pq_buf_add_byte(out, '\'', err) < 0)
        return -1;
    for (const char *quote; (quote = strchr(text, '\'')) != NULL; text = quote + 1) {
        if (pq_buf_add(out, text, (size_t)(quote - text), err) < 0 ||
            pq_buf_add_text(out, "'\\''", err) < 0)
            return -1;
    }
    if (pq_buf_add_text(out, text, err) < 0)
        return -1;
    return pq_buf_add_byte(out, '\'', err);
}

int pq_quote_variable(pq_buf *out, const char *name, const char *value, pq_error *err)
{
    if (pq_buf_printf(out, err, "%s=", name) < 0 ||
        (value != NULL && pq_quote_shell(out, value, err) < 0))
        return -1;
    return pq_buf_add_byte(out, '\n', err);
}

bool pq_quote_is_assignment(const char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char digits[] = "0123456789";
    size_t length = strcspn(text, "=");
    if (text[length] != '=' || length == 0 || strchr(digits, text[0]) != NULL)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (strchr(letters, text[i]) == NULL && strchr(digits, text[i]) == NULL)
            return false;
    }
    return true;
}
