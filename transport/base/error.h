/*
 * Errors that carry their effect.   (transport/base: may use nothing of ours)
 *
 * An error says what failed, what that means for the guest (`effect`), whether trying again can
 * help (`retryable`), and one sentence for the user. It lives on the caller's stack and never
 * allocates. Whoever resends looks at `effect`: only PQ_EFFECT_NONE, or an operation declared
 * idempotent, may be sent again.
 *
 * Functions that can fail return 0, or -1 with *err filled; `err` is never NULL. Completion
 * callbacks get `const pq_error *err`, NULL on success.
 *
 * Messages hold no secrets: they are written from public values and from server texts that were
 * passed through pq_error_clean(). A message is one line of printable text without a full stop.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum pq_code {
    PQ_OK = 0,
#define X(name, text, exit, hint) PQ_E_##name,
#include "transport/base/error_codes.def"
#undef X
    PQ_E_COUNT
} pq_code;

/* What the failed operation did in the guest. */
typedef enum pq_effect {
    PQ_EFFECT_NONE = 0, /* certainly nothing */
    PQ_EFFECT_UNKNOWN,  /* it may have been done */
    PQ_EFFECT_DONE      /* it was done, only its result is lost or bad */
} pq_effect;

/* Bytes of a message with its NUL; longer texts are cut with "...". */
#define PQ_ERROR_TEXT_MAX 512

typedef struct pq_error {
    pq_code code;
    pq_effect effect;
    bool retryable;
    char text[PQ_ERROR_TEXT_MAX];
} pq_error;

/* Fills *err with effect "none", not retryable; returns -1 so that `return pq_fail(...)` works. */
int pq_fail(pq_error *err, pq_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with effect and retryable given. */
int pq_fail_effect(pq_error *err, pq_code code, pq_effect effect, bool retryable,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Puts "doing 'object': " style context in front of err's text. Returns -1. */
int pq_error_prefix(pq_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Lets the compiler see that these return -1, or it would warn of variables that are set only by
 * what did not fail. */
static inline int pq_minus_one(int result)
{
    (void)result;
    return -1;
}
#define pq_fail(...) pq_minus_one(pq_fail(__VA_ARGS__))
#define pq_fail_effect(...) pq_minus_one(pq_fail_effect(__VA_ARGS__))
#define pq_error_prefix(...) pq_minus_one(pq_error_prefix(__VA_ARGS__))

void pq_error_clear(pq_error *err);

/* "none", "unknown", "done". */
const char *pq_effect_name(pq_effect effect);

/* Stable name of a code as in the protocol, e.g. "vm-stopped". */
const char *pq_code_name(pq_code code);

/* What a user can do, or NULL. */
const char *pq_code_hint(pq_code code);

/* Exit status of a program that ends with this code. */
int pq_code_exit_status(pq_code code);

/* Makes `text` from a server or guest printable in one line: control characters become spaces,
 * invalid UTF-8 becomes '?', white space at the ends goes. `out` gets at most `size` bytes with its
 * NUL. */
void pq_error_clean(char *out, size_t size, const char *text, size_t length);
