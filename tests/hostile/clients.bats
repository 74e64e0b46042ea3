#!/usr/bin/env bats
# Clients that mean no good: whatever they do, memory, descriptors and processes stay bounded, and all of it ends by itself.
load ../helper
load attack

@test "500 clients at once that send an octet now and then; the honest are served meanwhile" {
	attack <<'PYTHON'
count, pause = (2000, 3) if FULL else (500, 0.4)
limit, session = (20, 90) if FULL else (4, 14)

class Slow:
    """Says `first` at once and `rest` octet by octet."""
    def __init__(self, kind, port, first, rest, pause):
        self.kind, self.rest, self.pause, self.out = kind, rest, pause, b""
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(first)
        self.socket.setblocking(False)
        self.began, self.sent, self.ended = time.monotonic(), 0, None
    def turn(self, now):
        try:
            got = self.socket.recv(65536)
            self.out += got
            if not got:
                self.end(now)
                return
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.end(now)
            return
        due = int((now - self.began) / self.pause) - self.sent
        if due > 0 and self.rest:       # more than one when the machine is busy
            try:
                self.socket.send(self.rest[:due])
                self.rest, self.sent = self.rest[due:], self.sent + due
            except (BrokenPipeError, ConnectionResetError):
                pass
    def end(self, now):
        self.ended = now - self.began
        self.socket.close()

for n in range(count // 5):
    mailbox("slow%d" % n)
text = lines("DATA") + message("slow")
kinds = {
    "command": lambda n, port: Slow("command", port, b"", b"EHLO " + b"x" * 500, pause),
    "silent": lambda n, port: Slow("silent", port, b"", b"", pause),
    "data": lambda n, port: Slow("data", port, start("slow%d@example.test" % n) + lines("DATA"), b"Subject: x" * 500, pause),
    "honest": lambda n, port: Slow("honest", port, b"", start("slow%d@example.test" % n) + text + lines("QUIT"), session / 250),
    "deaf": lambda n, port: Slow("deaf", port, b"", b"\r\n" * 5000, 0.01),     # goes on after the 421
}
with Server("command_timeout=%ds" % limit, "data_timeout=%ds" % limit, "session_timeout=%ds" % session, slots=count + 20) as server:
    clients = []
    for n in range(count // 5):
        clients += [make(n, server.port) for make in kinds.values()]
    slowest, fast, sampled, began, aside = [], 0, 0, time.monotonic(), []
    def in_a_hurry(n):
        since = time.monotonic()
        with server.connect() as s:
            converse(s, start() + lines("DATA") + message("fast%d" % n) + lines("QUIT"))
        slowest.append(time.monotonic() - since)
    def at_once(target, *args):         # not to hold up the slow ones
        aside.append(threading.Thread(target=target, daemon=True, args=args))
        aside[-1].start()
    while any(c.ended is None for c in clients):
        now = time.monotonic()
        assert now - began < session + 60, "still there: %s" % sorted({c.kind for c in clients if c.ended is None})
        for c in clients:
            if c.ended is None:
                c.turn(now)
        if now - began > fast * session / 20 and fast < 20:
            at_once(in_a_hurry, fast)
            fast += 1
        if now - began > sampled * limit / 2 and sampled < 2:
            at_once(server.sample)
            sampled += 1
        time.sleep(0.01)
    for thread in aside:
        thread.join()
    tell("%d clients, at most %d processes, %d KiB in all; a message of an honest client took at most %.2f s" % (count, server.most, server.share, max(slowest)))
    tell(server.told())
    assert server.most <= 3 * (count + 20)
    assert server.peaks["keeper"][1] <= 12 and server.peaks["helper"][1] <= 24, server.peaks
    for kind in kinds:
        ended = [c.ended for c in clients if c.kind == kind]
        tell("%-8s ended after %.1f to %.1f s" % (kind, min(ended), max(ended)))
    late = 40 if FULL else 8        # the machine is busy; but sooner than the end of the session
    for c in clients:
        codes = replies(c.out)
        if c.kind == "honest":
            assert codes[-2:] == [250, 221], (c.kind, c.out)
        elif c.kind == "deaf":
            assert 421 in codes, c.out
        else:
            assert codes[-1] == 421 and b"421 4.4.2" in c.out, (c.kind, c.out)
        if c.kind in ("command", "silent"):
            assert limit - 0.5 <= c.ended <= limit + late, (c.kind, c.ended)
        if c.kind == "data":
            assert session - 1 <= c.ended <= session + late, (c.kind, c.ended)
assert subjects() == sorted("fast%d" % n for n in range(fast))
for n in range(count // 5):
    assert subjects("slow%d" % n) == ["slow"], n
nothing_in_tmp()
PYTHON
}

@test "clients that never read, or an octet at a time: the server's writes have a deadline" {
	attack <<'PYTHON'
count = 300 if FULL else 60
with Server("command_timeout=1s", "session_timeout=60s") as server:
    clients = [server.connect(receive=2048) for _ in range(count)]
    began = time.monotonic()
    left = dict(enumerate(clients))
    for c in clients:
        c.setblocking(False)
    asked = start() + lines("HELP") * 100
    turn = 0
    while left:
        assert time.monotonic() - began < 60, "%d are still there" % len(left)
        if turn == 20:
            server.sample()
        turn += 1
        for n, c in list(left.items()):
            try:
                if n % 3 == 0:
                    c.recv(1)
                c.send(asked)
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                del left[n]
                c.close()
        time.sleep(0.02)
    server.idle()
    tell("all of %d ended within %.1f s; %s" % (count, time.monotonic() - began, server.told()))
    until("each is in the log", lambda: in_log("ended: (client does not read|timeout)") == count)
    assert in_log("ended: client does not read") > count / 2        # the rest by what we were too slow to send
assert not files()
PYTHON
}

@test "a client that does not read the 250 of its message: stored once, and the session ends" {
	attack <<'PYTHON'
with Server("command_timeout=1s") as server:
    s = server.connect(receive=2048)
    s.sendall(start() + lines("DATA") + message("one"))
    until("stored", lambda: subjects() == ["one"])
    s.setblocking(False)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            s.send(lines("HELP") * 1000)
        except BlockingIOError:
            time.sleep(0.01)
        except (BrokenPipeError, ConnectionResetError):
            break
    else:
        raise SystemExit("still there")
assert subjects() == ["one"]
nothing_in_tmp()
PYTHON
}

@test "100 000 recipients: those over max_recipients hear 452, in the same memory" {
	attack <<'PYTHON'
usual, count = baseline(), 100000
with Session() as s:
    asked = start(*("alice+%s%d@example.test" % ("x" * 40, n) for n in range(count))) + lines("DATA") + message("many")
    out = converse(s.socket, asked, until_seen=b"Ok, stored", each=lambda: s.sample() if len(s.peaks) < 3 else None)
    s.sample()
    bounded(s, usual, helper=1024)      # room for a thousand is 750, and the kernel counts peaks in batches of some pages for each processor
codes = replies(out)
assert codes == [220, 250, 250] + [250] * 1000 + [452] * (count - 1000) + [354, 250], (len(codes), codes[-3:])
(text,) = stored().values()
assert text.count(b"\nDelivered-To: ") == 1000
nothing_in_tmp()
PYTHON
}

@test "1000 recipients with a mailbox each, and more: all of the thousand get it, with bounded descriptors" {
	attack <<'PYTHON'
usual = baseline()
names = ["u%d" % n for n in range(1000)]
for name in names:
    mailbox(name)
if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4096:
    skip("too few descriptors are allowed here")
with Session() as s:
    rcpts = [name + "@example.test" for name in names]
    out = converse(s.socket, start(*rcpts, *rcpts, "alice@example.test") + lines("VRFY x"), until_seen=LAST)
    s.sample()
    tell(s.told())
    assert s.peaks["keeper"][1] <= 12 and s.peaks["helper"][1] <= 3 * 1000 + 24, s.peaks
    out += converse(s.socket, lines("DATA") + message("all"), until_seen=b"Ok, stored")
    bounded(s, usual, helper=2048)
    s.sample()
    assert s.now["helper"] <= 24, s.now     # all closed again
assert replies(out).count(452) == 1001
assert all(subjects(name) == ["all"] for name in names) and not stored("alice")
nothing_in_tmp()
PYTHON
}

@test "transactions of 100 recipients given up over and over: nothing grows" {
	attack <<'PYTHON'
usual, rounds = baseline(), 1000 if FULL else 200
for n in range(100):
    mailbox("u%d" % n)
rcpts = lines(*("RCPT TO:<u%d@example.test>" % n for n in range(100)))
with Session("max_errors=1000000") as s:
    for way in lines("RSET"), lines("EHLO c.example"), lines("DATA") + b"a\nb\r\n.\r\n", b"BDAT 3\r\na\r\r", b"BDAT x\r\n", lines("MAIL FROM:<a@b.example>", "RSET"):
        out = converse(s.socket, (start() [:16] + lines("MAIL FROM:<a@b.example>") + rcpts + way) * (rounds // 5) + lines("NOOP x", "VRFY x"), until_seen=LAST)
        assert replies(out).count(250) >= 102 * (rounds // 5)
        s.sample()
    bounded(s, usual)
    assert s.peaks["keeper"][1] <= 12 and s.peaks["helper"][1] <= 24, s.peaks
assert not files()
PYTHON
}

@test "100 000 recipients that do not exist: 421 after a hundred" {
	attack <<'PYTHON'
with Server() as server:
    s = server.connect()
    out = converse(s, start(*("nobody%d@example.test" % n for n in range(100000))))
    codes = replies(out)
    assert codes == [220, 250, 250] + [550] * 100 + [421], codes[-3:]
PYTHON
}

@test "command lines of 10 MB, of each kind: one 500, the same memory, and the session goes on" {
	attack <<'PYTHON'
usual, long = baseline(), 10_000_000
bodies = [b"x" * long, b"\r" * long, b"\n" * long, b"\0" * long, b"\xff" * long, b"\0\n" * (long // 2), b"EHLO " + b"x" * long, b"NOOP " + b" " * long,
    b"MAIL FROM:<" + b"a" * long, b"RCPT TO:<@" + b"a,@" * (long // 3), b"RCPT TO:<\"" + b"\\" * long, b"BDAT " + b"9" * long, b"BDAT 1 " + b" " * long, b"QUIT " + b" " * long]
with Session("max_errors=1000") as s:
    s.socket.sendall(start())
    for body in bodies:
        began = time.monotonic()
        out = converse(s.socket, body + b"\r\n" + lines("VRFY x"), until_seen=LAST)
        assert replies(out)[-2:] == [500, 252], (body[:20], out[-200:])
        assert time.monotonic() - began < 60
        s.sample()
    s.socket.sendall(lines("DATA") + message("after all"))
    hear(s.socket, b"Ok, stored")
    s.sample()
    bounded(s, usual)
assert subjects() == ["after all"]
PYTHON
}

@test "messages of one line, of line ends, of dots, of header: 10 MB in the same memory" {
	attack <<'PYTHON'
usual, long, count = baseline(), 10_000_000, 0
bodies = {b"x" * long: 250, b"\r\n" * (long // 2): 250, b"..\r\n" * (long // 4): 250, b"X: y\r\n" * (long // 6): 250, b"X: " + b"y\r\n " * (long // 4): 250,
    b"Delivered-To: " + b"x" * long: 250, b"Delivered-To: x\r\n" * (long // 17): 250, b"Received: x\r\n" * (long // 13): 554, b"\n" * long: 554, b"\r" * long: 554, b".\r" * (long // 2): 554}
with Session() as s:
    s.socket.sendall(lines("EHLO c.example"))
    for body, code in bodies.items():
        began = time.monotonic()
        out = converse(s.socket, start()[16:] + lines("DATA") + body + b"\r\n.\r\n" + lines("VRFY x"), until_seen=LAST)
        assert replies(out)[-2:] == [code, 252], (body[:20], out[-200:])
        assert time.monotonic() - began < 60, body[:20]
        count += code == 250
    s.sample()
    bounded(s, usual)
assert len(stored()) == count
nothing_in_tmp()
PYTHON
}

@test "commands after QUIT: none is answered, none has an effect" {
	attack <<'PYTHON'
after = start("bob@example.test") [16:] + lines("DATA") + message("smuggled") + lines("NOOP")
with Server() as server:
    for size in 0, 100000, 3000000:     # more than is read at once
        s = server.connect()
        out = converse(s, start() + lines("DATA") + message("before") + lines("QUIT") + after + lines("NOOP") * (size // 6))
        assert size > 0 or replies(out) == [220, 250, 250, 250, 354, 250, 221], out
        assert replies(out) == [220, 250, 250, 250, 354, 250, 221][:len(replies(out))], out
    for before in b"", lines("EHLO c.example"), start(), start() + lines("BDAT 3") + b"a\r\n":
        s = server.connect()
        out = converse(s, before + lines("QUIT") + after)
        assert replies(out)[-1] == 221 and replies(out).count(221) == 1, out
assert subjects() == ["before"] * 3 and not stored("bob")
nothing_in_tmp()
PYTHON
}

@test "50 000 RSETs, plain and each with a transaction: the same memory" {
	attack <<'PYTHON'
usual = baseline()
with Session() as s:
    for before, count in (b"", 50000), (start()[16:], 50000 if FULL else 5000):
        began = time.monotonic()
        out = converse(s.socket, lines("EHLO c.example") + (before + lines("RSET")) * count + lines("VRFY x"), until_seen=LAST)
        codes = replies(out)
        assert set(codes) <= {220, 250, 252} and len(codes) in (count + 3, 3 * count + 2), len(codes)
        tell("%d in %.1f s" % (count, time.monotonic() - began))
        s.sample()
    bounded(s, usual)
assert not files()
PYTHON
}

@test "half-closed after each command of a pipeline: every reply comes; a message that was whole is stored, one that was not is not" {
	attack <<'PYTHON'
steps = [lines("EHLO c.example"), lines("MAIL FROM:<a@b.example>"), lines("RCPT TO:<alice@example.test>"), lines("DATA"), b"Subject: x\r\n\r\nhi", b"\r\n.\r\n",
    lines("MAIL FROM:<a@b.example>"), lines("RCPT TO:<alice@example.test>"), b"BDAT 12\r\nSubject: x\r\n", b"BDAT 2\r\n\r", b"\n", lines("BDAT 0 LAST"), lines("NOOP"), lines("QUIT")]
codes = [[220, 250], [250], [250], [354], [], [250], [250], [250], [250], [], [250], [250], [250], [221]]
whole = 0
with Server() as server:
    for n in range(len(steps) + 1):
        s = server.connect()
        out = converse(s, b"".join(steps[:n]), half_close=True)
        want = [220] * (n == 0) + sum(codes[:n], [])
        assert replies(out) == want, (n, out)
        whole += (n >= 6) + (n >= 12)
    # much is still to be said when the client has finished
    s = server.connect()
    out = converse(s, lines("HELP") * 20000, half_close=True)
    assert replies(out) == [220] + [214] * 20000
assert len(stored()) == whole
nothing_in_tmp()
PYTHON
}

@test "a reset in mid-data and at every other place, 200 at once: nothing is stored, nothing left" {
	attack <<'PYTHON'
with Server() as server:
    stages = [b"", lines("EHLO c.example"), b"EHLO c", start(), start() + lines("DATA"), start() + lines("DATA") + b"Subject: x\r\n", start() + lines("DATA") + message("x", 200000)[:-3],
        start() + b"BDAT 500000\r\n" + b"x" * 100000, start() + b"BDAT 3\r\na\r\n", lines("GET / HTTP/1.0"), lines("HELP") * 5000]
    count = 2000 if FULL else 200
    clients = []
    for n in range(count):
        stage = stages[n % len(stages)]
        s = server.connect()
        s.sendall(stage)
        if n % 2:
            hear(s, b"220")
        clients.append(s)
        if len(clients) == 200:
            server.sample()
            while clients:
                reset(clients.pop())
    server.idle()
    tell("at most %d processes; %s" % (server.most, server.told()))
    assert server.most <= 600
    s = server.connect()
    converse(s, start() + lines("DATA") + message("true") + lines("QUIT"))
assert subjects() == ["true"]
nothing_in_tmp()
assert not in_log("speaker killed|next hop failed")
PYTHON
}
