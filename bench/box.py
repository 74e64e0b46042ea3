"""Ours under a real systemd: the installed units in a box of tests/systemd, with a network and a cgroup of its own."""
import contextlib
import ctypes
import os
import subprocess

from servers import Server, ours, tail
from single import family
from world import CGROUPS, DISK, TOP, Cgroup, read

TREE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
BOX = TREE + "/tests/systemd/box"
CLONE_NEWNET = 0x40000000


def enter(namespace):
    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Boxed(Server):
    """CPU and memory are of all that runs in the box: PID 1, the journal, the connections."""
    durable = ours
    supervisor = "systemd"

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.port = 25

    def lacking(self):
        if not os.path.exists(BOX):
            return "no tests/systemd/box in this tree"
        if os.path.relpath(self.env.build, TREE).startswith(".."):
            return "the box sees only what is built within the tree"
        return None

    def command(self):
        disk = os.stat(DISK).st_dev
        return [BOX, "bash", "/src/bench/in-box", "/src/" + os.path.relpath(self.env.build, TREE), f"{os.major(disk)}:{os.minor(disk)}", self.key, self.kind]

    def launch(self, command):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True, text=True,
                                            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TMPDIR": TOP})
        if self.process.stdout.readline() != "ready\n":
            self.stop()
            raise OSError(tail(self.log))
        here = os.readlink("/proc/self/ns/net")
        self.inner = next(p for p in family(self.process.pid) if os.readlink(f"/proc/{p}/ns/net") != here)
        name = next(line for line in read(f"/proc/{self.inner}/cgroup").splitlines() if line.startswith("0::")).split("/")
        self.cgroup = Cgroup(f"{CGROUPS}/{self.env.name}/" + next(part for part in name if part.startswith("smtp-")))

    @contextlib.contextmanager
    def network(self):
        with open("/proc/self/ns/net") as here, open(f"/proc/{self.inner}/ns/net") as there:
            enter(there)
            try:
                yield
            finally:
                enter(here)

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
