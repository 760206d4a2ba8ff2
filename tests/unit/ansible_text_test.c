/* Texts for Ansible. */
#include <criterion/criterion.h>
#include <string.h>

#include "shim/inventory/ansible_text.h"

static void expect_json(const char *text, const char *wanted)
{
    pq_buf out = {0};
    pq_error err;
    cr_assert_eq(pq_ansible_write_text(&out, text, &err), 0);
    cr_expect_str_eq(out.data, wanted);
    pq_buf_done(&out);
}

Test(ansible_text, plain_texts_are_bare)
{
    expect_json("", "\"\"");
    expect_json("Debian GNU/Linux 12 (bookworm)", "\"Debian GNU/Linux 12 (bookworm)\"");
    expect_json("prod;web-1.x,a_b", "\"prod;web-1.x,a_b\"");
    expect_json("fe80::1/64 +@", "\"fe80::1/64 +@\"");
    expect_json("größe 漢", "\"größe 漢\"");
}

Test(ansible_text, what_could_be_a_template_is_marked)
{
    expect_json("{{ x }}", "{\"__ansible_unsafe\":\"{{ x }}\"}");
    expect_json("{% x %}", "{\"__ansible_unsafe\":\"{% x %}\"}");
    expect_json("a{#b", "{\"__ansible_unsafe\":\"a{#b\"}");
    expect_json("#jinja2: variable_start_string:'[['",
                "{\"__ansible_unsafe\":\"#jinja2: variable_start_string:'[['\"}");
    expect_json("\"\\", "{\"__ansible_unsafe\":\"\\\"\\\\\"}");
    expect_json("größe {", "{\"__ansible_unsafe\":\"größe {\"}");
    for (char sign = '!'; sign < 0x7F; sign++) {
        pq_buf out = {0};
        pq_error err;
        char text[] = {sign, '\0'};
        cr_assert_eq(pq_ansible_write_text(&out, text, &err), 0);
        bool marked = out.data[0] == '{';
        cr_expect(marked || strchr("{}%#[]<>$!'\"\\`&|=*?~^", sign) == NULL, "%c is bare", sign);
        pq_buf_done(&out);
    }
}

Test(ansible_text, texts_are_one_printable_line_of_bounded_length)
{
    char text[5000];
    pq_buf out = {0};
    pq_error err;
    expect_json("  a\n\tb\x1b[0m\x7f", "{\"__ansible_unsafe\":\"a b [0m\"}");
    expect_json("\xff\xc3(a", "{\"__ansible_unsafe\":\"?\?(a\"}");
    expect_json("a\xc2\x9b"
                "b",
                "\"a b\"");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cr_assert_eq(pq_ansible_write_text(&out, text, &err), 0);
    cr_expect_eq(out.length, (size_t)PQ_ANSIBLE_TEXT_MAX + 2);
    pq_buf_done(&out);
}

Test(ansible_text, host_names)
{
    static const struct {
        const char *text, *name;
    } rows[] = {
        {"web-1.example.org", "web-1.example.org"},
        {"VM 100", "VM_100"},
        {"a:b,c!d&e[1:3]*?~f", "a_b_c_d_e_1_3____f"},
        {"{{x}}", "__x__"},
        {"-all", "_all"},
        {"größe\xff", "größe_"},
        {"\n \x1b", ""},
        {"", ""},
    };
    char name[PQ_ANSIBLE_HOST_SIZE];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pq_ansible_host_name(name, rows[i].text);
        cr_expect_str_eq(name, rows[i].name);
    }
}

Test(ansible_text, group_names)
{
    static const struct {
        const char *text, *name;
    } rows[] = {
        {"web", "tag_web"},        {"web-1.x y", "tag_web_1_x_y"}, {"", "tag_"},
        {"gr\xc3\xb6", "tag_gr_"}, {"\xff{{", "tag____"},          {"_x", "tag__x"},
    };
    char name[PQ_ANSIBLE_GROUP_SIZE], text[500];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pq_ansible_group_name(name, "tag_", rows[i].text);
        cr_expect_str_eq(name, rows[i].name);
    }
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    pq_ansible_group_name(name, "tag_", text);
    cr_expect_eq(strlen(name), (size_t)PQ_ANSIBLE_GROUP_SIZE - 1);
}
