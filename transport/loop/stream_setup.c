#include "transport/loop/stream_setup.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* "https://", a name or address of 253 characters in brackets, ":65535". */
#define URL_MAX 300

/* For the functions below: `easy` takes the option. */
#define SET(option, value) (curl_easy_setopt(easy, (option), (value)) == CURLE_OK)

static size_t drop_bytes(char *bytes, size_t size, size_t count, void *context)
{
    (void)bytes;
    (void)context;
    return size * count;
}

static bool set_connection(CURL *easy, const char *peer, const pq_stream_options *options)
{
    char url[URL_MAX];
    pq_ms timeout = options->connect_timeout;

    snprintf(url, sizeof url, "%s://%s", options->tls ? "https" : "http", peer);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Else freeing a stream waits for its resolver thread, seconds if DNS is down. */
    if (!SET(CURLOPT_QUICK_EXIT, 1L))
        return false;
#endif
    return SET(CURLOPT_URL, url) && SET(CURLOPT_PROTOCOLS_STR, "https,http") &&
           SET(CURLOPT_CONNECT_ONLY, 1L) && SET(CURLOPT_NOSIGNAL, 1L) &&
           SET(CURLOPT_TCP_NODELAY, 1L) && SET(CURLOPT_TCP_KEEPALIVE, 1L) &&
           SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) && SET(CURLOPT_FOLLOWLOCATION, 0L) &&
           SET(CURLOPT_WRITEFUNCTION, drop_bytes) &&
           SET(CURLOPT_CONNECTTIMEOUT_MS, timeout <= 0         ? 0L
                                          : timeout < LONG_MAX ? (long)timeout
                                                               : LONG_MAX);
}

/* The system's CAs are a file and a directory; a `ca_file` replaces both. Without verification
 * neither is read. */
static bool set_cas(CURL *easy, const char *ca_file, bool verify)
{
    if (verify && ca_file == NULL)
        return true;
    return SET(CURLOPT_CAINFO, verify ? ca_file : NULL) && SET(CURLOPT_CAPATH, NULL);
}

static bool set_tls(CURL *easy, const pq_stream_options *options)
{
    bool pinned = options->fingerprint != NULL;
    bool verify = options->verify && !pinned;
    bool only_13 = options->tls_min != NULL && strcmp(options->tls_min, "1.3") == 0;

    /* A resumed session has no certificate to compare. */
    if (pinned && !(SET(CURLOPT_CERTINFO, 1L) && SET(CURLOPT_SSL_SESSIONID_CACHE, 0L)))
        return false;
    return SET(CURLOPT_SSLVERSION,
               only_13 ? (long)CURL_SSLVERSION_TLSv1_3 : (long)CURL_SSLVERSION_TLSv1_2) &&
           SET(CURLOPT_SSL_ENABLE_ALPN, 0L) && SET(CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L) &&
           SET(CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L) && set_cas(easy, options->ca_file, verify);
}

static bool set_proxy(CURL *easy, const pq_stream_options *options)
{
    const pq_secret *userpwd = options->proxy_userpwd;

    if (options->proxy != NULL && !SET(CURLOPT_PROXY, options->proxy))
        return false;
    if (userpwd != NULL && pq_secret_is_set(userpwd) &&
        !SET(CURLOPT_PROXYUSERPWD, pq_secret_text(userpwd)))
        return false;
    return SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
}

bool pq_stream_setup(CURL *easy, const char *peer, const pq_stream_options *options)
{
    return set_connection(easy, peer, options) && set_tls(easy, options) &&
           set_proxy(easy, options);
}
