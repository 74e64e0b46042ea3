"""From the figures of a run: the tables, the targets and the plot."""
import json
import os
import subprocess
from statistics import median

OURS, PEER = "ours", "postfix"


def machine():
    with open("/proc/cpuinfo") as f:
        cpu = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "?")
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) >> 20
    return f"Linux {os.uname().release}, {os.cpu_count()} CPUs ({cpu}), {memory} GiB"


# --- figures ---

class Figures:
    def __init__(self, data):
        self.data, self.servers = data, data["servers"]

    def rounds(self, server, case, what="rate"):
        if server == "floor":
            return [r[what] for r in self.data["floor"].get(case, [])]
        cases = self.servers.get(server, {}).get("cases", {})
        return [r[what] for r in cases.get(case, {}).get("rounds", [])]

    def of(self, server, case, what="rate"):
        """The median, or None."""
        rounds = self.rounds(server, case, what)
        return median(rounds) if rounds else None

    def ratio(self, one, other, case, what="rate", case2=None):
        """The median of the ratios of each round: what slows a whole round down does not count."""
        pairs = list(zip(self.rounds(one, case, what), self.rounds(other, case2 or case, what)))
        return median(a / b for a, b in pairs) if pairs else None

    def why_not(self, server, case):
        s = self.servers[server]
        return s.get("reason") or s["cases"].get(case, {}).get("reason") or ""


# --- targets ---

def targets(data):
    """-> (what, the figure or None, a format, the bound): the figure must be at least the bound, or at most if that is negative."""
    f, single = Figures(data), data["single"]
    memory = data["servers"].get(OURS, {}).get("memory", {})
    one, hundred = f.of(OURS, "10x1"), f.of(OURS, "r100")
    peak = single.get("peak")
    yield "10 sessions, one message a connection: messages/s, times Postfix", f.ratio(OURS, PEER, "10x1"), "{:.2f}", 1.6
    yield "the same: CPU of a message, times Postfix", f.ratio(OURS, PEER, "10x1", "cpu"), "{:.2f}", -0.6
    yield "1 session, one message a connection: messages/s, times Postfix", f.ratio(OURS, PEER, "1x1"), "{:.2f}", 1
    yield "10 sessions, many messages a connection: messages/s, times Postfix", f.ratio(OURS, PEER, "10xn"), "{:.2f}", 4
    yield "bare connection: cost, times a static `true` under tcpserver", f.ratio("true-tcpserver", OURS, "conn"), "{:.2f}", -3
    yield "the same: CPU", f.ratio(OURS, "true-tcpserver", "conn", "cpu"), "{:.2f}", None
    yield "10 MiB messages: messages/s, of what smtp-sink takes", f.ratio(OURS, "sink", "10mib"), "{:.0%}", 0.95
    yield "512 MiB from memory, without fsync: GB/s through both processes", single.get("throughput"), "{:.2f}", 1
    yield "peak memory of all processes, 50 MiB message less 1 MiB message: KiB", peak and peak["50 MiB"] - peak["1 MiB"], "{:.0f}", -64
    yield "the same, 50 MiB message less 1 KiB message (buffers that it touches): KiB", peak and peak["50 MiB"] - peak["1 KiB"], "{:.0f}", None
    yield "100 recipients: messages/s, times Postfix", f.ratio(OURS, PEER, "r100"), "{:.2f}", 3
    yield "a recipient more, of the cost of a message", one and hundred and (one / hundred - 1) / 99, "{:.3f}", -0.1
    yield "200 open connections: KiB of PSS each, supervisor included", memory.get("each"), "{:.1f}", -60
    ours = [p for p in memory.get("programs", []) if p in ("smtp-handler", "maildir-deliver")]
    yield "idle: processes of ours", len(ours) if "programs" in memory else None, "{:.0f}", -0.5
    for user, calls in single.get("calls", {}).items():
        yield f"system calls of a connection with one message, as {user}", sum(calls.values()), "{:.0f}", -100


def verdicts(data):
    for what, figure, form, bound in targets(data):
        if figure is None:
            yield what, "", "", "not measured"
            continue
        want = "" if bound is None else ("at most " if bound < 0 else "at least ") + form.format(abs(bound))
        met = bound is None or (figure <= -bound if bound < 0 else figure >= bound)
        yield what, form.format(figure), want, "" if bound is None else "PASS" if met else "MISS"


def summary(data):
    rows = [r for r in verdicts(data) if r[3] != "not measured"]
    width = max([len(r[0]) for r in rows], default=0)
    return "\n".join(f"{verdict:4}  {what:{width}}  {figure:>7}  {want}" for what, figure, want, verdict in rows)


# --- tables ---

def table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def short(number):
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def matrix(data, cell, floor=False):
    """Servers by cases."""
    cases = list(data["cases"])
    rows = []
    for key, s in data["servers"].items():
        if s["kind"] == "true" or s.get("reason"):
            continue
        rows.append([s["label"], s["durable"]] + [cell(key, c) for c in cases])
    if floor:
        rows.append(["the disk alone (`floor.c`)", "Maildir: file, directory"] + [cell("floor", c) for c in cases])
    return table(["server", "durable at the 250"] + cases, rows)


def rate_cell(f):
    def cell(server, case):
        rate = f.of(server, case)
        if rate is None:
            return "" if server == "floor" else f.why_not(server, case).replace("|", " ")[:80]
        accepted = f.of(server, case, "accepted") if server != "floor" else rate
        return short(rate) + (f" (accepted {short(accepted)})" if accepted > 1.1 * rate else "")
    return cell


def number_cell(value):
    def cell(server, case):
        n = value(server, case)
        return "" if n is None else short(n)
    return cell


