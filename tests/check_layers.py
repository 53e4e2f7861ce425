#!/usr/bin/env python3
"""tests/check_layers.py SOURCE_DIR BUILD_DIR - the rules of the house, checked by machine.

1. Include edges follow the layer table of ARCHITECTURE.md.
2. The archives of core, journal and cluster call nothing but the door: `nm -u` against a list.
3. tarn-sim imports no socket, thread or clock.
4. An exported symbol begins with its file's name.
5. Files have at most 1,000 lines, functions 70 (dispatchers, which are mostly one switch, 150).
Prints one line per violation; `--self-test` plants one of each kind and expects to be told.
"""
import os
import re
import subprocess
import sys
import tempfile

FREESTANDING = {"stdbool.h", "stddef.h", "stdint.h", "string.h", "assert.h", "stdarg.h", "limits.h"}
HOSTED = FREESTANDING | {
    "stdio.h", "stdlib.h", "errno.h", "time.h", "unistd.h", "fcntl.h", "signal.h", "poll.h", "dirent.h",
    "pthread.h", "stdatomic.h", "inttypes.h", "netdb.h", "sched.h", "ctype.h", "math.h", "getopt.h", "spawn.h", "pwd.h"}


def layer(path):
    """(name, folders of ours, predicate for foreign headers) for a source file"""
    folder, base = path.split("/", 1)
    posix = lambda h: h in HOSTED or h.startswith(("sys/", "netinet/", "arpa/", "linux/", "net/if"))
    if base.endswith("_main.c") or folder == "tests":
        return "main", None, lambda h: True
    if folder == "core":
        return "core", {"core"}, lambda h: h in FREESTANDING or (base == "fmt.c" and h == "stdio.h")
    if folder == "journal":
        return "journal", {"core", "journal"}, lambda h: h in FREESTANDING
    if folder == "sim" and base.startswith("tarn_sim"):
        return "sim edge", {"core", "journal", "cluster", "sim", "tarn_sim_commit.h", "tarn_sim_timeline_page.h"}, lambda h: posix(h) or h == "sqlite3.h"
    if folder == "sim" and not base.startswith("lab"):
        return "sim", {"core", "sim"}, lambda h: h in FREESTANDING
    if folder == "sim":
        return "lab", {"core", "journal", "cluster", "sim"}, lambda h: h in FREESTANDING or h in {"stdio.h", "stdlib.h", "cjson/cJSON.h"}
    if folder == "net":
        return "net", {"core", "net"}, lambda h: posix(h) or h in {"uv.h", "liburing.h", "nettle/hmac.h", "nettle/memops.h"}
    if folder == "cluster" and re.match(r"(config|ufs_|http|cli|tarn\.)", base):
        return "cluster edge", {"core", "journal", "cluster", "net"}, lambda h: posix(h) or h in {"cjson/cJSON.h", "uv.h"} or (
            h == "microhttpd.h" and base.startswith("http"))
    if folder == "cluster":
        return "cluster", {"core", "journal", "cluster"}, lambda h: h in FREESTANDING
    if folder == "fuse":
        return "fuse", {"core", "cluster", "net", "fuse"}, lambda h: posix(h) or h in {"uv.h", "fuse_lowlevel.h", "fuse.h"}
    if folder == "bench":
        return "bench", {"core", "journal", "cluster", "net", "sim", "bench"}, lambda h: True
    return None


# What the pure archives may ask of the C library: memory movement, and one formatter.
PURE_SYMBOLS = {
    "memcpy", "memmove", "memset", "memcmp", "memchr", "strlen", "strcmp", "strncmp", "strchr", "strrchr",
    "strnlen", "bcmp", "memmem", "strstr", "__stack_chk_fail", "__cpu_model", "__cpu_indicator_init", "vsnprintf",
    "__memcpy_chk", "__memset_chk", "__memmove_chk", "__vsnprintf_chk", "_GLOBAL_OFFSET_TABLE_",
    # the compiler's own arithmetic
    "__divti3", "__udivti3", "__modti3", "__umodti3", "__multi3", "__popcountdi2"}
SANITIZERS = re.compile(r"^(__asan_|__ubsan_|__tsan_|__sanitizer|__gcov|__llvm|__start_|__stop_)")
SOCKETLIKE = re.compile(r"^(socket|connect|bind|listen|accept4?|send(to|msg)?|recv(from|msg)?|pthread_create|"
                        r"clock_gettime|gettimeofday|time|getrandom|rand|random|usleep|nanosleep|uv_.*)$")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def sources(root):
    for folder in ("core", "journal", "sim", "net", "cluster", "fuse", "bench", "tests"):
        for d, _, names in os.walk(os.path.join(root, folder)):
            for n in sorted(names):
                if n.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(d, n), root)


