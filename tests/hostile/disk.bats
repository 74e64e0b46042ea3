#!/usr/bin/env bats
# Disks that are full, and mailboxes that change under a delivery's feet.  Small file systems are mounted in a mount namespace of our own,
# which takes them away when it ends.
load ../helper
load attack

aside() {
	local enter=(unshare --mount --propagation private)
	[ "$(id -u)" = 0 ] || skip "needs root for small file systems"
	"${enter[@]}" mount -t tmpfs none /mnt 2>/dev/null || skip "cannot mount here"
	attack "${enter[@]}"
}

# Mounts a small file system on a directory, of each kind that can be had here.
KINDS='
def mount(where, kind):
    """True if there is such a file system now."""
    os.makedirs(where, exist_ok=True)
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=64,mode=755", "none", where]
    else:
        image = LOG + ".image"
        with open(image, "wb") as f:
            f.truncate(1536 << 10)
        make = ["mkfs." + kind, "-q", "-F", "-m", "0", "-N", "64", "-b", "1024", "-O", "^has_journal,^resize_inode", image]
        if not shutil.which(make[0]) or subprocess.run(make, stderr=subprocess.DEVNULL).returncode != 0:
            return False
        command = ["mount", "-o", "loop", image, where]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0

def unmount(where):
    subprocess.run(["umount", where], check=True)

def fill(where):
    """No octet more; a file that can be removed."""
    name = os.path.join(where, "filler")
    with open(name, "wb", buffering=0) as f:
        for size in 65536, 512, 1:
            try:
                while True:
                    f.write(b"x" * size)
            except OSError:
                pass
    return name

def fill_inodes(where):
    os.mkdir(os.path.join(where, "filler"))
    try:
        for n in range(10000):
            os.close(os.open(os.path.join(where, "filler", str(n)), os.O_CREAT))
    except OSError:
        pass
    return os.path.join(where, "filler")

def free(where):
    v = os.statvfs(where)
    return v.f_bfree, v.f_ffree

def ask(s, *rcpts, size=0, chunks=False):
    """One transaction; its codes from the first RCPT on."""
    text = message("x", size)
    if chunks:
        text = text[:-3]
        text = b"".join(b"BDAT %d\r\n" % len(text[i:i + 100000]) + text[i:i + 100000] for i in range(0, len(text), 100000)) + lines("BDAT 0 LAST")
    else:
        text = lines("DATA") + text
    return replies(converse(s, lines("MAIL FROM:<a@b.example>", *("RCPT TO:<%s@example.test>" % r for r in rcpts)) + text + lines("RSET", "VRFY x"), until_seen=LAST))[1:-2]
'

