/* Each type's good and bad values, as they come through the environment or a program's option. */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/secret.h"
#include "transport/config/value.h"
#include "transport/config/value_text.h"

typedef struct sample {
    unsigned id;
    const char *text;
    const char *stored; /* NULL: refused */
    int64_t number;     /* INT64_MIN: not looked at */
} sample;

#define TEXT(id, text, stored)                                                                     \
    {                                                                                              \
        PQ_OPT_##id, text, stored, INT64_MIN                                                       \
    }
#define NUMBER(id, text, number)                                                                   \
    {                                                                                              \
        PQ_OPT_##id, text, text, number                                                            \
    }
#define BAD(id, text)                                                                              \
    {                                                                                              \
        PQ_OPT_##id, text, NULL, INT64_MIN                                                         \
    }

static void check(const pq_option *option, const sample *s)
{
    char *stored = NULL;
    int64_t number = 0;
    pq_value_result result = pq_value_parse(option, s->text, &stored, &number);

    if (s->stored == NULL) {
        cr_expect_neq(result, PQ_VALUE_OK, "%s: '%s' was accepted", option->name, s->text);
    } else {
        cr_expect_eq(result, PQ_VALUE_OK, "%s: '%s' was refused", option->name, s->text);
        if (result == PQ_VALUE_OK)
            cr_expect_str_eq(stored, s->stored);
        if (s->number != INT64_MIN)
            cr_expect_eq(number, s->number, "%s: '%s' gave %lld", option->name, s->text,
                         (long long)number);
    }
    free(stored);
}

#define CHECK_ALL(samples)                                                                         \
    do {                                                                                           \
        for (size_t i = 0; i < sizeof(samples) / sizeof(samples)[0]; i++)                          \
            check(&pq_options[(samples)[i].id], &(samples)[i]);                                    \
    } while (0)

Test(config_value, numbers)
{
    static const sample samples[] = {
        NUMBER(PORT, "1", 1),
        NUMBER(PORT, "65535", 65535),
        NUMBER(PORT, "08006", 8006),
        BAD(PORT, "0"),
        BAD(PORT, "65536"),
        BAD(PORT, ""),
        BAD(PORT, "-1"),
        BAD(PORT, "+1"),
        BAD(PORT, " 1"),
        BAD(PORT, "1 "),
        BAD(PORT, "0x10"),
        BAD(PORT, "1e3"),
        BAD(PORT, "8006/"),
        BAD(PORT, "99999999999999999999999"),
        NUMBER(CALLS_PER_VM, "64", 64),
        BAD(CALLS_PER_VM, "65"),
        BAD(CALLS_PER_NODE, "0"),
    };
    CHECK_ALL(samples);
}

Test(config_value, durations)
{
    static const sample samples[] = {
        NUMBER(TIMEOUT, "0", 0),
        NUMBER(TIMEOUT, "90", 90000),
        NUMBER(TIMEOUT, "90s", 90000),
        NUMBER(TIMEOUT, "2.5", 2500),
        NUMBER(TIMEOUT, "0.001", 1),
        NUMBER(TIMEOUT, "1.23456", 1234),
        NUMBER(TIMEOUT, "10m", 600000),
        NUMBER(TIMEOUT, "1.5m", 90000),
        NUMBER(TIMEOUT, "1h", 3600000),
        NUMBER(TIMEOUT, "0.25h", 900000),
        NUMBER(TIMEOUT, "31536000", INT64_C(31536000000)),
        BAD(TIMEOUT, "31536001"),
        BAD(TIMEOUT, "31536000h"),
        BAD(TIMEOUT, ""),
        BAD(TIMEOUT, "s"),
        BAD(TIMEOUT, "-1"),
        BAD(TIMEOUT, "1d"),
        BAD(TIMEOUT, "1."),
        BAD(TIMEOUT, ".5"),
        BAD(TIMEOUT, "1.2.3"),
        BAD(TIMEOUT, "1 s"),
        BAD(TIMEOUT, "1.x"),
        BAD(TIMEOUT, "1ms"),
        BAD(TIMEOUT, "99999999999999999999"),
        BAD(CALL_TIMEOUT, "0.999"),
        NUMBER(CALL_TIMEOUT, "1", 1000),
    };
    CHECK_ALL(samples);
}

