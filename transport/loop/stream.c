#include "transport/loop/stream.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/digest.h"
#include "transport/base/log.h"
#include "transport/loop/loop_internal.h"
#include "transport/loop/stream_setup.h"

/* A TLS record's longest plaintext (RFC 8446, 5.1): one record per call costs nothing extra. */
#define CHUNK_BYTES 16384

/* The longest name in DNS, with dots. */
#define HOST_MAX 253

#define FINGERPRINT_DIGITS (2 * PQ_SHA256_BYTES)

typedef enum stream_state {
    STREAM_CONNECTING,
    STREAM_OPEN,
    STREAM_FAILED,
} stream_state;

struct pq_stream {
    pq_loop *loop;
    stream_state state;
    CURL *easy;
    pq_transfer transfer;
    pq_watch watch;
    int fd; /* libcurl's, for watching only; -1 unless open */
    pq_stream_connected connected;
    void *context;
    bool own_proxy;                           /* the options name a proxy */
    char peer[HOST_MAX + 16];                 /* host:port, for messages */
    char fingerprint[FINGERPRINT_DIGITS + 1]; /* upper-case digits, "" for none */
    char curl_text[CURL_ERROR_SIZE];

    /* OpenSSL wants a write that did not fit repeated from the same address, and libcurl passes
     * that on; so all writes are made from here. `chunk_length` is not 0 while one is unfinished.
     */
    size_t chunk_length;
    unsigned char chunk[CHUNK_BYTES];
};

static void set_state(pq_stream *stream, stream_state state)
{
    static const char *const names[] = {"connecting", "open", "failed"};

    stream->state = state;
    pq_trace("stream", PQ_TEXT("peer", stream->peer), PQ_TEXT("state", names[state]));
}

/* ---- options ---- */

static bool is_ipv6(const char *host)
{
    char address[INET6_ADDRSTRLEN];
    size_t length = strcspn(host, "%"); /* a zone follows */
    struct in6_addr parsed;

    if (length >= sizeof address)
        return false;
    memcpy(address, host, length);
    address[length] = '\0';
    return inet_pton(AF_INET6, address, &parsed) == 1;
}

/* Only what can be in a host name or address may get into the URL. */
static bool is_host(const char *host)
{
    size_t length = strlen(host);

    if (strchr(host, ':') != NULL && !is_ipv6(host))
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)host[i];
        if (byte < 0x80 && !isalnum(byte) && strchr(".-_:%", byte) == NULL)
            return false;
    }
    return length > 0 && length <= HOST_MAX;
}

/* Brings a fingerprint into one form: upper-case digits without colons. */
static bool read_fingerprint(const char *text, char out[FINGERPRINT_DIGITS + 1])
{
    size_t count = 0;

    for (; *text != '\0'; text++) {
        if (*text == ':')
            continue;
        if (!isxdigit((unsigned char)*text) || count == FINGERPRINT_DIGITS)
            return false;
        out[count++] = (char)toupper((unsigned char)*text);
    }
    out[count] = '\0';
    return count == FINGERPRINT_DIGITS;
}

static int read_options(pq_stream *stream, const pq_stream_options *options, pq_error *err)
{
    const char *host = options->host;
    const char *tls_min = options->tls_min;

    if (host == NULL || !is_host(host) || options->port == 0)
        return pq_fail(err, PQ_E_CONFIG, "not a host and port: '%s', %u", host != NULL ? host : "",
                       (unsigned)options->port);
    snprintf(stream->peer, sizeof stream->peer, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u",
             host, (unsigned)options->port);
    if (tls_min != NULL && strcmp(tls_min, "1.2") != 0 && strcmp(tls_min, "1.3") != 0)
        return pq_fail(err, PQ_E_CONFIG, "not a TLS version (1.2, 1.3): '%s'", tls_min);
    if (options->fingerprint != NULL &&
        !read_fingerprint(options->fingerprint, stream->fingerprint))
        return pq_fail(err, PQ_E_CONFIG, "not a SHA-256 fingerprint (64 hex digits): '%s'",
                       options->fingerprint);
    if (options->fingerprint != NULL && !options->tls)
        return pq_fail(err, PQ_E_CONFIG, "a fingerprint needs TLS");
    stream->own_proxy = options->proxy != NULL && options->proxy[0] != '\0';
    return 0;
}

/* ---- connecting ---- */

/* The server went away in the middle of the handshake, without a word about TLS. libcurl has the
 * same code for this as for what is wrong with the TLS, and says "in connection to" of it alone. */
static bool was_hung_up(const pq_stream *stream, CURLcode result)
{
    return result == CURLE_SSL_CONNECT_ERROR &&
           (strstr(stream->curl_text, " in connection to ") != NULL ||
            strstr(stream->curl_text, "unexpected eof") != NULL);
}

