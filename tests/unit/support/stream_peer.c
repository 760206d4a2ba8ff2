#include "tests/unit/support/stream_peer.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define VALID_SECONDS 3600

int stream_peer_listen(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int small = 4096; /* so that a sender has to wait */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(fd, 64), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

uint16_t stream_peer_closed_port(void)
{
    uint16_t port;

    close(stream_peer_listen(&port));
    return port;
}

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");

    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -VALID_SECONDS);
    X509_gmtime_adj(X509_getm_notAfter(certificate), VALID_SECONDS);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, key);
    X509_add_ext(certificate, names, -1);
    X509_EXTENSION_free(names);
    cr_assert_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    return certificate;
}

/* The fingerprint is computed without the code under test. */
static void show_fingerprint(const X509 *certificate, char out[96])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    cr_assert_eq(X509_digest(certificate, EVP_sha256(), digest, &length), 1);
    for (unsigned i = 0; i < length; i++)
        sprintf(out + 3 * (size_t)i, i + 1 < length ? "%02X:" : "%02X", digest[i]);
}

static void make_identity(stream_peer *peer)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = make_certificate(key);

    strcpy(peer->certificate_file, "/tmp/pq-stream-XXXXXX");
    FILE *file = fdopen(mkstemp(peer->certificate_file), "w");
    cr_assert_not_null(file);
    cr_assert_eq(PEM_write_X509(file, certificate), 1);
    cr_assert_eq(fclose(file), 0);
    show_fingerprint(certificate, peer->fingerprint);
    peer->context = SSL_CTX_new(TLS_server_method());
    cr_assert_eq(SSL_CTX_use_certificate(peer->context, certificate), 1);
    cr_assert_eq(SSL_CTX_use_PrivateKey(peer->context, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* Reads a CONNECT request and answers it; false if the tunnel is refused. */
static bool be_proxy(stream_peer *peer, int fd)
{
    size_t length = 0;

    while (strstr(peer->proxy_request, "\r\n\r\n") == NULL) {
        ssize_t got =
            read(fd, peer->proxy_request + length, sizeof peer->proxy_request - 1 - length);
        if (got <= 0)
            return false;
        length += (size_t)got;
    }
    size_t answer = strlen(peer->proxy_answer);
    return write(fd, peer->proxy_answer, answer) == (ssize_t)answer &&
           strstr(peer->proxy_answer, " 200 ") != NULL;
}

static void await_go(stream_peer *peer)
{
    if (peer->kind != PEER_ECHO)
        return;
    sem_wait(&peer->gate);
    sem_post(&peer->gate); /* it stays open */
}

static void echo_tls(stream_peer *peer, int fd)
{
    char bytes[8192];
    int got;
    SSL *ssl = SSL_new(peer->context);

    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        await_go(peer);
        while (peer->kind == PEER_ECHO && (got = SSL_read(ssl, bytes, sizeof bytes)) > 0)
            if (SSL_write(ssl, bytes, got) != got)
                break;
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
}

static void echo_plain(stream_peer *peer, int fd)
{
    char bytes[8192];
    ssize_t got;

    await_go(peer);
    while (peer->kind == PEER_ECHO && (got = read(fd, bytes, sizeof bytes)) > 0)
        if (write(fd, bytes, (size_t)got) != got)
            break;
}

static void *serve(void *argument)
{
    stream_peer *peer = argument;
    char bytes[256];
    int fd;

    while ((fd = accept(peer->listener, NULL, NULL)) >= 0) {
        if (peer->kind == PEER_SILENT)
            while (read(fd, bytes, sizeof bytes) > 0)
                continue;
        else if (peer->proxy_answer != NULL && !be_proxy(peer, fd))
            ;
        else if (peer->tls)
            echo_tls(peer, fd);
        else
            echo_plain(peer, fd);
        close(fd);
    }
    return NULL;
}

void stream_peer_start(stream_peer *peer)
{
    peer->listener = stream_peer_listen(&peer->port);
    if (peer->tls)
        make_identity(peer);
    cr_assert_eq(sem_init(&peer->gate, 0, 0), 0);
    cr_assert_eq(pthread_create(&peer->thread, NULL, serve, peer), 0);
}

void stream_peer_go(stream_peer *peer)
{
    sem_post(&peer->gate);
}

void stream_peer_stop(stream_peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    stream_peer_go(peer);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
    if (peer->tls) {
        unlink(peer->certificate_file);
        SSL_CTX_free(peer->context);
    }
}
