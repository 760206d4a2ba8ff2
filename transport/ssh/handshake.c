/* From a connection to an open session: libssh2's view of it, host keys, the login. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "transport/base/digest.h"
#include "transport/base/encode.h"
#include "transport/ssh/hostkey.h"
#include "transport/ssh/memory.h"
#include "transport/ssh/session_internal.h"

/* ---- libssh2's view of the connection, and of the agent's socket, which is only its own ---- */

static LIBSSH2_SEND_FUNC(send_bytes)
{
    pq_ssh_session *session = *abstract;
    size_t sent = 0;
    if (socket != pq_stream_descriptor(session->stream)) {
        ssize_t done = send(socket, buffer, length, flags);
        return done >= 0 ? done : -errno;
    }
    if (session->lost.code != PQ_OK ||
        pq_stream_send(session->stream, buffer, length, &sent, &session->lost) < 0)
        return -EPIPE;
    return sent > 0 ? (ssize_t)sent : -EAGAIN;
}

static LIBSSH2_RECV_FUNC(receive_bytes)
{
    pq_ssh_session *session = *abstract;
    size_t received = 0;
    pq_stream_got got = PQ_STREAM_END;
    if (socket != pq_stream_descriptor(session->stream)) {
        ssize_t done = recv(socket, buffer, length, flags);
        return done >= 0 ? done : -errno;
    }
    if (session->lost.code != PQ_OK ||
        pq_stream_recv(session->stream, buffer, length, &received, &got, &session->lost) < 0)
        return -ECONNRESET;
    if (got == PQ_STREAM_WAIT)
        return -EAGAIN;
    session->heard = pq_now();
    session->received += received;
    if (got == PQ_STREAM_END)
        pq_fail_effect(&session->lost, PQ_E_NETWORK, PQ_EFFECT_NONE, true,
                       "the connection to %s was closed by the node", session->name);
    return (ssize_t)received;
}

void pq_ssh_last_text(LIBSSH2_SESSION *ssh, char *out, size_t size)
{
    char *text = NULL;
    int length = 0;
    if (libssh2_session_last_error(ssh, &text, &length, 0) == 0 || text == NULL || length <= 0)
        pq_error_clean(out, size, "no reason was given", 19);
    else
        pq_error_clean(out, size, text, (size_t)length);
}

bool pq_ssh_is_blocked(const pq_ssh_session *session)
{
    return (libssh2_session_block_directions(session->ssh) & LIBSSH2_SESSION_BLOCK_OUTBOUND) != 0;
}

bool pq_ssh_is_lost(const pq_ssh_session *session, int code, pq_error *err)
{
    char text[200];
    if (session->lost.code != PQ_OK) {
        *err = session->lost;
        return true;
    }
    switch (code) {
    case LIBSSH2_ERROR_SOCKET_NONE:
    case LIBSSH2_ERROR_SOCKET_SEND:
    case LIBSSH2_ERROR_SOCKET_RECV:
    case LIBSSH2_ERROR_SOCKET_DISCONNECT:
    case LIBSSH2_ERROR_SOCKET_TIMEOUT:
    case LIBSSH2_ERROR_BAD_SOCKET:
    case LIBSSH2_ERROR_PROTO:
    case LIBSSH2_ERROR_DECRYPT:
    case LIBSSH2_ERROR_ENCRYPT:
    case LIBSSH2_ERROR_INVALID_MAC:
    case LIBSSH2_ERROR_ALLOC:
    case LIBSSH2_ERROR_BAD_USE:
        pq_ssh_last_text(session->ssh, text, sizeof text);
        pq_fail_effect(err, PQ_E_NETWORK, PQ_EFFECT_NONE, true, "the SSH session with %s ended: %s",
                       session->name, text);
        return true;
    default:
        return false;
    }
}

/* ---- the handshake ---- */

/* Kinds of host keys, best first; rsa-sha2 needs libssh2 1.11 and is passed over by older ones. */
static const char *const key_methods[] = {"ssh-ed25519",
                                          "ecdsa-sha2-nistp256",
                                          "ecdsa-sha2-nistp384",
                                          "ecdsa-sha2-nistp521",
                                          "rsa-sha2-512",
                                          "rsa-sha2-256",
                                          "ssh-rsa"};

#define KEY_METHODS (sizeof key_methods / sizeof key_methods[0])

static bool is_known_method(const pq_host_keys *keys, const char *method)
{
    const char *type = strncmp(method, "rsa-", 4) == 0 ? "ssh-rsa" : method;
    for (size_t i = 0; i < keys->type_count; i++)
        if (strcmp(keys->types[i], type) == 0)
            return true;
    return false;
}