Test(config_value, booleans)
{
    static const char *const words[] = {"true", "YES", "On", "1", "y", "T"};
    static const char *const opposites[] = {"false", "NO", "Off", "0", "n", "F"};
    static const sample bad[] = {BAD(VALIDATE_CERTS, ""), BAD(VALIDATE_CERTS, "2"),
                                 BAD(VALIDATE_CERTS, "tru"), BAD(VALIDATE_CERTS, "yes ")};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        check(&pq_options[PQ_OPT_VALIDATE_CERTS], &(sample){0, words[i], "true", 1});
        check(&pq_options[PQ_OPT_VALIDATE_CERTS], &(sample){0, opposites[i], "false", 0});
    }
    CHECK_ALL(bad);
}

Test(config_value, hosts)
{
    static const sample samples[] = {
        TEXT(HOST, "pve1", "pve1"),
        TEXT(HOST, "pve-1.example.org", "pve-1.example.org"),
        TEXT(HOST, "192.0.2.1", "192.0.2.1"),
        TEXT(HOST, "2001:db8::1", "2001:db8::1"),
        TEXT(HOST, "[2001:db8::1]", "2001:db8::1"),
        TEXT(HOST, "fe80::1%eth0", "fe80::1%eth0"),
        BAD(HOST, ""),
        BAD(HOST, "pve1:8006"),
        BAD(HOST, "[::1]:8006"),
        BAD(HOST, "[pve1]"),
        BAD(HOST, "https://pve1"),
        BAD(HOST, "pve1/"),
        BAD(HOST, "pve 1"),
        BAD(HOST, "user@pve1"),
        BAD(HOST, "-pve1"),
        BAD(HOST, "p\nve"),
    };
    CHECK_ALL(samples);
}

Test(config_value, users_and_tokens)
{
    static const sample samples[] = {
        TEXT(USER, "root@pam", "root@pam"),
        TEXT(USER, "root@pam!run", "root@pam!run"),
        TEXT(USER, "a@b.org@ldap-1", "a@b.org@ldap-1"),
        TEXT(USER, "odd!name@pve", "odd!name@pve"),
        BAD(USER, "root"),
        BAD(USER, "@pam"),
        BAD(USER, "root@"),
        BAD(USER, "root@pam!"),
        BAD(USER, "root@pam!1"),
        BAD(USER, "root@pam!a b"),
        BAD(USER, "ro ot@pam"),
        BAD(USER, "a:b@pam"),
        BAD(USER, "a\nb@pam"),
        TEXT(TOKEN_ID, "run-1", "run-1"),
        TEXT(TOKEN_ID, "root@pam!run", "root@pam!run"),
        BAD(TOKEN_ID, "root@pam!"),
        BAD(TOKEN_ID, "root@pam"),
        BAD(TOKEN_ID, "1run"),
        BAD(TOKEN_ID, ""),
    };
    CHECK_ALL(samples);
}

Test(config_value, nodes)
{
    static const sample samples[] = {
        TEXT(NODE, "pve1", "pve1"),
        TEXT(NODE, "a", "a"),
        BAD(NODE, ""),
        BAD(NODE, "pve_1"),
        BAD(NODE, "pve.1"),
        BAD(NODE, "-a"),
        BAD(NODE, "a-"),
        BAD(NODE, "../x"),
        BAD(NODE, "a234567890123456789012345678901234567890123456789012345678901234"),
    };
    CHECK_ALL(samples);
}

#define PAIRS7 "01:23:45:67:89:AB:CD:"
#define CANONICAL PAIRS7 PAIRS7 PAIRS7 PAIRS7 "EF:00:11:22"
#define BARE7 "0123456789abcd"
#define BARE BARE7 BARE7 BARE7 BARE7 "ef001122"

Test(config_value, fingerprints)
{
    static const sample samples[] = {
        TEXT(FINGERPRINT, CANONICAL, CANONICAL),
        TEXT(FINGERPRINT, BARE, CANONICAL),
        BAD(FINGERPRINT, ""),
        BAD(FINGERPRINT, BARE "0"),
        BAD(FINGERPRINT, CANONICAL ":33"),
        BAD(FINGERPRINT, PAIRS7 PAIRS7 PAIRS7 PAIRS7 "EF:00:11:2G"),
        BAD(FINGERPRINT, PAIRS7 PAIRS7 PAIRS7 PAIRS7 "EF:00:11-22"),
        BAD(FINGERPRINT, BARE7 BARE7 BARE7 BARE7 "ef00112 "),
    };
    CHECK_ALL(samples);
}

