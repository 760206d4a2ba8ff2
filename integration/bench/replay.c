/*
 * Sends a list of requests to an HTTPS server as fast as it takes them: the yardstick of the
 * benchmark, thus nothing but sending, receiving, and looking at the status.
 *
 *   replay [--pairs | --results] [--gzip] HOST PORT CA_FILE LIST CONNECTIONS
 *
 * Each line of LIST is "METHOD TARGET [BODY_FILE]"; bodies are JSON. They are all read before the
 * clock starts. CONNECTIONS threads take the requests in order, each over a connection of its own,
 * opened before the clock starts and again after 99 requests, since pveproxy closes one behind its
 * hundredth answer. With --pairs a request is one for agent/exec and ends with the answer of
 * exec-status that says so, asked for without pause; with --results that is asked for when the next
 * request was sent, so that one question mostly is enough. With --gzip compressed answers are
 * taken.
 *
 * The environment's REPLAY_AUTHORIZATION is the Authorization header. Prints the seconds from the
 * first request to the last answer, the number of TLS handshakes, and the pids of execs that were
 * not waited for, on one line. Any status but 200 is a failure: exit status 1, the reason on
 * stderr.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#define REQUESTS_PER_CONNECTION 99
#define CONNECTIONS_MAX 16

typedef struct request {
    char *bytes; /* header and body */
    size_t length;
    char *exec_target; /* NULL if the request is no exec */
    long pid;
} request;

typedef struct connection {
    SSL *ssl;
    unsigned used;
    char *answer; /* the last one, header and body, terminated */
    size_t room;
    char *body;
} connection;

static struct {
    const char *host, *port, *authorization;
    bool pairs, results, gzip;
    SSL_CTX *tls;
    request *requests;
    size_t count;
    atomic_size_t next, handshakes;
    pthread_barrier_t start;
} bench;

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("replay: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static void *allocate(void *old, size_t size)
{
    void *memory = realloc(old, size);
    if (memory == NULL)
        fail("no memory");
    return memory;
}

/* ---- requests ---- */

static char *read_file(const char *path, size_t *ret_length)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) < 0)
        fail("%s: %s", path, strerror(errno));
    size_t length = (size_t)ftell(file);
    rewind(file);
    char *bytes = allocate(NULL, length + 1);
    if (fread(bytes, 1, length, file) != length)
        fail("%s: cannot be read", path);
    bytes[length] = '\0';
    fclose(file);
    *ret_length = length;
    return bytes;
}

static request make_request(const char *method, const char *target, const char *body, size_t length)
{
    request made = {0};
    char *header = NULL, content[96] = "";
    if (body != NULL)
        snprintf(content, sizeof content,
                 "Content-Type: application/json\r\nContent-Length: %zu\r\n", length);
    int size = asprintf(&header, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\n%s%s\r\n",
                        method, target, bench.host, bench.authorization, content,
                        bench.gzip ? "Accept-Encoding: gzip\r\n" : "");
    if (size < 0)
        fail("no memory");
    made.length = (size_t)size + length;
    made.bytes = allocate(header, made.length + 1);
    if (body != NULL)
        memcpy(made.bytes + size, body, length);
    return made;
}

/* The target if it is one for agent/exec, else NULL. */
static char *exec_target(const char *target)
{
    const char *last = strrchr(target, '/');
    if (last == NULL || strcmp(last, "/exec") != 0)
        return NULL;
    return strcpy(allocate(NULL, strlen(target) + 1), target);
}

static void read_list(const char *path)
{
    size_t ignored;
    char *list = read_file(path, &ignored), *rest = NULL;
    for (char *line = strtok_r(list, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *words = NULL;
        const char *method = strtok_r(line, " ", &words), *target = strtok_r(NULL, " ", &words);
        const char *file = strtok_r(NULL, " ", &words);
        size_t length = 0;
        if (target == NULL)
            fail("%s: a line is no METHOD TARGET [BODY_FILE]", path);
        char *body = file ? read_file(file, &length) : NULL;
        bench.requests = allocate(bench.requests, (bench.count + 1) * sizeof bench.requests[0]);
        bench.requests[bench.count] = make_request(method, target, body, length);
        bench.requests[bench.count++].exec_target = exec_target(target);
        free(body);
    }
    free(list);
}

/* ---- connections ---- */

static int connect_socket(void)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *addresses;
    int problem = getaddrinfo(bench.host, bench.port, &hints, &addresses);
    if (problem != 0)
        fail("%s: %s", bench.host, gai_strerror(problem));
    int fd = socket(addresses->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || connect(fd, addresses->ai_addr, addresses->ai_addrlen) < 0)
        fail("connect: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    freeaddrinfo(addresses);
    return fd;
}

static void hang_up(connection *c)
{
    if (c->ssl == NULL)
        return;
    SSL_shutdown(c->ssl);
    close(SSL_get_fd(c->ssl));
    SSL_free(c->ssl);
    c->ssl = NULL;
}

static void dial(connection *c)
{
    hang_up(c);
    c->ssl = SSL_new(bench.tls);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, connect_socket()) != 1 ||
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), bench.host) != 1 ||
        SSL_connect(c->ssl) != 1)
        fail("TLS handshake");
    c->used = 0;
    bench.handshakes++;
}