@test "a full disk, filled before, at any point within, for one of two recipients: 452 4.3.1, nothing is left, and the session goes on" {
	{ echo "$KINDS"; cat; } <<'PYTHON' | aside
for kind in "tmpfs", "ext4":
    if not mount(ROOT, kind):
        tell("no %s here" % kind)
        continue
    for name in "alice", "bob":
        mailbox(name)
    with Session("max_errors=1000000") as s:
        s.hello()
        assert ask(s.socket, "alice", "bob") == [250, 250, 354, 250]
        before, count = free(ROOT), 0
        room = before[0] * os.statvfs(ROOT).f_frsize
        sizes = [room * 3, room + 4096, room - 20000, room // 2 + 20000] + list(range(30000, room, room // (40 if FULL else 7)))
        for size in sizes:
            for rcpts in ("alice",), ("alice", "bob"):
                for chunks in False, True:
                    codes = ask(s.socket, *rcpts, size=size, chunks=chunks)
                    if 452 in codes:
                        count += 1
                        assert codes[len(rcpts):].count(452) == 1 and set(codes) <= {250, 354, 452, 503}, codes
                        assert free(ROOT) == before, (size, free(ROOT), before)
                        assert subjects("alice") == subjects("bob") == ["x"]
                    else:
                        assert set(codes) <= {250, 354} and len(subjects("alice")) == 2, codes
                        for path in {**stored("alice"), **stored("bob")}:
                            os.unlink(path)
                        assert ask(s.socket, "alice", "bob") == [250, 250, 354, 250]
                        before = free(ROOT)
                    nothing_in_tmp()
        assert count >= 8, count
        filler = fill(ROOT)
        assert ask(s.socket, "alice") == [250, 354, 452]
        assert ask(s.socket, "alice", "bob", chunks=True)[2:] in ([452, 503], [250, 452])
        os.unlink(filler)
        assert ask(s.socket, "alice") == [250, 354, 250]
        tell("%s: %d messages did not fit" % (kind, count))
    assert len(stored("alice")) == 2 and in_log("No space left on device") > 0
    # one recipient on a disk that is full, the other on one that is not
    assert mount(os.path.join(DOMAIN, "carol"), "tmpfs")
    fill(os.path.join(DOMAIN, "carol"))
    with Session() as s:
        s.hello()
        for size in 0, 300000:
            assert ask(s.socket, "alice", "carol", size=size)[1:] in ([452, 354, 250], [250, 354, 452])
    nothing_in_tmp()
    unmount(os.path.join(DOMAIN, "carol"))
    unmount(ROOT)
PYTHON
}

@test "no inode left: 452 4.3.1 at RCPT where directories are to be made, else after the data; nothing is left, and the session goes on" {
	{ echo "$KINDS"; cat; } <<'PYTHON' | aside
for kind in "tmpfs", "ext4":
    if not mount(ROOT, kind):
        tell("no %s here" % kind)
        continue
    for name in "alice", "bob", "new":
        mailbox(name)
    with Session() as s:
        s.hello()
        assert ask(s.socket, "alice", "bob") == [250, 250, 354, 250]
        filler = fill_inodes(ROOT)
        before = free(ROOT)
        assert before[1] == 0
        assert ask(s.socket, "alice") == [250, 354, 452]
        assert ask(s.socket, "alice", "bob", size=200000) == [250, 250, 354, 452]
        assert ask(s.socket, "alice", chunks=True) == [250, 250, 452]
        os.unlink(os.path.join(filler, "0"))            # room for one of two
        assert ask(s.socket, "alice", "bob") == [250, 250, 354, 452]
        assert ask(s.socket, "alice", "bob", size=200000) == [250, 250, 354, 452]
        assert ask(s.socket, "new")[:2] == [452, 503]
        assert free(ROOT)[0] >= before[0] - 8 and subjects("alice") == subjects("bob") == ["x"]
        nothing_in_tmp()
        shutil.rmtree(filler)
        assert ask(s.socket, "alice", "bob", "new") == [250, 250, 250, 354, 250]
    unmount(ROOT)
PYTHON
}

@test "over quota: 452 4.2.2, nothing is left, no one else's copy either, and the session goes on" {
	{ echo "$KINDS"; cat; } <<'PYTHON' | aside
def run(*command):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

image, alice = LOG + ".image", os.path.join(DOMAIN, "alice")
with open(image, "wb") as f:
    f.truncate(256 << 20)
if not shutil.which("mkfs.btrfs") or not run("mkfs.btrfs", "-q", image) or not run("mount", "-o", "loop", image, ROOT):
    skip("no btrfs here")
mailbox("bob")
limited = run("btrfs", "subvolume", "create", alice) and run("btrfs", "quota", "enable", ROOT) and run("btrfs", "qgroup", "limit", "2M", alice)
if not limited:
    skip("no quota here")
with Session() as s:
    s.hello()
    assert ask(s.socket, "alice") == [250, 354, 250]
    for size in 3 << 20, 6 << 20:
        for rcpts in ("alice",), ("alice", "bob"), ("bob", "alice"):
            for chunks in False, True:
                codes = ask(s.socket, *rcpts, size=size, chunks=chunks)
                assert codes[len(rcpts):].count(452) == 1 and set(codes) <= {250, 354, 452, 503}, codes
                nothing_in_tmp()
    assert subjects() == ["x"] and not stored("bob")
    assert ask(s.socket, "bob", size=3 << 20) == [250, 354, 250]
    os.unlink(next(iter(stored())))
    assert run("btrfs", "filesystem", "sync", ROOT)     # what was removed counts until then
    assert ask(s.socket, "alice", "bob") == [250, 250, 354, 250]
assert in_log("[Qq]uota exceeded") > 0
unmount(ROOT)
PYTHON
}

@test "a large message to mailboxes on two file systems: whole in both; the second full: in none" {
	{ echo "$KINDS"; cat; } <<'PYTHON' | aside
far = os.path.join(DOMAIN, "far")
assert mount(far, "tmpfs")
for sub in "tmp", "new", "cur":
    os.mkdir(os.path.join(far, sub))
with Session() as s:
    s.hello()
    for rcpts in ("alice", "far"), ("far", "alice"):
        for size in 0, 200000, 600000:
            assert ask(s.socket, *rcpts, size=size) == [250, 250, 354, 250]
            (one,), (two,) = stored("alice").items(), stored("far").items()
            assert one[1].count(b"x" * 70 + b"\n") == two[1].count(b"x" * 70 + b"\n") == size // 72
            assert one[1].partition(b"Received:")[2] == two[1].partition(b"Received:")[2]
            os.unlink(one[0])
            os.unlink(two[0])
        with open(fill(far), "r+b") as filler:
            filler.truncate(os.path.getsize(filler.name) - 100000)      # the head of the message fits
        for chunks in False, True:
            codes = ask(s.socket, *rcpts, size=400000, chunks=chunks)
            assert codes.count(452) == 1 and set(codes) <= {250, 354, 452, 503}, codes
        os.unlink(filler.name)
        nothing_in_tmp()
        assert not stored("alice") and not stored("far")
unmount(far)
PYTHON
}

@test "a mailbox removed, moved, or replaced by a link, a fifo, a file between RCPT and the end of data: all or none, and nothing elsewhere" {
	attack <<'PYTHON'
outside = LOG + ".outside"
def put(what, path, gone):
    """In the place of what was there, which is then gone, or under another name."""
    if gone:
        shutil.rmtree(path)
    else:
        os.rename(path, os.path.join(DOMAIN, ".was"))
    {"link": lambda: os.symlink(outside, path), "other": lambda: os.symlink("../bob" if path.count("/") > DOMAIN.count("/") + 1 else "bob", path), "fifo": lambda: os.mkfifo(path),
        "file": lambda: open(path, "w").close(), "directory": lambda: os.mkdir(path), "nothing": lambda: None}[what]()

alice = os.path.join(DOMAIN, "alice")
what = ["link", "other", "fifo", "file", "directory", "nothing"]
acts = {"removed": lambda: shutil.rmtree(alice), "new removed": lambda: shutil.rmtree(alice + "/new"), "tmp removed": lambda: shutil.rmtree(alice + "/tmp"),
    "cur removed": lambda: shutil.rmtree(alice + "/cur"), "new not writable": lambda: (os.chown(alice, 65534, 65534), os.chmod(alice + "/new", 0o500)),
    "moved out": lambda: os.rename(alice, outside + "/.moved"), "mail_root moved": lambda: (os.rename(ROOT, ROOT + ".old"), os.makedirs(ROOT))}
for sub in "", "/tmp", "/new":
    for w in what:
        acts["alice%s moved, then %s" % (sub, w)] = lambda w=w, sub=sub: put(w, alice + sub, False)
        acts["alice%s removed, then %s" % (sub, w)] = lambda w=w, sub=sub: put(w, alice + sub, True)

def anew():
    for path in DOMAIN, ROOT + ".old", outside:         # not ROOT, which a helper that runs holds open
        shutil.rmtree(path, ignore_errors=True)
    for path in outside + "/new", outside + "/tmp", outside + "/cur":
        os.makedirs(path)
    for name in "alice", "bob":
        for sub in "tmp", "new", "cur":
            os.makedirs(os.path.join(mailbox(name), sub))

def found():
    """The messages wherever they are, without the files that we put there; what is in a tmp/ of somebody, too."""
    return [os.path.join(p, n) for top in (ROOT, ROOT + ".old", outside) for p, _, names in os.walk(top) for n in names if ".M" in n]

outcomes = {}
for name, act in acts.items():
    for stage in ("rcpt", "354", "some", "much") if FULL or " then " not in name else ("some", "much"):
        anew()
        with Session() as s:
            hear(s.socket, b"220")
            # in either order: what one got before the other failed is taken back
            s.socket.sendall(start(*sorted(("alice@example.test", "bob@example.test"), reverse=stage in ("rcpt", "much"))))
            hear(s.socket, b"Recipient ok\r\n250 2.1.5 Recipient ok\r\n")
            body = message("x", 0 if stage != "much" else 300000)
            if stage != "rcpt":
                s.socket.sendall(lines("DATA"))
                hear(s.socket, b"354")
                s.socket.sendall(body[:-8])
                if stage == "much":
                    until("in tmp", lambda: any("/tmp/" in f for f in found()))
            act()
            out = converse(s.socket, (lines("DATA") + body if stage == "rcpt" else body[-8:]) + lines("VRFY x"), until_seen=LAST)
            code, there = replies(out)[-2], found()
            outcomes.setdefault(name, []).append(code)
            assert code == 451 if "removed" in name and "cur" not in name else code in (250, 451), (name, stage, out)
            if name == "moved out":     # no longer ours to touch, so its tmp/ keeps what was there
                there = [f for f in there if "/.moved/tmp/" not in f]
            assert len(there) == (2 if code == 250 else 0), (name, stage, code, there)
            assert not [f for f in there if "/tmp/" in f[len(ROOT):]], there
            assert not [f for f in there if f.startswith(outside) and ".moved" not in f], (name, stage, there)
            anew()      # the same session can go on
            if name != "mail_root moved":
                assert replies(converse(s.socket, start() [16:] + lines("DATA") + message("later") + lines("VRFY x"), until_seen=LAST))[-2:] in ([250, 252], [451, 252])
for name, codes in outcomes.items():
    tell("%-32s %s" % (name, codes))
PYTHON
}

@test "a mailbox exchanged for a link or a fifo all the time: what was answered with 250 is in it once, nothing is elsewhere" {
	attack <<'PYTHON'
outside, alice = LOG + ".outside", os.path.join(DOMAIN, "alice")
RENAME_EXCHANGE, AT_FDCWD, libc = 2, -100, ctypes.CDLL(None, use_errno=True)
for sub in "/tmp", "/new", "/cur":
    os.makedirs(outside + sub)
    os.mkdir(alice + sub)
seconds, taken, refused, turns = 20 if FULL else 2, [], {}, 0

def deliver(name, stop):
    with server.connect() as s:
        s.sendall(lines("EHLO c.example"))
        n = 0
        while not stop.is_set():
            subject = "%s.%d" % (name, n)
            n += 1
            out = converse(s, lines("MAIL FROM:<a@b.example>", "RCPT TO:<alice@example.test>", "RSET", "MAIL FROM:<a@b.example>", "RCPT TO:<alice@example.test>", "DATA")
                + (message(subject, 200000 * (n % 2)) if n % 5 else message(subject)) + lines("RSET", "VRFY x"), until_seen=LAST)
            if b"Ok, stored" in out:
                taken.append(subject)
            for code in set(replies(out)) - {220, 250, 252, 354}:
                refused[code] = refused.get(code, 0) + 1
        converse(s, lines("QUIT"))

for sub in "", "/new", "/tmp":
    for kind, sandbox in ("link", "yes"), ("link", "no"), ("fifo", "yes"):      # each wall must hold by itself
        other = DOMAIN + "/.other"
        os.symlink(outside, other) if kind == "link" else os.mkfifo(other)
        with Server("max_errors=1000000", "deliver_timeout=20s", "sandbox=" + sandbox) as server:
            stop = threading.Event()
            threads = [threading.Thread(target=deliver, daemon=True, args=("%s-%s-%s-%d" % (sub[1:] or "box", kind, sandbox, n), stop)) for n in range(4)]
            for t in threads:
                t.start()
            end = time.monotonic() + seconds / 4
            while time.monotonic() < end:
                for _ in range(2):      # there and back
                    libc.renameat2(AT_FDCWD, other.encode(), AT_FDCWD, (alice + sub).encode(), RENAME_EXCHANGE)
                    turns += 1
                    time.sleep(0.0003)
            stop.set()
            for t in threads:
                t.join(60)
                assert not t.is_alive()
        os.unlink(other)
        assert not [n for _, _, names in os.walk(outside) for n in names]
        nothing_in_tmp()
tell("%d exchanges, %d messages stored, refused: %s" % (turns, len(taken), refused))
assert subjects() == sorted(taken) and len(taken) > 10
PYTHON
}
