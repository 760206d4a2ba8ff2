/* Completion for bash. */
#include "contrib/generate/docgen.h"

/* Name and letter with `before` in front of the first and `between` in front of the second. */
static void put_names(FILE *out, const spelling *s, const char *before, const char *between)
{
    if (s->option->name != NULL) {
        fprintf(out, "%s%s%s%s%s%s", before, s->lead, s->prefix, s->option->name, s->suffix,
                s->is_key && s->placeholder != NULL ? "=" : "");
        before = between;
    }
    if (s->letter != 0)
        fprintf(out, "%s-%c", before, s->letter);
}

static void put_word(FILE *out, const spelling *s)
{
    put_names(out, s, " ", " ");
}

static void put_file_word(FILE *out, const spelling *s)
{
    if (s->is_file)
        put_word(out, s);
}

static void put_value_word(FILE *out, const spelling *s)
{
    if (s->placeholder != NULL && !s->is_file && s->option->type != PQ_TYPE_ENUM)
        put_word(out, s);
}

/* The branch of an option with a fixed set of values. */
static void put_enum(FILE *out, const spelling *s)
{
    if (s->option->type != PQ_TYPE_ENUM)
        return;
    put_names(out, s, "    ", "|");
    fputs(")\n        words=\"", out);
    put_values(out, s->option->values);
    fputs("\" ;;\n", out);
}

static void put_own_words(FILE *out, const pq_program *program)
{
    for (size_t i = 0; i < program->command_count; i++) {
        const pq_command *command = &program->commands[i];

        fprintf(out, "    %s)\n        own=\"", command->name);
        for (size_t j = 0; j < program->row_count; j++) {
            if (belongs_to(&program->rows[j], command))
                for_each_spelling(out, program, &program->rows[j], put_word);
        }
        fputs("\" ;;\n", out);
    }
}

static void put_command_names(FILE *out, const pq_program *program, const char *separator)
{
    for (size_t i = 0; i < program->command_count; i++)
        fprintf(out, "%s%s", i > 0 ? separator : "", program->commands[i].name);
}

static void put_list(FILE *out, const char *name, const pq_program *program, spelling_fn fn)
{
    fprintf(out, "    local %s=\"", name);
    for_shared(out, program, fn);
    for_own(out, program, fn);
    for_keys(out, program, fn);
    fputs(" \"\n", out);
}

/* Words that do not depend on what was typed. */
static void put_lists(FILE *out, const pq_program *program)
{
    bool has_commands = program->command_count > 0;

    fprintf(out, "    local %s=\"", has_commands ? "shared" : "options");
    if (!has_commands)
        for_own(out, program, put_word);
    for_shared(out, program, put_word);
    fputs("\"\n", out);
    put_list(out, "with_file", program, put_file_word);
    put_list(out, "with_value", program, put_value_word);
    if (has_commands) {
        fputs("    local commands=\"", out);
        put_command_names(out, program, " ");
        fputs("\"\n", out);
    }
    if (has_keys(program)) {
        fputs("    local keys=\"", out);
        for_keys(out, program, put_word);
        fputs("\"\n", out);
    }
}

/* To bash the "=" of KEY=VALUE is a word of its own, and KEY the one in front of it. */
static void put_key_search(FILE *out)
{
    fputs("    if [[ $current == '=' ]]; then\n"
          "        previous+='='\n"
          "        current=''\n"
          "    elif [[ $previous == '=' ]]; then\n"
          "        previous=${COMP_WORDS[COMP_CWORD-2]}=\n"
          "    fi\n\n",
          out);
}

/* Finds which command was typed, and with it the options that are its own. */
static void put_command_search(FILE *out, const pq_program *program)
{
    fputs("    local command='' own='' words='' files='' word\n\n"
          "    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
          "        case $word in\n        ",
          out);
    put_command_names(out, program, "|");
    fputs(")\n            command=$word\n            break ;;\n        esac\n    done\n\n"
          "    case $command in\n",
          out);
    put_own_words(out, program);
    fputs("    esac\n\n", out);
}

/* What is wanted behind the word in front. */
static void put_choice(FILE *out, const pq_program *program)
{
    fputs("    case $previous in\n", out);
    for_shared(out, program, put_enum);
    for_own(out, program, put_enum);
    for_keys(out, program, put_enum);
    if (has_keys(program))
        fputs("    -o)\n        words=$keys ;;\n", out);
    fputs("    *)\n"
          "        if [[ $with_file == *\" $previous \"* ]]; then\n"
          "            files=yes\n"
          "        elif [[ $with_value == *\" $previous \"* ]]; then\n"
          "            words=''\n"
          "        elif [[ $current == -* ]]; then\n",
          out);
    if (program->command_count > 0)
        fputs("            words=\"$own$shared\"\n"
              "        elif [[ -z $command || $command == help ]]; then\n"
              "            words=$commands\n"
              "        elif [[ $command == put || $command == fetch ]]; then\n"
              "            files=yes\n",
              out);
    else
        fputs("            words=$options\n", out);
    fputs("        fi ;;\n    esac\n\n", out);
}

/* Offers what was found to be wanted. */
static void put_reply(FILE *out, const pq_program *program)
{
    fputs("    if [[ -n $files ]]; then\n"
          "        compopt -o filenames 2>/dev/null\n"
          "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
          "    else\n"
          "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n",
          out);
    if (has_keys(program))
        fputs("        if [[ ${COMPREPLY[0]-} == *= ]]; then\n"
              "            compopt -o nospace 2>/dev/null\n"
              "        fi\n",
              out);
    fputs("    fi\n", out);
}

void write_bash(FILE *out, const pq_program *program)
{
    fprintf(out,
            "# bash completion for %s\n"
            "# Generated by pq-docgen from the option table; build the target \"docs\".\n\n",
            program->name);
    put_function(out, program);
    fputs("()\n{\n", out);
    put_lists(out, program);
    fputs("    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n",
          out);
    if (program->command_count > 0)
        put_command_search(out, program);
    else
        fputs("    local words='' files=''\n\n", out);
    if (has_keys(program))
        put_key_search(out);
    put_choice(out, program);
    put_reply(out, program);
    fputs("}\n\ncomplete -F ", out);
    put_function(out, program);
    fprintf(out, " %s\n", program->name);
}
