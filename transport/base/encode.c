#include "transport/base/encode.h"

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

/* clang-format off */
/* 64 + the digit's value; 0 for what is no digit. */
static const unsigned char base64_digits[256] = {
    ['A'] = 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76,
            77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89,
    ['a'] = 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 101, 102,
            103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115,
    ['0'] = 116, 117, 118, 119, 120, 121, 122, 123, 124, 125,
    ['+'] = 126, ['/'] = 127,
};

/* RFC 3986 "unreserved": what stands for itself everywhere in a URL. */
static const unsigned char url_plain[256] = {
    ['A'] = 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    ['a'] = 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    ['0'] = 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    ['-'] = 1, ['.'] = 1, ['_'] = 1, ['~'] = 1,
};
/* clang-format on */

/* Bytes that `text` stands for if it is valid. */
static size_t base64_decoded_length(const char *text, size_t length)
{
    size_t digits = 0;
    for (size_t i = 0; i < length; i++)
        digits += base64_digits[(unsigned char)text[i]] >> 6;
    return digits / 4 * 3 + digits % 4 * 3 / 4;
}

/* A block's end, or a block with line breaks in it: up to four characters that are not four
 * digits. Moves *at and *to; false if they are not base64. */
static bool base64_odd_block(const unsigned char **at, const unsigned char *end, unsigned char **to)
{
    uint32_t group = 0;
    unsigned count = 0, padding = 0;
    for (; *at < end && count < 4; ++*at) {
        unsigned char c = **at;
        if (c == '\n' || c == '\r')
            continue;
        if (c == '=' ? count < 2 : padding > 0 || base64_digits[c] == 0)
            return false;
        padding += c == '=';
        group = group << 6 | (base64_digits[c] & 63);
        count++;
    }
    if (count == 0)
        return true;
    if (count < 4)
        return false;
    *(*to)++ = (unsigned char)(group >> 16);
    if (padding < 2)
        *(*to)++ = (unsigned char)(group >> 8);
    if (padding < 1)
        *(*to)++ = (unsigned char)group;
    return true;
}

int pq_base64_decode(pq_buf *out, const char *text, size_t length, pq_error *err)
{
    if (pq_buf_reserve(out, base64_decoded_length(text, length), err) < 0)
        return -1;
    const unsigned char *at = (const unsigned char *)text, *end = at + length;
    unsigned char *to = (unsigned char *)out->data + out->length;
    while (at < end) {
        if (end - at >= 4) {
            unsigned a = base64_digits[at[0]], b = base64_digits[at[1]];
            unsigned c = base64_digits[at[2]], d = base64_digits[at[3]];
            if ((a & b & c & d) != 0) {
                *to++ = (unsigned char)(a << 2 | (b >> 4 & 3));
                *to++ = (unsigned char)(b << 4 | (c >> 2 & 15));
                *to++ = (unsigned char)(c << 6 | (d & 63));
                at += 4;
                continue;
            }
        }
        if (!base64_odd_block(&at, end, &to)) {
            out->data[out->length] = '\0';
            return pq_fail(err, PQ_E_BAD_ANSWER, "bad base64 data");
        }
    }
    *to = '\0';
    out->length = (size_t)((char *)to - out->data);
    return 0;
}

int pq_url_encode(pq_buf *out, const void *bytes, size_t length, pq_error *err)
{
    static const char hex[] = "0123456789ABCDEF";
    const unsigned char *in = bytes;
    size_t encoded = length;
    for (size_t i = 0; i < length; i++)
        encoded += url_plain[in[i]] ? 0 : 2;
    if (pq_buf_reserve(out, encoded, err) < 0)
        return -1;
    char *to = out->data + out->length;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = in[i];
        if (url_plain[c]) {
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
    size_t encoded = length;
    for (size_t i = 0; i < length; i++)
        encoded += in[i] >> 7;
    if (pq_buf_reserve(out, encoded, err) < 0)
        return -1;
    char *to = out->data + out->length;
    for (size_t i = 0; i < length; i++)
        to = pq_put_latin1(to, in[i]);
    *to = '\0';
    out->length = (size_t)(to - out->data);
    return 0;
}

/* Decodes up to `length` bytes; the end of what was written, or NULL with *problem set. */
static char *put_bytes(char *to, const unsigned char *in, size_t length, const char **problem)
{
    for (size_t i = 0; i < length; i++) {
        if (in[i] < 0x80) {
            *to++ = (char)in[i];
            continue;
        }
        if (i + 1 >= length || (in[i + 1] & 0xC0) != 0x80) {
            *problem = "bad UTF-8 in an answer";
            return NULL;
        }
        if (in[i] == 0xC2 || in[i] == 0xC3) {
            *to++ = (char)((in[i] & 3) << 6 | (in[i + 1] & 0x3F));
        } else if (in[i] == 0xC4 && in[i + 1] == 0x80) {
            *to++ = '\0';
        } else {
            *problem = "a character above U+00FF where bytes belong";
            return NULL;
        }
        i++;
    }
    return to;
}

/* Bytes that `length` bytes of UTF-8 can stand for at most. */
static size_t characters(const unsigned char *in, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += (in[i] & 0xC0) != 0x80;
    return count;
}

int pq_utf8_to_latin1(pq_buf *out, const char *text, size_t length, pq_error *err)
{
    const unsigned char *in = (const unsigned char *)text;
    const char *problem = NULL;
    if (pq_buf_reserve(out, characters(in, length), err) < 0)
        return -1;
    char *end = put_bytes(out->data + out->length, in, length, &problem);
    if (end == NULL) {
        out->data[out->length] = '\0';
        return pq_fail(err, PQ_E_BAD_ANSWER, "%s", problem);
    }
    *end = '\0';
    out->length = (size_t)(end - out->data);
    return 0;
}

size_t pq_utf8_character(const char *text, size_t left)
{
    const unsigned char *in = (const unsigned char *)text;
    if (left == 0)
        return 0;
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
    size_t done = 0, step;
    while ((step = pq_utf8_character(text + done, length - done)) > 0)
        done += step;
    return done;
}

size_t pq_utf8_boundary(const char *text, size_t length)
{
    size_t back = 0;
    while (back < 3 && back < length && ((unsigned char)text[length - back] & 0xC0) == 0x80)
        back++;
    return ((unsigned char)text[length - back] & 0xC0) == 0xC0 ? length - back : length;
}
