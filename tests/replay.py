#!/usr/bin/env python3
"""replay.py whole|bytes|lines FILE COMMAND...: run COMMAND with a socket as descriptors 0 and 1, send it FILE in pieces, print what it says.

The next piece is sent when the last was read, so that each is a read of its own.  Exit status: the command's; 99 when it hangs.
"""
import fcntl, os, select, signal, socket, struct, subprocess, sys, termios, time

LIMIT = 60


def pieces(mode, data):
    if mode == "whole":
        return [data]
    if mode == "bytes":
        return [data[i:i + 1] for i in range(len(data))]
    return [line + b"\r\n" for line in data.split(b"\r\n")[:-1]] + [data.split(b"\r\n")[-1]]


def unread(sock):
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]


def main():
    mode, name, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(name, "rb") as f:
        data = f.read()
    ours, theirs = socket.socketpair()
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs)
    theirs.close()
    end, out = time.monotonic() + LIMIT, sys.stdout.buffer

    def hear(wait):
        """Print what has come; False at the end."""
        if not select.select([ours], [], [], wait)[0]:
            return True
        try:
            got = ours.recv(65536)
        except ConnectionResetError:
            return False
        out.write(got)
        return got != b""

    try:
        for piece in pieces(mode, data):
            piece = memoryview(piece)
            while piece:
                if select.select([], [ours], [], 0)[1]:
                    piece = piece[ours.send(piece, socket.MSG_DONTWAIT):]
                while unread(ours) > 0 and time.monotonic() < end and hear(0):
                    os.sched_yield()
    except (BrokenPipeError, ConnectionResetError):
        pass
    try:
        ours.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    while time.monotonic() < end and hear(1):
        pass
    out.flush()
    try:
        return child.wait(max(1, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        return 99


sys.exit(main())
