"""How each server is set up: the same users, a Maildir each on the same disk, loopback only, no DNS, TLS where a case asks for it, everything else as the server's
makers or Debian have it, but for limits that the cases would meet (the size of a message, connections at once, messages a connection)."""
import contextlib
import os
import shutil
import socket
import subprocess
import time

from world import CGROUPS, DISK, TOP, USERS, Cgroup, sh, write

DOMAIN = "example.test"
BOXES = ["bench"] + [f"{i}bench" for i in range(2, 101)]  # as smtp-source names its recipients with -r 100
SIZE = 52428800  # the largest message, for all
CONNECTIONS = 300  # at once, for all
OVERLAY = 'mount -t overlay -o "lowerdir=$1/usr:/usr" overlay /usr && shift && exec "$@"'
ours = "Maildir: file, directory"  # what is fsynced when the server says 250
queued = "queue file"


class Server:
    """One server. Subclasses say how it is configured and started; kind: mail, sink (stores nothing) or true (accepts and ends)."""
    kind, owner, durable, tree, needs = "mail", "vmail", "", None, ()
    copies = True  # a mailbox for each recipient
    tls = False  # certificate(self) is configured

    def __init__(self, key, label, env, **more):
        self.key, self.label, self.env = key, label, env
        self.dir = f"{DISK}/{key}"
        self.mail = f"{self.dir}/mail"
        self.log = f"{TOP}/log/{key}"
        self.conf = f"{TOP}/{key}.conf"
        self.port = env.port()
        self.reason = None  # why it is not run
        self.__dict__.update(more)

    def certificate(self):
        """An ECDSA certificate of its own, which its owner can read; -> the directory with cert.pem and key.pem."""
        where = f"{TOP}/tls/{self.key}"
        os.makedirs(where, exist_ok=True)
        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", where + "/key.pem", "-out", where + "/cert.pem",
           "-subj", "/CN=mx.example.test", "-days", "2")
        uid = USERS[self.owner] if isinstance(self, Supervised) else 0
        os.chown(where + "/key.pem", uid, uid)
        return where

    def unpacked(self, tree):
        return f"{self.env.peers}/{tree}"

    def box(self, name):
        return f"{self.mail}/{DOMAIN}/{name}"

    def lacking(self):
        """What this machine does not have for it, or None."""
        for tool in self.needs:
            if not shutil.which(tool):
                return f"no {tool} here"
        if self.tree and not os.path.isdir(self.unpacked(self.tree)):
            return f"{self.tree} could not be unpacked"
        return None

    def start(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        uid = USERS[self.owner]
        for name in BOXES if self.kind == "mail" else []:
            for sub in "cur", "new", "tmp":
                os.makedirs(f"{self.box(name)}/{sub}")
        os.makedirs(self.dir, exist_ok=True)
        if self.kind == "mail":
            sh("chown", "-R", f"{uid}:{uid}", self.mail)
        self.cgroup = Cgroup(f"{CGROUPS}/{self.env.name}/{self.key}")
        self.setup()
        self.launch(self.command())
        self.wait_for_greeting()

    def setup(self):
        pass

    def launch(self, command):
        """In the cgroup, in the background; a peer sees its own tree merged into /usr."""
        if self.tree:
            command = ["unshare", "--mount", "sh", "-c", OVERLAY, "sh", self.unpacked(self.tree), *command]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                                            preexec_fn=self.cgroup.join, env={"PATH": os.environ["PATH"], "LC_ALL": "C"})

    def network(self):
        """Within it, sockets and programs are where the server can be reached."""
        return contextlib.nullcontext()

    def wait_for_greeting(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with self.network(), socket.create_connection(("127.0.0.1", self.port), 5) as s:
                    if self.kind == "true" or s.recv(512).startswith(b"220"):
                        s.sendall(b"QUIT\r\n") if self.kind != "true" else None
                        return
            except OSError:
                pass
            time.sleep(0.05)
        raise OSError(f"{self.key} does not answer; its log: " + tail(self.log))

    def stop(self):
        self.cgroup.kill()
        self.process.wait()

    def restart(self):
        self.stop()
        self.start()


def tail(path):
    with open(path, "rb") as f:
        return f.read()[-600:].decode(errors="replace").strip()


# --- ours, and `true`, under a supervisor ---

class Supervised(Server):
    """program: a command for each connection."""
    durable, supervisor = ours, "tcpserver"
    waiting = False  # smtp-tls waits on a socket and forks, instead of being started for each connection
    trees = {"openbsd-inetd": "openbsd-inetd", "inetutils-inetd": "inetutils-inetd"}

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.tree = self.tree or self.trees.get(self.supervisor)
        self.needs = {"tcpserver": ("tcpserver",), "activate": ("systemd-socket-activate",)}.get(self.supervisor, ())

    def setup(self):
        write(self.conf, f"hostname = mx.example.test\nmail_root = {self.mail}\n")
        if self.kind == "mail":
            self.tls = True
            where = self.certificate()
            with open(self.conf, "a") as conf:
                conf.write(f"tls_cert = {where}/cert.pem\ntls_key = {where}/key.pem\n")
                conf.write(f"tls = unix:{self.dir}/tls.sock\n" if self.waiting else "")

    def program(self):
        return [f"{TOP}/bin/{self.build}/smtp-handler", "-C", self.conf] if self.kind == "mail" else [f"{TOP}/bin/true"]

    def command(self):
        command = self.listener()
        if not self.waiting:
            return command
        uid = str(USERS[self.owner])
        beside = f"setpriv --reuid={uid} --regid={uid} --clear-groups systemd-socket-activate -l {self.dir}/tls.sock {TOP}/bin/{self.build}/smtp-tls -C {self.conf} --starttls"
        os.chown(self.dir, int(uid), int(uid))
        return ["sh", "-c", f'{beside} & exec "$@"', "sh", *command]

    def listener(self):
        uid = str(USERS[self.owner])
        program, at = self.program(), f"127.0.0.1:{self.port}"
        if self.supervisor == "tcpserver":
            return ["tcpserver", "-DHRl0", "-c", str(CONNECTIONS), "-b", "1024", "-u", uid, "-g", uid, "127.0.0.1", str(self.port), *program]
        if self.supervisor == "activate":
            return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "systemd-socket-activate", "--inetd", "--accept", "-l", at, *program]
        fields = at, "stream", "tcp", "nowait.1000000" if self.supervisor == "openbsd-inetd" else "nowait", self.owner, program[0], " ".join(program)
        write(self.conf + ".inetd", "\t".join(fields) + "\n")
        if self.supervisor == "openbsd-inetd":
            return ["/usr/sbin/inetd", "-i", self.conf + ".inetd"]
        return ["/usr/sbin/inetutils-inetd", "-d", "-R", "1000000", "-p", self.conf + ".inetd"]


