# The body of a test in homes.bats, behind `from common import *`; `path`, `target`, `uid` and `other` are set.
import random

tries = 10000 if FULL else 200
HOME, BOB = "/mnt/home/alice", "/mnt/home/bob"
RENAME_EXCHANGE, AT_FDCWD = 2, -100
libc = ctypes.CDLL(None, use_errno=True)
canary = b"bob\n"               # as a .forward it would name somebody


def mounted(where, mode):
    """A file system that keeps each time of access."""
    os.makedirs(where)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "strictatime,mode=" + mode, "none", where], stderr=subprocess.DEVNULL).returncode != 0:
        skip("cannot mount a tmpfs")
    for sub in "tmp", "new", "cur":
        os.mkdir(where + "/" + sub)
        os.chmod(where + "/" + sub, int(mode, 8))
    with open(where + "/new/canary", "wb") as f:
        f.write(canary)
    os.chmod(where + "/new/canary", 0o600)


def tree(where):
    """What is there, when it was read, when it was changed; taken without a look into anything."""
    paths = [where, *(where + "/" + sub for sub in ("tmp", "new", "cur")), where + "/new/canary"]
    states = [os.lstat(p) for p in paths]
    return [(s.st_ino, s.st_mode, s.st_size, s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns) for s in states]


def as_user(who, work):
    """A child that is the user and works until it is killed."""
    pid = os.fork()
    if pid:
        return pid
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)
    os.setgroups([])
    os.setresgid(who, who, who)
    os.setresuid(who, who, who)
    try:
        work()
    finally:
        os._exit(1)


def swapping():
    a, b = path.encode(), (HOME + "/swapped").encode()
    while True:
        if libc.renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) != 0:
            os._exit(2)


def prepare():
    """The user's files: what is to be swapped in both its forms."""
    os.makedirs(HOME + "/Maildir", 0o700)
    for sub in "tmp", "new", "cur":
        os.makedirs(HOME + "/Maildir/" + sub, 0o700)
        os.makedirs(HOME + "/own/" + sub, 0o700)
    if path.endswith("maildirsize"):
        with open(path, "w") as f:
            f.write("100000000S\n0 0\n")
    if path.endswith(".forward"):
        with open(path, "w") as f:
            f.write("\\alice\n")
    if target == "own":
        os.rename(HOME + "/own", HOME + "/swapped")
    else:
        os.symlink(target, HOME + "/swapped")


def written(root):
    """{subject: how often} beneath root, links not followed; not what is in a tmp/."""
    found, left = {}, []
    for place, _, names in os.walk(root):
        for name in names:
            if name in ("canary", "maildirsize", ".forward", "swapped") or os.path.islink(os.path.join(place, name)):
                continue
            with open(os.path.join(place, name), "rb") as f:
                subject = re.search(rb"^Subject: (\d+)$", f.read(), re.M)
            if place.endswith("/tmp") and not path.endswith("/tmp"):
                left.append(name)
            elif not (path.endswith("/tmp") and subject is None):
                found[int(subject[1])] = found.get(int(subject[1]), 0) + 1
    return found, left


mounted("/mnt/secret", "700")
mounted("/mnt/open", "777")
maker = as_user(uid, lambda: (os.umask(0o077), prepare(), os._exit(0)))
assert os.waitpid(maker, 0)[1] == 0
before = tree("/mnt/secret"), tree("/mnt/open")
swapper = as_user(uid, swapping)
stored_for, counted = {"alice": set(), "bob": set()}, collections.Counter()
with Session("max_errors=1000000") as session:
    session.hello()
    for n in range(tries):
        names = ["alice"] + ["bob"] * (n % 4 == 0)
        session.socket.sendall(lines("MAIL FROM:<a@b.example>", *("RCPT TO:<%s@localhost>" % name for name in names), "NOOP"))
        got = replies(hear(session.socket, b"250 2.0.0 Ok\r\n"))[1:]
        while len(got) < len(names) + 1:
            got += replies(hear(session.socket, b"\r\n"))
        taken = [name for name, code in zip(names, got) if code == 250]
        counted[tuple(got[:1])] += 1
        assert all(code in (250, 451) for code in got), got
        code = 0
        if taken:
            session.socket.sendall(lines("DATA") + message(str(n), 100000 if n % 50 == 0 else 100))
            out = b""
            while not re.search(rb"\r\n[245]\d\d [^\r]*\r\n$", out):
                out += session.socket.recv(65536)
            code = replies(out)[-1]
            assert code // 100 in (2, 4), out
        counted[code] += 1
        for name in taken if code == 250 else ():
            stored_for[name].add(n)
        if code != 250:
            session.socket.sendall(lines("RSET"))
            hear(session.socket, b"\r\n")
    assert os.waitpid(swapper, os.WNOHANG) == (0, 0), "the user stopped swapping"
    os.kill(swapper, signal.SIGKILL)
    os.waitpid(swapper, 0)
tell("%d tries: %s" % (tries, dict(counted)))
assert (tree("/mnt/secret"), tree("/mnt/open")) == before, "outside something was read or changed"
assert [sorted(os.listdir(place + sub)) for place in ("/mnt/secret", "/mnt/open") for sub in ("/tmp", "/new", "/cur")] == [[], ["canary"], []] * 2
for name, home in ("alice", HOME), ("bob", BOB):
    found, left = written(home)
    assert set(found) == stored_for[name], (name, "lost", stored_for[name] - set(found), "stored without 250", set(found) - stored_for[name])
    assert set(found.values()) <= {1}, "doubled"
    assert not left, left
assert counted[250] > 0
