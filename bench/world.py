"""The world in which the benchmark runs: namespaces of its own with an ext4 image, a dead network, users, a syslog, and cgroups.

Nothing of it is seen outside, and the kernel takes it down when the last process in it ends, but for the cgroups and the image file,
which bench/run removes."""
import contextlib
import errno
import glob
import os
import signal
import subprocess
import time

TOP = "/run/bench"  # on a tmpfs that only we see
DISK = TOP + "/disk"  # the ext4 image: every queue and Maildir
CGROUPS = TOP + "/cgroup"
USERS = {"vmail": 64101, "postfix": 64102, "postdrop": 64103, "Debian-exim": 64104, "opensmtpd": 64105, "opensmtpq": 64106}


def sh(*command, **how):
    """Run a command; it must succeed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **how)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def write(path, text, mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    if mode:
        os.chmod(path, mode)


def read(path):
    with open(path) as f:
        return f.read()


def overlay(path):
    """Let writes to path go to the tmpfs."""
    layers = TOP + "/layers" + path
    os.makedirs(layers + "/upper")
    os.makedirs(layers + "/work")
    sh("mount", "-t", "overlay", "-o", f"lowerdir={path},upperdir={layers}/upper,workdir={layers}/work", "overlay", path)


def mount_disk(work, gigabytes):
    """A journaled ext4. It is written out in full at once, so that nothing is initialised in the background later."""
    image = work + "/image"
    with open(image, "w") as f:
        f.truncate(gigabytes << 30)
    sh("mkfs.ext4", "-qF", "-O", "has_journal", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", image)
    os.makedirs(DISK)
    sh("mount", "-o", "loop", image, DISK)


def make_dev():
    dev = TOP + "/dev"
    os.makedirs(dev + "/shm")
    sh("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", dev)
    for name in "null", "zero", "full", "random", "urandom", "tty":
        write(f"{dev}/{name}", "")
        sh("mount", "--bind", f"/dev/{name}", f"{dev}/{name}")
    os.mkdir(dev + "/shm", 0o1777)
    os.symlink("/proc/self/fd", dev + "/fd")
    sh("mount", "--move", dev, "/dev")


def make_etc():
    overlay("/etc")
    taken = {line.split(":")[0] for line in read("/etc/passwd").splitlines()} & set(USERS)
    keep = lambda path: [line for line in read(path).splitlines() if line.split(":")[0] not in USERS]
    for path, form in ("/etc/passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin"), ("/etc/group", "{0}:x:{1}:"):
        write(path, "\n".join(keep(path) + [form.format(*user) for user in USERS.items()]) + "\n")
    for name in "resolv.conf", "hosts", "nsswitch.conf", "smtp-handler.conf":
        if os.path.lexists("/etc/" + name):
            os.remove("/etc/" + name)
    # Nobody listens there, so a query fails at once; libasr, which OpenSMTPD uses, is told not to ask at all.
    write("/etc/resolv.conf", "nameserver 127.0.0.1\nlookup file\n")
    write("/etc/hosts", "127.0.0.1 localhost\n")
    write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
    return taken


def build(work, gigabytes=8):
    """In namespaces of our own (mount, network, IPC): build it all."""
    sh("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    os.makedirs(TOP + "/log")
    os.makedirs(TOP + "/bin")
    mount_disk(work, gigabytes)
    make_etc()
    overlay("/var")
    make_dev()
    sh("ip", "link", "set", "lo", "up")
    write("/proc/sys/net/ipv4/ip_local_port_range", "10000 65535", 0)
    os.makedirs(CGROUPS)
    try:
        sh("mount", "-t", "cgroup2", "cgroup2", CGROUPS)
    except OSError:
        sh("mount", "-t", "cgroup", "-o", "cpuacct", "cgroup", CGROUPS)


def remove_cgroups(name):
    """The last processes in them may be ending yet."""
    deadline = time.monotonic() + 10
    for directory, _, _ in os.walk(f"{CGROUPS}/{name}", topdown=False):
        while True:
            try:
                os.rmdir(directory)
                break
            except OSError as e:
                if e.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


class Cgroup:
    """CPU time and members of a server: all its processes count, however short they live."""

    def __init__(self, path):
        self.path = path
        os.makedirs(path, exist_ok=True)

    def join(self):
        write(self.path + "/cgroup.procs", "0", 0)

    def cpu(self):
        """Seconds so far, user and system."""
        try:
            return int(read(self.path + "/cpu.stat").split()[1]) / 1e6
        except FileNotFoundError:
            return int(read(self.path + "/cpuacct.usage")) / 1e9

    def pids(self):
        pids = []
        for path in glob.glob(glob.escape(self.path) + "/**/cgroup.procs", recursive=True):
            with contextlib.suppress(OSError):  # of a connection that has ended: gone, or going
                pids += [int(p) for p in read(path).split()]
        return pids

    def programs(self):
        names = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                names.append(read(f"/proc/{pid}/comm").strip())
        return names

    def pss(self):
        """KiB, of all processes together."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                total += sum(int(line.split()[1]) for line in read(f"/proc/{pid}/smaps_rollup").splitlines() if line.startswith("Pss:"))
        return total

    def kill(self):
        deadline = time.monotonic() + 10
        while (pids := self.pids()) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