class EximOnce(Supervised):
    """exim -bs, once a connection."""
    tree, owner, durable = "exim", "Debian-exim", queued

    def setup(self):
        exim_config(self)

    def program(self):
        return ["/usr/sbin/exim4", "-C", self.conf, "-bs"]


# --- daemons ---

def exim_config(self):
    uid = USERS[self.owner]
    spool, logs = f"{self.dir}/spool", f"{TOP}/log/{self.key}.d"
    for path in spool, logs:
        os.makedirs(path, exist_ok=True)
        os.chown(path, uid, uid)
    write(self.conf, f"""
        spool_directory = {spool}
        log_file_path = {logs}/%slog
        keep_environment =
        deliver_drop_privilege = true
        never_users =
        trusted_users = Debian-exim
        primary_hostname = mx.example.test
        qualify_domain = {DOMAIN}
        daemon_smtp_ports = {self.port}
        local_interfaces = 127.0.0.1
        host_lookup =
        rfc1413_hosts =
        tls_advertise_hosts =
        smtp_accept_max = {CONNECTIONS}
        smtp_accept_max_per_connection = 0
        smtp_accept_queue_per_connection = 0
        acl_smtp_rcpt = take
        begin acl
        take:
          accept
        begin routers
        ours:
          driver = accept
          domains = {DOMAIN}
          local_parts = dsearch;{self.mail}/{DOMAIN}
          transport = maildir
        begin transports
        maildir:
          driver = appendfile
          maildir_format
          directory = {self.mail}/{DOMAIN}/$local_part_data
          delivery_date_add
          envelope_to_add
          return_path_add
        begin retry
        * * F,1h,1m
        """.replace("\n        ", "\n"))


class Exim(Server):
    tree, owner, durable = "exim", "Debian-exim", queued
    setup = exim_config

    def command(self):
        return ["/usr/sbin/exim4", "-C", self.conf, "-bdf"]


