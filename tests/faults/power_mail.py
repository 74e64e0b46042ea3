"""The mail of tests/faults/power: messages, clients, what was answered and when, and what must be in the mailboxes."""
import collections, glob, hashlib, itertools, os, random, re, socket, subprocess, threading

MIB = 1 << 20


class Message:
    def __init__(self, number, size, recipients, chunked):
        self.number, self.recipients, self.chunked = number, recipients, chunked
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
        self.child = subprocess.Popen(run.handler + list(options), stdin=theirs, stdout=theirs, stderr=run.stderr)
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
        self.ask(b"MAIL FROM:<sender@client.test> BODY=8BITMIME\r\n", 250)
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
        deliver = build + "/maildir-deliver"
        settings = ["-C", "/dev/null", "-o", "mail_root=%s/live/mail" % os.getcwd(), "-o", "hostname=mx.example.test"]
        if mutant:
            with open("mutant", "w") as f:
                f.write('#!/bin/sh\nPOWER_LIE=%s LD_PRELOAD=%s/power-lie.so exec %s "$@"\n' % (mutant, build, deliver))
            os.chmod("mutant", 0o755)
            deliver = os.getcwd() + "/mutant"
        self.deliver = [deliver] + settings
        self.handler = [build + "/smtp-handler"] + settings + ["-o", "deliver=" + deliver]
        self.stderr = open("stderr", "ab")

    def position(self):
        return os.stat("log").st_size

    def message(self, size, recipients, chunked=False):
        m = Message(next(self.numbers), size, recipients, chunked)
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

    def deliver_all(self):
        self.first_messages()
        threads = [threading.Thread(target=self.crowd, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for e in self.failed:
            raise e

    def finish(self):
        """What is there now, each file compared with its message; what a cut leaves is compared with this."""
        files, where = {}, collections.defaultdict(set)
        for name, text in mail("live"):
            number = int(re.search(rb"^X-Number: (\d+)$", text, re.M).group(1))
            sent = self.messages[number].stored()
            trace = rb"Return-Path: <sender@client.test>\nDelivered-To: [^\n]+\n(Received: [^\n]+\n([ \t][^\n]+\n)*)?"
            if number not in self.answered or not text.endswith(sent) or not re.fullmatch(trace, text[:-len(sent)]):
                raise RuntimeError("%s: not the message that was sent" % name)
            files[name] = [hashlib.sha256(text).hexdigest(), self.answered[number]]
            where[number].add(name)
        for number in self.answered:
            if len(where[number]) != len(self.messages[number].recipients):
                raise RuntimeError("message %d is in %s" % (number, where[number]))
        return {"fs": self.fs, "files": files, "made": self.made, "answered": sorted(self.answered.values())}


def mail(root):
    for name in glob.glob(root + "/mail/*/*/new/*") + glob.glob(root + "/caught/new/*"):
        with open(name, "rb") as f:
            yield name[len(root) + 1:], f.read()