def check_includes(root, say):
    for path in sources(root):
        rule = layer(path)
        if rule is None:
            say(f"{path}: belongs to no layer")
            continue
        name, ours, foreign = rule
        for line_no, line in enumerate(read(os.path.join(root, path)).splitlines(), 1):
            m = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
            if not m:
                continue
            header = m.group(2)
            if m.group(1) == "<":
                if not foreign(header):
                    say(f"{path}:{line_no}: layer {name} may not include <{header}>")
            elif ours is not None and header.split("/")[0] not in ours:
                say(f'{path}:{line_no}: layer {name} may not include "{header}"')
            if header.endswith("_main.h") or header.endswith(".c"):
                say(f"{path}:{line_no}: nobody includes {header}")


def nm(args):
    return subprocess.run(["nm"] + args, capture_output=True, text=True, check=False).stdout


def check_symbols(build, say):
    archives = [f"lib{n}.a" for n in ("core", "journal", "cluster", "sim")]
    own = set()
    for a in archives:
        own |= set(re.findall(r"^\S+ [A-Z] (\S+)$", nm(["--defined-only", os.path.join(build, a)]), re.M))
    for a in archives:
        for sym in sorted(set(re.findall(r"^\s+U (\S+)$", nm(["-u", os.path.join(build, a)]), re.M))):
            if sym not in own and sym not in PURE_SYMBOLS and not SANITIZERS.match(sym):
                say(f"{a}: calls {sym}, which is not behind the door (core/env.h)")
    program = os.path.join(build, "tarn-sim")
    if os.path.exists(program):
        for sym in sorted(set(re.findall(r"^\s+U (\w+)", nm(["-D", "-u", program]), re.M))):
            if SOCKETLIKE.match(sym) and not sym.startswith("clock_gettime"):
                say(f"tarn-sim: imports {sym}")


def check_prefixes(build, say):
    for lib in ("core", "journal", "cluster", "sim", "lab", "net", "edge", "fusefront", "bench"):
        current = ""
        for line in nm(["-A", "--defined-only", os.path.join(build, f"lib{lib}.a")]).splitlines():
            m = re.match(r"\S*?:([^:]+)\.c\.o:\S* ([TDBRCV]) (\S+)$", line)
            if not m:
                continue
            current = m.group(1)
            stem = current.split("_", 1)[1] if "_" in current else current
            sym = m.group(3)
            if sym != stem and not sym.startswith(stem + "_") and not any(
                    sym.startswith(p + "_") or sym == p for p in prefixes(stem)):
                say(f"lib{lib}.a: {stem}.c exports {sym}")


def prefixes(stem):
    """a_b_c.c may also export for its family: a_b_*, a_*"""
    parts = stem.split("_")
    return ["_".join(parts[:i]) for i in range(1, len(parts))]


def check_sizes(root, say):
    for path in sources(root):
        text = read(os.path.join(root, path))
        lines = text.splitlines()
        if len(lines) > 1000:
            say(f"{path}: {len(lines)} lines (at most 1000)")
        start = None
        for i, line in enumerate(lines):
            if line == "{":
                start = i
            elif line == "}" and start is not None:
                body = lines[start:i + 1]
                is_dispatcher = any("switch (" in b for b in body)
                limit = 150 if is_dispatcher else 70
                if len(body) - 2 > limit and not path.startswith("tests/"):
                    say(f"{path}:{start + 1}: function of {len(body) - 2} lines (at most {limit})")
                start = None


def run(root, build):
    found = []
    check_includes(root, found.append)
    if build:
        check_symbols(build, found.append)
        check_prefixes(build, found.append)
    check_sizes(root, found.append)
    return found


def self_test():
    with tempfile.TemporaryDirectory() as d:
        os.makedirs(os.path.join(d, "core"))
        with open(os.path.join(d, "core/x.c"), "w", encoding="utf-8") as f:
            f.write('#include <time.h>\n#include "net/net.h"\nvoid x(void)\n{\n' + ";\n" * 80 + "}\n")
        found = run(d, None)
        with open(os.path.join(d, "core/x.c"), "w", encoding="utf-8") as f:
            f.write("#include <stddef.h>\nint rand(void);\nint y_f(void);\nint y_f(void)\n{\n    return rand();\n}\n")
        subprocess.run(["cc", "-c", "-o", os.path.join(d, "core_x.c.o"), os.path.join(d, "core/x.c")], check=True)
        subprocess.run(["ar", "rc", os.path.join(d, "libcore.a"), os.path.join(d, "core_x.c.o")], check=True)
        check_symbols(d, found.append)
        check_prefixes(d, found.append)
    for expected in ("<time.h>", '"net/net.h"', "function of 80", "calls rand", "exports y_f"):
        if not any(expected in f for f in found):
            print(f"self-test: a planted {expected} was not found in {found}")
            return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1] == "--self-test":
        sys.exit(self_test())
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    problems = run(sys.argv[1], sys.argv[2])
    for p in problems:
        print(p)
    sys.exit(1 if problems else 0)
