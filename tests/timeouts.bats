#!/usr/bin/env bats
# Every wait has a deadline, and a stop is orderly.
load helper

# slow OPTION... <<python: a client over a socket; `s` is its socket, hear(word) reads until a line has it, p is the process.
slow() {
	cat >"$BATS_TEST_TMPDIR/client.py"
	clean_env "$PYTHON" - "$BATS_TEST_TMPDIR/client.py" "$HANDLER" "${SETTINGS[@]}" "$@" 2>>"$LOG" <<'EOF'
import os, signal, socket, subprocess, sys, time
s, theirs = socket.socketpair()
s.settimeout(20)
p = subprocess.Popen(sys.argv[2:], stdin=theirs, stdout=theirs)
theirs.close()
seen = b""
def hear(word):
    global seen
    while word not in seen:
        got = s.recv(65536)
        if not got:
            raise SystemExit("end of file, no %r in %r" % (word, seen))
        seen += got
    out, seen = seen, b""
    return out
def send(*lines):
    s.sendall(b"".join(l + b"\r\n" for l in lines))
def rest():
    out = seen
    while True:
        try:
            got = s.recv(65536)
        except ConnectionResetError:
            got = b""
        if not got:
            return out
        out += got
def ended(status=0):
    got = p.wait(20)
    assert got == status, got
START = (b"EHLO c", b"MAIL FROM:<a@b.example>", b"RCPT TO:<alice@example.test>")
exec(open(sys.argv[1]).read())
EOF
}

@test "an idle client: 421 4.4.2 after command_timeout, status 0" {
	slow -o command_timeout=300ms <<'EOF'
t = time.monotonic()
assert b"421 4.4.2" in rest()
assert 0.25 < time.monotonic() - t < 5
ended()
EOF
	grep -q 'ended: timeout' "$LOG"
}

@test "the limit is for the whole line: a client that sends an octet now and then does not live on" {
	slow -o command_timeout=500ms <<'EOF'
hear(b"220")
t = time.monotonic()
s.setblocking(False)
import select
while time.monotonic() - t < 10:
    if select.select([s], [], [], 0.05)[0]:
        break
    s.send(b"x")
s.setblocking(True)
assert b"421 4.4.2" in rest()
assert time.monotonic() - t < 5
ended()
EOF
}

@test "a client that is silent in the data: 421 4.4.2 after data_timeout, nothing delivered" {
	slow -o data_timeout=300ms <<'EOF'
send(*START, b"DATA", b"Subject: x")
hear(b"354")
assert b"421 4.4.2" in rest()
ended()
EOF
	no_trace
	grep -q 'not stored: from=<a@b.example> to=<alice@example.test>' "$LOG"
}

@test "session_timeout ends a busy client" {
	slow -o session_timeout=500ms <<'EOF'
t = time.monotonic()
try:
    while time.monotonic() - t < 10:
        send(b"NOOP")
        if b"421" in hear(b"\r\n"):
            break
    else:
        raise SystemExit("still there")
except (BrokenPipeError, ConnectionResetError):
    pass
assert time.monotonic() - t < 5
ended()
EOF
}

@test "a client that never reads: the session ends, and nothing is left of it" {
	slow -o command_timeout=300ms <<'EOF'
s.setblocking(False)
t = time.monotonic()
while p.poll() is None and time.monotonic() - t < 20:
    try:
        s.send(b"HELP\r\n" * 1000)
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        os.sched_yield()
ended()
EOF
	grep -q 'ended: client does not read' "$LOG"
}

@test "a client that never reads, at the end of the session: no killed speaker, status 0" {
	slow -o session_timeout=500ms <<'EOF'
s.setblocking(False)
t = time.monotonic()
while p.poll() is None and time.monotonic() - t < 20:
    try:
        s.send(b"HELP\r\n" * 1000)
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        os.sched_yield()
ended()
EOF
	refute grep -q 'speaker killed' "$LOG"
}

