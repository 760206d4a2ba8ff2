#include "tests/unit/support/guest_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "transport/base/digest.h"

static pq_error err;

const char *guest_file_script(pq_file_script which)
{
    static char texts[PQ_FILE_TREE_DROP + 1][16384];
    if (texts[which][0] == '\0') {
        pq_script script = {0};
        cr_assert_eq(pq_file_script_begin(&script, which, &err), 0);
        cr_assert_lt(strlen(script.argv[2]), sizeof texts[0]);
        strcpy(texts[which], script.argv[2]);
        pq_script_done(&script);
    }
    return texts[which];
}

void guest_file_rule(pq_file_script which, shell_call call, unsigned skip, unsigned times,
                     shell_fault fault, pq_code code)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = call,
                                               .part = guest_file_script(which),
                                               .skip = skip,
                                               .times = times,
                                               .fault = fault,
                                               .code = code});
}

void guest_must_have(const char *name, const void *bytes, size_t length, mode_t mode)
{
    size_t got = 0;
    struct stat info;
    char *content = guest_content(name, &got);
    cr_assert_not_null(content, "%s is not there", name);
    cr_assert_eq(got, length, "%s has %zu bytes", name, got);
    if (length > 0)
        cr_assert_arr_eq(content, bytes, length);
    free(content);
    cr_assert_eq(stat(guest_path("%s", name), &info), 0);
    cr_assert_eq(info.st_mode & 07777, mode, "%s has mode %o", name, info.st_mode & 07777);
}

const char *guest_sha256(const void *bytes, size_t length)
{
    static char hex[PQ_SHA256_HEX_SIZE];
    pq_sha256 *digest = pq_sha256_new(&err);
    cr_assert_not_null(digest);
    pq_sha256_add(digest, bytes, length);
    pq_sha256_hex(digest, hex);
    pq_sha256_free(digest);
    return hex;
}

void guest_limit_tmp(const char *size)
{
    char options[64];
    snprintf(options, sizeof options, "size=%s", size);
    if (mount("pq-test", guest.remote_tmp, "tmpfs", 0, options) != 0)
        cr_skip_test("cannot mount a tmpfs: %s", strerror(errno));
}

void guest_unlimit_tmp(void)
{
    cr_assert_eq(umount(guest.remote_tmp), 0, "%s", strerror(errno));
}
