#!/usr/bin/env python3
"""binary.py SECONDS BUILD [SEED]: the real programs with the sanitizers, on sockets and pipes, fed with transcripts of the tests that were
mangled.  Each is sent whole and in pieces, and must come out the same: replies, exit status, mail.

True of each run: it ends by itself with status 0; no sanitizer speaks; the log is plain lines; what is said is replies; what was answered
"stored with id" is what lies in the mailboxes, without CR, and nothing lies in tmp/.  A find is written to BUILD/finds/binary-SEED.
"""
import glob, os, random, re, shutil, socket, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 60
WORDS = [w.encode("latin1").decode("unicode_escape").encode("latin1")
         for w in re.findall(r'^"(.*)"$', open(os.path.join(HERE, "smtp.dict")).read(), re.M)]
REPLY = re.compile(rb"(?:(?:([2-5][0-5][0-9])-[\x20-\x7e]*\r\n)(?:\1-[\x20-\x7e]*\r\n)*\1 [\x20-\x7e]*\r\n|[2-5][0-5][0-9] [\x20-\x7e]*\r\n)")
SANITIZER = re.compile(rb"Sanitizer|runtime error|killed|next hop failed|DEADLYSIGNAL")
BOXES = ["example.test/alice", "example.test/bob", "other.test/carol"]


class Find(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Find(what)


def mangle(rng, seeds):
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((0, 1, 1, 2, 3, 5, 9))):
        at = rng.randrange(len(data) + 1)
        lines = data.split(b"\r\n")
        kind = rng.randrange(8)
        if kind == 0:
            data[at:at + rng.choice((1, 2, 10, 100))] = b""
        elif kind == 1:
            data[at:at] = rng.choice(WORDS)
        elif kind == 2 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 3:
            i = rng.randrange(len(lines))
            data = bytearray(b"\r\n".join(lines[:i] + [lines[i]] * rng.choice((2, 3, 70)) + lines[i + 1:]))
        elif kind == 4:
            rng.shuffle(lines)
            data = bytearray(b"\r\n".join(lines))
        elif kind == 5:
            other = rng.choice(seeds)
            data[at:] = other[rng.randrange(len(other)):]
        elif kind == 6:
            data[at:at] = rng.choice((b"\r", b"\n", b"\0", b"\xff", b".", b"\r\n", b"x" * 5000))
        else:
            i, k = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[i], lines[k] = lines[k], lines[i]
            data = bytearray(b"\r\n".join(lines))
    return bytes(data[:200000])


def cut(rng, data):
    most = rng.choice((1, 3, 50, 2000))
    if len(data) > 3000:
        most = max(most, 50)
    at = 0
    while at < len(data):
        n = rng.randint(1, most)
        yield data[at:at + n]
        at += n


