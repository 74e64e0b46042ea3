"""The queue of tests/faults/power: mail for other hosts, passes that send it, what the other hosts have got and when; and a pass after the cut, which must do the rest."""
import collections, glob, os, re, subprocess, threading, time

import passes
from power_mail import Client, Message, Run, address, is_whole, mail, number_of, sha

OWNER = 12345
REPORTS = "mail/example.test/sender/"           # where reports of mail from here come
UNKNOWN = "far.example/unknown"                 # passes.REFUSED
LATER = 40 * 3600                               # after the cut: more than the 36 hours after which what a crash left is removed
LIMIT = 60


class Server(passes.Server):
    """Takes what it gets and notes what, for whom and when.  puts_off: who is called `later` is refused the first time."""

    def __init__(self, position=lambda: 0, puts_off=False):
        self.position, self.puts_off, self.mails, self.asked = position, puts_off, [], set()
        super().__init__()

    def refusal(self, rcpt):
        if self.puts_off and rcpt.startswith("later") and rcpt not in self.asked:
            self.asked.add(rcpt)
            return b"450 4.2.1 not now"
        return super().refusal(rcpt)

    def keep(self, rcpts, body):
        self.mails.append((self.position(), list(rcpts), body.replace(b"\r\n", b"\n")))


def is_report(text):
    return b"\nContent-Type: multipart/report;" in text.partition(b"\n\n")[0]


def report_is_whole(text):
    """A report of a failure, from its header to the last boundary."""
    boundary = re.search(rb'^ boundary="([^"]+)"\n', text, re.M)
    return bool(boundary) and text.endswith(b"\n--" + boundary.group(1) + b"--\n") and b"\nFinal-Recipient: rfc822; %s\n" % passes.REFUSED.encode() in text


def settings_of_pass(port, parallel):
    return ["-o", "relayhost=127.0.0.1:%d" % port, "-o", "tls_policy=none", "-o", "queue_warn=0", "-o", "queue_parallel=%d" % parallel]


class QueueRun(Run):
    """Acceptance and passes on the recording disk.  Each recipient but the unknown one has a message of his own, so that his address tells all."""

    def __init__(self, *args):
        super().__init__(*args)
        self.struck, self.reported, self.server, self.lock = {}, {}, Server(self.position, puts_off=True), threading.Lock()

    def more_settings(self):
        return ["-o", "queue_dir=%s/live/queue" % os.getcwd(), "-o", "relay_from=192.0.2.7"]

    def is_here(self, box):
        return box.startswith("example.test/")

    def copies(self):
        return ((name, text) for name, text in mail("live") if not name.startswith(REPORTS))

    def new(self, size, chunked=False, unknown=False, more=()):
        """For a mailbox here, two recipients of one host, one of another; and, it may be, for one whom that host does not know, and others."""
        n = len(self.messages)
        rcpts = ["example.test/alice", "far.example/joe%d" % n, "far.example/jim%d" % n, "near.example/ann%d" % n, *(x + str(n) for x in more), *[UNKNOWN] * unknown]
        return self.message(size, rcpts, chunked, sender="example.test/sender" if n % 2 else "client.test/sender")

    def accept(self, *messages):
        c = Client(self)
        for m in messages:
            c.send(m)
        c.quit()

    # --- passes ---

    def pass_over(self, parallel=1, ahead=0):
        """A pass; what its log says of a recipient has been written down before.  What failed before it is reported when it ends."""
        failed = [n for n in list(self.answered) if UNKNOWN in self.messages[n].recipients and n not in self.reported]
        now = ["--now", str(int(time.time()) + ahead)] if ahead else []
        child = subprocess.Popen([self.program("smtp-queue"), *self.settings, *settings_of_pass(self.server.port, parallel), *now, "run"],
                                 stderr=subprocess.PIPE, env={**os.environ, "SMTP_LOG": "stderr"})
        for line in child.stderr:
            sent = re.search(rb" sent: to=<([^>]+)>", line)
            if sent and not sent.group(1).startswith(b"sender@"):       # who gets reports, and more than one
                self.struck[sent.group(1).decode()] = self.position()
        if child.wait() != 0:
            raise RuntimeError("the pass ends with %d" % child.returncode)
        self.reported.update((n, self.position()) for n in failed)

    def first_messages(self):
        for size, chunked in (500, False), (3000, True), (70000, False), (300000, True):        # one client, then one pass, at a time
            self.accept(self.new(size, chunked, unknown=True))
            self.pass_over()
        Client(self).break_off(self.message(100000, ["example.test/alice", "far.example/never"]))
        self.accept(*(self.new(size, unknown=size < 1000, more=["near.example/later"]) for size in (700, 800, 3000, 90000)))
        self.pass_over()

    def crowd(self, number):
        """One of several clients at the same time, while passes go on."""
        try:
            for size in 400, 20000:
                with self.lock:
                    m = self.new(size + number, chunked=bool(number & 1))
                self.accept(m)
        except Exception as e:
            self.failed.append(e)

    def deliver_all(self):
        self.first_messages()
        others = threading.Thread(target=self.all_at_once)
        others.start()
        while others.is_alive():
            self.pass_over(parallel=20)
        self.pass_over(parallel=20)
        self.pass_over(ahead=3600)      # and now those who were put off

    def finish(self):
        facts = super().finish()
        self.server.close()
        if self.failed or self.server.bad:
            raise RuntimeError("%s %s" % (self.failed, self.server.bad))
        taken, reports = collections.defaultdict(list), collections.defaultdict(list)
        for at, rcpts, text in self.server.mails:
            number = number_of(text)
            if is_report(text):
                reports[number].append(at)
            for r in rcpts if not is_report(text) else ():
                taken[r].append(at)
        for name, text in mail("live"):
            if name.startswith(REPORTS):
                number = number_of(text)
                reports[number].append(None)
                facts["files"][name] = [sha(text), self.reported[number]]
        wanted = {address(b) for n in self.answered for b in self.messages[n].recipients if not self.is_here(b) and b != UNKNOWN}
        failed = {n for n in self.answered if UNKNOWN in self.messages[n].recipients}
        if set(taken) != wanted or set(self.struck) != wanted or set(reports) != failed or any(len(x) != 1 for x in [*taken.values(), *reports.values()]):
            raise RuntimeError("without a cut: %s %s %s" % (taken, self.struck, reports))
        left = what_is_left()
        if left:
            raise RuntimeError("without a cut there remains " + " ".join(left))
        facts["promises"] += [*self.struck.values(), *self.reported.values()]
        facts["queue"] = {
            "settings": self.settings, "recipients": {r: [at[0], self.struck[r]] for r, at in taken.items()},
            "messages": [[n, m.size, m.recipients, m.chunked, m.sender] for n, m in self.messages.items() if n in self.answered],
            "answered": list(self.answered.items()), "reports": [[n, at[0], self.reported[n]] for n, at in reports.items()]}
        return facts