def connection_rows(data, f):
    for key, s in data["servers"].items():
        supervisor = key.removeprefix("true-")
        if s["kind"] != "true" or not f.of(key, "conn"):
            continue
        for ours in data["servers"]:
            if data["servers"][ours].get("supervisor") == supervisor and ours.startswith(OURS) and f.of(ours, "conn"):
                yield [data["servers"][ours]["label"], short(f.of(ours, "conn")), short(f.of(key, "conn")), short(f.ratio(key, ours, "conn")),
                       f"{f.of(ours, 'conn', 'cpu') * 1000:.3f}", f"{f.of(key, 'conn', 'cpu') * 1000:.3f}"]


def memory_rows(data):
    for s in data["servers"].values():
        m = s.get("memory")
        if m:
            yield [s["label"], m["reason"], ""] if "reason" in m else [s["label"], f"{m['idle']}", f"{m['each']:.1f}"]


def markdown(data):
    f = Figures(data)
    yield "# Results"
    yield ""
    yield "Written by `bench/run`; [README.md](../README.md) says what the columns mean. Compare within one run only."
    yield ""
    yield f"{data['machine']}; ext4 with a journal on a loop device; load average {data['load'][0]} before, {data['load'][1]} after; medians of "
    yield f"{data['rounds']} rounds, every server in turn, of about {data['seconds']} s each. 1x1: 1 session, one message a connection; xn: many messages a connection."
    yield ""
    if float(data["load"][0]) > data["cpus"]:
        yield "**The machine had other work to do**: ratios of these figures are not to be relied on."
        yield ""
    for key, s in data["servers"].items():
        if s.get("reason"):
            yield f"Not run: {s['label']}: {s['reason'].splitlines()[0]}"
            yield ""
    yield "## Targets"
    yield ""
    yield from table(["", "figure", "target", ""], verdicts(data))
    yield "## Messages a second until they are in the Maildirs (conn: connections a second)"
    yield ""
    yield from matrix(data, rate_cell(f), floor=True)
    yield "## Times ours (static, tcpserver)"
    yield ""
    yield from matrix(data, number_cell(lambda s, c: f.ratio(s, OURS, c)), floor=True)
    yield "## Times what the disk alone does"
    yield ""
    yield from matrix(data, number_cell(lambda s, c: f.ratio(s, "floor", c)))
    yield "## CPU milliseconds of a message (of a connection): the server, its supervisor, all their children"
    yield ""
    yield from matrix(data, number_cell(lambda s, c: (f.of(s, c, "cpu") or 0) * 1000 or None))
    yield "## A bare connection beside a static `true` under the same supervisor"
    yield ""
    yield from table(["", "connections/s", "`true`/s", "cost, times `true`", "CPU ms", "CPU ms of `true`"], connection_rows(data, f))
    yield "## Memory, KiB of PSS of all processes, the supervisor included"
    yield ""
    yield from table(["", "idle", "each of 200 open connections"], memory_rows(data))
    for user, calls in data["single"].get("calls", {}).items():
        yield f"System calls of a connection with one message, as {user}: " + ", ".join(
            f"{name} {n}" for name, n in sorted(calls.items(), key=lambda item: -item[1])) + "."
        yield ""


# --- the plot ---

BLUES = "#08306b", "#2171b5", "#4292c6", "#6baed6", "#9ecae1", "#c6dbef"  # ours
OTHERS = "#d62728", "#ff7f0e", "#ffbb78", "#2ca02c", "#9467bd", "#8c564b"
PLOT = """set terminal svg size 1200,560 font "sans,13" background "white"
set output "{out}"
set style data histograms
set style histogram clustered gap 2
set style fill solid 0.9 border -1
set boxwidth 1
set key outside top center horizontal maxrows 4
set ylabel "times smtp-handler (static, tcpserver)"
set yrange [0:*]
set grid ytics
set arrow from graph 0, first 1 to graph 1, first 1 nohead dashtype 2
plot {curves}
"""


def plot(folder, data):
    """Bars: messages a second of each server as a ratio to ours, case by case."""
    f = Figures(data)
    shown = [k for k, s in data["servers"].items() if s["kind"] == "mail" and not s.get("reason") and s["cases"]]
    if not shown:
        return
    lines = ["case\t" + "\t".join(data["servers"][k]["label"].replace("_", " ") for k in shown)]
    for case in data["cases"]:
        lines.append(case + "\t" + "\t".join(str(f.ratio(k, OURS, case) or 0) for k in shown))
    table_file = folder + "/results.tsv"
    with open(table_file, "w") as out:
        out.write("\n".join(lines) + "\n")
    blues, others = iter(BLUES), iter(OTHERS)
    curves = ", ".join(f"'{table_file}' using {i + 2}:xtic(1) title columnheader linecolor rgb '{next(blues if key.startswith(OURS) else others)}'"
                       for i, key in enumerate(shown))
    subprocess.run(["gnuplot"], input="set datafile separator tab\n" + PLOT.format(out=folder + "/results.svg", curves=curves), text=True, check=True)


def write(folder, data):
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/results.json", "w") as f:
        json.dump(data, f, separators=(",", ":"))
    with open(folder + "/results.md", "w") as f:
        f.write("\n".join(markdown(data)))
    try:
        plot(folder, data)
    except (OSError, subprocess.CalledProcessError) as e:
        print(f"bench: no plot: {e}")


if __name__ == "__main__":  # report.py FOLDER: write the tables anew
    import sys
    with open(sys.argv[1] + "/results.json") as stored:
        write(sys.argv[1], json.load(stored))
