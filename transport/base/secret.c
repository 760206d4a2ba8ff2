#include "transport/base/secret.h"

#include <string.h>
#include <sys/mman.h>

/* Secrets live on pages of their own, so that locking and leaving them out of core dumps touches
 * nothing else. */
static void *page_alloc(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    /* Both are extra protection: a small RLIMIT_MEMLOCK must not keep the program from working. */
    (void)mlock(pages, size);
#ifdef MADV_DONTDUMP
    (void)madvise(pages, size, MADV_DONTDUMP);
#endif
    return pages;
}

int pq_secret_set(pq_secret *secret, const char *text, size_t length, pq_error *err)
{
    if (length > PQ_SECRET_MAX)
        return pq_fail(err, PQ_E_TOO_LARGE, "a secret has more than %d bytes", PQ_SECRET_MAX);
    char *copy = page_alloc(length + 1);
    if (copy == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    pq_secret_done(secret);
    secret->text = copy;
    secret->length = length;
    return 0;
}

void pq_secret_done(pq_secret *secret)
{
    if (secret->text != NULL) {
        pq_wipe(secret->text, secret->length + 1);
        (void)munmap(secret->text, secret->length + 1);
    }
    secret->text = NULL;
    secret->length = 0;
}

bool pq_secret_is_set(const pq_secret *secret)
{
    return secret != NULL && secret->text != NULL && secret->length > 0;
}

const char *pq_secret_text(const pq_secret *secret)
{
    return secret != NULL && secret->text != NULL ? secret->text : "";
}

bool pq_secret_equal_bytes(const char *a, size_t a_length, const char *b, size_t b_length)
{
    volatile unsigned char differ = 0;
    if (a_length != b_length)
        return false;
    for (size_t i = 0; i < a_length; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}

bool pq_secret_equal(const pq_secret *a, const pq_secret *b)
{
    return pq_secret_equal_bytes(pq_secret_text(a), pq_secret_is_set(a) ? a->length : 0,
                                 pq_secret_text(b), pq_secret_is_set(b) ? b->length : 0);
}

void pq_wipe(void *memory, size_t length)
{
    explicit_bzero(memory, length);
}
