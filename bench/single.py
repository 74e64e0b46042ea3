"""One handler alone, on a socketpair: octets a second from memory, peak memory, system calls."""
import os
import re
import socket
import subprocess
import time

from cases import MIB, hear
from servers import DOMAIN
from world import TOP, USERS, sh, write

LINE = b"x" * 1022 + b"\r\n"


class Alone:
    """A static handler with a Maildir on a tmpfs, where fsync costs nothing."""

    def __init__(self, before=(), user="vmail", build="static"):
        self.dir = f"{TOP}/alone"
        sh("rm", "-rf", self.dir)
        box = f"{self.dir}/{DOMAIN}/bench"
        for sub in "cur", "new", "tmp":
            os.makedirs(f"{box}/{sub}")
        uid = USERS.get(user, 0)
        sh("chown", "-R", f"{USERS['vmail']}:{USERS['vmail']}", self.dir)
        write(TOP + "/alone.conf", f"hostname = mx.example.test\nmail_root = {self.dir}\nmax_size = 2G\n")
        self.socket, theirs = socket.socketpair()
        change = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
        command = [*change, *before, f"{TOP}/bin/{build}/smtp-handler", "-C", TOP + "/alone.conf"]
        with theirs, open(TOP + "/log/alone", "ab") as log:
            self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=log, env={"PATH": os.environ["PATH"]})
        hear(self.socket)

    def say(self, line):
        self.socket.sendall(line.encode() + b"\r\n")
        return hear(self.socket)

    def message(self, body):
        """-> seconds from the first octet of the message to the 250."""
        for line in "EHLO client.example.org", "MAIL FROM:<sender@example.org>", f"RCPT TO:<bench@{DOMAIN}>", "DATA":
            self.say(line)
        started = time.monotonic()
        self.socket.sendall(body)
        answer = hear(self.socket)
        if not answer.startswith(b"250"):
            raise OSError(answer.decode())
        return time.monotonic() - started

    def quit(self):
        self.say("QUIT")
        self.socket.close()
        self.process.wait()
        sh("rm", "-rf", self.dir)


def body(size):
    return b"Subject: bench\r\n\r\n" + LINE * (size // len(LINE)) + b".\r\n"


def throughput(rounds):
    """GB a second through both processes, of a message of 512 MiB: the median."""
    text, results = body(512 * MIB), []
    for _ in range(rounds):
        handler = Alone()
        results.append(len(text) / handler.message(text) / 1e9)
        handler.quit()
    return sorted(results)[rounds // 2]


def family(pid):
    """It and what descends from it."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as f:
            for child in f.read().split():
                found += family(int(child))
    return found


def peak(size):
    """KiB: the sum of the peaks (VmHWM) of all our processes after a message of this size."""
    handler = Alone()
    handler.message(body(size))
    total = 0
    for pid in family(handler.process.pid):
        with open(f"/proc/{pid}/status") as f:
            total += int(re.search(r"VmHWM:\s+(\d+)", f.read())[1])
    handler.quit()
    return total


def system_calls(user):
    """-> {name: number} of a connection with one message of 2 KiB, in all our processes, from the exec to the exit."""
    trace = f"{TOP}/strace"
    write(trace, "", 0o666)
    handler = Alone(before=["strace", "-f", "-qq", "-e", "signal=none", "-o", trace], user=user)
    handler.message(body(2048))
    handler.quit()
    calls = {}
    with open(trace) as f:
        for line in f:
            found = re.match(r"\d+ +(\w+)\(", line)
            if found:
                calls[found[1]] = calls.get(found[1], 0) + 1
    return calls
