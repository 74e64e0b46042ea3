"""One delivery under the injector, as a client sees it and as the disk shows it afterwards."""
import collections, email.utils, fcntl, glob, os, re, select, socket, struct, subprocess, sys, tempfile, termios, time

BUILD = os.path.realpath(os.environ.get("BUILD", os.path.dirname(os.path.realpath(__file__)) + "/../../build"))
CRASHES = {4, 6, 7, 8, 11, 13, 14, 31}
LIMIT = 25              # seconds for a session: more is a hang.  The keeper gives a helper that does not end 9 of them
PIECE = 32000           # octets that a socket passes on in one buffer, so that each is read by one call
NAMES = ("alice", "bob", "carol", "dave")
FULL = "full"           # the user who is over his quota
SMALL = b"Subject: small\r\n\r\n" + b"".join(b"line %d\r\n" % i for i in range(40))
LARGE = b"Subject: large\r\n\r\n" + b"".join(b"%07d %s\r\n" % (i, b"x" * 54) for i in range(16384))

# name: mailboxes; chunks: by BDAT; fresh: no tmp, new and cur yet; owners: each mailbox has its own (as root only);
# mda: one process, the message on its input; again: a transaction is given up first; faults: in force in every run
# queue: all but the first are elsewhere, and laid down for that
# users: all but the last are users of the host (as root only), one more of them is over his quota
Scenario = collections.namedtuple("Scenario", "name count body chunks fresh owners mda again faults users queue", defaults=(False, False, False, False, False, (), False, False))
SCENARIOS = (
    Scenario("one", 1, SMALL, fresh=True),
    Scenario("three", 3, SMALL),
    Scenario("data", 3, LARGE),
    Scenario("bdat", 3, LARGE, chunks=True, owners=True),
    Scenario("links", 3, SMALL, faults=("helper:renameat2:1+:EINVAL",)),        # a file system without RENAME_NOREPLACE
    Scenario("again", 1, SMALL, again=True),
    Scenario("mda", 3, SMALL, mda=True),
    Scenario("queue", 3, SMALL, queue=True),
) + ((Scenario("users", 4, SMALL, users=True),) if os.geteuid() == 0 else ())

# In a mount namespace: $0 lies on /mnt, and its accounts are the host's.
ENTER = ("unshare", "--mount", "--propagation", "private", "sh", "-ec", 'mount --bind "$0" /mnt; '
         'for f in passwd group nsswitch.conf; do mount --bind /mnt/etc/$f /etc/$f; done; [ ! -d /run/nscd ] || mount -t tmpfs none /run/nscd; exec "$@"')
UID = 20001


class Hang(Exception):
    pass


class Client:
    """The other end of the connection: waits for each reply, as most do."""

    def __init__(self, sock, deadline):
        self.sock, self.deadline, self.buffer, self.replies = sock, deadline, b"", []
        sock.setblocking(False)

    def wait(self, readable):
        left = self.deadline - time.monotonic()
        if left <= 0 or not any(select.select([self.sock] if readable else [], [] if readable else [self.sock], [], left)):
            raise Hang

    def send(self, data):
        """In pieces, each taken before the next comes: then the calls that read them are the same in each run."""
        try:
            for piece in (data[i:i + PIECE] for i in range(0, len(data), PIECE)):
                while piece:
                    self.wait(False)
                    piece = piece[self.sock.send(piece):]
                while len(data) > PIECE and struct.unpack("i", fcntl.ioctl(self.sock, termios.TIOCOUTQ, b"\0" * 4))[0]:
                    if time.monotonic() > self.deadline:
                        raise Hang
                    time.sleep(0.0001)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def reply(self):
        """The code of the next reply; 0 when there is none."""
        while True:
            lines = self.buffer.split(b"\r\n")
            for i, line in enumerate(lines[:-1]):
                if line[3:4] != b"-":
                    self.buffer = b"\r\n".join(lines[i + 1:])
                    self.replies.append(line.decode("latin-1"))
                    return int(line[:3])
            self.wait(True)
            try:
                got = self.sock.recv(65536)
            except ConnectionResetError:
                got = b""
            if not got:
                return 0
            self.buffer += got

    def ask(self, line):
        self.send(line + b"\r\n")
        return self.reply()

    def envelope(self, names, address):
        """The recipients that were taken."""
        self.send(b"MAIL FROM:<sender@example.org>\r\n" + b"".join(b"RCPT TO:<%s>\r\n" % address(n).encode() for n in names))
        return [] if self.reply() != 250 else [n for n in names if self.reply() == 250]

    def message(self, scenario):
        """The reply to the data."""
        if not scenario.chunks:
            code = self.ask(b"DATA")
            if code == 354:
                self.send(scenario.body + b".\r\n")
                code = self.reply()
            return code
        code, size = 250, 300000
        for at in range(0, len(scenario.body), size):
            chunk = scenario.body[at:at + size]
            last = at + size >= len(scenario.body)
            self.send(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if last else b"") + chunk)
            code = self.reply()
            if code != 250 or last:
                return code


