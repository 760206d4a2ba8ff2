/* The small pure parts of the way over SSH: keys, nodes, guests, the relay's frames, agent JSON. */
#include <criterion/criterion.h>
#include <string.h>

#include "shim/fallback.h"
#include "transport/ssh/agent_json.h"
#include "transport/ssh/key_text.h"
#include "transport/ssh/node.h"
#include "transport/ssh/relay.h"

static pq_error err;

TestSuite(ssh_parts, .timeout = 20);

/* ---- keys ---- */

#define BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----\n"
#define END "-----END OPENSSH PRIVATE KEY-----\n"

static pq_key_look look_at(const char *text)
{
    pq_key_look look;
    pq_key_look_at(text, strlen(text), &look);
    return look;
}

Test(ssh_parts, private_keys)
{
    /* Each is the head of a key, up to its public part. */
    pq_key_look look =
        look_at(BEGIN "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
                      "QyNTUxOQAAACDN6KczFkC9HbeQ4US8d8qB0u7VxMYzq2wdovZDeA6atQ==\n" END);
    cr_expect(look.is_key && !look.encrypted && !look.rsa);
    look =
        look_at(BEGIN "b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABB/JjRN\n" END);
    cr_expect(look.is_key && look.encrypted);
    look = look_at(BEGIN "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAACwAAAAdzc2gt\n"
                         "cnNh\n" END);
    cr_expect(look.is_key && look.rsa && !look.encrypted);
    look = look_at("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n");
    cr_expect(look.is_key && look.rsa && look.encrypted);
    cr_expect_not(look_at("ssh-ed25519 AAAA comment\n").is_key);
    cr_expect(look_at(BEGIN "AAAA\n").is_key);
}

/* ---- nodes and guests ---- */

static void expect_node(const char *text, const char *name, const char *address, unsigned port)
{
    char got_name[PQ_NODE_NAME_MAX + 1] = "", got_address[256] = "";
    uint16_t got_port = 1;
    cr_assert(pq_ssh_node_option(text, got_name, got_address, &got_port), "%s", text);
    cr_expect_str_eq(got_name, name);
    cr_expect_str_eq(got_address, address);
    cr_expect_eq(got_port, port);
}

Test(ssh_parts, node_options)
{
    static const char *const wrong[] = {"pve1",         "pve1=",          "=a",      "pve1=a:0",
                                        "pve1=a:99999", "pve1=[::1",      "pve_1=a", "pve1=:22",
                                        "pve1=a:22x",   "pve1=[fe80::1]x"};
    char name[PQ_NODE_NAME_MAX + 1], address[256];
    uint16_t port;
    expect_node("pve1=10.0.0.1", "pve1", "10.0.0.1", 0);
    expect_node("pve-1=host.example:2222", "pve-1", "host.example", 2222);
    expect_node("a=fe80::1", "a", "fe80::1", 0);
    expect_node("a=[fe80::1]:65535", "a", "fe80::1", 65535);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_not(pq_ssh_node_option(wrong[i], name, address, &port), "%s", wrong[i]);
}

/* ---- the relay's answers ---- */

Test(ssh_parts, relay_answers)
{
    static const char whole[] = "17 ok 3\nab\n18 none 0\n";
    pq_relay_answer answer;
    for (size_t length = 0; length < 11; length++)
        cr_expect_eq(pq_relay_read(whole, length, &answer, &err), 0, "%zu", length);
    cr_assert_eq(pq_relay_read(whole, sizeof whole - 1, &answer, &err), 1);
    cr_expect(answer.id == 17 && answer.ok && answer.start == 8 && answer.length == 3);
    cr_assert_eq(pq_relay_read(whole + 11, sizeof whole - 12, &answer, &err), 1);
    cr_expect(answer.id == 18 && !answer.ok && !answer.unknown && answer.length == 0);
    static const char *const wrong[] = {"x ok 1\n", "1 yes 1\n",          "1 ok -1\n", "1 ok\n",
                                        "\n",       "1 ok 99999999999\n", "1 ok 1 1\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_expect_eq(pq_relay_read(wrong[i], strlen(wrong[i]), &answer, &err), -1, "%s", wrong[i]);
        cr_expect_eq(err.code, PQ_E_BAD_ANSWER);
    }
}

