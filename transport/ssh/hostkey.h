/*
 * Which host keys are known: the rules of OpenSSH's known_hosts files.   (transport/ssh)
 *
 * A line is `[MARKER] HOSTS TYPE KEY [comment]`. HOSTS is a list of patterns ("*", "?", "!" in
 * front for all but those) or one hashed name, "|1|SALT|HASH". A host on another port than 22 is
 * called "[host]:port". The marker @revoked refuses a key, on whatever other line it stands;
 * @cert-authority lines count for nothing here, since host certificates are not asked for.
 *
 * pq_host_keys_read() goes through files' texts and gathers what they say about one host and, once
 * the server has shown it, one key. It is pure; the functions below it do the reading.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "transport/base/buf.h"

/* Longest name of a key type: "ecdsa-sha2-nistp521". */
#define PQ_KEY_TYPE_MAX 31

/* Kinds of keys that one host is known by; more are not looked at. */
#define PQ_HOST_KEY_TYPES 8

/* Largest known_hosts file. */
#define PQ_KNOWN_HOSTS_MAX ((size_t)16 * 1024 * 1024)

typedef struct pq_host_keys {
    const char *host; /* as the user calls it, without port */
    uint16_t port;
    const void *key; /* the server's, as SSH sends it; NULL: not shown yet */
    size_t key_length;

    /* ---- what was found ---- */
    bool known;      /* this key is the host's */
    bool revoked;    /* this key is not to be used */
    bool different;  /* the host has another key of this key's type */
    char where[256]; /* FILE:LINE of the revoked or else the first different one */
    char types[PQ_HOST_KEY_TYPES][PQ_KEY_TYPE_MAX + 1]; /* that the host is known by */
    size_t type_count;
} pq_host_keys;

/* The type that a key as SSH sends it begins with. False if it is none. */
bool pq_host_key_type(const void *key, size_t length, char type[PQ_KEY_TYPE_MAX + 1]);

/* Adds what a file's text says. Lines that make no sense are passed over. Fails with INTERNAL. */
int pq_host_keys_read(pq_host_keys *keys, const char *file, const char *text, size_t length,
                      pq_error *err);

/* The host as known_hosts files name it: "host" or "[host]:port", in lower case. Fails with NOMEM.
 */
int pq_host_keys_name(const pq_host_keys *keys, pq_buf *out, pq_error *err);

/* Reads the files of a list that ends with NULL; those that do not exist are skipped. Fails with
 * CONFIG if one cannot be read, NOMEM. */
int pq_host_keys_load(pq_host_keys *keys, const char *const *files, pq_error *err);

/* Refuses the server's key unless it is known: HOST_KEY, with what the user can do. With
 * `accept_new` a key of a host that has none yet is written to the first of `files`; that alone is
 * logged. `fingerprint` is "SHA256:...". */
int pq_host_keys_judge(const pq_host_keys *keys, const char *fingerprint, bool accept_new,
                       const char *const *files, pq_error *err);