class Run:
    """One session of a scenario, with a fault or without, in a place of its own."""

    def __init__(self, build, scenario, fault=None):
        self.build, self.scenario, self.fault = build, scenario, fault
        self.names, self.accepted, self.code, self.hang = NAMES[:scenario.count], [], 0, False
        self.replies, self.wrong, self.held = [], [], []

    def is_user(self, name):
        return self.scenario.users and name != self.names[-1]

    def is_remote(self, name):
        return self.scenario.queue and name != self.names[0]

    def address(self, name):
        if self.is_remote(name):
            return "%s@%s.example" % (name, name)       # a destination for each
        return name + ("@localhost" if self.is_user(name) else "@example.test")

    def box(self, name):
        return "%s/home/%s/Maildir" % (self.place, name) if self.is_user(name) else "%s/mail/example.test/%s" % (self.place, name)

    def recipients(self):
        return [*self.names[:-1], FULL, self.names[-1]] if self.scenario.users else self.names

    def enter(self):
        return [*ENTER, self.place] if self.scenario.users else []

    def command(self, program, *args):
        path, place = os.path.join(self.build, program), "/mnt" if self.scenario.users else self.place
        more = ["-o", "aliases=/mnt/etc/aliases"] if self.scenario.users else []
        more += ["-o", "queue_dir=%s/queue" % place, "-o", "relay_from=192.0.2.7"] if self.scenario.queue else []
        return [path, "-C", "/dev/null", "-o", "mail_root=" + place + "/mail", "-o", "hostname=mx.example.test", *more, *args]

    def make_users(self):
        """One has no Maildir yet, each other a quota that does not matter but to who is over it, one a .forward to himself."""
        os.chmod(self.place, 0o755)
        os.makedirs(self.place + "/etc")
        files = {"passwd": "root:x:0:0::/:\n", "group": "root:x:0:\n", "nsswitch.conf": "passwd: files\ngroup: files\n", "aliases": ""}
        for i, name in enumerate([*self.names[:-1], FULL]):
            home, uid = "%s/home/%s" % (self.place, name), UID + i
            files["passwd"] += "%s:x:%d:%d::/mnt/home/%s:/bin/sh\n" % (name, uid, uid, name)
            files["group"] += "%s:x:%d:\nmore%d:x:%d:%s\n" % (name, uid, i, uid + 100, name)
            paths = [home] + ([home + "/Maildir" + sub for sub in ("", "/tmp", "/new", "/cur")] if i else [])
            for path in paths:
                os.makedirs(path, 0o755)
            for path, text in ((home + "/Maildir/maildirsize", "100S\n200 1\n" if name == FULL else "100000S\n0 0\n"), (home + "/.forward", "\\bob\n")):
                if i and (name == "bob" or not path.endswith("forward")):
                    with open(path, "w", encoding="ascii") as f:
                        f.write(text)
                    paths.append(path)
            for path in paths:
                os.chown(path, uid, uid)
        for name, text in files.items():
            with open(self.place + "/etc/" + name, "w", encoding="ascii") as f:
                f.write(text)

    def make_mailboxes(self):
        if self.scenario.users:
            self.make_users()
        if self.scenario.queue:
            os.chmod(self.place, 0o755)
            os.mkdir(self.place + "/queue")
            os.chown(self.place + "/queue", self.queue_owner(), -1)
        for i, name in enumerate(self.names):
            box = self.box(name)
            if self.is_user(name) or self.is_remote(name):
                continue
            os.makedirs(box)
            for sub in () if self.scenario.fresh else ("/tmp", "/new", "/cur"):
                os.mkdir(box + sub)
            if self.scenario.owners and os.geteuid() == 0:
                for path in (box, box + "/tmp", box + "/new", box + "/cur"):
                    os.chown(path, 1001 + i, 1001 + i)

    def environment(self):
        return {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC", **({"TCPREMOTEIP": "192.0.2.7"} if self.scenario.queue else {})}

    def start(self, stdin, log):
        rcpts = [a for n in self.names for a in ("-d", self.address(n))]
        command = self.command("maildir-deliver", "-f", "sender@example.org", *rcpts) if self.scenario.mda else self.command("smtp-handler")
        faults = [a for f in (*self.scenario.faults, self.fault) if f for a in ("-f", f)]
        more = ["-t"] * (self.fault is None) + ["-r", "helper"] * self.scenario.mda
        tool = [BUILD + "/faults/inject", *more, *faults, "-o", self.place + "/report"]
        return subprocess.Popen(self.enter() + tool + command, stdin=stdin, stdout=stdin, stderr=log, env=self.environment(), cwd=self.place)

    def converse(self, sock, deadline):
        client = Client(sock, deadline)
        self.replies = client.replies
        if self.scenario.mda:
            client.send(self.scenario.body.replace(b"\r\n", b"\n"))
            sock.shutdown(socket.SHUT_WR)
            self.accepted = list(self.names)
        else:
            if client.reply() == 220 and client.ask(b"EHLO client.example.org") == 250:
                if self.scenario.again:
                    client.envelope(self.names, self.address)
                    client.ask(b"RSET")
                self.accepted = client.envelope(self.recipients(), lambda n: FULL + "@localhost" if n == FULL else self.address(n))
                if FULL in self.accepted:
                    self.wrong.append("taken, though over quota")
                    self.accepted.remove(FULL)
            self.code = client.message(self.scenario) if self.accepted else 0
            client.send(b"QUIT\r\n")
        while client.reply():
            pass

    def session(self):
        ours, theirs = socket.socketpair()
        deadline = time.monotonic() + LIMIT
        with open(self.place + "/log", "w+b") as log:
            child = self.start(theirs, log)
            theirs.close()
            try:
                self.converse(ours, deadline)
                status = child.wait(max(1, deadline - time.monotonic()))
            except (Hang, subprocess.TimeoutExpired):
                self.hang, status = True, 0
                child.kill()            # and with it the kernel ends all that it traces
                child.wait()
            ours.close()
            log.seek(0)
            self.log = log.read().decode("latin-1")
        if status == 77:
            print("skipped: " + self.log)
            sys.exit(77)
        with open(self.place + "/report", encoding="ascii") as f:
            self.report = [line.split() for line in f]
        self.ends = {r[1]: (r[2], int(r[3])) for r in self.report if r[0] == "end"}
        if self.scenario.mda and self.ends.get("helper") == ("exit", 0):
            self.code = 250

    def run(self):
        with tempfile.TemporaryDirectory(prefix="faults.") as self.place:
            self.make_mailboxes()
            self.session()
            self.look()
        return self

    # --- what became of it ---

    @staticmethod
    def is_whole(text, address, body, traced=True):
        """Octet for octet, but for what the trace header says; its date is of this hour.  No address: it is on its way, and has no more than that."""
        head = rb"Return-Path: <sender@example.org>\nDelivered-To: %s\n" % address.encode() if address else b""
        trace = rb"Received: from [^\n]+\n\tby [^\n]+(?:\n\tfor <[^\n]+>)?;\n\t([^\n]+)\n"
        body = body.replace(b"\r\n", b"\n")
        m = re.fullmatch(head + (trace if traced else rb"()"), text[:-len(body)])
        if not m or not text.endswith(body):
            return False
        return not traced or abs(email.utils.parsedate_to_datetime(m.group(1).decode()).timestamp() - time.time()) < 3600

    @staticmethod
    def queue_owner():
        return 65534 if os.geteuid() == 0 else os.geteuid()

    def waiting(self, name):
        """What messages() says, of the entries for a recipient elsewhere.  One without its message has no text."""
        found = []
        for path in glob.glob(self.place + "/queue/new/*"):
            with open(path, "rb") as f:
                if b"r" + self.address(name).encode() + b"," not in f.read():
                    continue
            message = self.place + "/queue/message/" + os.path.basename(path)[11:-17]
            text = open(message, "rb").read() if os.path.exists(message) else b""
            found.append((text, os.stat(path).st_uid == self.queue_owner()))
        return found

    def messages(self, name):
        """[(text, whether it belongs to whom the mailbox belongs)]"""
        if self.is_remote(name):
            return self.waiting(name)
        box = self.box(name)
        files = [p for sub in ("new", "cur") for p in glob.glob("%s/%s/*" % (box, sub))]
        return [(open(p, "rb").read(), os.stat(p).st_uid == (UID + self.names.index(name) if self.is_user(name) else os.stat(box).st_uid)) for p in files]

    def look(self):
        """Look at the mailboxes; then deliver once more, and look again."""
        for name in self.names:
            found = self.messages(name)
            if not all(owned and self.is_whole(t, not self.is_remote(name) and self.address(name), self.scenario.body, not self.scenario.mda) for t, owned in found):
                self.wrong.append("not the message that was sent: " + name)
            if len(found) > 1:
                self.wrong.append("twice: " + name)
            if found:
                self.held.append(name)
        entries = {os.path.basename(p)[11:-17] for p in glob.glob(self.place + "/queue/new/*")}
        self.orphans = len([p for p in glob.glob(self.place + "/queue/message/*") if os.path.basename(p) not in entries])
        self.left = self.orphans + len(glob.glob(self.place + "/queue/tmp/*") + glob.glob(self.place + "/mail/example.test/*/tmp/*") + glob.glob(self.place + "/home/*/Maildir/tmp/*"))
        if glob.glob(self.place + "/home/" + FULL + "/Maildir/new/*"):
            self.wrong.append("stored for who is over quota")
        self.deliver_again()

    def deliver_again(self):
        body = b"Subject: after\n\nafter\n"
        rcpts = b"".join(b"RCPT TO:<%s>\n" % self.address(n).encode() for n in self.names)
        said = subprocess.run(["timeout", str(LIMIT), *self.enter(), *self.command("smtp-handler")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, env=self.environment(),
                              input=(b"EHLO me.example.org\nMAIL FROM:<sender@example.org>\n" + rcpts + b"DATA\n" + body + b".\nQUIT\n").replace(b"\n", b"\r\n")).stdout
        for name in self.names:
            if b"Ok, stored with" not in said or sum(owned and self.is_whole(t, not self.is_remote(name) and self.address(name), body) for t, owned in self.messages(name)) != 1:
                self.wrong.append("the next delivery fails: " + name)
