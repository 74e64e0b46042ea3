"""The mail of tests/faults/power: messages, clients, what was answered and when, and what must be in the mailboxes."""
import collections, glob, hashlib, itertools, os, random, re, socket, subprocess, threading

MIB = 1 << 20


class Message:
    def __init__(self, number, size, recipients, chunked, sender="client.test/sender"):
        self.number, self.size, self.recipients, self.chunked, self.sender = number, size, recipients, chunked, sender
        rng = random.Random(number)
        lines = [b"From: <sender@client.test>", b"X-Number: %d" % number, b""]
        while size > 0:
            line = rng.choice([b"", b".", b"..", b"\xc3\xa4 "]) + b"%x" % rng.getrandbits(8 * rng.randrange(2, 100))
            lines.append(line)
            size -= len(line)
        self.lines = lines

    def stored(self):
        return b"".join(line + b"\n" for line in self.lines)

    def wire(self):
        """What the client sends, in pieces that are each answered, and with what."""
        if not self.chunked:
            return [(b"DATA\r\n", 354), (b"".join((b"." if x[:1] == b"." else b"") + x + b"\r\n" for x in self.lines) + b".\r\n", 250)]
        text = b"".join(x + b"\r\n" for x in self.lines)
        parts = [text[i:i + len(text) // 2 + 1] for i in range(0, len(text), len(text) // 2 + 1)]
        return [(b"BDAT %d\r\n" % len(p) + p, 250) for p in parts] + [(b"BDAT 0 LAST\r\n", 250)]


def address(box):
    return "@".join(reversed(box.split("/")))


class Client:
    """An SMTP client on a socket, which notes when it hears the 250."""

    def __init__(self, run, *options):
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(60)
        self.child = subprocess.Popen(run.handler + list(options), stdin=theirs, stdout=theirs, stderr=run.stderr, env={**os.environ, "TCPREMOTEIP": "192.0.2.7"})
        theirs.close()
        self.run, self.replies = run, self.sock.makefile("rb")
        self.expect(220)
        self.ask(b"EHLO client.test\r\n", 250)

    def expect(self, code):
        line = self.replies.readline()
        while line[3:4] == b"-":
            line = self.replies.readline()
        if line[:3] != b"%d" % code:
            raise RuntimeError("the handler said %r instead of %d" % (line, code))

    def ask(self, text, code):
        self.sock.sendall(text)
        self.expect(code)

    def begin(self, m):
        self.ask(b"MAIL FROM:<%s> BODY=8BITMIME\r\n" % address(m.sender).encode(), 250)
        for box in m.recipients:
            self.ask(b"RCPT TO:<%s>\r\n" % address(box).encode(), 250)

    def send(self, m):
        self.begin(m)
        for text, code in m.wire():
            self.ask(text, code)
        self.run.answered[m.number] = self.run.position()

    def break_off(self, m):
        """A client that dies in the middle of a message."""
        self.begin(m)
        self.sock.sendall(m.wire()[0][0])
        if not m.chunked:
            self.sock.sendall(m.wire()[1][0][:-5])
        self.close()

    def close(self):
        self.replies.close()
        self.sock.close()
        self.child.wait()

    def quit(self):
        self.ask(b"QUIT\r\n", 221)
        self.close()


class Run:
    """Deliveries to a file system on the recording disk; everything that a check needs to know is in self.facts at the end."""

    def __init__(self, build, fs, mutant):
        self.fs, self.numbers, self.messages, self.answered, self.made, self.failed = fs, itertools.count(), {}, {}, {}, []
        self.build, self.mutant = build, mutant
        settings = ["-C", "/dev/null", "-o", "mail_root=%s/live/mail" % os.getcwd(), "-o", "hostname=mx.example.test", *self.more_settings()]
        self.deliver = [self.program("maildir-deliver")] + settings
        self.settings = settings + ["-o", "deliver=" + self.deliver[0]]
        self.handler = [build + "/smtp-handler"] + self.settings
        self.stderr = open("stderr", "ab")

    def more_settings(self):
        return []

    def program(self, name):
        """Its path, or that of a script which runs it without a sync: of a mutant PROGRAM:WHAT."""
        who, _, what = (self.mutant or "").partition(":")
        path = "%s/%s" % (self.build, name)
        if who != name:
            return path
        with open("mutant", "w") as f:
            f.write('#!/bin/sh\nPOWER_LIE=%s LD_PRELOAD=%s/power-lie.so exec %s "$@"\n' % (what, self.build, path))
        os.chmod("mutant", 0o755)
        return os.getcwd() + "/mutant"

    def position(self):
        return os.stat("log").st_size

    def message(self, size, recipients, chunked=False, **more):
        m = Message(next(self.numbers), size, recipients, chunked, **more)
        self.messages[m.number] = m
        return m

    def one(self, size, recipients, chunked=False, options=()):
        c = Client(self, *options)
        c.send(self.message(size, recipients, chunked))
        c.quit()

    def as_agent(self, size, recipients):
        """maildir-deliver called by another mail system: there exit status 0 is the promise."""
        m = self.message(size, recipients)
        to = [x for box in recipients for x in ("-d", address(box))]
        subprocess.run(self.deliver + ["-f", "sender@client.test"] + to, input=m.stored(), stderr=self.stderr, check=True)
        self.answered[m.number] = self.position()

    def first_messages(self):
        """One client at a time, so that no other sync helps: mailboxes that are new in each way, then ordinary messages."""
        subprocess.run(self.deliver + ["--make", "eve@new.test"], check=True)
        self.made["mail/new.test/eve"] = self.position()
        self.one(500, ["new.test/eve"])
        self.one(500, ["example.test/bob"])             # a directory without new/, tmp/ and cur/
        os.mkdir("live/mail/example.test/frank")
        self.one(100000, ["example.test/frank"])
        self.one(500, ["example.test/alice"], options=["-o", "catch_all=%s/live/caught" % os.getcwd()])
        for size in 0, 3000, 70000, 300000:
            for chunked in False, True:
                self.one(size, ["example.test/alice"], chunked)
        self.one(3000, ["example.test/alice", "example.test/bob", "example.test/carol"])
        self.as_agent(200000, ["example.test/carol", "example.test/dave"])
        for size in 300, 3000, 9000, 70000, 3000:       # so many that the file system is synced, and not each file
            self.one(size, ["example.test/member%d" % i for i in range(40)])

    def crowd(self, number):
        """One of several clients at the same time, with several messages each."""
        try:
            boxes = ["example.test/" + x for x in ("alice", "bob", "carol", "dave")]
            for session in range(2):
                c = Client(self)
                for size, count in (300, 1), (20000, 3), (90000, 1), (MIB, 3 if session else 1):
                    first = (number + session) % 4
                    c.send(self.message(size, [boxes[(first + i) % 4] for i in range(count)], chunked=bool((number + size + session) & 1)))
                c.quit()
                Client(self).break_off(self.message(100000, [boxes[number % 4]], chunked=bool(session)))
        except Exception as e:
            self.failed.append(e)

    def all_at_once(self):
        threads = [threading.Thread(target=self.crowd, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for e in self.failed:
            raise e

    def deliver_all(self):
        self.first_messages()
        self.all_at_once()

    def is_here(self, box):
        return True

    def finish(self):
        """What is there now, each file compared with its message; what a cut leaves is compared with this."""
        files, where = {}, collections.defaultdict(set)
        for name, text in self.copies():
            number = number_of(text)
            m = self.messages[number]
            top = b"Return-Path: <%s>\nDelivered-To: [^\n]+\n" % address(m.sender).encode()
            if number not in self.answered or not is_whole(text, m, top):
                raise RuntimeError("%s: not the message that was sent" % name)
            files[name] = [sha(text), self.answered[number]]
            where[number].add(name)
        for number in self.answered:
            if len(where[number]) != len(list(filter(self.is_here, self.messages[number].recipients))):
                raise RuntimeError("message %d is in %s" % (number, where[number]))
        answered = sorted(self.answered.values())
        return {"fs": self.fs, "files": files, "made": self.made, "answered": answered, "promises": answered + list(self.made.values())}

    def copies(self):
        return mail("live")


def number_of(text):
    return int(re.search(rb"^X-Number: (\d+)$", text, re.M).group(1))


def sha(text):
    return hashlib.sha256(text).hexdigest()


def is_whole(text, m, top=b""):
    """Whether it is that message, octet for octet, behind these lines and those that a server adds."""
    sent = m.stored()
    return text.endswith(sent) and bool(re.fullmatch(top + rb"(Received: [^\n]+\n([ \t][^\n]+\n)*)?", text[:-len(sent)]))


def mail(root):
    for name in glob.glob(root + "/mail/*/*/new/*") + glob.glob(root + "/caught/new/*"):
        with open(name, "rb") as f:
            yield name[len(root) + 1:], f.read()
