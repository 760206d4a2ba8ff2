/*
 * One server for all clients of an endpoint, as ssh's ControlMaster has it.   (shim, private to
 * control*.c, shim/serve/serve.c and shim/command/control.c)
 *
 * Theory of operation: `serve --control-persist` looks for the socket of a shared server in a
 * private directory. If nobody listens there, it makes one: under a lock it binds the socket and
 * forks the server off, a daemon with nothing of its client but the configuration. Either way it
 * is a client then: it hands its stdin and stdout over with its configuration, passes signals on,
 * and ends with the status the server tells. So connections, logins, the places of the VMs and what
 * is known of the guests outlive the client, for as long as `control-persist` says.
 *
 * What is shared are these alone. A conversation has the configuration of its client, whose
 * secrets must be the server's; everything that cannot travel (identity) is in the name of the
 * socket, so that clients that differ in it do not meet. Whoever cannot share serves alone.
 *
 * Messages are packets of a SOCK_SEQPACKET socket (wire.c), each a kind and a body:
 *
 *   client                            server
 *   HELLO lengths, greeting
 *   BYTES identity, environment, configuration, in pieces
 *                                     ACCEPTED, or REFUSED why: the client serves alone
 *   START cwd + stdin, stdout         LOG level, line: for the client's stderr
 *   SIGNAL number                     END status
 *
 *   HELLO, then CHECK, STOP or EXIT   STATUS a line about the server
 *
 * A server that ends takes its socket away first. A client that is not ACCEPTED yet finds its
 * connection closed then, and begins anew; one that has STARTed reports that what was in flight is
 * unknown. A connection that the client closes is a client that is gone: its requests are
 * cancelled.
 *
 * Trust: the directory is ours and 0700, each side asks the kernel for the other's user, and
 * secrets are compared in a time that does not depend on them. Nothing secret is in a name, an
 * argument or a file.
 */
#pragma once

#include <sys/types.h>
#include <sys/un.h>

#include "shim/run.h"
#include "transport/base/buf.h"

/* Both sides are the same program; the number is that of the messages. */
#define PQ_CONTROL_GREETING "pve-qga-run " PQ_VERSION " control 1"

/* Each takes three descriptors of the server. */
#define PQ_CONTROL_CLIENTS_MAX 256

/* For the server to accept a client, and for the lock of the directory. */
#define PQ_CONTROL_PATIENCE_MS 10000

/* ---- dir.c: the directory ---- */

/* Digits of a socket's name. */
#define PQ_CONTROL_NAME_DIGITS 16

#define PQ_CONTROL_PATH_SIZE (sizeof(((struct sockaddr_un *)NULL)->sun_path))

/* Longest path of the directory. */
#define PQ_CONTROL_DIR_MAX (PQ_CONTROL_PATH_SIZE - PQ_CONTROL_NAME_DIGITS - 2)

typedef struct pq_control_dir {
    char path[PQ_CONTROL_PATH_SIZE];
} pq_control_dir;

/* The directory `given`, or NULL: pve-qga-run in $XDG_RUNTIME_DIR, or else in ~/.cache, which,
 * other than /tmp, is nobody's but the user's, and where names cannot be taken by others. It is
 * made if need be (with `make`) and must be ours, 0700 and no symbolic link. Fails with IO. */
int pq_control_dir_find(const char *given, bool make, pq_control_dir *ret, pq_error *err);

/* Waits until no other client is making a server. Fails with IO. */
int pq_control_dir_lock(const pq_control_dir *dir, int *ret_fd, pq_error *err);

/* A process that was forked with the lock has it no longer, either. */
void pq_control_dir_unlock(int *fd);

/* ---- name.c: what clients must have in common ---- */

/* Everything public that a conversation cannot bring along: the endpoint, the identity there, and
 * what the process itself is. Replaces what `out` holds. */
int pq_control_identity(const pq_config *config, pq_buf *out, pq_error *err);

/* The same of variables that may have secrets in them. */
int pq_control_environment(pq_buf *out, pq_error *err);

