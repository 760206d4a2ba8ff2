/* known_hosts: which lines speak of a host, and what that means for its key. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport/base/encode.h"
#include "transport/ssh/hostkey.h"

#define KEY "AAAAC3NzaC1lZDI1NTE5AAAAIM3opzMWQL0dt5DhRLx3yoHS7tXExjOrbB2i9kN4Dpq1"
#define OTHER "AAAAC3NzaC1lZDI1NTE5AAAAIKD2eG4AhjzRrwvzplpnhJXF/6hduQMNB9HgeGfDb/fM"

/* Made by `ssh-keygen -H` of node.example and [node.example]:2222. */
#define HASHED "|1|8Gq6Ks+bLSNj358IYnLACJFYNi8=|/ZN5PdPNy1415TposgktHcKHIL4= ssh-ed25519 " KEY
#define HASHED_2222 "|1|6hER0wtG4gB7Wcjl+meAItEswWI=|I1J/Pn+hC+20xNfK9ZPLOGDSeXc= ssh-ed25519 " KEY

static pq_error err;
static pq_buf key;
static pq_host_keys keys;

static void teardown(void)
{
    pq_buf_done(&key);
}

TestSuite(ssh_hostkey, .fini = teardown, .timeout = 20);

/* Looks for KEY as the key of `host` in one file. */
static const pq_host_keys *look(const char *host, uint16_t port, const char *text)
{
    pq_buf_clear(&key);
    cr_assert_eq(pq_base64_decode(&key, KEY, strlen(KEY), &err), 0);
    keys = (pq_host_keys){.host = host, .port = port, .key = key.data, .key_length = key.length};
    cr_assert_eq(pq_host_keys_read(&keys, "file", text, strlen(text), &err), 0, "%s", err.text);
    return &keys;
}

Test(ssh_hostkey, plain_names)
{
    cr_expect(look("node.example", 22, "node.example ssh-ed25519 " KEY " comment\n")->known);
    cr_expect(look("NODE.Example", 22, "node.example ssh-ed25519 " KEY)->known);
    cr_expect(look("node.example", 22, "\tNode.example\tssh-ed25519\t" KEY "\r\n")->known);
    cr_expect_not(look("node", 22, "node.example ssh-ed25519 " KEY "\n")->known);
    cr_expect_not(look("node.example", 22, "# node.example ssh-ed25519 " KEY "\n")->known);
    cr_expect(look("10.0.0.1", 22, "node,10.0.0.1 ssh-ed25519 " KEY "\n")->known);
}

Test(ssh_hostkey, ports)
{
    cr_expect(look("node", 2222, "[node]:2222 ssh-ed25519 " KEY "\n")->known);
    cr_expect_not(look("node", 2222, "node ssh-ed25519 " KEY "\n")->known);
    cr_expect_not(look("node", 22, "[node]:2222 ssh-ed25519 " KEY "\n")->known);
}

Test(ssh_hostkey, patterns)
{
    cr_expect(look("a.example", 22, "*.example ssh-ed25519 " KEY "\n")->known);
    cr_expect(look("pve1", 22, "pve? ssh-ed25519 " KEY "\n")->known);
    cr_expect_not(look("pve10", 22, "pve? ssh-ed25519 " KEY "\n")->known);
    cr_expect_not(look("a.example", 22, "*.example,!a.example ssh-ed25519 " KEY "\n")->known);
    cr_expect_not(look("a.example", 22, "!a.example,*.example ssh-ed25519 " KEY "\n")->known);
    cr_expect(look("ab.b.c", 22, "*b*c ssh-ed25519 " KEY "\n")->known);
}

Test(ssh_hostkey, hashed_names)
{
    cr_expect(look("node.example", 22, HASHED)->known);
    cr_expect_not(look("node.example2", 22, HASHED)->known);
    cr_expect(look("node.example", 2222, HASHED_2222)->known);
    cr_expect_not(look("node.example", 22, HASHED_2222)->known);
    cr_expect_not(look("node.example", 22, "|1|8Gq6 ssh-ed25519 " KEY)->known);
    cr_expect_not(look("node.example", 22, "|1|!|! ssh-ed25519 " KEY)->known);
}

Test(ssh_hostkey, different_and_revoked_keys)
{
    look("n", 22, "x ssh-ed25519 " KEY "\nn ssh-ed25519 " OTHER "\n");
    cr_expect(keys.different && !keys.known);
    cr_expect_str_eq(keys.where, "file:2");
    look("n", 22, "n ssh-rsa AAAA\n");
    cr_expect(!keys.different && !keys.known);
    cr_expect_eq(keys.type_count, 1);
    look("n", 22, "n ssh-ed25519 " KEY "\n@revoked * ssh-ed25519 " KEY "\n");
    cr_expect(keys.revoked);
    cr_expect_str_eq(keys.where, "file:2");
    look("n", 22, "n ssh-ed25519 " KEY "\n@revoked other ssh-ed25519 " KEY "\n");
    cr_expect_not(keys.revoked);
    look("n", 22, "@cert-authority n ssh-ed25519 " KEY "\n");
    cr_expect_not(keys.known);
}

Test(ssh_hostkey, judgements)
{
    const char *files[] = {"file", NULL};
    look("n", 2222, "");
    cr_assert_eq(pq_host_keys_judge(&keys, "SHA256:x", false, files, &err), -1);
    cr_expect_eq(err.code, PQ_E_HOST_KEY);
    cr_expect(strstr(err.text, "`ssh-keyscan -t ed25519 -p 2222 n >> file`") != NULL, "%s",
              err.text);
    look("n", 22, "n ssh-ed25519 " OTHER "\n");
    cr_assert_eq(pq_host_keys_judge(&keys, "SHA256:x", true, files, &err), -1);
    cr_expect(strstr(err.text, "another one than in file:1") != NULL, "%s", err.text);
    cr_expect(strstr(err.text, "ssh-keygen -R 'n'") != NULL, "%s", err.text);
    look("n", 22, "@revoked n ssh-ed25519 " KEY "\nn ssh-ed25519 " KEY "\n");
    cr_assert_eq(pq_host_keys_judge(&keys, "SHA256:x", true, files, &err), -1);
    cr_expect(strstr(err.text, "is revoked in file:1") != NULL, "%s", err.text);
}

Test(ssh_hostkey, a_new_key_is_added_where_that_is_wanted)
{
    char file[] = "/tmp/pq-known-hosts-XXXXXX";
    const char *files[] = {file, "/nonexistent/known_hosts", NULL};
    int fd = mkstemp(file);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "a ssh-rsa AAAA", 14), 14);
    close(fd);
    look("n", 2222, "");
    cr_assert_eq(pq_host_keys_judge(&keys, "SHA256:x", true, files, &err), 0, "%s", err.text);
    pq_host_keys again = {.host = "N", .port = 2222, .key = key.data, .key_length = key.length};
    cr_assert_eq(pq_host_keys_load(&again, files, &err), 0, "%s", err.text);
    unlink(file);
    cr_expect(again.known);
}

Test(ssh_hostkey, key_types)
{
    char type[PQ_KEY_TYPE_MAX + 1];
    look("n", 22, "");
    cr_assert(pq_host_key_type(key.data, key.length, type));
    cr_expect_str_eq(type, "ssh-ed25519");
    cr_expect_not(pq_host_key_type("\0\0\0\x0bssh", 7, type));
    cr_expect_not(pq_host_key_type("\0\0\0", 3, type));
    cr_expect_not(pq_host_key_type("\0\0\0\x03"
                                   "a b",
                                   7, type));
}
