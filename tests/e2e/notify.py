"""tests/e2e/notify.py SOCKET LOG - a service manager's ear: every datagram, a line with the time each."""
import socket
import sys
import time

s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
with open(sys.argv[2], "a", encoding="utf-8") as log:
    while True:
        for line in s.recv(65536).decode().splitlines():
            log.write(f"{time.monotonic():.3f} {line}\n")
        log.flush()
