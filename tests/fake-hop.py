#!/usr/bin/env python3
"""An LMTP server on stdin and stdout that misbehaves: fake-hop.py STAGE ACTION [KEYWORD...]

STAGE: greeting LHLO MAIL RCPT RCPT2 DATA BDAT end RSET never.  ACTION there: die, kill, hang, nonsense, long, endless, drip, mismatch, or a reply's text, with \\n for
line breaks.  KEYWORDs are offered in LHLO (default: PIPELINING CHUNKING X-ALL-OR-NOTHING 8BITMIME SMTPUTF8 SIZE).  What it takes goes to $FAKE_LOG.
"""
import os, signal, sys, time

stage, action, keywords = sys.argv[1], sys.argv[2], sys.argv[3:]
keywords = keywords or ["PIPELINING", "CHUNKING", "X-ALL-OR-NOTHING", "8BITMIME", "SMTPUTF8", "SIZE"]
log = open(os.environ.get("FAKE_LOG", os.devnull), "ab", 0)
inp, out = sys.stdin.buffer, sys.stdout.buffer


def say(text):
    out.write(text.encode() + b"\r\n")
    out.flush()


def at(here, reply):
    """Answer, or do the deed if this is the stage."""
    if here != stage:
        say(reply)
        return
    if action == "die":
        sys.exit(3)
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "hang":
        signal.pause()
    if action == "nonsense":
        say("what do you want?")
    elif action == "long":
        say("250 " + "x" * 100000)
    elif action == "endless":
        while True:
            say("250-again")
    elif action == "drip":
        while True:
            say("250-wait")
            time.sleep(0.1)
    elif action == "mismatch":
        say("250-one\r\n550 two")
    else:
        say(action.replace("\\n", "\r\n"))


at("greeting", "220 fake LMTP")
rcpts = count = 0
while True:
    line = inp.readline()
    if not line:
        log.write(b"EOF\n")
        break
    log.write(line)
    verb = line.split()[0].upper().decode() if line.split() else ""
    if verb == "LHLO":
        at("LHLO", "\r\n".join(["250-fake"] + ["250-" + k for k in keywords[:-1]] + ["250 " + keywords[-1]]))
    elif verb == "MAIL":
        rcpts = count = 0
        at("MAIL", "250 2.1.0 ok")
    elif verb == "RCPT":
        count += 1
        rcpts += 1
        at("RCPT" if count == 1 else "RCPT2", "250 2.1.5 ok")
    elif verb == "DATA":
        at("DATA", "354 go on")
        while True:
            text = inp.readline()
            log.write(text)
            if text in (b".\r\n", b""):
                break
        if text == b"":
            log.write(b"EOF\n")
            break
        for i in range(rcpts):
            at("end" if i == 0 else "end2", "250 2.0.0 stored")
    elif verb == "BDAT":
        words = line.split()
        left = int(words[1])
        while left > 0:
            got = inp.read1(left)
            if not got:
                break
            left -= len(got)
            log.write(got)
        if left > 0:
            log.write(b"EOF\n")
            break
        if len(words) > 2:
            for i in range(rcpts):
                at("end" if i == 0 else "end2", "250 2.0.0 stored")
        else:
            at("BDAT", "250 2.0.0 chunk")
    elif verb == "RSET":
        at("RSET", "250 2.0.0 ok")
    elif verb == "VRFY":
        at("VRFY", "250 2.1.5 <x@y>")
    elif verb == "QUIT":
        say("221 bye")
        break
    else:
        say("500 what")
