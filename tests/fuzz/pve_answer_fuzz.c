/*
 * What a server can put into the bodies of its answers.
 *
 * The first byte chooses how the body is read, the second the status of a refusal. Whatever comes,
 * it must be taken with values in their bounds or be refused with a whole error; what a call that
 * only reads is told must not speak of effects. A violation aborts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/encode.h"
#include "transport/cluster/guests.h"
#include "transport/pve/answer.h"
#include "transport/pve/errors.h"
#include "transport/pve/request.h"

#define FILE_COUNT ((size_t)64)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void require_error(const pq_error *err)
{
    require(err->code > PQ_OK && err->code < PQ_E_COUNT && err->text[0] != '\0');
    require(pq_utf8_valid_length(err->text, strlen(err->text)) == strlen(err->text));
    require(strpbrk(err->text, "\n\r\033") == NULL);
}

static void read_status(const pq_json *value)
{
    pq_exec_status status = {0};
    pq_error err;
    if (pq_answer_status(value, &status, &err) < 0)
        require_error(&err);
    else
        require(status.exited || (status.out.length == 0 && status.err.length == 0));
    pq_buf_done(&status.out);
    pq_buf_done(&status.err);
}

static void read_query(const pq_json *value)
{
    const pq_json *result = NULL;
    pq_error err;
    if (pq_answer_query(value, &result, &err) < 0)
        require_error(&err);
    else
        require(result != NULL && pq_json_member(result, "error") == NULL);
}

static void read_file(const pq_json *value, bool base64)
{
    pq_buf bytes = {0};
    pq_error err;
    bool eof;
    if (pq_answer_file(value, base64, FILE_COUNT, &bytes, &eof, &err) < 0)
        require_error(&err);
    else
        require(bytes.length <= FILE_COUNT);
    pq_buf_done(&bytes);
}

static void read_guests(const pq_json *value)
{
    pq_guests guests = {0};
    const pq_guest *guest = NULL;
    pq_error err;
    if (pq_guests_read(&guests, value, &err) < 0) {
        require_error(&err);
        return;
    }
    if (pq_guests_find(&guests, "web", NULL, &guest, &err) < 0)
        require_error(&err);
    else
        require(pq_is_node_name(guest->node) && !guest->container && !guest->is_template);
    pq_guests_done(&guests);
}

static void refuse(const pq_json *value, int status)
{
    for (int kind = PQ_API_EXEC; kind <= PQ_API_LOGIN; kind++) {
        pq_error err = {0};
        pq_api_refused((pq_api_kind)kind, status, "reason", value, &err);
        require_error(&err);
        require(err.effect == PQ_EFFECT_NONE || kind == PQ_API_EXEC || kind == PQ_API_STATUS);
    }
}

static void make_form(const char *text, size_t length)
{
    pq_buf json = {0}, form = {0};
    pq_error err;
    require(pq_buf_add(&json, text, length, &err) == 0);
    if (pq_request_form(&form, &json, &err) < 0)
        require_error(&err);
    else
        require(strspn(form.data, "command=") > 0 && strpbrk(form.data, " +;\"{") == NULL);
    pq_buf_done(&json);
    pq_buf_done(&form);
}

static void read_value(const pq_json *value, uint8_t how, int status)
{
    int64_t pid = -1;
    pq_error err;
    switch (how % 6) {
    case 0:
        require(pq_answer_pid(value, &pid, &err) < 0 || pid >= 0);
        read_query(value);
        break;
    case 1:
        read_status(value);
        break;
    case 2:
    case 3:
        read_file(value, how % 6 == 2);
        break;
    case 4:
        read_guests(value);
        break;
    default:
        refuse(value, status);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {400, 401, 403, 413, 500, 501, 506, 595, 596, 599, 302, 418};
    pq_buf text = {0};
    pq_error err;
    if (size < 3)
        return 0;
    make_form((const char *)data + 2, size - 2);
    require(pq_buf_add(&text, data + 2, size - 2, &err) == 0);
    pq_json *value = pq_json_parse(text.data, text.length, &err);
    if (value != NULL)
        read_value(value, data[0], statuses[data[1] % (sizeof statuses / sizeof statuses[0])]);
    pq_json_free(value);
    pq_buf_done(&text);
    return 0;
}
