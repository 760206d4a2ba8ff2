#include "transport/pve/request.h"

#include <inttypes.h>
#include <string.h>

#include "transport/base/encode.h"
#include "transport/base/json.h"

static bool is_ascii(const char *text)
{
    size_t length = strlen(text);
    uint64_t word, all = 0;
    /* Most of it is the text of large arguments. */
    for (; length >= sizeof word; text += sizeof word, length -= sizeof word) {
        memcpy(&word, text, sizeof word);
        all |= word;
    }
    for (; length > 0; text++, length--)
        all |= (unsigned char)*text;
    return (all & UINT64_C(0x8080808080808080)) == 0;
}

/* The JSON array of arguments. */
static int add_command(pq_buf *body, const char *const *argv, size_t *ret_args, pq_error *err)
{
    size_t args = 0;
    for (size_t i = 0; argv[i] != NULL; i++) {
        if (!is_ascii(argv[i]))
            return pq_fail(err, PQ_E_INTERNAL, "argument %zu has characters that are not ASCII", i);
        if (pq_buf_add_byte(body, i == 0 ? '[' : ',', err) < 0)
            return -1;
        size_t before = body->length;
        if (pq_json_write_text(body, argv[i], strlen(argv[i]), err) < 0)
            return -1;
        args += body->length - before - 2;
    }
    *ret_args = args;
    return pq_buf_add_byte(body, ']', err);
}

int pq_request_exec(pq_buf *body, const pq_exec_request *request, size_t *ret_args, pq_error *err)
{
    if (request->argv[0] == NULL || request->argv[0][0] == '\0')
        return pq_fail(err, PQ_E_INTERNAL, "no program to run");
    if (request->input_length > PQ_REQUEST_INPUT_MAX)
        return pq_fail(err, PQ_E_TOO_LARGE, "input of %zu bytes; the API takes %zu",
                       request->input_length, PQ_REQUEST_INPUT_MAX);
    if (pq_buf_add_text(body, "{\"command\":", err) < 0 ||
        add_command(body, request->argv, ret_args, err) < 0)
        return -1;
    if (request->input != NULL &&
        (pq_buf_add_text(body, ",\"input-data\":", err) < 0 ||
         pq_json_write_bytes(body, request->input, request->input_length, err) < 0))
        return -1;
    return pq_buf_add_byte(body, '}', err);
}

int pq_request_field(pq_buf *out, const char *name, const void *value, size_t length, pq_error *err)
{
    if ((out->length > 0 && pq_buf_add_byte(out, '&', err) < 0) ||
        pq_buf_add_text(out, name, err) < 0 || pq_buf_add_byte(out, '=', err) < 0)
        return -1;
    return pq_url_encode(out, value, length, err);
}

/* Splitting at NUL is asked for where repeated fields would not do. */
static int check_command(const pq_json *command, bool *ret_joined, pq_error *err)
{
    size_t count = 0;
    bool joined = false;
    const char *last = NULL;
    for (const pq_json *item = pq_json_first(command); item != NULL; item = pq_json_next(item)) {
        last = pq_json_string_value(item);
        if (last == NULL)
            return pq_fail(err, PQ_E_INTERNAL, "an argument that is no text");
        joined |= last[0] == '\0';
        count++;
    }
    if (last == NULL)
        return pq_fail(err, PQ_E_INTERNAL, "no program to run");
    if (last[0] == '\0')
        return pq_fail(err, PQ_E_UNSUPPORTED,
                       "this Proxmox VE release cannot pass on an empty last argument");
    *ret_joined = joined || count == 1;
    return 0;
}

/* "command=a%00b%00": the NUL at the end keeps a single argument from being split at spaces. */
static int add_joined(pq_buf *form, const pq_json *command, pq_error *err)
{
    if (pq_request_field(form, "command", "", 0, err) < 0)
        return -1;
    for (const pq_json *item = pq_json_first(command); item != NULL; item = pq_json_next(item)) {
        const char *arg = pq_json_string_value(item);
        if (pq_url_encode(form, arg, strlen(arg), err) < 0 || pq_buf_add_text(form, "%00", err) < 0)
            return -1;
    }
    return 0;
}

static int add_repeated(pq_buf *form, const pq_json *command, pq_error *err)
{
    for (const pq_json *item = pq_json_first(command); item != NULL; item = pq_json_next(item)) {
        const char *arg = pq_json_string_value(item);
        if (pq_request_field(form, "command", arg, strlen(arg), err) < 0)
            return -1;
    }
    return 0;
}

/* `text` has one character per byte, and U+0100 for NUL (transport/base/json.h). */
static int add_input(pq_buf *form, const char *text, pq_error *err)
{
    pq_buf bytes = {0}, utf8 = {0};
    int result = pq_utf8_to_latin1(&bytes, text, strlen(text), err);
    if (result == 0)
        result = pq_latin1_to_utf8(&utf8, bytes.data, bytes.length, err);
    if (result == 0)
        result = pq_request_field(form, "input-data", utf8.data, utf8.length, err);
    pq_buf_done(&bytes);
    pq_buf_done(&utf8);
    return result;
}

static int write_form(pq_buf *form, const pq_json *body, pq_error *err)
{
    const pq_json *command = pq_json_member(body, "command");
    const char *input = pq_json_text(body, "input-data");
    bool joined = false;
    if (check_command(command, &joined, err) < 0)
        return -1;
    if ((joined ? add_joined(form, command, err) : add_repeated(form, command, err)) < 0)
        return -1;
    return input != NULL ? add_input(form, input, err) : 0;
}

int pq_request_form(pq_buf *form, pq_buf *json, pq_error *err)
{
    pq_json *body = pq_json_parse(json->data, json->length, err);
    if (body == NULL)
        return -1;
    int result = write_form(form, body, err);
    pq_json_free(body);
    return result;
}

int pq_request_file_read(pq_buf *query, const char *path, bool ranges, uint64_t offset,
                         size_t count, pq_error *err)
{
    if (!is_ascii(path))
        return pq_fail(err, PQ_E_INTERNAL, "a file path has characters that are not ASCII");
    if (pq_request_field(query, "file", path, strlen(path), err) < 0)
        return -1;
    if (query->length > PQ_REQUEST_HEAD_MAX / 2)
        return pq_fail(err, PQ_E_TOO_LARGE, "a file path of %zu bytes", strlen(path));
    if (!ranges)
        return 0;
    return pq_buf_printf(query, err, "&decode=0&offset=%" PRIu64 "&count=%zu", offset, count);
}

int pq_request_write_head(pq_buf *out, const pq_request_head *head, size_t more, pq_error *err)
{
    if (pq_buf_reserve(out, PQ_REQUEST_HEAD_MAX + more, err) < 0 ||
        pq_buf_printf(out, err, "%s %s%s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: pve-qga-run/%s\r\n",
                      head->method, head->path, head->query != NULL ? "?" : "",
                      head->query != NULL ? head->query : "", head->host, PQ_VERSION) < 0)
        return -1;
    if (head->gzip && pq_buf_add_text(out, "Accept-Encoding: gzip\r\n", err) < 0)
        return -1;
    if (head->content_type != NULL &&
        pq_buf_printf(out, err, "Content-Type: %s\r\n", head->content_type) < 0)
        return -1;
    if (head->has_body)
        return pq_buf_printf(out, err, "Content-Length: %zu\r\n", head->content_length);
    return 0;
}