@test "TERM while half a command has come: 421 4.3.2 at once" {
	slow <<'EOF'
send(b"EHLO c"); hear(b"250 HELP")
s.sendall(b"NO")
import fcntl, termios, struct
while struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, b"\0" * 4))[0]:
    os.sched_yield()
p.send_signal(signal.SIGTERM)
assert b"421 4.3.2" in rest()
ended()
EOF
}

@test "a descriptor that does not wait is made to" {
	slow <<'EOF'
import socket as k
a, b = k.socketpair()
b.setblocking(False)
q = subprocess.Popen(sys.argv[2:], stdin=b, stdout=b)
b.close()
a.settimeout(20)
assert a.recv(100).startswith(b"220")
a.sendall(b"QUIT\r\n")
assert a.recv(100).startswith(b"221")
assert q.wait(20) == 0
p.kill()
EOF
}

@test "a client that waits long between messages is still served: the helper does not give up first" {
	slow -o command_timeout=1s -o data_timeout=1s <<'EOF'
send(*START, b"DATA", b"x", b".")
hear(b"Ok, stored")
t = time.monotonic()
while time.monotonic() - t < 3:
    send(b"NOOP"); hear(b"250")
    select_until = time.monotonic() + 0.5
    import select
    select.select([s], [], [], 0.5)
send(*START[1:], b"DATA", b"x", b".", b"QUIT")
assert b"Ok, stored" in rest()
ended()
EOF
	[ "$(count "$ROOT/example.test/alice")" = 2 ]
}

@test "TERM while idle: 421 4.3.2 and status 0, at any point outside a transaction" {
	slow <<'EOF'
hear(b"220")
p.send_signal(signal.SIGTERM)
assert b"421 4.3.2" in rest()
ended()
EOF
	slow <<'EOF'
send(b"EHLO c"); hear(b"250 HELP")
p.send_signal(signal.SIGTERM)
assert b"421 4.3.2" in rest()
ended()
EOF
	grep -q 'ended: told to stop' "$LOG"
}

@test "TERM with a transaction in hand: it is finished and stored, then 421" {
	slow <<'EOF'
send(*START, b"DATA", b"Subject: x")
hear(b"354")
p.send_signal(signal.SIGTERM)
import select
assert not select.select([s], [], [], 0.5)[0]
send(b"", b"hi", b".")
out = rest()
assert b"Ok, stored" in out and b"421 4.3.2" in out, out
ended()
EOF
	[ "$(count "$ROOT/example.test/alice")" = 1 ]
}

@test "TERM to every process of the session, as a plain kill of the group does it: the same" {
	slow <<'EOF'
send(*START, b"DATA", b"Subject: x")
hear(b"354")
kids = [int(x) for x in subprocess.run(["pgrep", "-P", str(p.pid)], capture_output=True, text=True).stdout.split()]
assert len(kids) == 2, kids
for pid in kids + [p.pid]:
    os.kill(pid, signal.SIGTERM)
send(b"", b"hi", b".")
out = rest()
assert b"Ok, stored" in out and b"421 4.3.2" in out, out
ended()
EOF
	[ "$(count "$ROOT/example.test/alice")" = 1 ]
}

@test "the end of the last line arrives although the client has sent more than is read (no reset before the reply is seen)" {
	"$PYTHON" - "$HANDLER" "${SETTINGS[@]}" 2>>"$LOG" <<'EOF'
import socket, subprocess, sys
l = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(l.getsockname())
a = l.accept()[0]
p = subprocess.Popen(sys.argv[1:], stdin=a, stdout=a)
a.close()
c.settimeout(20)
c.sendall(b"GET / HTTP/1.1\r\n" + b"Header: x\r\n" * 100000)
out = b""
while True:
    got = c.recv(65536)
    if not got:
        break
    out += got
assert out.endswith(b"421 4.7.0 This is a mail server\r\n"), out
c.close()
assert p.wait(20) == 0
EOF
}
