"""What the hostile clients share: the server, its processes and what they use, clients that read while they write, and what was stored."""
import collections, ctypes, os, re, resource, select, shutil, signal, socket, struct, subprocess, sys, threading, time

FULL = os.environ.pop("HOSTILE", "") == "full"
HANDLER, DELIVER, LOG, *SETTINGS = sys.argv[1:]
ROOT = next(s for s in SETTINGS if s.startswith("mail_root="))[len("mail_root="):]
DOMAIN = os.path.join(ROOT, "example.test")
SANITIZED = b"__asan_init" in open(HANDLER, "rb").read()    # memory is not ours then

PR_SET_CHILD_SUBREAPER = 36     # what a process that was killed leaves behind is still ours to count
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most_files, 16384), most_files))        # for many clients


def tell(text):
    print(text, flush=True)


def skip(why):
    tell(why)
    sys.exit(77)


def until(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "never: " + what
        time.sleep(0.02)


# --- processes and what they use ---

def family(pid):
    """The descendants of a process: {pid: parent}, without zombies."""
    parents = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name) as f:
                rest = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        if rest[0] not in "ZX":
            parents[int(name)] = int(rest[1])
    found, more = {}, {pid}
    while more:
        more = {child for child, parent in parents.items() if parent in more}
        found.update((child, parents[child]) for child in more)
    return found


def used(pid):
    """(peak memory, share of memory now, both in KiB, descriptors), or None when it has ended."""
    try:
        with open("/proc/%d/status" % pid) as f:
            peak = re.search(r"VmHWM:\s*(\d+)", f.read())
        with open("/proc/%d/smaps_rollup" % pid) as f:
            share = re.search(r"\nPss:\s*(\d+)", f.read())
        return peak and share and (int(peak[1]), int(share[1]), len(os.listdir("/proc/%d/fd" % pid)))
    except OSError:
        return None


class Watched:
    """What serves: the peaks of keepers, speakers and helpers in `peaks`, the descriptors of each `now`, and the greatest number of all `most`."""
    def __init__(self):
        self.peaks, self.now, self.most, self.share = {}, {}, 0, 0

    def keepers(self):
        raise NotImplementedError

    def sample(self):
        tree, total = family(os.getpid()), 0
        keepers = self.keepers(tree)
        ours = set(keepers) | {p for p, parent in tree.items() if parent in keepers}
        for pid in ours:
            got = used(pid)
            if not got:
                continue
            try:
                name = os.readlink("/proc/%d/exe" % pid)
            except OSError:
                continue
            role = "keeper" if pid in keepers else "speaker" if name.endswith("smtp-handler") else "helper"
            self.now[role] = got[2]
            was = self.peaks.get(role, (0, 0))
            self.peaks[role] = max(was[0], got[0]), max(was[1], got[2])
            total += got[1]
        self.most = max(self.most, len(ours))
        self.share = max(self.share, total)
        return len(keepers), len(ours)

    def told(self):
        return ", ".join("%s at most %d KiB and %d descriptors" % (role, *self.peaks[role]) for role in sorted(self.peaks))


class Server(Watched):
    """The handler under tcpserver, at a port that the kernel chose."""
    def __init__(self, *options, slots=1000):
        super().__init__()
        if not shutil.which("tcpserver"):
            skip("no tcpserver")
        self.log = open(LOG, "ab")
        command = ["tcpserver", "-1DHR", "-l0", "-c", str(slots), "-b", "1000", "127.0.0.1", "0", HANDLER, *SETTINGS]
        for option in options:
            command += ["-o", option]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, start_new_session=True)
        self.port = int(self.process.stdout.readline())

    def keepers(self, tree):
        return {p for p, parent in tree.items() if parent == self.process.pid}

    def connect(self, receive=None):
        s = socket.socket()
        if receive:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        s.settimeout(60)
        s.connect(("127.0.0.1", self.port))
        return s

    def idle(self, seconds=60):
        """All sessions end by themselves, and nothing is left of them, here or with init."""
        until("all sessions have ended", lambda: set(family(os.getpid())) == {self.process.pid}, seconds)

    def __enter__(self):
        return self

    def __exit__(self, failed, *rest):
        try:
            if not failed:
                self.idle()
        finally:
            for pid in family(os.getpid()):
                os.kill(pid, signal.SIGKILL)
            self.process.wait()