static pq_code code_of(const pq_stream *stream, CURLcode result)
{
    long proxy_answer = 0;
    long proxy_verify = 0;

    curl_easy_getinfo(stream->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_answer);
    curl_easy_getinfo(stream->easy, CURLINFO_PROXY_SSL_VERIFYRESULT, &proxy_verify);
    if (proxy_verify != 0 || (proxy_answer != 0 && proxy_answer / 100 != 2))
        return PQ_E_PROXY;
    if (was_hung_up(stream, result))
        return PQ_E_NETWORK;

    switch (result) {
    case CURLE_OUT_OF_MEMORY:
        return PQ_E_NOMEM;
    case CURLE_URL_MALFORMAT: /* a name that IDNA does not know how to write */
        return PQ_E_CONFIG;
    case CURLE_COULDNT_RESOLVE_HOST:
        return PQ_E_RESOLVE;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PROXY:
        return PQ_E_PROXY;
    case CURLE_OPERATION_TIMEDOUT:
        return PQ_E_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_PEER_FAILED_VERIFICATION:
        return PQ_E_TLS;
    default:
        /* Without an answer from a proxy of ours, the tunnel is not there yet. */
        return stream->own_proxy && proxy_answer == 0 ? PQ_E_PROXY : PQ_E_CONNECT;
    }
}

/* libcurl's text for an error. Its texts quote a proxy URL that it cannot read, password and all;
 * those are left out. */
static void describe(const pq_stream *stream, CURLcode result, char out[CURL_ERROR_SIZE])
{
    const char *text = stream->curl_text;

    if (text[0] == '\0' || strchr(text, '@') != NULL || strstr(text, "://") != NULL)
        text = curl_easy_strerror(result);
    pq_error_clean(out, CURL_ERROR_SIZE, text, strlen(text));
}

static int fail_connect(const pq_stream *stream, CURLcode result, pq_error *err)
{
    char cause[CURL_ERROR_SIZE];
    pq_code code = code_of(stream, result);
    bool retryable = code == PQ_E_RESOLVE || code == PQ_E_CONNECT || code == PQ_E_TIMEOUT ||
                     code == PQ_E_NETWORK;

    describe(stream, result, cause);
    return pq_fail_effect(err, code, PQ_EFFECT_NONE, retryable, "connecting to %s: %s",
                          stream->peer, cause);
}

/* The server's own certificate, as PEM text in libcurl's memory, or NULL. */
static const char *server_certificate(const pq_stream *stream)
{
    static const char label[] = "Cert:";
    struct curl_certinfo *info = NULL;

    if (curl_easy_getinfo(stream->easy, CURLINFO_CERTINFO, &info) != CURLE_OK || info == NULL ||
        info->num_of_certs < 1)
        return NULL;
    for (const struct curl_slist *line = info->certinfo[0]; line != NULL; line = line->next)
        if (strncmp(line->data, label, sizeof label - 1) == 0)
            return line->data + sizeof label - 1;
    return NULL;
}

static int check_fingerprint(const pq_stream *stream, pq_error *err)
{
    char shown[96];
    char digits[FINGERPRINT_DIGITS + 1];
    const char *pem = server_certificate(stream);

    if (pem == NULL)
        return pq_fail(err, PQ_E_TLS, "connecting to %s: the server showed no certificate",
                       stream->peer);
    if (pq_certificate_fingerprint(pem, shown, err) < 0)
        return pq_error_prefix(err, "connecting to %s: ", stream->peer);
    if (!read_fingerprint(shown, digits) || strcmp(digits, stream->fingerprint) != 0)
        return pq_fail(err, PQ_E_FINGERPRINT,
                       "connecting to %s: the certificate is another one, its fingerprint is %s",
                       stream->peer, shown);
    return 0;
}