Test(config_value, proxies)
{
    static const sample samples[] = {
        TEXT(PROXY, "", ""),
        TEXT(PROXY, "proxy", "proxy"),
        TEXT(PROXY, "http://proxy.example:3128/", "http://proxy.example:3128/"),
        TEXT(PROXY, "SOCKS5H://[::1]:1080", "SOCKS5H://[::1]:1080"),
        BAD(PROXY, "ftp://proxy"),
        BAD(PROXY, "://proxy"),
        BAD(PROXY, "http://"),
        BAD(PROXY, "http://user:password@proxy"),
        BAD(PROXY, "user:password@proxy"),
        BAD(PROXY, "http://proxy/path"),
    };
    CHECK_ALL(samples);
}

Test(config_value, paths_enums_and_texts)
{
    static char long_path[PQ_VALUE_MAX + 2];
    static const sample samples[] = {
        TEXT(CA_FILE, "ca.pem", "ca.pem"),
        TEXT(CA_FILE, "/\xc3\xa9", "/\xc3\xa9"),
        BAD(CA_FILE, ""),
        BAD(CA_FILE, "a\tb"),
        BAD(CA_FILE, long_path),
        TEXT(REMOTE_TMP, "/var/tmp", "/var/tmp"),
        BAD(REMOTE_TMP, "tmp"),
        BAD(REMOTE_TMP, "/\xc3\xa9"),
        BAD(REMOTE_TMP, ""),
        TEXT(EXECUTABLE, "/bin/bash", "/bin/bash"),
        BAD(EXECUTABLE, "bash"),
        TEXT(TLS_MIN, "1.3", "1.3"),
        BAD(TLS_MIN, "1.1"),
        BAD(TLS_MIN, "1.2|1.3"),
        BAD(TLS_MIN, ""),
        TEXT(VIA, "api", "api"),
        TEXT(VIA, "ssh", "ssh"),
        BAD(VIA, "ss"),
        BAD(VIA, "-ssh"),
        TEXT(VMID, "my vm", "my vm"),
        BAD(VMID, "x\x1b[0m"),
    };
    memset(long_path, 'x', sizeof long_path - 1);
    CHECK_ALL(samples);
}

Test(config_value, types_of_programs)
{
    pq_option mode = {.name = "mode", .type = PQ_TYPE_MODE};
    pq_option assign = {.name = "env", .type = PQ_TYPE_ASSIGN};
    pq_option raw = {.name = "shell", .type = PQ_TYPE_RAW};

    check(&mode, &(sample){0, "0644", "0644", 0644});
    check(&mode, &(sample){0, "7777", "7777", 07777});
    check(&mode, &(sample){0, "10000", NULL, 0});
    check(&mode, &(sample){0, "648", NULL, 0});
    check(&mode, &(sample){0, "", NULL, 0});
    check(&assign, &(sample){0, "_A1=x=\ny", "_A1=x=\ny", INT64_MIN});
    check(&assign, &(sample){0, "A=", "A=", INT64_MIN});
    check(&assign, &(sample){0, "A", NULL, 0});
    check(&assign, &(sample){0, "=x", NULL, 0});
    check(&assign, &(sample){0, "1A=x", NULL, 0});
    check(&assign, &(sample){0, "A B=x", NULL, 0});
    check(&raw, &(sample){0, "", "", INT64_MIN});
    check(&raw, &(sample){0, "a\nb\xff", "a\nb\xff", INT64_MIN});
}

Test(config_value, secrets_are_one_line)
{
    static char longest[PQ_SECRET_MAX + 1];

    memset(longest, 's', sizeof longest);
    cr_expect(pq_value_is_secret("p\xc3\xa4ss w\tord", 11));
    cr_expect(pq_value_is_secret(longest, PQ_SECRET_MAX));
    cr_expect_not(pq_value_is_secret(longest, PQ_SECRET_MAX + 1));
    cr_expect_not(pq_value_is_secret("", 0));
    cr_expect_not(pq_value_is_secret("a\nb", 3));
    cr_expect_not(pq_value_is_secret("a\r", 2));
    cr_expect_not(pq_value_is_secret("a\0b", 3));
}
