#include "shim/inventory/ansible_text.h"

#include <stdio.h>
#include <string.h>

#include "transport/base/encode.h"
#include "transport/base/json.h"

#define ALPHANUMERIC "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static bool is_beyond_ascii(char c)
{
    return ((unsigned char)c & 0x80) != 0;
}

/* Whether no template of Ansible's can be in it. */
static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if (!is_beyond_ascii(*text) && strchr(ALPHANUMERIC " ._:;,/+-@()", *text) == NULL)
            return false;
    }
    return true;
}

int pq_ansible_write_text(pq_buf *out, const char *text, pq_error *err)
{
    char clean[PQ_ANSIBLE_TEXT_MAX + 1];
    pq_error_clean(clean, sizeof clean, text, strlen(text));
    if (is_plain(clean))
        return pq_json_write_text(out, clean, strlen(clean), err);
    if (pq_buf_add_text(out, "{\"__ansible_unsafe\":", err) < 0 ||
        pq_json_write_text(out, clean, strlen(clean), err) < 0)
        return -1;
    return pq_buf_add_byte(out, '}', err);
}

void pq_ansible_host_name(char out[PQ_ANSIBLE_HOST_SIZE], const char *text)
{
    pq_error_clean(out, PQ_ANSIBLE_HOST_SIZE, text, strlen(text));
    for (char *c = out; *c != '\0'; c++) {
        bool stays =
            is_beyond_ascii(*c) || strchr(ALPHANUMERIC "._", *c) != NULL || (*c == '-' && c != out);
        if (!stays)
            *c = '_';
    }
}

void pq_ansible_group_name(char out[PQ_ANSIBLE_GROUP_SIZE], const char *prefix, const char *text)
{
    size_t left = strlen(text);
    int start = snprintf(out, PQ_ANSIBLE_GROUP_SIZE, "%s", prefix);
    size_t used = (size_t)start;
    while (left > 0 && used + 1 < PQ_ANSIBLE_GROUP_SIZE) {
        size_t valid = pq_utf8_character(text, left);
        size_t step = valid > 0 ? valid : 1;
        bool stays = step == 1 && strchr(ALPHANUMERIC, *text) != NULL;
        out[used++] = stays ? *text : '_';
        text += step;
        left -= step;
    }
    out[used] = '\0';
}
