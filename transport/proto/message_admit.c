#include "transport/proto/message.h"

static int admit_hello(const pq_message_session *session, const pq_message *message,
                       pq_rpc_code *code, pq_error *err)
{
    if (session->greeted)
        return pq_fail(err, PQ_E_PROTOCOL, "hello was said already");
    if (message->hello.version == PQ_PROTO_VERSION)
        return 0;
    *code = PQ_RPC_FAILED;
    return pq_fail(err, PQ_E_UNSUPPORTED, "protocol version %lld is not spoken here, only %d",
                   (long long)message->hello.version, PQ_PROTO_VERSION);
}

int pq_message_admit(const pq_message_session *session, pq_message *message, bool in_flight,
                     pq_rpc_code *ret_code, pq_error *err)
{
    if (!pq_id_is_set(&message->id))
        return 0;
    *ret_code = PQ_RPC_INVALID_REQUEST;
    if (in_flight) {
        pq_fail(err, PQ_E_PROTOCOL, "id %s is in flight already", message->id.json);
        message->id = (pq_id){0};
        return -1;
    }
    if (session->closing && message->method != PQ_METHOD_CANCEL)
        return pq_fail(err, PQ_E_PROTOCOL, "%s must not follow close",
                       pq_message_method_name(message->method));
    if (message->method == PQ_METHOD_HELLO)
        return admit_hello(session, message, ret_code, err);
    if (!session->greeted)
        return pq_fail(err, PQ_E_PROTOCOL, "hello must come first");
    return 0;
}
