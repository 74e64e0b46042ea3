#!/usr/bin/env bats
# Many deliveries at once: nothing is lost, nothing doubled.
load ../helper
load attack

@test "200 deliveries into one mailbox at the same time, and a reader that moves what is new to cur/" {
	attack <<'PYTHON'
count, rounds = 200, 20 if FULL else 2
alice, seen, moved, stop = os.path.join(DOMAIN, "alice"), set(), [], threading.Event()

def read():
    """What a mail reader does: look into new/, read, move to cur/ under the same name with flags."""
    while not stop.is_set():
        for name in os.listdir(alice + "/new") if os.path.isdir(alice + "/new") else ():
            with open(os.path.join(alice, "new", name), "rb") as f:
                text = f.read()
            assert text.endswith(b"x\r\n.end\n".replace(b"\r", b"")), "a message seen before it was whole: " + name
            assert name not in seen, "a name given twice: " + name
            seen.add(name)
            os.rename(os.path.join(alice, "new", name), os.path.join(alice, "cur", name + ":2,S"))
            moved.append(name)

with Server(slots=count + 10) as server:
    failed = []
    threading.excepthook = lambda args: (failed.append(args.exc_value), stop.set())
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    expected, began = [], time.monotonic()
    for turn in range(rounds):
        clients = [server.connect() for _ in range(count)]
        for n, s in enumerate(clients):         # all stand right before the end of data
            s.sendall(start() + lines("DATA") + message("%d.%d" % (turn, n), 100000 if n % 50 == 0 else 100)[:-3] + b"..end\r\n")
        for s in clients:
            hear(s, b"354")
        if turn == 0:
            server.sample()
        for s in clients:
            s.sendall(b".\r\n" + lines("QUIT"))
        for n, s in enumerate(clients):
            out = converse(s, b"")
            assert replies(out) == [250, 221], out
            expected.append("%d.%d" % (turn, n))
            s.close()
    took = time.monotonic() - began
    server.idle()
    until("all are read", lambda: failed or not os.listdir(alice + "/new"))
    stop.set()
    reader.join()
    assert not failed, failed
    tell("%d in %.1f s, at most %d processes, %s" % (len(expected), took, server.most, server.told()))
    assert server.most <= 3 * count
assert subjects() == sorted(expected)
assert len(moved) == len(set(moved)) == len(expected)
nothing_in_tmp()
PYTHON
}

@test "100 clients with one message each for the same five mailboxes, in any order: each mailbox has each message once" {
	attack <<'PYTHON'
import random
random.seed(7)
boxes, count = ["m%d" % n for n in range(5)], 500 if FULL else 100
for box in boxes:
    mailbox(box)
with Server(slots=count) as server:
    clients = [server.connect() for _ in range(count)]
    for n, s in enumerate(clients):
        random.shuffle(boxes)
        s.sendall(start(*(b + "@example.test" for b in boxes)) + lines("DATA") + message(str(n), random.choice((10, 1000, 200000))) + lines("QUIT"))
    for s in clients:
        assert replies(converse(s, b""))[-2:] == [250, 221]
for box in boxes:
    assert subjects(box) == sorted(map(str, range(count)))
    names = [os.path.basename(p) for p in stored(box)]
    assert len(set(names)) == count
nothing_in_tmp()
PYTHON
}

@test "handlers killed at random while 100 clients deliver: what was answered with 250 is there, no half message, nothing is left running" {
	attack <<'PYTHON'
import random
random.seed(11)
count, answered = 400 if FULL else 100, []
with Server(slots=count) as server:
    clients = [server.connect() for _ in range(count)]
    for n, s in enumerate(clients):
        s.sendall(start() + lines("DATA") + message(str(n), 200000)[:-3])       # so that none is through before the killing begins
    killed = 0
    for n, s in enumerate(clients):
        try:
            if n % 4 == 0:
                os.kill(random.choice(sorted(set(family(os.getpid())) - {server.process.pid})), signal.SIGKILL)
                killed += 1
        except (ProcessLookupError, IndexError):        # it ended meanwhile; all did
            pass
        try:
            s.sendall(b".\r\n" + lines("QUIT"))
        except (BrokenPipeError, ConnectionResetError):
            pass
    for n, s in enumerate(clients):
        try:
            out = converse(s, b"")
        except ConnectionResetError:
            out = b""
        if b"Ok, stored" in out:
            answered.append(str(n))
    tell("%d killed, %d answered with 250, %d stored" % (killed, len(answered), len(stored())))
    assert killed > 0
there = subjects()
assert set(answered) <= set(there) and len(there) == len(set(there))
assert all(text.count(b"x" * 70 + b"\n") == 200000 // 72 for text in stored().values())
PYTHON
}
