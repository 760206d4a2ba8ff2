/* What comes from a node over SSH: the first byte chooses the reader. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport/cluster/addresses.h"
#include "transport/cluster/guests.h"
#include "transport/ssh/agent_json.h"
#include "transport/ssh/hostkey.h"
#include "transport/ssh/key_text.h"
#include "transport/ssh/relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void free_status(pq_exec_status *status)
{
    pq_buf_done(&status->out);
    pq_buf_done(&status->err);
}

static void read_qm(pq_qm_kind kind, pq_buf *bytes)
{
    pq_error err;
    pq_json *answer = NULL;
    pq_buf said = {0};
    pq_exec_status status = {0};
    pq_guests guests = {0};
    char address[PQ_ADDRESS_SIZE];
    int64_t pid;
    const char *end = bytes->length > 0 ? memchr(bytes->data, '\0', bytes->length) : NULL;
    int exit_status = end != NULL ? 255 : 0;
    if (end != NULL &&
        pq_buf_add(&said, end, (size_t)(bytes->data + bytes->length - end), &err) < 0)
        return;
    if (pq_qm_answer(kind, exit_status, bytes, &said, &answer, &err) == 0) {
        (void)pq_qm_read_pid(answer, &pid, &err);
        (void)pq_qm_read_status(answer, &status, &err);
        (void)pq_guests_read(&guests, answer, &err);
        (void)pq_address_in_status(answer, "pve1", address);
        (void)pq_address_in_network(answer, address);
        pq_json_free(answer);
    }
    free_status(&status);
    pq_guests_done(&guests);
    pq_buf_done(&said);
}

static void read_agent(pq_buf *bytes)
{
    pq_error err;
    pq_buf piece = {0};
    bool eof;
    pq_json *answer;
    const pq_json *value;
    pq_exec_status status = {0};
    if (bytes->length == 0)
        return;
    (void)pq_agent_json_read_bytes(bytes->data, bytes->length, 1000, &piece, &eof, &err);
    if (piece.length > 1000 && eof)
        abort();
    if (pq_agent_json_result(PQ_QM_STATUS, bytes->data, bytes->length, &answer, &value, &err) ==
        0) {
        (void)pq_agent_json_read_status(value, &status, &err);
        pq_json_free(answer);
    }
    free_status(&status);
    pq_buf_done(&piece);
}

static void read_relay(const pq_buf *bytes)
{
    pq_error err;
    pq_relay_answer answer;
    if (bytes->length > 0 && pq_relay_read(bytes->data, bytes->length, &answer, &err) == 1 &&
        (answer.start > bytes->length || answer.length > bytes->length - answer.start))
        abort();
}

static void read_keys(const pq_buf *bytes)
{
    pq_error err;
    pq_key_look look;
    pq_host_keys keys = {
        .host = "node", .port = 22, .key = bytes->data, .key_length = bytes->length};
    const char *text = bytes->data != NULL ? bytes->data : "";
    pq_key_look_at(text, strlen(text), &look);
    (void)pq_host_keys_read(&keys, "file", text, bytes->length, &err);
    if (keys.type_count > PQ_HOST_KEY_TYPES)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pq_error err;
    pq_buf bytes = {0};
    if (size == 0 || pq_buf_add(&bytes, data + 1, size - 1, &err) < 0)
        return 0;
    switch (data[0] % 6) {
    case 0:
        read_qm(PQ_QM_EXEC, &bytes);
        break;
    case 1:
        read_qm(PQ_QM_STATUS, &bytes);
        break;
    case 2:
        read_qm(PQ_QM_ASK, &bytes);
        break;
    case 3:
        read_agent(&bytes);
        break;
    case 4:
        read_relay(&bytes);
        break;
    default:
        read_keys(&bytes);
    }
    pq_buf_done(&bytes);
    return 0;
}
