/* qm on the node: scripts as shells read them, and what answers mean. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport/ssh/qm.h"

static pq_error err;
static pq_buf script, out, said;

static void teardown(void)
{
    pq_buf_done(&script);
    pq_buf_done(&out);
    pq_buf_done(&said);
}

TestSuite(ssh_qm, .fini = teardown, .timeout = 20);

/* Runs the line for `script` as a user's shell does, with `cut` bytes of the script missing and
 * with a `qm` that prints its arguments, one a line, and its stdin. Returns the exit status. */
static int run(const char *shell, size_t cut, char *answer, size_t size)
{
    char folder[] = "/tmp/pq-qm-XXXXXX", path[64], line[PQ_QM_LINE_MAX], command[1024];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/qm", folder);
    FILE *file = fopen(path, "w");
    fputs("#!/bin/sh\nprintf '%s\\n' \"$@\"\ncat\n", file);
    fclose(file);
    cr_assert_eq(chmod(path, 0755), 0);
    snprintf(path, sizeof path, "%s/script", folder);
    file = fopen(path, "w");
    fwrite(script.data, 1, script.length - cut, file);
    fclose(file);
    pq_qm_line(line, script.length);
    snprintf(path, sizeof path, "%s/line", folder);
    file = fopen(path, "w");
    fputs(line, file);
    fclose(file);
    snprintf(command, sizeof command,
             "PATH=%s:$PATH %s -c \"$(cat %s/line)\" <%s/script 2>/dev/null", folder, shell, folder,
             folder);
    FILE *pipe = popen(command, "r");
    size_t length = fread(answer, 1, size - 1, pipe);
    answer[length] = '\0';
    int status = pclose(pipe);
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
    return WEXITSTATUS(status);
}

Test(ssh_qm, arguments_arrive_as_they_are)
{
    static const char *const shells[] = {"sh", "dash", "bash"};
    const char *argv[] = {"/bin/sh", "-c", "echo '$x' \"`\\\"\n!#", "--", "", "'", NULL};
    char answer[4096];
    for (size_t i = 0; i < 3; i++) {
        pq_buf_clear(&script);
        cr_assert_eq(pq_qm_exec_script(&script, 100, &(pq_exec_request){.argv = argv}, false, &err),
                     0);
        cr_assert_eq(run(shells[i], 0, answer, sizeof answer), 0);
        cr_expect_str_eq(answer,
                         PQ_QM_MARK "\nguest\nexec\n100\n--synchronous\n0\n--\n/bin/sh\n-c\n"
                                    "echo '$x' \"`\\\"\n!#\n--\n\n'\n");
    }
}

Test(ssh_qm, input_arrives_as_it_is)
{
    const char *argv[] = {"cat", NULL};
    char answer[4096];
    pq_exec_request request = {.argv = argv, .input = "a\nb\xff'", .input_length = 5};
    cr_assert_eq(pq_qm_exec_script(&script, 100, &request, false, &err), 0);
    cr_assert_eq(run("sh", 0, answer, sizeof answer), 0);
    cr_expect_str_eq(answer,
                     PQ_QM_MARK "\nguest\nexec\n100\n--synchronous\n0\n--pass-stdin\n1\n--\n"
                                "cat\na\nb\xff'");
}

Test(ssh_qm, a_script_that_was_cut_off_does_not_run)
{
    const char *argv[] = {"true", NULL};
    char answer[4096];
    cr_assert_eq(pq_qm_exec_script(&script, 100, &(pq_exec_request){.argv = argv}, false, &err), 0);
    for (size_t cut = 1; cut < script.length; cut += 7) {
        cr_assert_eq(run("sh", cut, answer, sizeof answer), 113);
        cr_assert_str_eq(answer, "");
    }
}

