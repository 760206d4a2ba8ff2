#include "transport/base/encode.h"

#include <stdbool.h>

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t pq_base64_length(size_t length)
{
    return (length + 2) / 3 * 4;
}

int pq_base64_encode(pq_buf *out, const void *bytes, size_t length, pq_error *err)
{
    const unsigned char *in = bytes;
    if (pq_buf_reserve(out, pq_base64_length(length), err) < 0)
        return -1;
    char *to = out->data + out->length;
    size_t i = 0;
    for (; i + 3 <= length; i += 3) {
        uint32_t group = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];
        *to++ = base64_alphabet[group >> 18];
        *to++ = base64_alphabet[group >> 12 & 63];
        *to++ = base64_alphabet[group >> 6 & 63];
        *to++ = base64_alphabet[group & 63];
    }
    if (i < length) {
        bool two = i + 1 < length;
        uint32_t group = (uint32_t)in[i] << 16 | (two ? (uint32_t)in[i + 1] << 8 : 0);
        *to++ = base64_alphabet[group >> 18];
        *to++ = base64_alphabet[group >> 12 & 63];
        *to++ = two ? base64_alphabet[group >> 6 & 63] : '=';
        *to++ = '=';
    }
    *to = '\0';
    out->length = (size_t)(to - out->data);
    return 0;
}

/* 0-63, 64 for '=', 65 for a line break, -1 for anything else. */
static int base64_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    switch (c) {
    case '+':
        return 62;
    case '/':
        return 63;
    case '=':
        return 64;
    case '\n':
    case '\r':
        return 65;
    default:
        return -1;
    }
}

int pq_base64_decode(pq_buf *out, const char *text, size_t length, pq_error *err)
{
    if (pq_buf_reserve(out, length / 4 * 3 + 3, err) < 0)
        return -1;
    unsigned char *to = (unsigned char *)out->data + out->length;
    uint32_t group = 0;
    unsigned digits = 0, padding = 0;
    for (size_t i = 0; i < length; i++) {
        int value = base64_value((unsigned char)text[i]);
        if (value == 65)
            continue;
        if (value < 0 || (padding > 0 && value != 64) || (value == 64 && digits < 2))
            return pq_fail(err, PQ_E_BAD_ANSWER, "bad base64 data");
        group = group << 6 | (value == 64 ? 0 : (uint32_t)value);
        if (value == 64)
            padding++;
        if (++digits < 4)
            continue;
        *to++ = (unsigned char)(group >> 16);
        if (padding < 2)
            *to++ = (unsigned char)(group >> 8);
        if (padding < 1)
            *to++ = (unsigned char)group;
        group = 0;
        digits = padding = 0;
    }
    if (digits != 0)
        return pq_fail(err, PQ_E_BAD_ANSWER, "base64 data ends early");
    *to = '\0';
    out->length = (size_t)((char *)to - out->data);
    return 0;
}

int pq_url_encode(pq_buf *out, const void *bytes, size_t length, pq_error *err)
{
    static const char hex[] = "0123456789ABCDEF";
    const unsigned char *in = bytes;
    if (pq_buf_reserve(out, 3 * length, err) < 0)
        return -1;
    char *to = out->data + out->length;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = in[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = hex[c >> 4];
            *to++ = hex[c & 15];
        }
    }
    *to = '\0';
    out->length = (size_t)(to - out->data);
    return 0;
}

int pq_latin1_to_utf8(pq_buf *out, const void *bytes, size_t length, pq_error *err)
{
    const unsigned char *in = bytes;
    if (pq_buf_reserve(out, 2 * length, err) < 0)
        return -1;
    char *to = out->data + out->length;
    for (size_t i = 0; i < length; i++) {
        if (in[i] < 0x80) {
            *to++ = (char)in[i];
        } else {
            *to++ = (char)(0xC0 | in[i] >> 6);
            *to++ = (char)(0x80 | (in[i] & 0x3F));
        }
    }
    *to = '\0';
    out->length = (size_t)(to - out->data);
    return 0;
}

int pq_utf8_to_latin1(pq_buf *out, const char *text, size_t length, pq_error *err)
{
    const unsigned char *in = (const unsigned char *)text;
    if (pq_buf_reserve(out, length, err) < 0)
        return -1;
    char *to = out->data + out->length;
    for (size_t i = 0; i < length; i++) {
        if (in[i] < 0x80) {
            *to++ = (char)in[i];
            continue;
        }
        if (i + 1 >= length || (in[i + 1] & 0xC0) != 0x80)
            return pq_fail(err, PQ_E_BAD_ANSWER, "bad UTF-8 in an answer");
        if (in[i] == 0xC2 || in[i] == 0xC3)
            *to++ = (char)((in[i] & 3) << 6 | (in[i + 1] & 0x3F));
        else if (in[i] == 0xC4 && in[i + 1] == 0x80)
            *to++ = '\0';
        else
            return pq_fail(err, PQ_E_BAD_ANSWER, "a character above U+00FF where bytes belong");
        i++;
    }
    *to = '\0';
    out->length = (size_t)(to - out->data);
    return 0;
}

/* Length of the valid character at `in`, 0 if there is none within `left` bytes. */
static size_t utf8_character(const unsigned char *in, size_t left)
{
    if (in[0] < 0x80)
        return 1;
    size_t length;
    uint32_t minimum, point;
    if ((in[0] & 0xE0) == 0xC0) {
        length = 2;
        minimum = 0x80;
        point = in[0] & 0x1F;
    } else if ((in[0] & 0xF0) == 0xE0) {
        length = 3;
        minimum = 0x800;
        point = in[0] & 0x0F;
    } else if ((in[0] & 0xF8) == 0xF0) {
        length = 4;
        minimum = 0x10000;
        point = in[0] & 0x07;
    } else {
        return 0;
    }
    if (length > left)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((in[i] & 0xC0) != 0x80)
            return 0;
        point = point << 6 | (in[i] & 0x3F);
    }
    bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    return point >= minimum && point <= 0x10FFFF && !surrogate ? length : 0;
}

size_t pq_utf8_valid_length(const char *text, size_t length)
{
    const unsigned char *in = (const unsigned char *)text;
    size_t done = 0;
    while (done < length) {
        size_t step = utf8_character(in + done, length - done);
        if (step == 0)
            break;
        done += step;
    }
    return done;
}
