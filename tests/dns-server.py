#!/usr/bin/env python3
"""An authoritative DNS server for tests, over UDP and TCP: dns-server.py ZONE [--host ADDRESS] [--port-file FILE] [--log FILE]

Its first line is its port; with --port-file it also stands there, whole, as soon as the server answers.  --log gets a line for each question: "udp NAME TYPE".
ZONE is read again when it has changed; one with a mistake is complained of, and not taken.  Lines, with blanks between the words, names without a dot at the end, # for a remark:

  NAME A|AAAA|CNAME DATA, NAME MX PREFERENCE HOST, NAME TXT TEXT, NAME TLSA USAGE SELECTOR TYPE HEX, NAME TYPE1234 HEX
                            in names \\DDD is an octet, "." the root, and "*.NAME" what is below NAME and has no line
  NAME [TYPE] BEHAVIOUR     for questions of that type, or all:
    SERVFAIL REFUSED FORMERR NOTIMP NXDOMAIN    that answer
    DROP [N]                no answer, to the first N questions (default: never one)
    DELAY MS                the answer comes later
    TRUNCATE                over UDP only that TCP has to be used; so it is without a line when an answer is larger than asked for
    TCP-DROP TCP-CUT TCP-CLOSE TCP-TRUNCATE     over TCP: no answer; half of one and then nothing; half of one and then the end; that TCP has to be used
    GARBAGE                 the question, and what is no record
    NOISE                   octets that are no message at all; STRAY: answers to other questions, and then the true one
    NO-EDNS                 FORMERR for a question with EDNS0
    LAME                    only the name servers to ask, as one does that does not look up names for others
    AUTHENTIC               the AD bit is set
    CASE                    the question comes back in capitals

A name without a line does not exist (NXDOMAIN), unless others are below it.  CNAMEs are followed as a resolver does.
"""
import argparse, os, socket, struct, sys, threading, time