Test(ssh_qm, refused_arguments)
{
    const char *argv[] = {"echo", "\xc3\xa4", NULL}, *plain[] = {"cat", NULL};
    cr_expect_eq(pq_qm_exec_script(&script, 100, &(pq_exec_request){.argv = argv}, false, &err),
                 -1);
    cr_expect_eq(err.code, PQ_E_INTERNAL);
    pq_exec_request large = {.argv = plain, .input = "", .input_length = PQ_QM_INPUT_MAX + 1};
    cr_expect_eq(pq_qm_exec_script(&script, 100, &large, false, &err), -1);
    cr_expect_eq(err.code, PQ_E_TOO_LARGE);
}

/* The answer to text on stdout and stderr, each behind the mark if `marked`. */
static int answer(pq_qm_kind kind, int status, const char *text, const char *complaint, bool marked,
                  pq_json **ret)
{
    const char *mark = marked ? PQ_QM_MARK "\n" : "";
    pq_buf_clear(&out);
    pq_buf_clear(&said);
    cr_assert_eq(pq_buf_printf(&out, &err, "%s%s", mark, text), 0);
    cr_assert_eq(pq_buf_printf(&said, &err, "%s%s", mark, complaint), 0);
    return pq_qm_answer(kind, status, &out, &said, ret, &err);
}

Test(ssh_qm, pids)
{
    pq_json *json = NULL;
    int64_t pid = 0;
    cr_assert_eq(answer(PQ_QM_EXEC, 0, "{\n   \"pid\" : 4711\n}\n", "a warning\n", true, &json), 0,
                 "%s", err.text);
    cr_expect_eq(pq_qm_read_pid(json, &pid, &err), 0);
    cr_expect_eq(pid, 4711);
    pq_json_free(json);
    cr_assert_eq(answer(PQ_QM_EXEC, 0, "{}", "", true, &json), 0);
    cr_expect_eq(pq_qm_read_pid(json, &pid, &err), -1);
    cr_expect_eq(err.effect, PQ_EFFECT_DONE);
    pq_json_free(json);
}

Test(ssh_qm, statuses)
{
    pq_json *json = NULL;
    pq_exec_status status = {0};
    cr_assert_eq(answer(PQ_QM_STATUS, 0,
                        "{\"exitcode\":3,\"exited\":1,\"out-data\":\"a\\u0000\xc3\xbf\","
                        "\"err-truncated\":\"1\"}",
                        "", true, &json),
                 0);
    cr_assert_eq(pq_qm_read_status(json, &status, &err), 0, "%s", err.text);
    cr_expect(status.exited && !status.signalled && status.err_truncated && !status.out_truncated);
    cr_expect_eq(status.code, 3);
    cr_expect(status.out.length == 3 && memcmp(status.out.data, "a\0\xff", 3) == 0);
    pq_json_free(json);
    pq_buf_done(&status.out);
    status = (pq_exec_status){0};
    cr_assert_eq(answer(PQ_QM_STATUS, 0, "{\"exited\":0}", "", true, &json), 0);
    cr_assert_eq(pq_qm_read_status(json, &status, &err), 0);
    cr_expect_not(status.exited);
    pq_json_free(json);
}

Test(ssh_qm, a_ping_has_no_answer)
{
    pq_json *json = NULL;
    cr_expect_eq(answer(PQ_QM_ASK, 0, "", "", true, &json), 0);
    cr_expect_null(json);
    cr_expect_eq(answer(PQ_QM_EXEC, 0, "", "", true, &json), -1);
    cr_expect_eq(err.effect, PQ_EFFECT_UNKNOWN);
}

typedef struct complaint {
    pq_qm_kind kind;
    int status;
    char text[128];
    bool marked;
    pq_code code;
    pq_effect effect;
} complaint;

