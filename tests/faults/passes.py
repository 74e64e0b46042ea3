"""One pass over the queue under the injector, as the next server, the sender and the disk see it; then passes without a fault, until nothing waits."""
import atexit, collections, glob, os, re, shutil, socket, subprocess, sys, tempfile, threading, time

from session import BUILD, CRASHES, LIMIT

OWNER = 65534 if os.geteuid() == 0 else os.geteuid()    # smtp-queue will not work as root
LATER = 40 * 60                 # seconds between two passes: more than between two attempts
PASSES = 5
TAKEN, REFUSED = ("joe@far.example", "ann@near.example"), "unknown@far.example"
BODY = b"Subject: for you\r\n\r\n" + b"".join(b"line %d\r\n" % i for i in range(40))
QUIET = re.compile(r".* (?:sent|failed|stored|ended|given up): ")    # any other line says that something went wrong

# name; down: in the pass with the fault nobody listens where the server was
PassScenario = collections.namedtuple("PassScenario", "name down faults", defaults=(False, ()))
SCENARIOS = (PassScenario("pass"), PassScenario("down", down=True))
# One worker has both messages, and one client sends them over one connection; helper stores the report.
SENDERS = ("worker", "client")
UNWRITTEN = ("pwrite64", "fdatasync")   # of a worker: an entry of which something was not written down is on hold, until somebody releases it
OUTCOMES = ("sent", "sent later", "sent twice", "reported twice", "not reached", "wrong")


class Server:
    """Takes what it gets, and remembers it from the moment on that it has all of it, whether the client hears that or not."""

    def __init__(self):
        self.taken, self.bad = collections.Counter(), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            c.settimeout(LIMIT)
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def serve(self, c):
        try:
            with c, c.makefile("rb") as f:
                c.sendall(b"220 mx.remote.example ESMTP\r\n")
                self.dialogue(c, f)
        except OSError:
            pass

    def dialogue(self, c, f):
        rcpts, body = [], b""
        for line in f:
            verb, reply = line.split()[0].upper(), b"250 2.0.0 ok"
            if not line.endswith(b"\r\n"):
                return
            if verb == b"EHLO":
                reply = b"250-mx.remote.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE\r\n250 CHUNKING"
            elif verb == b"MAIL":
                rcpts, body = [], b""
            elif verb == b"RCPT":
                rcpts.append(re.search(rb"<(.*)>", line).group(1).decode())
                no = self.refusal(rcpts[-1])
                if no:
                    rcpts.pop()
                    reply = no
            elif verb == b"BDAT":
                size = int(line.split()[1])
                body += f.read(size)
                if line.upper().endswith(b"LAST\r\n"):
                    self.keep(rcpts, body)
            elif verb == b"QUIT":
                return c.sendall(b"221 2.0.0 bye\r\n")
            elif verb not in (b"RSET", b"NOOP"):
                self.bad.append("the server heard %r" % line)
            c.sendall(reply + b"\r\n")
        return None

    def refusal(self, rcpt):
        return b"550 5.1.1 no such user" if rcpt == REFUSED else None

    def keep(self, rcpts, body):
        if not re.fullmatch(rb"Received: (?:[^\n]|\n\t)+\n" + re.escape(BODY), body):
            self.bad.append("not the message that was sent, for %s" % rcpts)
        self.taken.update(rcpts)


# --- what waits ---

def settings(place):
    values = {"mail_root": place + "/mail", "queue_dir": place + "/queue", "hostname": "mx.example.test", "local_domains": "none", "relay_from": "192.0.2.7",
              "tls_policy": "none", "queue_parallel": "1", "queue_warn": "0"}
    return ["-C", "/dev/null", *(a for v in values.items() for a in ("-o", "=".join(v)))]