static int accept_connection(pq_stream *stream, CURLcode result, pq_error *err)
{
    curl_socket_t fd = CURL_SOCKET_BAD;

    if (result != CURLE_OK)
        return fail_connect(stream, result, err);
    if (stream->fingerprint[0] != '\0' && check_fingerprint(stream, err) < 0)
        return -1;
    if (curl_easy_getinfo(stream->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
        fd == CURL_SOCKET_BAD)
        return fail_connect(stream, CURLE_COULDNT_CONNECT, err);
    stream->fd = fd;
    stream->curl_text[0] = '\0'; /* of an address that did not work */
    return 0;
}

static void end_connecting(void *context, CURLcode result)
{
    pq_stream *stream = context;
    pq_error err;

    if (accept_connection(stream, result, &err) < 0) {
        pq_transfer_stop(&stream->transfer);
        set_state(stream, STREAM_FAILED);
        stream->connected(stream->context, &err);
        return;
    }
    set_state(stream, STREAM_OPEN);
    stream->connected(stream->context, NULL);
}

pq_ms pq_stream_round_trip(const pq_stream *stream)
{
    curl_off_t resolved = 0, answered = 0;
    if (stream->state != STREAM_OPEN ||
        curl_easy_getinfo(stream->easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved) != CURLE_OK ||
        curl_easy_getinfo(stream->easy, CURLINFO_CONNECT_TIME_T, &answered) != CURLE_OK ||
        answered <= resolved)
        return 0;
    return (pq_ms)((answered - resolved + 999) / 1000);
}

int pq_stream_descriptor(const pq_stream *stream)
{
    return stream->state == STREAM_OPEN ? stream->fd : -1;
}

static int start_connecting(pq_stream *stream, const pq_stream_options *options, pq_error *err)
{
    CURL *easy = curl_easy_init();

    if (easy == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    stream->easy = easy;
    if (curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, stream->curl_text) != CURLE_OK ||
        !pq_stream_setup(easy, stream->peer, options))
        return pq_fail(err, PQ_E_INTERNAL, "libcurl does not take the connection's options");
    return pq_transfer_start(stream->loop, &stream->transfer, easy, end_connecting, stream, err);
}

pq_stream *pq_stream_open(pq_loop *loop, const pq_stream_options *options,
                          pq_stream_connected connected, void *context, pq_error *err)
{
    pq_stream *stream = calloc(1, sizeof *stream);

    if (stream == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    stream->loop = loop;
    stream->fd = -1;
    stream->connected = connected;
    stream->context = context;
    if (read_options(stream, options, err) < 0 || start_connecting(stream, options, err) < 0) {
        pq_stream_free(stream);
        return NULL;
    }
    set_state(stream, STREAM_CONNECTING);
    return stream;
}

void pq_stream_free(pq_stream *stream)
{
    if (stream == NULL)
        return;
    pq_watch_stop(&stream->watch);
    pq_transfer_stop(&stream->transfer);
    curl_easy_cleanup(stream->easy);
    pq_wipe(stream->chunk, sizeof stream->chunk); /* requests carry tokens and tickets */
    free(stream);
}

/* ---- data ---- */

static int fail_data(const pq_stream *stream, CURLcode result, pq_error *err)
{
    char cause[CURL_ERROR_SIZE];

    describe(stream, result, cause);
    return pq_fail_effect(err, PQ_E_NETWORK, PQ_EFFECT_UNKNOWN, true,
                          "the connection to %s was lost: %s", stream->peer, cause);
}

static int check_open(const pq_stream *stream, pq_error *err)
{
    if (stream->state != STREAM_OPEN)
        return pq_fail(err, PQ_E_INTERNAL, "%s is not connected", stream->peer);
    return 0;
}

int pq_stream_send(pq_stream *stream, const void *bytes, size_t length, size_t *ret_sent,
                   pq_error *err)
{
    size_t done = 0;

    if (check_open(stream, err) < 0)
        return -1;
    while (done < length) {
        size_t sent = 0;
        if (stream->chunk_length == 0) {
            stream->chunk_length = length - done < CHUNK_BYTES ? length - done : CHUNK_BYTES;
            memcpy(stream->chunk, (const char *)bytes + done, stream->chunk_length);
        }
        if (stream->chunk_length > length - done)
            return pq_fail(err, PQ_E_INTERNAL, "bytes to %s were taken back", stream->peer);
        CURLcode result = curl_easy_send(stream->easy, stream->chunk, stream->chunk_length, &sent);
        if (result == CURLE_AGAIN)
            break;
        if (result != CURLE_OK)
            return fail_data(stream, result, err);
        stream->chunk_length = 0;
        done += sent;
    }
    *ret_sent = done;
    return 0;
}

int pq_stream_recv(pq_stream *stream, void *bytes, size_t size, size_t *ret_length,
                   pq_stream_got *ret_got, pq_error *err)
{
    size_t received = 0;

    if (check_open(stream, err) < 0)
        return -1;
    CURLcode result = curl_easy_recv(stream->easy, bytes, size, &received);
    if (result != CURLE_OK && result != CURLE_AGAIN)
        return fail_data(stream, result, err);
    *ret_length = received;
    *ret_got = result == CURLE_AGAIN ? PQ_STREAM_WAIT
               : received == 0       ? PQ_STREAM_END
                                     : PQ_STREAM_DATA;
    return 0;
}

void pq_stream_watch(pq_stream *stream, int events, pq_watch_fn ready, void *context)
{
    if (stream->state == STREAM_OPEN)
        pq_watch_start(stream->loop, &stream->watch, stream->fd, events, ready, context);
}
