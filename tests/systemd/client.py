#!/usr/bin/env python3
"""Many clients at once of 127.0.0.1:25, from addresses of 127.0.0.0/8.  Prints what became of them.

hold N SOURCES      N connections from so many addresses, held until all are decided; prints: greeted, most greeted of one address, still alive
rude N              N that break off in every way, ten at a time; prints how many were served
rate N [PORT]       N times connect, EHLO, QUIT, eight at a time; prints connections a second
"""
import collections, resource, selectors, socket, struct, sys, threading, time

PATIENCE = 60


def connect(source, port=25):
    s = socket.socket()
    s.settimeout(PATIENCE)
    s.bind((source, 0))
    s.connect(("127.0.0.1", port))
    return s


def hear(s, end=b"\r\n"):
    """Read up to a line that is the last of a reply and ends with `end`; b"" when the server has gone."""
    got = b""
    try:
        while not (got.endswith(end) and got.splitlines()[-1][3:4] == b" "):
            more = s.recv(4096)
            if not more:
                return b""
            got += more
    except ConnectionError:
        return b""
    return got


def hold(n, sources):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    waiting = selectors.DefaultSelector()
    for i in range(n):
        s = socket.socket()
        s.setblocking(False)
        s.bind(("127.0.1.%d" % (1 + i % sources), 0))
        s.connect_ex(("127.0.0.1", 25))
        waiting.register(s, selectors.EVENT_READ)
    greeted, end = [], time.monotonic() + PATIENCE
    while waiting.get_map() and time.monotonic() < end:
        for key, _ in waiting.select(1):
            try:
                got = key.fileobj.recv(4096)
            except ConnectionError:
                got = b""
            waiting.unregister(key.fileobj)
            if got.startswith(b"220 "):
                greeted.append(key.fileobj)
            elif got:
                sys.exit("heard: %r" % got)
            else:
                key.fileobj.close()
    if waiting.get_map():
        sys.exit("%d connections neither served nor closed" % len(waiting.get_map()))
    each = collections.Counter(s.getsockname()[0] for s in greeted)
    alive = 0
    for s in greeted:
        s.settimeout(PATIENCE)
        s.sendall(b"NOOP\r\n")
        alive += hear(s).startswith(b"250 ")
    print(len(greeted), max(each.values()), alive)


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


ENVELOPE = b"EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.test>\r\n"
# What is sent, what is waited for then, what is sent after that, how it is broken off.
RUDE = [
    (b"", None, b"", reset),
    (b"EHL", None, b"", reset),
    (b"EHLO c\r\nMAIL FR", b"HELP\r\n", b"OM:<", reset),
    (ENVELOPE * 20, None, b"", reset),
    (ENVELOPE, b"Recipient ok\r\n", b"", reset),
    (ENVELOPE + b"DATA\r\n", b"<CRLF>.<CRLF>\r\n", b"Subject: x\r\n\r\nhalf\r\n.", reset),
    (ENVELOPE + b"DATA\r\n", b"<CRLF>.<CRLF>\r\n", b"Subject: x\r\n" + b"x" * 100000, reset),
    (ENVELOPE, b"Recipient ok\r\n", b"BDAT 1000\r\nSubject: x\r\n\r\nhalf", reset),
    (ENVELOPE, b"Recipient ok\r\n", b"DATA\r\n", lambda s: s.shutdown(socket.SHUT_WR)),
    (b"\0\xff\r\n\n\r" * 100, None, b"", socket.socket.close),
]


def be_rude(source, i):
    try:
        s = connect(source)
        if not hear(s):
            return False
        first, until, then, leave = RUDE[i % len(RUDE)]
        s.sendall(first)
        if until and not hear(s, until):
            return False
        s.sendall(then)
        leave(s)
    except ConnectionError:
        pass
    return True


def in_threads(n, threads, work):
    def run(i):
        for j in range(i, n, threads):
            if work("127.0.1.%d" % (1 + i), j):
                done[i] += 1
    done = [0] * threads
    pool = [threading.Thread(target=run, args=(i,)) for i in range(threads)]
    for t in pool:
        t.start()
    for t in pool:
        t.join()
    return sum(done)


def rate(n, port=25):
    def bare(source, _):
        s = connect(source, port)
        ok = hear(s)
        s.sendall(b"EHLO c\r\n")
        ok = ok and hear(s)
        s.sendall(b"QUIT\r\n")
        ok = ok and hear(s)
        while s.recv(4096):
            pass
        s.close()
        return ok
    start = time.monotonic()
    if in_threads(n, 8, bare) != n:
        sys.exit("not all were served")
    print("%.1f" % (n / (time.monotonic() - start)))


what, args = sys.argv[1], [int(a) for a in sys.argv[2:]]
if what == "hold":
    hold(*args)
elif what == "rude":
    print(in_threads(args[0], 10, be_rude))
else:
    rate(*args)