def environment(**more):
    return {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC", "SMTP_LOG": "stderr", **more}


def lay(place, *rcpts):
    dialogue = b"EHLO client.example.org\r\nMAIL FROM:<sender@example.test>\r\n" + b"".join(b"RCPT TO:<%s>\r\n" % r.encode() for r in rcpts) + b"DATA\r\n" + BODY + b".\r\nQUIT\r\n"
    said = subprocess.run([BUILD + "/smtp-handler", *settings(place)], input=dialogue, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, env=environment(TCPREMOTEIP="192.0.2.7")).stdout
    if b"Ok, stored with id" not in said:
        sys.exit("cannot lay down a message: " + said.decode("latin-1"))


def own(path):
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "%d:%d" % (OWNER, OWNER), path], check=True)


class Template:
    """A queue with both messages, laid down once, and copied for each run.  The first is due before the second."""
    place = None

    @classmethod
    def get(cls):
        if not cls.place:
            cls.place = tempfile.mkdtemp(prefix="faults.")
            os.chmod(cls.place, 0o755)
            for d in ("/mail/example.test/sender", "/mail/example.test/sender/tmp", "/mail/example.test/sender/new", "/mail/example.test/sender/cur", "/queue"):
                os.makedirs(cls.place + d)
            own(cls.place)
            lay(cls.place, TAKEN[0], REFUSED)
            (first,) = os.listdir(cls.place + "/queue/new")
            due, rest = first.split(".", 1)
            os.rename(cls.place + "/queue/new/" + first, cls.place + "/queue/new/%010d.%s" % (int(due) - 10, rest))
            lay(cls.place, TAKEN[1])
            atexit.register(cls.forget, os.getpid())
        return cls.place

    @classmethod
    def forget(cls, pid):
        if os.getpid() == pid:          # and not where it was inherited
            shutil.rmtree(cls.place)


