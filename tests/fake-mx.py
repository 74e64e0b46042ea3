#!/usr/bin/env python3
"""An SMTP server that misbehaves: fake-mx.py FOLDER STAGE ACTION [KEYWORD...]

Listens on 127.0.0.1 or $MX_HOST, on $MX_PORT if that is set, writes its port to FOLDER/port, what it hears to FOLDER/heard, each message that it takes to FOLDER/1,
FOLDER/2...  STAGE: greeting EHLO HELO MAIL MAIL3 (and later ones of a connection) RCPT RCPT2 <someone@ DATA text (in the midst of it) BDAT end QUIT never.  Commas between
several STAGEs of one ACTION.  ACTION there: close, reset, hang, hold (until there is FOLDER/go; then close), nonsense, big (10 MB of reply), long (a line of 2xx), endless,
take (the message is taken, and the connection reset before the answer), or a reply's text, with \\n for line breaks, and !close behind it if that follows (as after 421);
"this!then that": the first time and from then on.  FOLDER/once: if it is there, it is removed and the action is done; then no more.  KEYWORDs are offered in EHLO
(default: PIPELINING 8BITMIME SIZE DSN CHUNKING SMTPUTF8); "none": HELO only.  Without PIPELINING who says more than one command at once is told so, and left.
"""
import os, select, socket, struct, sys, threading

folder, stages, actions, keywords = sys.argv[1], sys.argv[2].split(","), sys.argv[3].split("!then "), sys.argv[4:]
keywords = keywords or ["PIPELINING", "8BITMIME", "SIZE", "DSN", "CHUNKING", "SMTPUTF8"]
lock, taken = threading.Lock(), [0]
once = os.path.exists(folder + "/once")


class Over(Exception):
    pass


def due():
    if not once:
        return True
    try:
        os.unlink(folder + "/once")
        return True
    except FileNotFoundError:
        return False


class Session:
    def __init__(self, c):
        self.c, self.f = c, c.makefile("rb")
        self.rcpts = self.mails = 0
        self.body = b""

    def send(self, text):
        self.c.sendall(text.encode() + b"\r\n")

    def reset(self):
        self.c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Over

    def at(self, stage, reply, before=lambda: None):
        """before: is to be done before a good reply is heard."""
        if stage not in stages or not due():
            before()
            self.send(reply)
            return True
        action = actions.pop(0) if len(actions) > 1 else actions[0]
        if action == "close":
            raise Over
        elif action == "reset":
            self.reset()
        elif action == "take":
            self.keep()
            self.reset()
        elif action == "hang":
            self.f.read()
            raise Over
        elif action == "hold":
            while not os.path.exists(folder + "/go"):
                if select.select([self.c], [], [], 0.02)[0] and not self.c.recv(65536):
                    break
            raise Over
        elif action == "nonsense":
            self.send("what do you want?")
        elif action == "big":
            self.send("250-" + "x" * 400 + "\r\n250-" * 1 + "y")
            for _ in range(25000):
                self.send("250-" + "\x1b[31m" + "z" * 400)
            self.send("250 end")
        elif action == "long":
            before()
            self.send("250 2.0.0 " + "x" * 6000)
            return True
        elif action == "endless":
            while True:
                self.send("250-again")
        else:
            if action[0] in "23":
                before()
            self.send(action.removesuffix("!close").replace("\\n", "\r\n"))
            if action[:3] == "421" or action.endswith("!close"):
                raise Over
            return action[0] in "23"
        return False

    def keep(self):
        with lock:
            taken[0] += 1
            name = "%s/%d" % (folder, taken[0])
        with open(name + ".part", "wb") as f:
            f.write(self.body)
        os.rename(name + ".part", name)

    def end(self):
        self.at("end", "250 2.0.0 taken, id 4711", self.keep)        # who counts what was taken when the pass is over finds it
        self.body = b""

    def alone(self):
        """More has been sent than this command, and that was not offered."""
        self.c.setblocking(False)
        more = self.f.peek()
        self.c.setblocking(True)
        if more and "PIPELINING" not in keywords:
            self.send("500 5.5.1 pipelining is not offered")
            raise Over

    def command(self, line):
        verb = line.split()[0].upper().decode("latin-1") if line.split() else ""
        if verb != "BDAT":
            self.alone()
        if verb == "EHLO":
            if keywords == ["none"]:
                self.send("500 5.5.1 what?")
            else:
                self.at("EHLO", "\r\n".join("250" + ("-" if i < len(keywords) else " ") + k for i, k in enumerate(["mx.remote.example"] + keywords)))
        elif verb == "HELO":
            self.at("HELO", "250 mx.remote.example")
        elif verb == "MAIL":
            self.rcpts, self.body = 0, b""
            self.mails += 1
            self.at("MAIL3" if self.mails > 2 and "MAIL3" in stages else "MAIL", "250 2.1.0 ok")
        elif verb == "RCPT":
            self.rcpts += 1
            if b"<unknown@" in line:
                self.send("550 5.1.1 no such user")
            elif b"<later@" in line:
                self.send("450 4.2.1 not now")
            else:
                named = [s for s in stages if s.startswith("<") and s.encode() in line]
                self.at(named[0] if named else "RCPT2" if self.rcpts == 2 else "RCPT", "250 2.1.5 ok")
        elif verb == "DATA":
            if self.at("DATA", "354 go on"):
                for line in self.f:
                    if line == b".\r\n":
                        return self.end()
                    self.body += line[1:] if line.startswith(b".") else line
                    if "text" in stages and len(self.body) > 60000:
                        self.at("text", "")
                raise Over
        elif verb == "BDAT":
            size = int(line.split()[1])
            self.body += self.f.read(size)
            self.alone()
            if b"LAST" in line.upper():
                self.end()
            else:
                self.at("BDAT", "250 2.0.0 chunk")
        elif verb == "QUIT":
            self.at("QUIT", "221 2.0.0 bye")
            raise Over
        elif verb in ("RSET", "NOOP"):
            self.send("250 2.0.0 ok")
        else:
            self.send("500 5.5.1 what?")

    def run(self):
        self.at("greeting", "220 mx.remote.example ESMTP")
        for line in self.f:
            with lock, open(folder + "/heard", "ab") as f:
                f.write(line)
            self.command(line)


def serve(c):
    try:
        Session(c).run()
    except (Over, OSError):
        pass
    c.close()


listener = socket.create_server((os.environ.get("MX_HOST", "127.0.0.1"), int(os.environ.get("MX_PORT", 0))), backlog=100)
with open(folder + "/port.part", "w") as f:
    f.write(str(listener.getsockname()[1]))
os.rename(folder + "/port.part", folder + "/port")
while True:
    c, _ = listener.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