/* ---- the agent's JSON ---- */

Test(ssh_parts, agent_commands)
{
    const char *argv[] = {"/bin/sh", "-c", "a\"\n", NULL};
    pq_buf out = {0};
    pq_exec_request request = {.argv = argv, .input = "ab", .input_length = 2};
    cr_assert_eq(pq_agent_json_exec(&out, &request, &err), 0);
    cr_expect_str_eq(out.data, "{\"execute\":\"guest-exec\",\"arguments\":{\"path\":\"/bin/sh\","
                               "\"arg\":[\"-c\",\"a\\\"\\n\"],\"capture-output\":true,"
                               "\"input-data\":\"YWI=\"}}\n");
    pq_buf_clear(&out);
    argv[2] = "\xc3\xa4";
    cr_expect_eq(pq_agent_json_exec(&out, &request, &err), -1);
    cr_expect_eq(err.code, PQ_E_INTERNAL);
    pq_buf_done(&out);
}

static int read_bytes(const char *answers, size_t count, pq_buf *bytes, bool *ret_eof)
{
    char copy[512];
    size_t length = strlen(answers);
    memcpy(copy, answers, length + 1);
    pq_buf_clear(bytes);
    return pq_agent_json_read_bytes(copy, length, count, bytes, ret_eof, &err);
}

Test(ssh_parts, pieces_of_files)
{
    pq_buf bytes = {0};
    bool eof = true;
    const char *good =
        "{\"return\":1000}\n{\"return\":{\"position\":0,\"eof\":false}}\n"
        "{\"return\":{\"count\":3,\"buf-b64\":\"YWJj\",\"eof\":false}}\n{\"return\":{}}\n";
    cr_assert_eq(read_bytes(good, 3, &bytes, &eof), 0, "%s", err.text);
    cr_expect(bytes.length == 3 && !eof);
    cr_assert_eq(read_bytes(good, 4, &bytes, &eof), 0);
    cr_expect(bytes.length == 3 && eof);
    cr_assert_eq(read_bytes(good, 2, &bytes, &eof), 0);
    cr_expect(bytes.length == 2 && !eof);
    cr_expect_eq(
        read_bytes("{\"error\":{\"class\":\"GenericError\",\"desc\":\"failed to open file '/x' "
                   "(mode: 'r'): No such file or directory\"}}\n",
                   2, &bytes, &eof),
        -1);
    cr_expect_eq(err.code, PQ_E_NOT_FOUND);
    cr_expect_eq(read_bytes("{\"return\":1000}\n{\"error\":{\"desc\":\"no\"}}\n{\"return\":{}}\n",
                            2, &bytes, &eof),
                 -1);
    cr_expect_eq(err.code, PQ_E_AGENT);
    cr_expect_eq(read_bytes("{\"return\":1000}\n", 2, &bytes, &eof), -1);
    cr_expect_eq(err.code, PQ_E_BAD_ANSWER);
    pq_buf_done(&bytes);
}

/* ---- --via auto ---- */

Test(ssh_parts, only_a_closed_way_is_left)
{
    pq_fail(&err, PQ_E_CONNECT, "x");
    cr_expect(pq_fallback_is_closed(&err));
    pq_fail(&err, PQ_E_PERMISSION, "x");
    cr_expect(pq_fallback_is_closed(&err));
    pq_fail(&err, PQ_E_TLS, "x");
    cr_expect_not(pq_fallback_is_closed(&err));
    pq_fail(&err, PQ_E_VM_STOPPED, "x");
    cr_expect_not(pq_fallback_is_closed(&err));
    pq_fail_effect(&err, PQ_E_TIMEOUT, PQ_EFFECT_UNKNOWN, true, "x");
    cr_expect_not(pq_fallback_is_closed(&err));
}