TYPES = {"A": 1, "CNAME": 5, "MX": 15, "TXT": 16, "AAAA": 28, "TLSA": 52}
RCODES = {"FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}
BEHAVIOURS = {*RCODES, "DROP", "DELAY", "TRUNCATE", "TCP-DROP", "TCP-CUT", "TCP-CLOSE", "TCP-TRUNCATE", "GARBAGE", "NOISE", "STRAY", "NO-EDNS", "LAME", "AUTHENTIC", "CASE"}
QR, AA, TC, RD, RA, AD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020
OPT, UDP_PLAIN, TTL, CHAIN = 41, 512, 60, 16


def labels(name):
    """The labels of a name as it is written in the zone."""
    found, label, i = [], bytearray(), 0
    name = b"" if name == "." else name.encode()
    while i < len(name):
        if name[i:i + 1] == b"\\":
            label.append(int(name[i + 1:i + 4]))
            i += 4
        elif name[i:i + 1] == b".":
            found.append(bytes(label))
            label = bytearray()
            i += 1
        else:
            label.append(name[i])
            i += 1
    return found + [bytes(label)] if label else found


def fold(name):
    """What names are compared by."""
    return tuple(label.lower() for label in name)


def wire(name):
    return b"".join(bytes([len(label)]) + label for label in name) + b"\0"


def type_number(word):
    return TYPES.get(word) or (int(word[4:]) if word.startswith("TYPE") and word[4:].isdigit() else None)


def data(kind, words):
    """The octets of a record's data; ValueError for too few words or too many."""
    if kind in ("A", "AAAA", "CNAME"):
        word, = words
        return wire(labels(word)) if kind == "CNAME" else socket.inet_pton(socket.AF_INET if kind == "A" else socket.AF_INET6, word)
    if kind == "MX":
        preference, host = words
        return struct.pack("!H", int(preference)) + wire(labels(host))
    if kind == "TXT":
        text = " ".join(words).encode()
        return b"".join(bytes([len(text[i:i + 255])]) + text[i:i + 255] for i in range(0, len(text), 255) or [0])
    if kind == "TLSA":
        usage, selector, matching, digest = words
        return bytes([int(usage), int(selector), int(matching)]) + bytes.fromhex(digest)
    return bytes.fromhex("".join(words))


class Zone:
    """Records and behaviours by name, and how often a name was asked for."""

    def __init__(self, path):
        self.path, self.stamp = path, None
        self.lock = threading.Lock()
        self.refresh()

    def refresh(self):
        with self.lock:
            st = os.stat(self.path)
            stamp = st.st_mtime_ns, st.st_size, st.st_ino
            if stamp == self.stamp:
                return
            try:
                self.read()
            except ValueError as e:     # half written, it may be: then it changes again
                if self.stamp is None:
                    sys.exit(str(e))
                print(e, file=sys.stderr, flush=True)
            self.stamp = stamp

    def read(self):
        records, behaviours = {}, {}
        with open(self.path) as f:
            for number, line in enumerate(f, 1):
                words = line.split("#")[0].split()
                if not words:
                    continue
                try:
                    key, kind = fold(labels(words[0])), words[1]
                    if kind in BEHAVIOURS:
                        behaviours.setdefault(key, []).append((None, kind, words[2:]))
                    elif words[2] in BEHAVIOURS:
                        behaviours.setdefault(key, []).append((type_number(kind), words[2], words[3:]))
                    else:
                        records.setdefault(key, []).append((type_number(kind), data(kind, words[2:])))
                        assert type_number(kind)
                except (IndexError, ValueError, OSError, AssertionError, struct.error):
                    raise ValueError("%s:%d: what is %r?" % (self.path, number, line)) from None
        self.records, self.behaviours, self.asked = records, behaviours, {}
        self.nodes = {key[i:] for key in [*records, *behaviours] for i in range(len(key) + 1)}

    def find(self, name):
        """The key that a name is answered by; None when it does not exist."""
        key = fold(name)
        if key in self.nodes:
            return key
        for i in range(1, len(key)):
            star = (b"*",) + key[i:]
            if star in self.nodes:
                return star
            if key[i:] in self.nodes:
                return None
        return None

    def behaviour(self, name, qtype):
        """{BEHAVIOUR: arguments} for a question, which is counted."""
        key = self.find(name)
        with self.lock:
            count = self.asked[key, qtype] = self.asked.get((key, qtype), 0) + 1
        found = {what: args for kind, what, args in self.behaviours.get(key, ()) if kind in (None, qtype)}
        if found.get("DROP") and count > int(found["DROP"][0]):
            del found["DROP"]
        return found

    def answer(self, name, qtype):
        """rcode, and the records as (owner, type, data)."""
        found = []
        for _ in range(CHAIN):
            key = self.find(name)
            if key is None:
                return RCODES["NXDOMAIN"], found
            here = self.records.get(key, ())
            found += [(name, kind, octets) for kind, octets in here if kind == qtype]
            alias = [octets for kind, octets in here if kind == TYPES["CNAME"]]
            if not alias or qtype == TYPES["CNAME"]:
                break
            found.append((name, TYPES["CNAME"], alias[0]))
            name = read_name(alias[0], 0)[0]
        return 0, found


def read_name(message, at):
    """A name that is not compressed, and where it ends."""
    name = []
    while message[at]:
        if message[at] > 63:
            raise ValueError("compressed")
        name.append(message[at + 1:at + 1 + message[at]])
        at += 1 + message[at]
    return name, at + 1


class Question:
    def __init__(self, message):
        self.id, flags, count = struct.unpack("!HHH", message[:6])
        if flags & QR or count != 1:
            raise ValueError("not one question")
        self.recursion, self.wants_ad = flags & RD, flags & AD
        self.name, end = read_name(message, 12)
        self.type, self.klass = struct.unpack("!HH", message[end:end + 4])
        self.text = message[12:end + 4]
        rest = message[end + 4:]
        self.edns = len(rest) >= 11 and rest[0] == 0 and struct.unpack("!H", rest[1:3])[0] == OPT
        self.room = max(UDP_PLAIN, struct.unpack("!H", rest[3:5])[0]) if self.edns else UDP_PLAIN

    def reply(self, flags=0, records=(), counts=None, rest=b"", number=None, text=None):
        """A message; `counts` are those of the header, if they should lie."""
        body, starts = b"", {}
        for owner, kind, octets in records:
            owner = fold(owner)
            at = 12 + len(self.text) + len(body)
            if owner == fold(self.name):
                start = b"\xc0\x0c"
            else:
                start = struct.pack("!H", 0xc000 | starts[owner]) if owner in starts else wire(owner)
                if at < 0x4000:
                    starts.setdefault(owner, at)
            body += start + struct.pack("!HHIH", kind, 1, TTL, len(octets)) + octets
        opt = struct.pack("!BHHIH", 0, OPT, 1232, 0, 0) if self.edns else b""
        head = struct.pack("!HHHHHH", self.id if number is None else number, QR | self.recursion | flags, *(counts or (1, len(records), 0, 1 if opt else 0)))
        return head + (text or self.text) + body + rest + opt


def respond(zone, message, tcp, log):
    """What to do about a message: a list of (milliseconds, octets).  None for the octets: the connection ends."""
    try:
        q = Question(message)
    except (ValueError, IndexError, struct.error):
        return []
    zone.refresh()
    names = {number: word for word, number in TYPES.items()}
    log("%s %s %s" % ("tcp" if tcp else "udp", b".".join(q.name).decode("ascii", "backslashreplace"), names.get(q.type, q.type)))
    does = zone.behaviour(q.name, q.type)
    flags = AA | RA | (AD if "AUTHENTIC" in does and q.wants_ad else 0)
    wait = int(does["DELAY"][0]) if "DELAY" in does else 0
    for word, code in RCODES.items():
        if word in does:
            return [(wait, q.reply(flags | code))]
    if "DROP" in does or (tcp and "TCP-DROP" in does):
        return []
    if "NOISE" in does:
        return [(wait, struct.pack("!H", q.id ^ 0xffff) + b"\xa5" * 40)]
    if "GARBAGE" in does:
        return [(wait, q.reply(flags, counts=(1, 3, 0, 0), rest=b"\xc0\xff\xc0\x0c\x00\x0f" * 9))]
    if "NO-EDNS" in does and q.edns:
        return [(wait, q.reply(RCODES["FORMERR"]))]
    if "LAME" in does:
        return [(wait, q.reply(counts=(1, 0, 1, int(q.edns)), rest=b"\0" + struct.pack("!HHIH", 2, 1, TTL, 4) + wire([b"ns"])))]
    rcode, records = zone.answer(q.name, q.type)
    whole = q.reply(flags | rcode, records, text=q.text.upper() if "CASE" in does else None)
    if "TCP-TRUNCATE" in does if tcp else "TRUNCATE" in does or len(whole) > q.room:
        whole = q.reply(flags | rcode | TC)
    if tcp and "TCP-CUT" in does:
        return [(wait, struct.pack("!H", len(whole)) + whole[:len(whole) // 2])]
    if tcp and "TCP-CLOSE" in does:
        return [(wait, struct.pack("!H", len(whole)) + whole[:len(whole) // 2]), (wait, None)]
    if tcp:
        return [(wait, struct.pack("!H", len(whole)) + whole)]
    stray = []
    if "STRAY" in does:
        lie = [(q.name, TYPES["A"], b"\xc0\0\2\x42"), (q.name, TYPES["MX"], b"\0\1" + wire([b"liar"]))]
        stray = [(wait, q.reply(flags, lie, number=q.id ^ 1)), (wait, q.reply(flags, lie, text=wire([b"other"]) + q.text[-4:])), (wait, b"\0"), (wait, message)]
    return stray + [(wait, whole)]


def serve_udp(sock, zone, log):
    while True:
        message, peer = sock.recvfrom(65536)
        for wait, octets in respond(zone, message, False, log):
            if wait:
                threading.Timer(wait / 1000, sock.sendto, (octets, peer)).start()
            else:
                sock.sendto(octets, peer)


def read_exactly(conn, n):
    octets = b""
    while len(octets) < n:
        more = conn.recv(n - len(octets))
        if not more:
            raise EOFError
        octets += more
    return octets


def serve_connection(conn, zone, log):
    with conn:
        try:
            while True:
                message = read_exactly(conn, struct.unpack("!H", read_exactly(conn, 2))[0])
                for wait, octets in respond(zone, message, True, log):
                    time.sleep(wait / 1000)
                    if octets is None:
                        return
                    conn.sendall(octets)
        except (EOFError, OSError):
            pass


def serve_tcp(sock, zone, log):
    while True:
        threading.Thread(target=serve_connection, args=(sock.accept()[0], zone, log), daemon=True).start()


def both(host):
    """A TCP and a UDP socket of the same port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        tcp = socket.create_server((host, 0), family=family, backlog=100)
        udp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            udp.bind((host, tcp.getsockname()[1]))
            return tcp, udp
        except OSError:
            tcp.close()
            udp.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("zone")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port-file")
    parser.add_argument("--log")
    args = parser.parse_args()
    zone = Zone(args.zone)
    file = open(args.log, "a", buffering=1) if args.log else None
    log = (lambda line: file.write(line + "\n")) if file else (lambda line: None)
    tcp, udp = both(args.host)
    threading.Thread(target=serve_tcp, args=(tcp, zone, log), daemon=True).start()
    port = "%d\n" % tcp.getsockname()[1]
    print(port, end="", flush=True)
    if args.port_file:
        with open(args.port_file + ".new", "w") as f:
            f.write(port)
        os.rename(args.port_file + ".new", args.port_file)
    serve_udp(udp, zone, log)


if __name__ == "__main__":
    main()
