#include "transport/base/error.h"

#include <stdio.h>
#include <string.h>

#include "transport/base/encode.h"

static const struct {
    const char *name;
    int exit_status;
    const char *hint;
} codes[PQ_E_COUNT] = {
    [PQ_OK] = {"ok", 0, NULL},
#define X(code, text, exit, help) [PQ_E_##code] = {(text), (exit), (help)},
#include "transport/base/error_codes.def"
#undef X
};

static void cut_with_ellipsis(char text[PQ_ERROR_TEXT_MAX])
{
    size_t length = pq_utf8_boundary(text, PQ_ERROR_TEXT_MAX - 4);
    memcpy(text + length, "...", 4);
}

__attribute__((format(printf, 5, 0))) static void fill(pq_error *err, pq_code code,
                                                       pq_effect effect, bool retryable,
                                                       const char *format, va_list args)
{
    char text[PQ_ERROR_TEXT_MAX];
    int length = vsnprintf(text, sizeof text, format, args);
    if (length < 0)
        text[0] = '\0';
    else if ((size_t)length >= sizeof text)
        cut_with_ellipsis(text);
    err->code = code;
    err->effect = effect;
    err->retryable = retryable;
    /* Through a local, since the arguments may point into the old err->text. */
    memcpy(err->text, text, sizeof err->text);
}

int(pq_fail)(pq_error *err, pq_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, code, PQ_EFFECT_NONE, false, format, args);
    va_end(args);
    return -1;
}

int(pq_fail_effect)(pq_error *err, pq_code code, pq_effect effect, bool retryable,
                    const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, code, effect, retryable, format, args);
    va_end(args);
    return -1;
}

int(pq_error_prefix)(pq_error *err, const char *format, ...)
{
    char text[PQ_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof text)
        return -1;
    size_t used = (size_t)length;
    size_t old_length = strlen(err->text);
    bool cut = used + old_length >= sizeof text;
    memcpy(text + used, err->text, cut ? sizeof text - used : old_length + 1);
    if (cut)
        cut_with_ellipsis(text);
    memcpy(err->text, text, sizeof err->text);
    return -1;
}

void pq_error_clear(pq_error *err)
{
    memset(err, 0, sizeof *err);
}

const char *pq_effect_name(pq_effect effect)
{
    static const char *const names[] = {"none", "unknown", "done"};
    return names[effect];
}

const char *pq_code_name(pq_code code)
{
    return code >= 0 && code < PQ_E_COUNT ? codes[code].name : "internal";
}

const char *pq_code_hint(pq_code code)
{
    return code >= 0 && code < PQ_E_COUNT ? codes[code].hint : NULL;
}

int pq_code_exit_status(pq_code code)
{
    return code >= 0 && code < PQ_E_COUNT ? codes[code].exit_status : 255;
}

/* Whether the character is white space, a C0 control or, as terminals obey them too, a C1 control
 * (U+0080..U+009F). */
static bool is_blank_or_control(const char *character, size_t length)
{
    unsigned char first = (unsigned char)character[0];
    if (length == 1)
        return first <= 0x20 || first == 0x7F;
    return length == 2 && first == 0xC2 && (unsigned char)character[1] < 0xA0;
}

void pq_error_clean(char *out, size_t size, const char *text, size_t length)
{
    size_t used = 0;
    while (length > 0 && used + 1 < size) {
        size_t valid = pq_utf8_character(text, length);
        size_t step = valid > 0 ? valid : 1;
        if (used + step + 1 > size)
            break;
        if (valid == 0) {
            out[used++] = '?';
        } else if (is_blank_or_control(text, step)) {
            if (used > 0 && out[used - 1] != ' ')
                out[used++] = ' ';
        } else {
            memcpy(out + used, text, step);
            used += step;
        }
        text += step;
        length -= step;
    }
    while (used > 0 && out[used - 1] == ' ')
        used--;
    if (size > 0)
        out[used] = '\0';
}