# --- after a cut ---

def what_is_left():
    return [p for d in ("tmp", "message", "new", "wait", "hold") for p in glob.glob("live/queue/%s/*" % d)]


class After:
    """A pass over what a cut has left, long after it: it must do all that was promised, and nothing that was written down as done."""

    def __init__(self, build, facts, position):
        self.build, self.q, self.position, self.wrong = build, facts["queue"], position, []
        self.messages = {m[0]: Message(*m) for m in self.q["messages"]}
        self.taken, self.reports, self.odd = collections.Counter(), collections.Counter(), []

    def run_pass(self):
        server = Server()
        command = [self.build + "/smtp-queue", *self.q["settings"], "-o", "deliver=%s/maildir-deliver" % self.build, *settings_of_pass(server.port, 20), "run"]
        env = {**os.environ, "SMTP_LOG": "stderr", "LD_PRELOAD": self.build + "/power-lie.so", "POWER_LATER": str(LATER)}
        done = subprocess.run(command, stderr=subprocess.PIPE, timeout=LIMIT, env=env)
        server.close()
        self.odd = [line for line in done.stderr.decode("latin-1").splitlines() if not passes.QUIET.match(line)]
        if done.returncode != 0:
            self.wrong.append("the pass ends with %d" % done.returncode)
        self.wrong += server.bad + ["left: " + p for p in what_is_left()]
        return server.mails

    def look(self):
        """Hears what was sent, and what was reported here.  Reports that were there before the pass count too."""
        for _, rcpts, text in self.run_pass():
            self.take_text(text, rcpts)
        for name, text in mail("live"):
            if name.startswith(REPORTS):
                self.take_text(text, [])

    def take_text(self, text, rcpts):
        try:
            m = self.messages[number_of(text)]
        except (AttributeError, KeyError):
            self.wrong.append("half: for %s, %d octets" % (rcpts, len(text)))
            return
        if is_report(text):
            self.reports[m.number] += 1
        self.taken.update(() if is_report(text) else rcpts)
        if not (report_is_whole(text) if is_report(text) else is_whole(text, m)):
            self.wrong.append("half: message %d for %s, %d octets" % (m.number, rcpts, len(text)))

    def judge(self):
        """Each recipient: when the recording's server had taken the message (`taken`) it need not be sent again; when that was written down it must not."""
        for n, answered in self.q["answered"]:
            for r in map(address, self.messages[n].recipients):
                if r in self.q["recipients"]:
                    taken, struck = self.q["recipients"][r]
                    self.judge_one("message %d for %s" % (n, r), self.taken[r], answered <= self.position < taken, self.position < struck)
        answered = dict(self.q["answered"])
        for n, taken, reported in self.q["reports"]:
            least, open_yet = answered[n] <= self.position, self.position < reported
            if taken is None:   # in a mailbox, from which none goes: with a second one, if it was not written down that there is a first
                self.judge_one("report of %d" % n, self.reports[n], least, 1 + open_yet)
            else:
                self.judge_one("report of %d" % n, self.reports[n], least and self.position < taken, 2 * open_yet)

    def judge_one(self, what, times, least, most):
        if times < least:
            self.wrong.append("lost: " + what)
        if times > most:
            self.wrong.append("again: " + what)


def aftermath(build, facts, position):
    """What is wrong with the queue of the mounted file system, as a list; and how much was sent."""
    after = After(build, facts, position)
    after.look()
    after.judge()
    if after.wrong:
        after.wrong += ["the log: " + line for line in after.odd[:5]]
    return after.wrong, sum(after.taken.values())