class Session(Watched):
    """One handler on a socket pair."""
    def __init__(self, *options, program=(HANDLER,)):
        super().__init__()
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(60)
        command = [*program, *SETTINGS]
        for option in options:
            command += ["-o", option]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=open(LOG, "ab"))
        theirs.close()

    def keepers(self, tree):
        return {self.process.pid}

    def hello(self):
        self.socket.sendall(lines("EHLO c.example"))
        hear(self.socket, b"250 HELP\r\n")

    def __enter__(self):
        return self

    def __exit__(self, failed, *rest):
        self.socket.close()
        if failed:
            self.process.kill()
        got = self.process.wait(60)
        if not failed:
            assert got == 0, "exit status %d" % got
            until("all processes have ended", lambda: not family(os.getpid()), 20)


# --- clients ---

LAST = b"252 2.0.0 Send some mail and see\r\n"   # the answer to VRFY: nothing else has it, so it ends what is asked


def lines(*texts):
    return b"".join(t.encode() + b"\r\n" for t in texts)


def start(*rcpts, sender="a@b.example"):
    return lines("EHLO c.example", "MAIL FROM:<%s>" % sender, *("RCPT TO:<%s>" % r for r in rcpts or ("alice@example.test",)))


def message(subject, size=0):
    """The text of a message, with the end of data."""
    return b"Subject: %s\r\n\r\n" % subject.encode() + (b"x" * 70 + b"\r\n") * (size // 72) + b".\r\n"


def converse(s, data, half_close=False, until_seen=None, each=None):
    """Send all, and read what comes meanwhile; until the end of file, or until `until_seen` has come.  `each` is called now and then."""
    out, left, end, turn, poll = bytearray(), memoryview(data), time.monotonic() + 120, 0, select.poll()
    if half_close and not data:
        s.shutdown(socket.SHUT_WR)
    while until_seen is None or left or until_seen not in out[-400:]:
        assert time.monotonic() < end, "too slow; heard last: %r" % bytes(out[-200:])
        poll.register(s, select.POLLIN | (select.POLLOUT if left else 0))
        happened = dict(poll.poll(1000)).get(s.fileno(), 0)
        turn += 1
        if each and turn % 200 == 0:
            each()
        try:
            if happened & ~select.POLLOUT:
                got = s.recv(1 << 18)
                if not got:
                    break
                out += got
            if happened & select.POLLOUT:
                left = left[s.send(left[:1 << 18], socket.MSG_DONTWAIT):]
                if half_close and not left:
                    s.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            break
    return bytes(out)


def replies(out):
    """The codes of all replies."""
    return [int(l[:3]) for l in out.decode("latin-1").split("\r\n") if l[3:4] == " "]


def hear(s, word):
    """Read until it has come."""
    out = b""
    while word not in out:
        got = s.recv(65536)
        assert got, "end of file instead of %r; heard: %r" % (word, out[-500:])
        out += got
    return out


def reset(s):
    """Close with a RST."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


# --- what was stored ---

def mailbox(name):
    path = os.path.join(DOMAIN, name)
    os.makedirs(path, exist_ok=True)
    return path


def stored(box="alice", root=None):
    """The messages of a mailbox, in new and cur: {path: text}."""
    found = {}
    for sub in "new", "cur":
        path = os.path.join(root or os.path.join(DOMAIN, box), sub)
        for name in os.listdir(path) if os.path.isdir(path) else ():
            with open(os.path.join(path, name), "rb") as f:
                found[os.path.join(path, name)] = f.read()
    return found


def subjects(box="alice", **where):
    return sorted(re.search(rb"^Subject: (.*)$", text, re.M)[1].decode() for text in stored(box, **where).values())


def files():
    """Every file beneath mail_root."""
    return [os.path.join(path, name) for path, _, names in os.walk(ROOT) for name in names]


def nothing_in_tmp(root=None):
    left = [f for f in files() if "/tmp/" in f[len(ROOT):]]
    assert not left, "left in tmp/: %s" % left


def in_log(pattern):
    with open(LOG, errors="replace") as f:
        return len(re.findall(pattern, f.read()))


def baseline():
    """The peaks of a usual session, in which each buffer was used once: 300 KiB to two recipients."""
    mailbox("before")
    with Session() as b:
        converse(b.socket, start("before@example.test") + lines("DATA") + message("before", 300000), until_seen=b"Ok, stored")
        b.sample()
    shutil.rmtree(os.path.join(DOMAIN, "before"))
    return b


def bounded(watched, usual, slack=256, helper=256):
    """Not more memory than usual, but for `slack` KiB; few descriptors."""
    tell(watched.told())
    if SANITIZED:
        return
    for role, (peak, fds) in watched.peaks.items():
        more = helper if role == "helper" else slack
        assert peak <= usual.peaks[role][0] + more, "%s: %d KiB, usual is %d" % (role, peak, usual.peaks[role][0])