def run(command, pieces, pipe, root):
    """Run it; returns status, what it said, its log, and the mail."""
    shutil.rmtree(root, ignore_errors=True)
    for box in BOXES:
        os.makedirs(os.path.join(root, box))
    env = {"PATH": os.environ["PATH"], "TZ": "UTC", "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=4"}
    if pipe:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        send, close, sources = child.stdin.write, child.stdin.close, [child.stdout.read, child.stderr.read]
        flush = child.stdin.flush
    else:
        ours, theirs = socket.socketpair()
        child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=env)
        theirs.close()
        send, sources, flush = ours.sendall, [lambda: ours.recv(65536), child.stderr.read], lambda: None
        close = lambda: ours.shutdown(socket.SHUT_WR)
    heard = [b"", b""]

    def hear(i):
        try:
            while got := sources[i]():
                heard[i] += got
        except ConnectionError:
            pass
    ears = [threading.Thread(target=hear, args=(i,)) for i in (0, 1)]
    for ear in ears:
        ear.start()
    try:
        for piece in pieces:
            send(piece)
            flush()
    except (BrokenPipeError, ConnectionError):
        pass
    try:
        close()
    except OSError:
        pass
    try:
        status = child.wait(LIMIT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        raise Find("it hangs")
    finally:
        if not pipe:
            for ear in ears:
                ear.join(LIMIT)
            ours.close()
    for ear in ears:
        ear.join(LIMIT)
    mail = {}
    for name in glob.glob(root + "/*/*/new/*"):
        with open(name, "rb") as f:
            mail[os.path.relpath(name, root)] = f.read()
    expect(not glob.glob(root + "/*/*/tmp/*"), "something is left in tmp/")
    return status, heard[0], heard[1], mail


def masked(text):
    return re.sub(rb"[0-9a-f]{16,32}\.(\d+)", rb"ID.\1", re.sub(rb"\w{3}, \d+ \w{3} \d{4} [0-9:]{8} \+0000", b"DATE", text))


def check_session(name, result):
    status, said, log, mail = result
    expect(status == 0, "exit status %d" % status)
    expect(not SANITIZER.search(log), "the log says: %r" % log[-3000:])
    expect(re.fullmatch(rb"([\x20-\x7e]+\n)*", log), "the log: %r" % log[-1000:])
    at = 0
    while at < len(said):
        reply = REPLY.match(said, at)
        expect(reply, "no reply: %r" % said[at:at + 200])
        at = reply.end()
    if name == "smtp-handler":
        ids = {i for text in mail.values() for i in re.findall(rb"\sid ([0-9a-f]{16,32}\.\d+)[;\r\n]", text)[:1]}
        expect(set(re.findall(rb"stored with id (\S+)\r\n", said)) == ids, "promised and stored differ")
    return masked(said), sorted((os.path.dirname(k), masked(v)) for k, v in mail.items())


def dialogue(rng, build, root, data, options):
    lmtp = rng.random() < 0.25
    name = "maildir-deliver" if lmtp else "smtp-handler"
    if lmtp:
        data = data.replace(b"EHLO", b"LHLO").replace(b"HELO", b"LHLO")
    command = [build + "/" + name] + options + (["--lmtp"] if lmtp else [])
    pipe = rng.random() < 0.25
    whole = check_session(name, run(command, [data], pipe, root))
    pieces = check_session(name, run(command, cut(rng, data), pipe, root))
    expect(whole[0] == pieces[0], "said differently in pieces: %r | %r" % (whole[0][-500:], pieces[0][-500:]))
    expect(whole[1] == pieces[1], "stored differently in pieces")
    strict = lmtp or not pipe
    for _, text in whole[1]:
        expect(not strict or not re.search(rb"[\r\0]", text), "a CR or NUL was stored")


def agent(rng, build, root, data, options):
    """The MDA form: what is stored is what was given."""
    status, said, log, mail = run([build + "/maildir-deliver"] + options + ["-f", "s@example.org", "-d", "alice@example.test"], cut(rng, data), True, root)
    expect(not SANITIZER.search(log) and said == b"", "it says: %r" % log[-3000:])
    head = b"Return-Path: <s@example.org>\nDelivered-To: alice@example.test\n"
    if data.startswith(b"From ") and b"\n" in data and not data[5:].lstrip(b" \t").startswith(b":"):
        data = data[data.index(b"\n") + 1:]
    expect(status in (0, 65), "exit status %d" % status)
    expect([head + data.replace(b"\r\n", b"\n")] * (status == 0) == list(mail.values()), "stored is not what was given")


def main():
    seconds, build, seed = float(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None
    seeds = [open(f, "rb").read() for f in sorted(glob.glob(os.path.join(HERE, "../tests/fixtures/*.in")))]
    seeds = [s for s in seeds if s]
    end, runs, choose = time.monotonic() + seconds, 0, random.Random(os.environ.get("SEED"))
    with tempfile.TemporaryDirectory() as folder:
        root = folder + "/mail"
        while runs == 0 or (seed is None and time.monotonic() < end):
            number = seed if seed is not None else choose.getrandbits(48)
            rng = random.Random(number)
            options = ["-C", "/dev/null", "-o", "mail_root=" + root, "-o", "hostname=mx.example.test", "-o", "postmaster=bob@example.test"]
            if rng.random() < 0.3:
                options += ["-o", rng.choice(("vrfy=yes", "bare_newline=normalize", "max_errors=2", "max_size=65536", "log_level=debug"))]
            data = mangle(rng, seeds)
            try:
                (agent if rng.random() < 0.1 else dialogue)(rng, build, root, data, options)
            except Find as find:
                os.makedirs(build + "/finds", exist_ok=True)
                with open("%s/finds/binary-%d" % (build, number), "wb") as f:
                    f.write(data)
                print("not ok - binary: seed %d (binary.py 1 %s %d): %s" % (number, build, number, find))
                return 1
            runs += 1
    print("ok - binary: %d transcripts, %.1f a second" % (runs, runs / seconds))
    return 0


sys.exit(main())
