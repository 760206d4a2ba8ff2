#!/usr/bin/env python3
"""Tests of the lint tests: each finds what it is there to find, and nothing in a clean tree."""
import contextlib
import io
import pathlib
import shutil
import tempfile
import unittest

import error_codes
import layers
import names
import scripts
import text
import tree


class InTree(unittest.TestCase):
    """A test with a source tree of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def write(self, path, content):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())

    def problems(self, module):
        with contextlib.redirect_stderr(io.StringIO()):
            return "\n".join(module.check(self.root))


class Layers(InTree):
    def setUp(self):
        super().setUp()
        for path in ("transport/base/buf.h", "transport/loop/loop.h", "transport/agent.h",
                     "transport/pve/pve.h", "transport/proto/frame.h", "exec/job.h",
                     "filexfer/put.h", "shim/main.h"):
            self.write(path, "#pragma once\n")

    def include(self, path, line):
        self.write(path, f"/* head */\n{line}\n")
        return self.problems(layers)

    def test_downward_is_fine(self):
        for path, header in (("shim/main.c", "filexfer/put.h"), ("filexfer/put.c", "exec/job.h"),
                             ("exec/job.c", "transport/agent.h"),
                             ("exec/job.c", "transport/base/buf.h"),
                             ("transport/pve/pve.c", "transport/agent.h"),
                             ("transport/agent.h", "transport/loop/loop.h"),
                             ("transport/pve/pve.c", "transport/pve/pve.h"),
                             ("shim/main.c", "shim/main.h")):
            self.assertEqual(self.include(path, f'#include "{header}"'), "", (path, header))

    def test_upward_and_sideways_are_not(self):
        for path, header in (("transport/base/buf.c", "transport/loop/loop.h"),
                             ("transport/loop/loop.c", "transport/agent.h"),
                             ("transport/agent.h", "transport/pve/pve.h"),
                             ("transport/pve/pve.c", "transport/proto/frame.h"),
                             ("transport/proto/frame.c", "exec/job.h"),
                             ("exec/job.c", "filexfer/put.h"), ("exec/job.h", "shim/main.h")):
            found = self.include(path, f'  #  include "{header}"')
            self.assertIn(f"{path}:2: ", found, (path, header))
            self.assertIn("may not use", found)
            self.write(path, "")

    def test_names_of_headers(self):
        self.assertIn("name it from the root", self.include("exec/a.c", '#include "job.h"'))
        self.assertIn("name it from the root", self.include("exec/a.c", '#include "../exec/job.h"'))
        self.assertIn("does not exist", self.include("exec/a.c", '#include "exec/missing.h"'))
        self.assertIn("in no layer", self.include("exec/a.c", '#include "tests/unit/x.h"'))
        self.assertEqual(self.include("exec/a.c", '#include "generated.h"'), "")

    def test_outside_libraries(self):
        for path, header in (("transport/base/json.c", "cjson/cJSON.h"),
                             ("transport/base/digest.c", "openssl/evp.h"),
                             ("transport/loop/loop.c", "curl/curl.h"),
                             ("transport/pve/http_body.c", "zlib.h"),
                             ("transport/config/file.c", "ini.h"), ("exec/a.c", "sys/stat.h")):
            self.assertEqual(self.include(path, f"#include <{header}>"), "", header)
        for header in ("cjson/cJSON.h", "openssl/evp.h", "curl/curl.h", "zlib.h", "ini.h",
                       "libssh2.h", "uv.h", "glib/glib.h"):
            self.assertIn("exec/a.c:2", self.include("exec/a.c", f"#include <{header}>"), header)

    def test_comments_are_not_includes(self):
        self.assertEqual(self.include("exec/a.c", '/*\n#include "shim/main.h"\n*/'), "")

    def test_unknown_folder(self):
        self.assertIn("in no layer", self.include("transport/new/a.c", ""))


class Scripts(InTree):
    def test_clean(self):
        self.write("exec/guest/a.sh", "# comment\nif true; then\n    x=1\n    echo \"$x\"\nfi\n")
        self.assertEqual(self.problems(scripts), "")

    def test_syntax(self):
        self.write("filexfer/guest/a.sh", "if true; then\n")
        found = self.problems(scripts)
        for shell in scripts.SHELLS:
            if shutil.which(shell[0]):
                self.assertIn(" ".join(shell), found)

    def test_bash_only_syntax(self):
        self.write("exec/guest/a.sh", "a=(1 2)\n")
        self.assertIn("dash -n", self.problems(scripts))

    def test_ascii(self):
        self.write("exec/guest/a.sh", b"echo \xc3\xa9\n")
        self.assertIn("exec/guest/a.sh:1: is not ASCII", self.problems(scripts))
        self.write("exec/guest/a.sh", b"echo a\r\n")
        self.assertIn("carriage return", self.problems(scripts))

    def test_embedded_form_must_parse_too(self):
        self.assertEqual(scripts.embedded(b"a\n  # x\n\n\tb\n"), b"a\nb\n")
        self.write("exec/guest/a.sh", "if true; then\n    # nothing\n    :\nfi\n")
        self.assertEqual(self.problems(scripts), "")
        self.write("exec/guest/a.sh", "cat <<E\n# text\n  E\nE\nfi() { :; }\n")
        self.assertIn("(as embedded)", self.problems(scripts))

    @unittest.skipUnless(shutil.which("shellcheck"), "no shellcheck")
    def test_shellcheck(self):
        self.write("exec/guest/a.sh", "[[ a = b ]]\n")
        self.assertIn("SC", self.problems(scripts))


class Text(InTree):
    def test_clean(self):
        self.write("a.c", "int a;\n")
        self.write("b.md", "two  \nlines\n")
        self.write("tests/fuzz/corpus/x/y.json", b"\xff no newline ")
        self.write("build-x/bad.c", "int a; ")
        self.assertEqual(self.problems(text), "")

    def test_lines(self):
        for name, content, wanted in (
                ("a.c", "int a;", "no newline at the end"),
                ("a.c", "int a;\n\n", "empty line at the end"),
                ("a.py", "a = 1 \n", "a.py:1: trailing white space"),
                ("a.md", "a \n", "trailing white space"),
                ("a.h", "int\ta;\n", "tab"),
                ("a.c", "/* " + "x" * 100 + " */\n", "106 columns"),
                ("a.py", "a\n" * 700, "has 701 lines"),
                ("a.txt.cmake", b"\xff\n", "not UTF-8"),
                ("exec/guest/a.sh", "# \u00e9\n", "guest scripts are ASCII")):
            self.write(name, content)
            self.assertIn(wanted, self.problems(text), name)
            (self.root / name).unlink()

    @unittest.skipUnless(shutil.which("clang-format"), "no clang-format")
    def test_clang_format(self):
        self.write(".clang-format", "BasedOnStyle: LLVM\nIndentWidth: 4\n")
        self.write("exec/a.c", "int f(void) {\n  return 0;\n}\n")
        self.assertIn("exec/a.c:1", self.problems(text))


class ErrorCodes(InTree):
    def setUp(self):
        super().setUp()
        self.write("transport/base/error_codes.def",
                   'X(VM_GONE, "vm-gone", 255, NULL)\nX(HTTP, "http", 255, NULL)\n')
        self.write("exec/a.c", "f(PQ_E_VM_GONE); g(err, PQ_E_HTTP);\n")
        self.write("integration/test_a.py", 'check(code="http")\nassert x == "vm-gone"\n')

    def test_clean(self):
        self.assertEqual(self.problems(error_codes), "")

    def test_not_produced(self):
        self.write("exec/a.c", "/* PQ_E_VM_GONE */ if (c == PQ_E_VM_GONE) case PQ_E_HTTP:\n")
        found = self.problems(error_codes)
        self.assertIn("PQ_E_VM_GONE: no source", found)
        self.assertIn("PQ_E_HTTP: no source", found)

    def test_not_tested(self):
        self.write("integration/test_a.py", 'scheme = "http"  # vm-gone\n')
        found = self.problems(error_codes)
        self.assertIn('PQ_E_VM_GONE ("vm-gone"): no test', found)
        self.assertIn('PQ_E_HTTP ("http"): no test', found)
        self.write("tests/unit/error_test.c", "PQ_E_HTTP PQ_E_VM_GONE\n")
        self.assertIn("PQ_E_HTTP", self.problems(error_codes))
        self.write("tests/unit/other_test.c", "PQ_E_HTTP PQ_E_VM_GONE\n")
        self.assertEqual(self.problems(error_codes), "")

    def test_unknown_code(self):
        self.write("shim/a.c", "PQ_E_TYPO\n")
        self.assertIn("PQ_E_TYPO is used but not in the table", self.problems(error_codes))

    def test_empty_table(self):
        self.write("transport/base/error_codes.def", "\n")
        self.assertIn("no codes found", self.problems(error_codes))


class Names(unittest.TestCase):
    @staticmethod
    def found(*lines):
        return "\n".join(names.check_symbols("libpq.a", lines))

    def test_clean(self):
        self.assertEqual(self.found("libpq.a[a.c.o]:", "libpq.a[a.c.o]: pq_buf_add T 0 10",
                                    "libpq.a[a.c.o]: malloc U", "libpq.a[a.c.o]: _exit U",
                                    "libpq.a[a.c.o]: __asan_init U",
                                    "libpq.a[log.c.o]: stderr U"), "")

    def test_exports(self):
        self.assertIn("libpq.a(a.c.o): exports helper",
                      self.found("libpq.a[a.c.o]: helper T 0 10"))
        self.assertIn("exports counter", self.found("libpq.a[a.c.o]: counter B 0 4"))

    def test_calls(self):
        for name in ("abort", "exit", "printf", "__printf_chk", "puts", "stdout",
                     "exit@GLIBC_2.2.5", "stderr"):
            self.assertIn("uses", self.found(f"libpq.a[a.c.o]: {name} U"), name)


class Tree(unittest.TestCase):
    def test_comments_become_spaces(self):
        for before, after in (("a/*b\nc*/d", "a   \n   d"), ("a//b\nc", "a   \nc"),
                              ('"/*" /**/', '"/*"     '), (r"'\'' /*x*/", r"'\''      "),
                              ('"\\"//"//', '"\\"//"  '), ("/* open", "       ")):
            self.assertEqual(tree.without_comments(before), after)


if __name__ == "__main__":
    unittest.main()