class Postfix(Server):
    tree, durable, tls = "postfix", queued, True

    def setup(self):
        where = self.certificate()
        conf, queue, tree = self.conf, f"{self.dir}/queue", self.unpacked("postfix")
        postfix, postdrop = USERS["postfix"], USERS["postdrop"]
        names = ("incoming active deferred bounce defer flush hold corrupt saved trace private public maildrop pid").split()
        for name in names:
            os.makedirs(f"{queue}/{name}")
            os.chown(f"{queue}/{name}", 0 if name == "pid" else postfix, postdrop if name in ("public", "maildrop") else 0)
            os.chmod(f"{queue}/{name}", {"maildrop": 0o1730, "public": 0o2710, "pid": 0o755}.get(name, 0o700))
        os.makedirs(self.dir + "/data")
        os.chown(self.dir + "/data", postfix, postfix)
        os.makedirs(conf, exist_ok=True)
        write(conf + "/users", "".join(f"{box}@{DOMAIN} {DOMAIN}/{box}/\n" for box in BOXES))
        write(conf + "/main.cf", f"""
            compatibility_level = 3.6
            queue_directory = {queue}
            data_directory = {self.dir}/data
            myhostname = mx.example.test
            inet_interfaces = 127.0.0.1
            inet_protocols = ipv4
            disable_dns_lookups = yes
            smtp_host_lookup = native
            mydestination =
            alias_maps =
            alias_database =
            message_size_limit = {SIZE}
            smtpd_tls_security_level = may
            smtpd_tls_chain_files = {where}/key.pem, {where}/cert.pem
            virtual_mailbox_domains = {DOMAIN}
            virtual_mailbox_base = {self.mail}
            virtual_mailbox_maps = texthash:{conf}/users
            virtual_mailbox_limit = {SIZE * 2}
            virtual_uid_maps = static:{USERS['vmail']}
            virtual_gid_maps = static:{USERS['vmail']}
            """.replace("\n            ", "\n"))
        with open(f"{tree}/usr/share/postfix/master.cf.dist") as f:
            services = [line.rstrip("\n") for line in f if line.strip() and not line.startswith("#")]
        services = [f"127.0.0.1:{self.port} inet n - n - {CONNECTIONS} smtpd" if line.split()[:2] == ["smtp", "inet"] else line for line in services]
        write(conf + "/master.cf", "\n".join(services) + "\n")
        sh("touch", "-d", "1 minute ago", conf + "/main.cf", conf + "/master.cf", conf + "/users")

    def command(self):
        return ["/usr/lib/postfix/sbin/master", "-d", "-c", self.conf]


class OpenSmtpd(Server):
    tree, durable, tls = "opensmtpd", "nothing", True

    def setup(self):
        where = self.certificate()
        spool = "/var/spool/smtpd"
        for path in self.dir + "/spool", spool, "/var/lib/opensmtpd/empty":
            os.makedirs(path, exist_ok=True)
        os.chmod(self.dir + "/spool", 0o711)
        write("/etc/mailname", "mx.example.test\n")
        write(self.conf, f"""
            pki bench cert "{where}/cert.pem"
            pki bench key "{where}/key.pem"
            listen on 127.0.0.1 port {self.port} tls pki bench
            smtp max-message-size {SIZE}
            smtp limit max-mails 1000000
            smtp limit max-rcpt 1000
            action "store" maildir "{self.mail}/{DOMAIN}/%{{rcpt.user}}" virtual {{ "@{DOMAIN}" = "vmail" }}
            match from any for domain "{DOMAIN}" action "store"
            """.replace("\n            ", "\n"), 0o600)

    def command(self):
        return ["sh", "-c", f"mount --bind {self.dir}/spool /var/spool/smtpd && exec /usr/sbin/smtpd -F -f {self.conf}"]


class Aiosmtpd(Server):
    tree, copies, durable = "aiosmtpd", False, "Maildir: file"

    def command(self):
        uid = USERS["vmail"]
        return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "/usr/bin/python3", "-m", "aiosmtpd", "-n",
                "-l", f"127.0.0.1:{self.port}", "-s", str(SIZE), "-c", "aiosmtpd.handlers.Mailbox", self.box("bench")]


class Sink(Server):
    kind, tree, durable = "sink", "postfix", "stores nothing"

    def command(self):
        return ["/usr/sbin/smtp-sink", "-u", self.owner, f"127.0.0.1:{self.port}", "1024"]


def all_servers(env):
    """In the order in which they are measured and shown."""
    s = Supervised
    static, dynamic = {"build": "static"}, {"build": "dynamic"}
    servers = [
        s("ours", "smtp-handler, static, tcpserver", env, **static),
        s("ours-dynamic", "smtp-handler, dynamic, tcpserver", env, **dynamic),
        s("ours-waiting", "smtp-handler, static, tcpserver; smtp-tls waits", env, waiting=True, **static),
        s("ours-activate", "smtp-handler, static, systemd-socket-activate", env, supervisor="activate", **static),
        s("ours-openbsd-inetd", "smtp-handler, static, openbsd-inetd", env, supervisor="openbsd-inetd", **static),
        s("ours-inetutils-inetd", "smtp-handler, static, inetutils-inetd", env, supervisor="inetutils-inetd", **static),
        Postfix("postfix", "Postfix", env),
        Exim("exim", "Exim, daemon", env),
        EximOnce("exim-bs", "Exim -bs, tcpserver", env),
        OpenSmtpd("opensmtpd", "OpenSMTPD", env),
        Aiosmtpd("aiosmtpd", "aiosmtpd (Python)", env),
        Sink("sink", "smtp-sink", env),
    ]
    for supervisor in "tcpserver", "activate", "openbsd-inetd", "inetutils-inetd":
        servers.append(s(f"true-{supervisor}", f"`true`, {supervisor}", env, kind="true", supervisor=supervisor, durable="stores nothing"))
    return servers