/* The name of the socket: the beginning of the identity's digest. */
int pq_control_name(const pq_buf *identity, char out[PQ_CONTROL_NAME_DIGITS + 1], pq_error *err);
bool pq_control_is_name(const char *name);

/* All secrets, which were read. */
bool pq_control_same_secrets(pq_config *a, pq_config *b);

/* ---- wire.c: messages ---- */

typedef enum pq_control_kind {
    PQ_CONTROL_NOTHING = 0, /* received: not yet */
    PQ_CONTROL_GONE,        /* received: the connection was closed */
    PQ_CONTROL_HELLO,
    PQ_CONTROL_BYTES,
    PQ_CONTROL_START,
    PQ_CONTROL_SIGNAL,
    PQ_CONTROL_CHECK,
    PQ_CONTROL_STOP,
    PQ_CONTROL_EXIT,
    PQ_CONTROL_ACCEPTED,
    PQ_CONTROL_REFUSED,
    PQ_CONTROL_LOG,
    PQ_CONTROL_END,
    PQ_CONTROL_STATUS
} pq_control_kind;

/* Below what a socket takes at once by default, 208 KiB on Linux. */
#define PQ_CONTROL_BODY_MAX ((size_t)32 * 1024)

#define PQ_CONTROL_FDS 2

typedef struct pq_control_message {
    pq_control_kind kind;
    size_t length;
    char body[PQ_CONTROL_BODY_MAX + 1]; /* a NUL is behind it */
    int fds[PQ_CONTROL_FDS];            /* the receiver's; -1: none */
} pq_control_message;

/* The body of a HELLO, in front of the greeting. */
typedef struct pq_control_hello {
    uint64_t identity, environment, config; /* bytes of each */
} pq_control_hello;

/* `fds`: PQ_CONTROL_FDS descriptors or NULL. Fails with IO. */
int pq_control_send(int fd, pq_control_kind kind, const void *body, size_t length, const int *fds,
                    pq_error *err);
int pq_control_send_number(int fd, pq_control_kind kind, int number, pq_error *err);
int pq_control_send_text(int fd, pq_control_kind kind, const char *text, pq_error *err);

/* Fails with IO for what is no message. */
int pq_control_receive(int fd, pq_control_message *ret, pq_error *err);

/* Closes and wipes what was received. */
void pq_control_message_done(pq_control_message *message);

/* The body's number, or -1. */
int pq_control_number(const pq_control_message *message);

/* ---- start.c: the way to a server ---- */

/* What a client brings, and a server begins with. */
typedef struct pq_control_plan {
    pq_control_dir dir;
    char path[PQ_CONTROL_PATH_SIZE]; /* of the socket */
    dev_t device;                    /* and the file it is, for the server */
    ino_t inode;
    pq_ms persist_ms;
    const char *trace;            /* or NULL */
    pq_buf identity, environment; /* environment and config have secrets in them */
    pq_buf config;
    bool is_server; /* this process was forked off, and has been the server, */
    int status;     /* which ended with this */
} pq_control_plan;

/* Makes connection and peer sure. *ret_absent: nobody listens there. Fails with IO. */
int pq_control_connect(const char *path, int *ret_fd, bool *ret_absent, pq_error *err);

/* The user at the other end is ours. */
int pq_control_check_peer(int fd, pq_error *err);

/* Makes a server, unless somebody else just did, and connects. Returns in the process of the
 * server, too, when that has ended: with plan->is_server and without a connection. */
int pq_control_start(pq_control_plan *plan, int *ret_fd, pq_error *err);

/* ---- client.c ---- */

/* Serves on stdin and stdout through a shared server; the configuration's secrets were read.
 * Returns the exit status, in the process of a server that was started on the way that one's. -1:
 * it cannot share, and has touched nothing. */
int pq_control_serve(pq_config *config, pq_error *err);

/* ---- master.c ---- */

/* The process of a server, from its beginning to its end. Takes `listener`. Returns the exit
 * status. */
int pq_control_master(int listener, pq_control_plan *plan);