ParameterizedTestParameters(ssh_qm, complaints)
{
    static complaint all[] = {
        {PQ_QM_EXEC, 255, "VM 100 is not running\n", true, PQ_E_VM_STOPPED, PQ_EFFECT_NONE},
        {PQ_QM_EXEC, 255, "QEMU guest agent is not running\n", true, PQ_E_AGENT_DOWN,
         PQ_EFFECT_NONE},
        {PQ_QM_EXEC, 255, "No QEMU guest agent configured\n", true, PQ_E_AGENT_OFF, PQ_EFFECT_NONE},
        {PQ_QM_EXEC, 255, "VM 100 qga command 'guest-exec' failed - got timeout\n", true,
         PQ_E_AGENT_TIMEOUT, PQ_EFFECT_UNKNOWN},
        {PQ_QM_ASK, 255, "VM 100 qga command 'guest-ping' failed - got timeout\n", true,
         PQ_E_AGENT_TIMEOUT, PQ_EFFECT_NONE},
        {PQ_QM_EXEC, 2, "Configuration file 'nodes/a/qemu-server/9.conf' does not exist\n", true,
         PQ_E_VM_UNKNOWN, PQ_EFFECT_NONE},
        {PQ_QM_STATUS, 255, "Agent error: Invalid parameter 'pid'\n", true, PQ_E_NO_SUCH_PID,
         PQ_EFFECT_NONE},
        {PQ_QM_EXEC, 255,
         "Wide character in die at x\nAgent error: Command guest-exec has been "
         "disabled\n",
         true, PQ_E_AGENT_DISABLED, PQ_EFFECT_NONE},
        {PQ_QM_EXEC, 255, "some new trouble\n", true, PQ_E_AGENT, PQ_EFFECT_UNKNOWN},
        {PQ_QM_EXEC, 255, "", true, PQ_E_AGENT, PQ_EFFECT_UNKNOWN},
        {PQ_QM_EXEC, 1, "sudo: a password is required\n", true, PQ_E_SUDO, PQ_EFFECT_NONE},
        {PQ_QM_EXEC, 1, "Sorry, user a is not allowed to execute '/usr/sbin/qm' as root\n", true,
         PQ_E_SUDO, PQ_EFFECT_NONE},
        {PQ_QM_EXEC, 255, "please run as root\n", true, PQ_E_SUDO, PQ_EFFECT_NONE},
        {PQ_QM_EXEC, 127, "sh: 2: qm: not found\n", true, PQ_E_NODE_TOOL, PQ_EFFECT_NONE},
        {PQ_QM_EXEC, 1, "sudo: qm: command not found\n", true, PQ_E_NODE_TOOL, PQ_EFFECT_NONE},
        {PQ_QM_EXEC, 126, "sh: 2: qm: Argument list too long\n", true, PQ_E_TOO_LARGE,
         PQ_EFFECT_NONE},
        {PQ_QM_EXEC, 1, "This account is currently not available.\n", false, PQ_E_NODE_TOOL,
         PQ_EFFECT_NONE},
        {PQ_QM_EXEC, 113, "", false, PQ_E_NETWORK, PQ_EFFECT_NONE},
        {PQ_QM_ASK, 255, "400 Parameter verification failed.\n", true, PQ_E_UNSUPPORTED,
         PQ_EFFECT_NONE},
    };
    return cr_make_param_array(complaint, all, sizeof all / sizeof all[0]);
}

ParameterizedTest(complaint *seen, ssh_qm, complaints)
{
    pq_json *json = NULL;
    cr_assert_eq(answer(seen->kind, seen->status, "", seen->text, seen->marked, &json), -1);
    cr_expect_eq(err.code, seen->code, "%s: %s", seen->text, pq_code_name(err.code));
    cr_expect_eq(err.effect, seen->effect, "%s: %s", seen->text, pq_effect_name(err.effect));
    teardown();
}

Test(ssh_qm, what_a_login_shell_prints_is_no_answer)
{
    pq_json *json = NULL;
    cr_assert_eq(pq_buf_add_text(&out, "{\"pid\":1}\n" PQ_QM_MARK "\n{\"pid\":2}\n", &err), 0);
    cr_assert_eq(pq_qm_answer(PQ_QM_EXEC, 0, &out, &said, &json, &err), 0);
    int64_t pid = 0;
    cr_expect_eq(pq_qm_read_pid(json, &pid, &err), 0);
    cr_expect_eq(pid, 2);
    pq_json_free(json);
}
