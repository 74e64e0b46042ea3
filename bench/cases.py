"""What is measured, and how. Each measurement is some seconds long, of one server at a time."""
import os
import re
import socket
import subprocess
import time

from servers import BOXES, DOMAIN
from world import DISK, TOP, sh

KIB, MIB = 1 << 10, 1 << 20
LIMIT = 2 * 1024 * MIB  # octets in all Maildirs at once


class Stalled(Exception):
    pass


class Case:
    """kind: message or connection; many: messages a connection."""

    def __init__(self, key, label, sessions, size=2 * KIB, recipients=1, many=False, kind="message"):
        self.key, self.label, self.sessions, self.size, self.recipients, self.many, self.kind = key, label, sessions, size, recipients, many, kind

    def boxes(self):
        return BOXES if self.recipients > 1 else ["bench"]


CASES = [
    Case("1x1", "1 session, one message a connection", 1),
    Case("10x1", "10 sessions, one message a connection", 10),
    Case("50x1", "50 sessions, one message a connection", 50),
    Case("1xn", "1 session, many messages", 1, many=True),
    Case("10xn", "10 sessions, many messages", 10, many=True),
    Case("50xn", "50 sessions, many messages", 50, many=True),
    Case("1mib", "1 MiB messages, 10 sessions", 10, size=MIB),
    Case("10mib", "10 MiB messages, 10 sessions", 10, size=10 * MIB),
    Case("r100", "100 recipients, 10 sessions", 10, recipients=100),
    Case("conn", "connect, EHLO, QUIT; 10 at a time", 10, kind="connection"),
    Case("tls", "connect, STARTTLS, QUIT (TLS 1.3, ECDSA); 10 at a time", 10, kind="tls"),
    Case("tlsbulk", "10 MiB messages by TLS, one connection", 1, size=10 * MIB, kind="bulk"),
]


def fits(server, case):
    """None, or why this server is not measured so."""
    if case.kind in ("tls", "bulk") and not server.tls:
        return "without TLS here"
    if server.kind == "true" and case.kind != "connection":
        return "takes no mail"
    if case.recipients > 1 and not server.copies:
        return "one copy only"
    return None


# --- one measurement ---

def measure(env, server, case, count):
    """-> {rate, accepted, cpu}: messages (or connections) a second until all are stored, until accepted; CPU seconds of one."""
    before = server.cgroup.cpu()
    began, started = time.time(), time.monotonic()
    run = send if case.kind == "message" else connect
    with server.network():
        run(env, server, case, count)
    took = accepted = time.monotonic() - started
    if case.kind in ("message", "bulk") and server.kind == "mail":
        took = max(accepted, wait_stored(server, case, count, 20 + 4 * accepted) - began)
        time.sleep(0.05)  # a queue still removes its files
    cpu = server.cgroup.cpu() - before
    return {"rate": round(count / took, 3), "accepted": round(count / accepted, 3), "cpu": round(cpu / count, 7)}


def send(env, server, case, count):
    command = [f"{env.peers}/postfix/usr/sbin/smtp-source", "-s", str(case.sessions), "-m", str(count), "-l", str(case.size),
               "-f", "sender@example.org", "-t", f"bench@{DOMAIN}"]
    command += ["-d"] if case.many else []
    command += ["-r", str(case.recipients)] if case.recipients > 1 else []
    generate(env, command + [f"127.0.0.1:{server.port}"])


def connect(env, server, case, count):
    generate(env, [f"{TOP}/bin/connect", str(server.port), str(case.sessions), str(count), "eof" if server.kind == "true" else case.kind if case.kind != "connection" else "smtp"])


def generate(env, command):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, text=True, preexec_fn=env.client.join,
                              env={"LD_LIBRARY_PATH": f"{env.peers}/postfix/usr/lib/postfix"})
    except subprocess.TimeoutExpired:
        raise Stalled("stalls")
    if done.returncode:
        raise Stalled(done.stderr.strip()[-200:] or f"status {done.returncode}")


def wait_stored(server, case, count, patience):
    """Wait until all are in new/, looking seldom; -> when the last came there, by its ctime."""
    boxes = [server.box(b) + "/new" for b in case.boxes()]
    deadline = time.monotonic() + patience
    while sum(len(os.listdir(b)) for b in boxes) < count * case.recipients:
        if time.monotonic() > deadline:
            raise Stalled(f"{sum(len(os.listdir(b)) for b in boxes)} of {count * case.recipients} messages stored")
        time.sleep(0.05)
    return max(entry.stat().st_ctime for b in boxes for entry in os.scandir(b))


def clean(server):
    if server.kind != "mail":
        return
    for box in BOXES:
        for sub in "new", "tmp", "cur":
            for entry in os.scandir(f"{server.box(box)}/{sub}"):
                os.unlink(entry.path)


def calibrate(env, server, case, seconds):
    """How many messages take so long."""
    count = case.sessions if case.size > 100 * KIB or case.recipients > 1 else case.sessions * 4
    most = min(40000, LIMIT // (case.size * case.recipients))
    while True:
        with env.quiet():
            rate = measure(env, server, case, count)["rate"]
        clean(server)
        if count / rate > seconds / 4 or count >= most:
            return max(min(int(rate * seconds), most), 2 * case.sessions)
        count = min(count * 8, most)


# --- the floor: the disk alone ---

def floor(env, case, seconds, count):
    """-> messages a second, and how many to take next time."""
    where = DISK + "/floor"
    os.makedirs(where)
    run = lambda n: float(subprocess.run([f"{TOP}/bin/floor", where, str(case.sessions), str(n), str(case.size), str(case.recipients)],
                                         check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout)
    most = min(40000, LIMIT // (case.size * case.recipients))
    try:
        if not count:
            count = case.sessions * 2
            while (took := run(count)) < seconds / 4 and count < most:
                sh("rm", "-rf", where)
                os.makedirs(where)
                count = min(count * 8, most)
            count = min(int(count / took * seconds), most)
            sh("rm", "-rf", where)
            os.makedirs(where)
        return {"rate": round(count / run(count), 3)}, count
    finally:
        sh("rm", "-rf", where)


# --- memory ---

def hear(s):
    text = b""
    while not re.search(rb"(^|\n)\d\d\d [^\n]*\n$", text):
        block = s.recv(4096)
        if not block:
            raise Stalled("closed: " + text.decode(errors="replace").strip())
        text += block
    return text


def memory(server, connections=200):
    """-> KiB of PSS: idle, and of each connection after EHLO, with all that the server has resident divided among them; who is there when idle."""
    idle, programs = server.cgroup.pss(), server.cgroup.programs()
    sockets = []
    try:
        for _ in range(connections):
            with server.network():
                s = socket.create_connection(("127.0.0.1", server.port), 20)
            sockets.append(s)
            hear(s)
            s.sendall(b"EHLO client.example.org\r\n")
            hear(s)
        loaded = server.cgroup.pss()
    finally:
        for s in sockets:
            s.close()
    return {"idle": idle, "each": loaded / connections, "programs": programs}
