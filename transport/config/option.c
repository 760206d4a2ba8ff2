#include "transport/config/option.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const pq_option pq_options[] = {
#define X(id, ...) [PQ_OPT_##id] = {__VA_ARGS__},
#include "transport/config/options.def"
#undef X
};

const pq_secret_way pq_secret_ways[PQ_SECRET_KIND_COUNT] = {
    [PQ_SECRET_VALUE] = {"", "", ""},
    [PQ_SECRET_FILE] = {"-file", "_file", "FILE"},
    [PQ_SECRET_FD] = {"-fd", NULL, "N"},
    [PQ_SECRET_COMMAND] = {"-command", "_command", "COMMAND"},
};

const char *pq_group_title(pq_group group)
{
    static const char *const titles[PQ_GROUP_COUNT] = {
        [PQ_GROUP_COMMAND] = "Options",
        [PQ_GROUP_SERVER] = "Server",
        [PQ_GROUP_LOGIN] = "Login",
        [PQ_GROUP_TLS] = "TLS and proxy",
        [PQ_GROUP_SSH] = "SSH",
        [PQ_GROUP_GUEST] = "Guest",
        [PQ_GROUP_LIMITS] = "Times and limits",
        [PQ_GROUP_GENERAL] = "General",
    };

    return titles[group];
}

bool pq_option_takes_value(const pq_option *option)
{
    return option->type != PQ_TYPE_FLAG && option->type != PQ_TYPE_COUNT &&
           option->type != PQ_TYPE_BOOL;
}

/* "1.2 or 1.3" of "1.2|1.3". */
static void list_values(const char *values, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    while (*values != '\0' && used < size) {
        size_t length = strcspn(values, "|");
        int added = snprintf(out + used, size - used, "%s%.*s", used > 0 ? " or " : "", (int)length,
                             values);

        used += added > 0 ? (size_t)added : 0;
        values += length + (values[length] == '|');
    }
}

void pq_option_expected(const pq_option *option, char *out, size_t size)
{
    static const char *const texts[] = {
        [PQ_TYPE_TEXT] = "printable text",
        [PQ_TYPE_RAW] = "text",
        [PQ_TYPE_HOST] = "a host name or address (without https:// and port)",
        [PQ_TYPE_USER] = "USER@REALM or USER@REALM!TOKENID, such as root@pam",
        [PQ_TYPE_TOKEN_ID] = "a token as USER@REALM!TOKENID, or only its name behind the !",
        [PQ_TYPE_NODE] = "a node's name (letters, digits and -)",
        [PQ_TYPE_FINGERPRINT] = "a SHA-256 fingerprint (32 pairs of hexadecimal digits)",
        [PQ_TYPE_PROXY] = "a proxy as [http|https|socks4|socks4a|socks5|socks5h://]HOST[:PORT]; "
                          "user and password go into proxy-userpwd",
        [PQ_TYPE_PATH] = "the path of a file",
        [PQ_TYPE_GUEST_PATH] = "an absolute path in ASCII",
        [PQ_TYPE_MODE] = "octal permissions, such as 0644",
        [PQ_TYPE_BOOL] = "true or false (or yes, no, on, off, 1, 0)",
        [PQ_TYPE_SECRET] = "one line of text",
        [PQ_TYPE_ASSIGN] = "NAME=VALUE with a name of letters, digits and _",
        [PQ_TYPE_FLAG] = "true or false",
        [PQ_TYPE_COUNT] = "a count",
    };

    switch (option->type) {
    case PQ_TYPE_INT:
        snprintf(out, size, "a whole number from %" PRId64 " to %" PRId64, option->minimum,
                 option->maximum);
        break;
    case PQ_TYPE_DURATION:
        snprintf(out, size,
                 "a time from %" PRId64 " to %" PRId64 " seconds, such as 90, 2.5, 10m or 1h",
                 option->minimum, option->maximum);
        break;
    case PQ_TYPE_ENUM:
        list_values(option->values, out, size);
        break;
    default:
        snprintf(out, size, "%s", texts[option->type]);
    }
}