static bool is_supported(const char *const *supported, int count, const char *method)
{
    for (int i = 0; i < count; i++)
        if (strcmp(supported[i], method) == 0)
            return true;
    return false;
}

/* Asks for the kinds of keys first by which the node is known. libssh2 1.10 copies over itself
 * where a list has kinds that it does not know. */
static void prefer_known(pq_ssh_session *session, const pq_host_keys *keys)
{
    char list[256] = "";
    size_t length = 0;
    const char **supported = NULL;
    int count = libssh2_session_supported_algs(session->ssh, LIBSSH2_METHOD_HOSTKEY, &supported);
    for (int known = 1; known >= 0; known--)
        for (size_t i = 0; i < KEY_METHODS; i++)
            if (is_known_method(keys, key_methods[i]) == (known == 1) &&
                is_supported(supported, count, key_methods[i]))
                length += (size_t)snprintf(list + length, sizeof list - length, "%s%s",
                                           length > 0 ? "," : "", key_methods[i]);
    if (count > 0)
        libssh2_free(session->ssh, supported);
    if (length > 0)
        libssh2_session_method_pref(session->ssh, LIBSSH2_METHOD_HOSTKEY, list);
}

int pq_ssh_begin(pq_ssh_session *session, pq_error *err)
{
    pq_host_keys keys = {.host = session->host, .port = session->port};
    if (pq_host_keys_load(&keys, session->options->known_hosts, err) < 0)
        return -1;
    session->ssh =
        libssh2_session_init_ex(pq_ssh_alloc, pq_ssh_free_memory, pq_ssh_realloc, session);
    if (session->ssh == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    libssh2_session_callback_set(session->ssh, LIBSSH2_CALLBACK_SEND, (void *)send_bytes);
    libssh2_session_callback_set(session->ssh, LIBSSH2_CALLBACK_RECV, (void *)receive_bytes);
    libssh2_session_set_blocking(session->ssh, 0);
    prefer_known(session, &keys);
    session->heard = pq_now();
    return 0;
}

static int judge_host_key(pq_ssh_session *session, pq_error *err)
{
    pq_host_keys keys = {.host = session->host, .port = session->port};
    pq_buf print = {0};
    int type = 0;
    keys.key = libssh2_session_hostkey(session->ssh, &keys.key_length, &type);
    const char *hash = libssh2_hostkey_hash(session->ssh, LIBSSH2_HOSTKEY_HASH_SHA256);
    if (keys.key == NULL || hash == NULL)
        return pq_fail(err, PQ_E_HOST_KEY, "%s showed no host key", session->name);
    int failed = pq_buf_add_text(&print, "SHA256:", err);
    if (failed == 0)
        failed = pq_base64_encode(&print, hash, PQ_SHA256_BYTES, err);
    if (failed == 0) {
        print.data[print.length - 1] = '\0'; /* the padding, which ssh does not show */
        failed = pq_host_keys_load(&keys, session->options->known_hosts, err);
    }
    if (failed == 0)
        failed = pq_host_keys_judge(&keys, print.data, session->options->accept_new,
                                    session->options->known_hosts, err);
    pq_buf_done(&print);
    return failed;
}

int pq_ssh_shake_hands(pq_ssh_session *session, pq_error *err)
{
    char text[200];
    int code = libssh2_session_handshake(session->ssh, pq_stream_descriptor(session->stream));
    if (code == LIBSSH2_ERROR_EAGAIN)
        return 1;
    if (code == 0)
        return judge_host_key(session, err);
    if (session->lost.code == PQ_OK) {
        pq_ssh_last_text(session->ssh, text, sizeof text);
        return pq_fail(err, PQ_E_CONNECT, "no SSH session with %s: %s", session->name, text);
    }
    return pq_fail_effect(err, PQ_E_CONNECT, PQ_EFFECT_NONE, true,
                          "no SSH session with %s: it hung up; is this an SSH port?",
                          session->name);
}

int pq_ssh_log_in(pq_ssh_session *session, pq_error *err)
{
    char text[200];
    int code = 0;
    int result = pq_ssh_login_step(&session->login, session->ssh, session->name, &code, err);
    if (result >= 0 || code == 0)
        return result;
    if (session->lost.code != PQ_OK)
        return pq_fail(err, PQ_E_SSH_LOGIN, "%s hung up while we logged in as %s%s%s",
                       session->name, pq_ssh_login_user(session->options),
                       session->login.tried[0] != '\0' ? ": " : "", session->login.tried);
    pq_ssh_last_text(session->ssh, text, sizeof text);
    return pq_fail(err, PQ_E_SSH_LOGIN, "cannot log in as %s@%s: %s",
                   pq_ssh_login_user(session->options), session->name, text);
}