/* Reads until the `have` bytes of the answer have become `want` or more. */
static size_t receive(connection *c, size_t have, size_t want)
{
    if (c->room < want + 16384) {
        c->room = 2 * want + 16384;
        c->answer = allocate(c->answer, c->room);
    }
    while (have < want) {
        int got = SSL_read(c->ssl, c->answer + have, (int)(c->room - have - 1));
        if (got <= 0)
            fail("the connection ended within an answer");
        have += (size_t)got;
    }
    c->answer[have] = '\0';
    return have;
}

static void receive_answer(connection *c)
{
    size_t have = 0;
    char *end;
    do
        have = receive(c, have, have + 1);
    while ((end = strstr(c->answer, "\r\n\r\n")) == NULL);
    size_t header = (size_t)(end + 4 - c->answer);
    *end = '\0';
    if (strncmp(c->answer, "HTTP/1.1 200 ", 13) != 0)
        fail("%.*s", (int)strcspn(c->answer, "\r"), c->answer);
    const char *length = strcasestr(c->answer, "\r\ncontent-length:");
    if (length == NULL)
        fail("an answer has no length");
    receive(c, have, header + strtoul(length + 17, NULL, 10));
    c->body = c->answer + header;
}

static void ask(connection *c, const request *asked)
{
    if (c->used++ >= REQUESTS_PER_CONNECTION) {
        dial(c);
        c->used = 1;
    }
    if (SSL_write(c->ssl, asked->bytes, (int)asked->length) != (int)asked->length)
        fail("the connection ended within a request");
    receive_answer(c);
}

static long number_behind(const char *text, const char *name)
{
    const char *found = strstr(text, name);
    if (found == NULL)
        fail("no %s in: %.200s", name, text);
    return strtol(found + strlen(name), NULL, 10);
}

static void await_exit(connection *c, const request *exec)
{
    char *target = NULL;
    if (asprintf(&target, "%s-status?pid=%ld", exec->exec_target, exec->pid) < 0)
        fail("no memory");
    request status = make_request("GET", target, NULL, 0);
    do
        ask(c, &status);
    while (number_behind(c->body, "\"exited\":") == 0);
    free(status.bytes);
    free(target);
}

static void *run_connection(void *unused)
{
    connection c = {0};
    (void)unused;
    dial(&c);
    pthread_barrier_wait(&bench.start);
    const request *before = NULL;
    for (size_t i; (i = bench.next++) < bench.count;) {
        request *mine = &bench.requests[i];
        ask(&c, mine);
        if (mine->exec_target != NULL)
            mine->pid = number_behind(c.body, "\"pid\":");
        if (bench.pairs)
            await_exit(&c, mine);
        if (bench.results && before != NULL)
            await_exit(&c, before);
        before = mine;
    }
    if (bench.results && before != NULL)
        await_exit(&c, before);
    hang_up(&c);
    free(c.answer);
    return NULL;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double run_all(unsigned connections)
{
    pthread_t threads[CONNECTIONS_MAX];
    pthread_barrier_init(&bench.start, NULL, connections + 1);
    for (unsigned i = 0; i < connections; i++) {
        if (pthread_create(&threads[i], NULL, run_connection, NULL) != 0)
            fail("no thread");
    }
    pthread_barrier_wait(&bench.start);
    double begin = now();
    for (unsigned i = 0; i < connections; i++)
        pthread_join(threads[i], NULL);
    return now() - begin;
}

int main(int argc, char **argv)
{
    for (; argc > 1 && argv[1][0] == '-'; argc--, argv++) {
        bench.pairs |= strcmp(argv[1], "--pairs") == 0;
        bench.results |= strcmp(argv[1], "--results") == 0;
        bench.gzip |= strcmp(argv[1], "--gzip") == 0;
    }
    unsigned connections = argc == 6 ? (unsigned)strtoul(argv[5], NULL, 10) : 0;
    bench.authorization = getenv("REPLAY_AUTHORIZATION");
    if (connections < 1 || connections > CONNECTIONS_MAX || bench.authorization == NULL)
        fail("usage: replay [--pairs | --results] [--gzip] HOST PORT CA_FILE LIST CONNECTIONS");
    bench.host = argv[1];
    bench.port = argv[2];
    bench.tls = SSL_CTX_new(TLS_client_method());
    if (bench.tls == NULL || SSL_CTX_load_verify_locations(bench.tls, argv[3], NULL) != 1)
        fail("%s: no certificates", argv[3]);
    SSL_CTX_set_verify(bench.tls, SSL_VERIFY_PEER, NULL);
    read_list(argv[4]);

    double seconds = run_all(connections);
    printf("{\"seconds\": %.6f, \"handshakes\": %zu, \"pids\": [", seconds,
           (size_t)bench.handshakes);
    const char *comma = "";
    for (size_t i = 0; i < bench.count; i++) {
        if (bench.requests[i].exec_target != NULL && !bench.pairs && !bench.results) {
            printf("%s%ld", comma, bench.requests[i].pid);
            comma = ", ";
        }
    }
    puts("]}");
    return 0;
}