class PassRun:
    def __init__(self, build, scenario, fault=None):
        self.build, self.scenario, self.fault = build, scenario, fault
        self.wrong, self.replies, self.log, self.hang, self.left = [], [], "", False, []

    def command(self, port, now, *what):
        return [self.build + "/smtp-queue", *settings(self.place), "-o", "relayhost=127.0.0.1:%d" % port, "--now", str(now), *(what or ("run",))]

    def first(self, port):
        more = [] if self.fault else ["-t"]
        faults = [a for f in (*self.scenario.faults, self.fault) if f for a in ("-f", f)]
        tool = [BUILD + "/faults/inject", *more, "-r", "pass", *faults, "-o", self.place + "/report"]
        status = self.run_pass(tool + self.command(port, int(time.time())))
        if status == 77:
            print("skipped: " + self.log)
            sys.exit(77)
        if status == 3:
            self.wrong.append("no end of processes")
        with open(self.place + "/report", encoding="ascii") as f:
            self.report = [line.split() for line in f]
        self.ends = {r[1]: (r[2], int(r[3])) for r in self.report if r[0] == "end" and len(r) == 4}      # the last line of a hang is cut

    def run_pass(self, command):
        with open(self.place + "/log", "w+b") as log:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(), cwd=self.place)
            try:
                status = child.wait(LIMIT)
            except subprocess.TimeoutExpired:
                self.hang, status = True, 0
                child.kill()            # and with it the kernel ends all that it traces
                child.wait()
            log.seek(0)
            self.log += log.read().decode("latin-1")
        return status

    def files(self, *places):
        return [p for d in places for p in glob.glob("%s/queue/%s/*" % (self.place, d))]

    def run(self):
        with tempfile.TemporaryDirectory(prefix="faults.") as outer, socket.socket() as closed:
            os.chmod(outer, 0o755)
            self.place = outer + "/place"
            subprocess.run(["cp", "-a", Template.get(), self.place], check=True)
            closed.bind(("127.0.0.1", 0))       # and does not listen
            self.server = Server()
            try:
                self.first(closed.getsockname()[1] if self.scenario.down else self.server.port)
                self.noted = any(not QUIET.match(line) for line in self.log.splitlines())
                self.waited = len(self.files("new", "wait", "hold"))
                self.held = len(self.files("hold"))
                self.early = self.server.taken.copy()
                if self.held:
                    self.run_pass(self.command(self.server.port, int(time.time()), "release", "all"))
                for n in range(1, PASSES + 1):
                    if self.hang or not self.files("new", "wait", "hold"):
                        break
                    self.log += "--- a pass later\n"
                    self.run_pass(self.command(self.server.port, int(time.time()) + n * LATER))
                self.left = self.files("tmp", "new", "wait", "hold", "message") + glob.glob(self.place + "/mail/example.test/*/tmp/*")
                self.reports = self.read_reports()
            finally:
                self.server.close()
        return self

    def read_reports(self):
        """How many reports of whom."""
        count = collections.Counter()
        for path in glob.glob(self.place + "/mail/example.test/sender/new/*"):
            with open(path, "rb") as f:
                text = f.read().decode("latin-1")
            failed = re.findall(r"^Final-Recipient: rfc822; ?(\S+)\n(?:\S.*\n)*?Action: failed$", text, re.M)
            count.update(failed or ["?"])
        return count

    # --- the verdict ---

    def trace(self):
        """Every fault of every call of a pass without one, as run's own trace()."""
        self.run()
        if self.wrong or self.server.bad or self.reports != {REFUSED: 1} or set(self.server.taken.values()) != {1} or self.left or self.waited != (2 if self.scenario.down else 0):
            sys.exit("%s, %s: fails without a fault: %s %s %s\n%s" % (self.build, self.scenario.name, self.server.taken, self.reports, self.left, self.log))
        return [r for r in self.report if r[0] == "call"]

    def ends_ill(self, role, what, loading):
        for who, (how, status) in self.ends.items():
            sane = (0, 71, 75, 77, 78) if who == "pass" else (0, 1, 2, 3, 4, 69, 70, 71, 72, 74, 75, 78, 127)
            hit = who.startswith(role[:-1]) if role.endswith("*") else who == role
            killed = (how, status) == ("signal", 9) and what == "kill"
            if not (hit and (loading or killed)) and (status not in sane if how == "exit" else who == "pass" or status in CRASHES):
                yield "%s ends by %s %d" % (who, how, status)

    def judge(self, loading):
        role, call, ordinal, what = self.fault.split(":")
        if not self.hang and not any(r == ["hit", self.fault] for r in self.report):
            return "not reached", []
        wrong, taken, reports = self.wrong + self.server.bad, self.server.taken, self.reports
        if self.hang:
            return "wrong", wrong + ["hang"]
        wrong += self.ends_ill(role, what, loading)
        lasting = ordinal.endswith("+")
        for rcpt in TAKEN:
            if not 1 <= taken[rcpt] <= 2:
                wrong.append("%s was sent to %d times" % (rcpt, taken[rcpt]))
        again = sum(taken[rcpt] - 1 for rcpt in TAKEN)
        if again > (0 if role.rstrip("*") not in SENDERS else len(TAKEN) if lasting else 1):
            wrong.append("%d were sent to twice" % again)
        most = 2 if role.rstrip("*") in ("worker", "helper") else 1
        if not 1 <= reports[REFUSED] <= most or set(reports) != {REFUSED} or taken[REFUSED]:
            wrong.append("reports: %s" % dict(reports))
        orphan = call == "unlinkat" or what == "kill"
        wrong += ["left: " + p[len(self.place):] for p in self.left if not (orphan and role.startswith(("worker", "helper")) and re.search("/queue/message/|/mail/.*/tmp/", p))]
        if self.held and not (role.startswith("worker") and call in UNWRITTEN):
            wrong.append("on hold")
        if self.scenario.down and self.early:
            wrong.append("sent, though nobody listened")
        unheard = role == "pass" and (what == "kill" or loading) or role.startswith("worker") and call == "write"      # which may be that of the log
        if self.waited and not self.noted and not unheard:
            wrong.append("something waits, and the log does not say why")
        twice = max(taken.values()) > 1
        return ("wrong" if wrong else "reported twice" if reports[REFUSED] > 1 else "sent twice" if twice else "sent later" if self.waited and not self.scenario.down else "sent"), wrong
