#!/usr/bin/env python3
"""tests/e2e/passthrough.py - holds files open for test_passthrough.sh: a command a line, an answer a line.

open NAME PATH     read-only               ino NAME            its inode number
map NAME           the whole file, shared   close NAME          the descriptor; what is mapped stays
sum NAME           SHA-256 past the page cache              mapsum NAME         of what is mapped
passed NAME PID S  yes if it can be read while process PID is stopped for S seconds at most, else no
"""
import hashlib
import mmap
import os
import signal
import sys
import time

files, maps = {}, {}
BLOCK = 1 << 20


def read(fd, length, off):
    """past the page cache: what the file is now"""
    buf = mmap.mmap(-1, length)
    got = os.preadv(fd, [buf], off)
    return buf[:got]


def total(fd):
    h, off = hashlib.sha256(), 0
    while True:
        b = read(fd, BLOCK, off)
        h.update(b)
        off += len(b)
        if len(b) < BLOCK:
            return h.hexdigest()


def passed(fd, pid, seconds):
    os.kill(pid, signal.SIGSTOP)
    child = os.fork()
    if not child:
        try:
            os._exit(0 if len(read(fd, 4096, 0)) == 4096 else 1)
        except OSError:
            os._exit(1)
    until, done, status = time.monotonic() + seconds, 0, 1
    while not done and time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    os.kill(pid, signal.SIGCONT)
    if not done:
        os.waitpid(child, 0)
    return "yes" if done and status == 0 else "no"


def command(what, name, more, rest):
    if what == "open":
        files[name] = os.open(more, os.O_RDONLY | os.O_DIRECT)
        return "ok"
    if what == "ino":
        return str(os.fstat(files[name]).st_ino)
    if what == "map":
        size = os.fstat(files[name]).st_size
        maps[name] = mmap.mmap(files[name], size, mmap.MAP_SHARED, mmap.PROT_READ)
        return "ok"
    if what == "close":
        os.close(files.pop(name))
        return "ok"
    if what == "sum":
        return total(files[name])
    if what == "mapsum":
        return hashlib.sha256(maps[name]).hexdigest()
    if what == "passed":
        return passed(files[name], int(more), float(rest))
    return "unknown command " + what


for line in sys.stdin:
    words = line.split() + ["", "", ""]
    try:
        print(command(words[0], words[1], words[2], words[3]), flush=True)
    except OSError as e:
        print("error", e.strerror, flush=True)
