#!/usr/bin/env python3
"""script-mx.py FOLDER KEYWORDS RULE...: an SMTP server by rules.  RULE is 'REGEX=>REPLY', looked at in order for each command line ('' for the connection, '.' for the end
of a message); the first that fits is said.  In REPLY \\n parts lines; '!close' at its end closes after it, '!hang' says nothing more; 'once:' before REGEX: only the first time."""
import os, re, socket, sys, threading, time
folder, keywords, rules = sys.argv[1], sys.argv[2].split(","), [list(r.split("=>", 1)) for r in sys.argv[3:]]
n = [0]
def serve(c):
    f = c.makefile("rb")
    def rule(what, default):
        reply = default
        for r in rules:
            once = r[0].startswith("once:")
            if re.search(r[0][5:] if once else r[0], what, re.I):
                reply = r[1]
                if once: rules.remove(r)
                break
        close, hang = reply.endswith("!close"), reply.endswith("!hang")
        reply = re.sub("!(close|hang)$", "", reply)
        reply = reply.replace("LONG", "x" * 6000)
        if reply: c.sendall(reply.replace("\\b", "\b").replace("\\n", "\r\n").replace("\b", "\n").encode() + (b"" if reply.endswith("\\b") else b"\r\n"))
        if close: c.shutdown(socket.SHUT_RDWR); c.close(); raise OSError
        if hang: f.read(); raise OSError
        return reply
    ehlo = "\\n".join("250" + ("-" if i < len(keywords) else " ") + k for i, k in enumerate(["mx.remote.example"] + keywords))
    try:
        rule("connect", "220 mx.remote.example ESMTP")
        body = b""
        for line in f:
            with open(folder + "/heard", "ab") as h: h.write(line)
            v = line.split()[0].upper() if line.split() else b""
            text = line.decode("latin-1").strip()
            if v == b"EHLO": rule(text, ehlo)
            elif v == b"DATA":
                if rule(text, "354 go").startswith("354"):
                    for l in f:
                        if l == b".\r\n": break
                        body += l
                    r = rule("end of data", "250 2.0.0 taken")
                    if r.startswith("2"):
                        n[0] += 1
                        open("%s/%d" % (folder, n[0]), "wb").write(body)
                    body = b""
            elif v == b"BDAT":
                import select
                size = int(line.split()[1]); 
                body += f.read(size)
                c.setblocking(False); more = f.peek(); c.setblocking(True)
                if more: open(folder + "/ahead", "a").write(text + "\n")
                if b"LAST" in line.upper():
                    r = rule("end of data", "250 2.0.0 taken")
                    n[0] += 1; open("%s/%d" % (folder, n[0]), "wb").write(body); body = b""
                else: rule(text, "250 chunk")
            elif v == b"QUIT": rule(text, "221 bye"); break
            else: rule(text, "250 2.0.0 ok")
    except OSError: pass
    try: c.close()
    except OSError: pass
s = socket.create_server(("127.0.0.1", 0), backlog=100)
open(folder + "/port.part", "w").write(str(s.getsockname()[1])); os.rename(folder + "/port.part", folder + "/port")
while True:
    c, _ = s.accept(); threading.Thread(target=serve, args=(c,), daemon=True).start()
