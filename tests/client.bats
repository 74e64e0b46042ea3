#!/usr/bin/env bats
# smtp-client: the dialogue of a person with a server, and TLS.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034
load helper
load servers
load tls

setup_file() {
	command -v openssl >/dev/null || return 0
	certificate localhost
	certificate elsewhere.example
	mkdir "$CERTS/folder"
	cp "$CERTS/localhost/fullchain.pem" "$CERTS/folder/"
	openssl rehash "$CERTS/folder"
}
setup() {
	setup_mail
	CLIENT=$BUILD/smtp-client
	DIR=$BATS_TEST_TMPDIR
	CA=$CERTS/localhost/fullchain.pem
}

# client [OPTION...] HOST...: with what it tells in $DIR/told; any TLS of its is without the authorities of this host.
client() { clean_env SSL_CERT_DIR="$DIR" timeout 60 "$CLIENT" "${CONFIG[@]}" "$@" 2>"$DIR/told"; }
CONFIG=(-C /dev/null -o hostname=me.example.org)

# status STATUS COMMAND...: it exits so.
status() {
	local want=$1 got=0
	shift
	"$@" >"$DIR/out" || got=$?
	[ "$got" = "$want" ] || { echo "status $got, not $want: $*"; cat "$DIR/out" "$DIR/told"; return 1; }
}

# peer SCRIPT: a server at $PORT. SCRIPT, in Python, has the connection as `s`, and what it has heard goes to $DIR/heard by hear(); CERTS is sys.argv[3].
peer_script='
import os, socket, ssl, sys, threading
directory, script, certs, path = sys.argv[1:]
if path:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
else:
    listener = socket.create_server(("127.0.0.1", 0))
heard = open(os.path.join(directory, "heard"), "wb", buffering=0)
def hear(n=1 << 30, end=None):
    """n octets, or to the end, or until `end` was heard."""
    data = b""
    while len(data) < n and not (end and data.endswith(end)):
        more = s.recv(min(65536, n - len(data)) if not end else 1)
        if not more: break
        data += more
    heard.write(data)
    return data
def nothing(): threading.Event().wait(60)        # until the test ends
def context(name="localhost"):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain("%s/%s/fullchain.pem" % (certs, name), "%s/%s/privkey.pem" % (certs, name))
    return c
def begin_tls(c=None): return (c or context()).wrap_socket(s, server_side=True, suppress_ragged_eofs=False)
def to_starttls():
    s.sendall(b"220 x\r\n")
    hear(end=b"\n")
    s.sendall(b"250-x\r\n250-starttls\r\n250 HELP\r\n")
    hear(end=b"\n")
with open(os.path.join(directory, "port~"), "w") as f: f.write(str(path or listener.getsockname()[1]))
os.rename(f.name, f.name[:-1])
while True:
    s = listener.accept()[0]
    s.settimeout(60)
    try: exec(script)
    except OSError as e: print(e, file=sys.stderr)
    s.close()'
peer() {
	rm -f "$DIR/port"
	launch "$PYTHON" -c "$peer_script" "$DIR" "$1" "$CERTS" "${2-}"
	until_true [ -e "$DIR/port" ]
	PORT=$(cat "$DIR/port")
}

need_tls() { command -v openssl >/dev/null || skip "no openssl here"; }

# the server of this project: --starttls, and --tls
listen() { need_tls; serve systemd_inetd -o "tls_certs=$CERTS"; }
listen_tls() { need_tls; BEFORE=("$BUILD/smtp-tls" "${SETTINGS[@]}" -o "tls_certs=$CERTS"); serve systemd_inetd; }

# --- plain ---

@test "a piped dialogue has the replies that nc would show; the message arrives" {
	serve systemd_inetd
	printf '%s\n' 'EHLO c' 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>' DATA 'Subject: x' '' hello . QUIT >"$DIR/in"
	status 0 client "$HOST" "$PORT" <"$DIR/in"
	sed 's/$/\r/' "$DIR/in" | tcp | masked >"$DIR/tcp"
	masked <"$DIR/out" | sed 's/ as [^ ]*//' | diff <(sed 's/ as [^ ]*//' "$DIR/tcp") -
	grep -q '^221 ' "$DIR/out"
	[ "$(count "$ROOT/example.test/alice")" = 2 ]
	grep -qx "smtp-client: connected to 127.0.0.1 port $PORT" "$DIR/told"
}

@test "the end of the input closes one direction; the last reply is waited for" {
	peer 's.sendall(b"220 x\r\n"); hear(); s.sendall(b"250 all of it was heard\r\n")'
	status 0 client localhost "$PORT" <<<QUIT
	[ "$(cat -A "$DIR/out")" = $'220 x^M$\n250 all of it was heard^M$' ]
	[ "$(cat -A "$DIR/heard")" = 'QUIT^M$' ]
	status 0 client 127.0.0.1 "$PORT" </dev/null
	[ "$(tail -n 1 "$DIR/out")" = $'250 all of it was heard\r' ]
}

@test "LF becomes CR LF, CR LF stays, at the border of any piece; --crlf changes nothing" {
	peer 'hear(); heard.write(b"|")'
	printf 'a\nb\r\n\rc\r\rd\n\n\r\n\r\r\n.\nlast' >"$DIR/in"
	status 0 client localhost "$PORT" <"$DIR/in"
	printf 'a\r\nb\r\n\rc\r\rd\r\n\r\n\r\n\r\r\n.\r\nlast|' | cmp - "$DIR/heard"
	: >"$DIR/heard"
	{ cat "$DIR/in"; printf '|'; } >"$DIR/want"
	stop_all
	peer 'hear(); heard.write(b"|")'
	status 0 client --crlf localhost "$PORT" <"$DIR/in"
	cmp "$DIR/want" "$DIR/heard"
	stop_all
	peer 'hear()'
	"$PYTHON" -c 'import sys
for n in range(4080, 4100): sys.stdout.write("x" * n + "\r\n" + "y" * n + "\n")' >"$DIR/in"
	status 0 client localhost "$PORT" <"$DIR/in"
	sed -e 's/\r$//' -e 's/$/\r/' "$DIR/in" | cmp - "$DIR/heard"
}

@test "the server closes first: so does the client, with its input still open" {
	peer 's.sendall(b"421 no\r\n")'
	mkfifo "$DIR/fifo"
	exec {hold}<>"$DIR/fifo"
	status 0 client localhost "$PORT" <"$DIR/fifo"
	[ "$(cat "$DIR/out")" = $'421 no\r' ]
	exec {hold}>&-
}

@test "10 MB of text and of what a terminal would obey go into a pipe as they are; the transcript has them in codes" {
	peer 's.sendall((b"250-\x1b]0;title\x07\xff\xc3\xa9" + b"x" * 80 + b"\r\n") * 100000); heard.write(b"end")'
	status 0 client --log "$DIR/log" localhost "$PORT" </dev/null
	"$PYTHON" -c 'import sys; sys.stdout.buffer.write((b"250-\x1b]0;title\x07\xff\xc3\xa9" + b"x" * 80 + b"\r\n") * 100000)' | cmp - "$DIR/out"
	[ "$(grep -cx 'S: 250-\\x1b\]0;title\\x07\\xffé'"$(printf 'x%.0s' {1..80})" "$DIR/log")" = 100000 ]
	refute LC_ALL=C grep -q $'[\x01-\x09\x0b-\x1f\x7f]' "$DIR/log"
}

@test "a server that reads nothing while it sends, and a client that reads nothing while it sends: neither waits for the other" {
	peer 's.sendall(b"x" * 5000000); heard.write(b"%d" % len(hear())); s.sendall(b"250 end\r\n")'
	head -c 5000000 /dev/zero | tr '\0' y >"$DIR/in"
	status 0 client localhost "$PORT" <"$DIR/in"
	[ "$(wc -c <"$DIR/out")" = 5000009 ]
	tail -c 7 "$DIR/heard" | grep -q 5000000
}

@test "a server that reads only when it has said all, and who reads what it says only when all is sent" {
	peer 's.sendall(b"x" * 3000000); n = len(hear()); s.sendall(b"%d\r\n" % n)'
	clean_env "$PYTHON" - "$CLIENT" "$PORT" <<-'E'
		import subprocess, sys
		p = subprocess.Popen([sys.argv[1], "-C", "/dev/null", "localhost", sys.argv[2]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
		p.stdin.write(b"y" * 500)       # nothing of the rest can be taken while the server does not read
		got = p.stdout.read(1000)
		p.stdin.close()
		while more := p.stdout.read(65536): got += more
		assert got == b"x" * 3000000 + b"500\r\n", (len(got), got[-20:])
		assert p.wait(30) == 0
	E
}

@test "on a terminal: what is typed is sent, replies come at once, and what the terminal would obey is shown in codes" {
	"$PYTHON" -c "import pty; pty.openpty()" 2>/dev/null || skip "no terminal can be had here"
	peer 's.sendall(b"220 \x1b[2J\x9b \xc2\x9b \xc3\xa9 \xe2\x80\xae \\ \xed\xa0\x80 \xc0\x80\ttab\r\nbare\nlf \rcr\r\n"); hear(end=b"\n"); s.sendall(b"250 cut \xe2\x82"); hear(end=b"\n"); s.sendall(b"\xac\r\n"); hear(); s.sendall(b"221 bye \xe2")'
	clean_env "$PYTHON" - "$CLIENT" "$PORT" "$DIR/log" <<-'E'
		import os, pty, sys
		client, port, log = sys.argv[1:]
		pid, fd = pty.fork()
		if pid == 0: os.execv(client, [client, "-C", "/dev/null", "--log", log, "localhost", port])
		screen = b""
		def until(what):
		    global screen
		    while what not in screen:
		        try: more = os.read(fd, 4096)
		        except OSError: more = b""
		        assert more, screen
		        screen += more
		until(b"cr\r\n")
		os.write(fd, b"EHLO typed\n")
		until(b"250 cut ")
		os.write(fd, b"NOOP\n")
		until("\u20ac\r\n".encode())
		os.write(fd, b"\x04")
		until(b"221 bye \\xe2")
		assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
		want = "220 \\x1b[2J\\x9b \\xc2\\x9b \u00e9 \\xe2\\x80\\xae \\x5c \\xed\\xa0\\x80 \\xc0\\x80\ttab\r\nbare\\x0a\r\nlf \\x0dcr\r\n".encode()
		assert want in screen, screen
		assert b"\x1b" not in screen and b"\x9b" not in screen
	E
	[ "$(cat -A "$DIR/heard")" = $'EHLO typed^M$\nNOOP^M$' ]
	[ "$(tail -n 1 "$DIR/log")" = 'S: 221 bye \xe2' ]
}

@test "--log: both sides in order, only ours to read, a new one each time; no link, no folder" {
	peer 's.sendall(b"220 x\r\n"); hear(end=b"\n"); s.sendall(b"250 \x07\n"); hear(); s.sendall(b"y" * 1001)'
	(umask 0; echo old >"$DIR/log")
	{ printf 'EHLO \001\n'; until_true grep -q 'S: 250' "$DIR/log"; printf 'last'; } | status 0 client --log "$DIR/log" localhost "$PORT"
	printf '%s\n' "*: connected to 127.0.0.1 port $PORT" 'S: 220 x' 'C: EHLO \x01' 'S: 250 \x07\x0a' 'C: last' "S: $(printf 'y%.0s' {1..1000})" 'S+ y' >"$DIR/want"
	# what is said before the other has answered may stand in front of it
	diff <(sort "$DIR/want") <(sort "$DIR/log")
	[ "$(stat -c %a "$DIR/log")" = 600 ]
	[ "$(cat "$DIR/out" | cat -A)" = "220 x^M\$"$'\n250 ^G$\n'"$(printf 'y%.0s' {1..1001})" ]
	ln -s "$DIR/elsewhere" "$DIR/link"
	status 73 client --log "$DIR/link" localhost "$PORT" </dev/null
	[ ! -e "$DIR/elsewhere" ]
	status 73 client --log "$DIR" localhost "$PORT" </dev/null
	status 74 client --log /dev/full localhost "$PORT" </dev/null
}

@test "exit statuses: usage, no host, no connection, a reset, nobody who reads, the configuration" {
	for wrong in '' '--tls --starttls h' 'a 25 b' '--verify h' '--ca f h' '--nosuch h' 'unix:/x 25' 'localhost nosuchservice' '--send'; do
		# shellcheck disable=SC2086
		status 64 client $wrong </dev/null
		[ "$(wc -l <"$DIR/told")" = 1 ]
	done
	status 68 client -6 127.0.0.1 25 </dev/null
	status 69 client 127.0.0.1 "$(free_port 127.0.0.1)" </dev/null
	grep -q 'Connection refused' "$DIR/told"
	status 69 client unix:"$DIR/nobody" </dev/null
	status 78 client -o nosuch=1 localhost </dev/null
	peer 'import struct; s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))'
	status 74 client localhost "$PORT" </dev/null
	grep -q 'Connection reset by peer' "$DIR/told"
	stop_all
	peer 's.sendall(b"220 x\r\n"); hear()'
	client localhost "$PORT" </dev/null >/dev/full || [ $? = 74 ]
	refute client localhost "$PORT" </dev/null >/dev/full
	client --help | grep -q '^usage: smtp-client'
	client --version | grep -q '^smtp-client [0-9]'
	client --show-config | grep -q '^hostname = me.example.org'
}

@test "standard descriptors that are closed are not the connection" {
	peer 's.sendall(b"220 x\r\n"); hear()'
	client localhost "$PORT" <&- >"$DIR/out"
	[ "$(cat "$DIR/out")" = $'220 x\r' ]
	local status=0
	client localhost "$PORT" </dev/null >&- || status=$?
	[ "$status" = 74 ]
	[ ! -s "$DIR/heard" ]
}

@test "a Unix socket, an address in brackets, the name of a service, -4" {
	peer 's.sendall(b"220 x\r\n"); hear()' "$DIR/socket"
	status 0 client "unix:$DIR/socket" </dev/null
	[ "$(cat "$DIR/out")" = $'220 x\r' ]
	stop_all
	peer 's.sendall(b"220 x\r\n"); hear()'
	status 0 client -4 '[127.0.0.1]' "$PORT" </dev/null
	[ "$(cat "$DIR/out")" = $'220 x\r' ]
	getent services smtp >/dev/null || skip "no names of services here"
	client 127.0.0.1 smtp </dev/null >/dev/null || true
	grep -q '127.0.0.1 port 25' "$DIR/told"
}

@test "every address of a name is tried" {
	peer 's.sendall(b"220 x\r\n"); hear()'
	printf '%s\n' '127.0.0.1 localhost' '::1 two.test' '127.0.0.1 two.test' >"$DIR/hosts"
	local enter=(unshare --mount --propagation private)
	[ "$(id -u)" = 0 ] || enter=(unshare --map-root-user --mount --propagation private)
	enter+=(sh -c 'mount --bind "$0" /etc/hosts && exec "$@"' "$DIR/hosts")
	"${enter[@]}" true 2>/dev/null || skip "this host allows no mount namespace"
	clean_env "${enter[@]}" timeout 60 "$CLIENT" "${CONFIG[@]}" two.test "$PORT" </dev/null >"$DIR/out" 2>"$DIR/told"
	[ "$(cat "$DIR/out")" = $'220 x\r' ]
	[[ "$(head -n 1 "$DIR/told")" == "smtp-client: ::1 port $PORT: "* ]]
	[ "$(tail -n 1 "$DIR/told")" = "smtp-client: connected to 127.0.0.1 port $PORT" ]
}

@test "who says nothing, before or behind the end of the input: out of time" {
	peer 'nothing()'
	CONFIG+=(-o command_timeout=1s)
	status 75 client --starttls localhost "$PORT" </dev/null
	grep -q 'the server does not answer' "$DIR/told"
	stop_all
	peer 'nothing()'
	status 75 client localhost "$PORT" </dev/null
	grep -q 'Connection timed out' "$DIR/told"
	stop_all
	peer 'nothing()'
	status 76 client --tls localhost "$PORT" </dev/null
	grep -q 'takes too long for the handshake' "$DIR/told"
}

# --- TLS ---

@test "--starttls: EHLO and STARTTLS are said, and what was found is told; the message arrives by TLS" {
	listen
	printf '%s\n' 'EHLO c' 'MAIL FROM:<a@b.example>' 'RCPT TO:<alice@example.test>' DATA 'Subject: x' '' hello . QUIT >"$DIR/in"
	status 0 client --starttls --log "$DIR/transcript" localhost "$PORT" <"$DIR/in"
	tr -d '\r' <"$DIR/out" | grep -v '^250-' | cut -c 1-9 | tr '\n' '|' | diff -u - <(printf '%s|' '220 mx.ex' '250 HELP' '220 2.0.0' '250 HELP' '250 2.1.0' '250 2.1.5' '354 End d' '250 2.0.0' '221 2.0.0')
	grep -q '(TLS1.3 TLS_AES_128_GCM_SHA256)' "$(new_files "$ROOT/example.test/alice")"
	sed 's/, until .*//' "$DIR/told" | diff - <(printf '%s\n' "smtp-client: connected to 127.0.0.1 port $PORT" '>>> EHLO me.example.org' '>>> STARTTLS' \
		'smtp-client: TLS1.3 TLS_AES_128_GCM_SHA256' 'smtp-client: certificate: CN=localhost, by CN=localhost' \
		'smtp-client: the certificate is NOT good for localhost: self-signed certificate')
	grep -A 1 '^C: STARTTLS$' "$DIR/transcript" | grep '^S: 220 2.0.0'
	grep -q '^\*: TLS1.3' "$DIR/transcript"
	grep -q '^C: hello$' "$DIR/transcript"
}

@test "--tls: from the first octet, with the end of the input passed on, and the last reply" {
	listen_tls
	status 0 client --tls localhost "$PORT" <<<$'EHLO c\nNOOP'
	[ "$(tail -n 1 "$DIR/out")" = $'250 2.0.0 Ok\r' ]
	stop_all
	peer 's = begin_tls(); s.sendall(b"220 x\r\n"); hear(); s.sendall(b"250 was heard\r\n"); s.unwrap()'
	status 0 client --tls localhost "$PORT" <<<QUIT
	[ "$(cat -A "$DIR/heard")" = 'QUIT^M$' ]
	[ "$(cat "$DIR/out")" = $'220 x\r\n250 was heard\r' ]
}

@test "--verify: the certificate of the host, by a file of authorities, by the folder and the file of the system; else it ends" {
	listen_tls
	status 0 client --tls --verify --ca "$CA" localhost "$PORT" <<<QUIT
	grep -q 'the certificate is good for localhost' "$DIR/told"
	! getent ahosts localhost. >/dev/null || status 0 client --tls --verify --ca "$CA" localhost. "$PORT" <<<QUIT
	system() { clean_env "$1" timeout 60 "$CLIENT" -C /dev/null "${@:2}" localhost "$PORT" 2>"$DIR/told" <<<QUIT; }
	status 0 system "SSL_CERT_DIR=$CERTS/folder" --tls --verify
	status 0 system "SSL_CERT_DIR=/nonexistent:$CERTS/folder" --tls --verify
	status 0 system "SSL_CERT_FILE=$CA" --tls --verify
	status 76 system "SSL_CERT_DIR=$CERTS/localhost" --tls --verify
	[ ! -s "$DIR/out" ]
	grep -q 'no TLS: the certificate: self-signed certificate' "$DIR/told"
	status 76 client --tls --verify --ca "$CERTS/elsewhere.example/fullchain.pem" localhost "$PORT" <<<QUIT
	# without a name it shows the first that it has
	status 76 client --tls --verify --ca "$CERTS/elsewhere.example/fullchain.pem" 127.0.0.1 "$PORT" <<<QUIT
	grep -q 'IP address mismatch' "$DIR/told"
	status 76 client --tls --verify --ca "$DIR/nosuch" localhost "$PORT" <<<QUIT
	grep -q 'nosuch: No such file' "$DIR/told"
	# the same is only told without --verify
	status 0 client --tls --ca "$CERTS/elsewhere.example/fullchain.pem" 127.0.0.1 "$PORT" <<<QUIT
	grep -q 'NOT good for 127.0.0.1: IP address mismatch' "$DIR/told"
}

@test "a certificate of another name, one that has ended, one with a weak key, old versions of TLS" {
	need_tls
	peer 's = begin_tls(context("elsewhere.example")); s.sendall(b"220 x\r\n")'
	status 0 client --tls --ca "$CERTS/elsewhere.example/fullchain.pem" localhost "$PORT" </dev/null
	grep -q 'NOT good for localhost: hostname mismatch' "$DIR/told"
	status 76 client --tls --verify --ca "$CERTS/elsewhere.example/fullchain.pem" localhost "$PORT" </dev/null
	stop_all
	mkdir -p "$CERTS/old" "$CERTS/weak"
	openssl req -newkey rsa:2048 -nodes -keyout "$CERTS/old/privkey.pem" -subj /CN=localhost -addext subjectAltName=DNS:localhost -out "$CERTS/old/request" 2>/dev/null
	openssl x509 -req -in "$CERTS/old/request" -signkey "$CERTS/old/privkey.pem" -days -1 -copy_extensions copy -out "$CERTS/old/fullchain.pem" 2>/dev/null
	peer 's = begin_tls(context("old")); s.sendall(b"220 x\r\n")'
	status 76 client --tls --verify --ca "$CERTS/old/fullchain.pem" localhost "$PORT" </dev/null
	grep -q 'certificate has expired' "$DIR/told"
	stop_all
	openssl req -x509 -newkey rsa:1024 -nodes -keyout "$CERTS/weak/privkey.pem" -out "$CERTS/weak/fullchain.pem" -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
	peer 'c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.set_ciphers("DEFAULT@SECLEVEL=0"); c.load_cert_chain(certs + "/weak/fullchain.pem", certs + "/weak/privkey.pem"); s = begin_tls(c); s.sendall(b"220 x\r\n")'
	status 0 client --tls --ca "$CERTS/weak/fullchain.pem" localhost "$PORT" </dev/null
	grep -q 'NOT good for localhost: .*key too weak' "$DIR/told"
	status 76 client --tls --verify --ca "$CERTS/weak/fullchain.pem" localhost "$PORT" </dev/null
	stop_all
	peer 'c = context(); c.set_ciphers("DEFAULT@SECLEVEL=0"); c.minimum_version = ssl.TLSVersion.TLSv1; c.maximum_version = ssl.TLSVersion.TLSv1_1; s = begin_tls(c); s.sendall(b"220 x\r\n")'
	status 76 client --tls localhost "$PORT" </dev/null
	stop_all
	peer 'c = context(); c.maximum_version = ssl.TLSVersion.TLSv1_2; s = begin_tls(c); s.sendall(b"220 x\r\n")'
	status 0 client --tls localhost "$PORT" </dev/null
	grep -q 'smtp-client: TLS1.2 ECDHE' "$DIR/told"
}

@test "SNI is the name of the host, and no address" {
	need_tls
	peer 'c = context(); c.sni_callback = lambda t, name, x: heard.write(b"<%s>" % str(name).encode()) and None; s = begin_tls(c); s.sendall(b"220 x\r\n")'
	status 0 client --tls localhost "$PORT" </dev/null
	status 0 client --tls 127.0.0.1 "$PORT" </dev/null
	status 0 client --tls '[127.0.0.1]' "$PORT" </dev/null
	[ "$(cat "$DIR/heard")" = '<localhost><None><None>' ]
	! getent ahosts localhost. >/dev/null || status 0 client --tls localhost. "$PORT" </dev/null
	refute grep -q 'localhost\.' "$DIR/heard"
}

@test "a certificate is good for an address, in brackets too" {
	need_tls
	mkdir "$CERTS/address"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$CERTS/address/privkey.pem" -out "$CERTS/address/fullchain.pem" \
		-subj /CN=x -addext subjectAltName=IP:127.0.0.1,IP:::1 -days 2 2>/dev/null
	peer 's = begin_tls(context("address")); s.sendall(b"220 x\r\n"); hear()'
	for host in 127.0.0.1 '[127.0.0.1]'; do status 0 client --tls --verify --ca "$CERTS/address/fullchain.pem" "$host" "$PORT" </dev/null; done
	status 76 client --tls --verify --ca "$CERTS/address/fullchain.pem" localhost "$PORT" </dev/null
}

@test "a certificate cannot write on the terminal" {
	need_tls
	mkdir -p "$CERTS/evil"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -utf8 -keyout "$CERTS/evil/privkey.pem" -out "$CERTS/evil/fullchain.pem" -subj "/CN=a"$'\e[2Jé\n'"b" 2>/dev/null
	peer 's = begin_tls(context("evil")); s.sendall(b"220 x\r\n")'
	status 0 client --tls localhost "$PORT" </dev/null
	grep -q 'certificate: CN=a' "$DIR/told"
	refute LC_ALL=C grep -q $'[^\t -~]' "$DIR/told"
}

@test "STARTTLS that is not offered, refused, or answered by something else" {
	peer 's.sendall(b"220 x\r\n"); hear(end=b"\n"); s.sendall(b"250-x\r\n250 XSTARTTLS\r\n"); hear()'
	status 69 client --starttls localhost "$PORT" </dev/null
	grep -q 'does not offer STARTTLS' "$DIR/told"
	[ "$(cat "$DIR/out")" = $'220 x\r\n250-x\r\n250 XSTARTTLS\r' ]
	[ "$(cat "$DIR/heard")" = $'EHLO me.example.org\r' ]
	while IFS='|' read -r want script; do
		stop_all
		peer "$script"
		status "$want" client --starttls localhost "$PORT" </dev/null
	done <<-'E'
		75|s.sendall(b"421 4.3.2 no\r\n")
		69|s.sendall(b"554 no\r\n")
		69|s.sendall(b"220 x\r\n"); hear(end=b"\n"); s.sendall(b"502 no\r\n")
		75|to_starttls(); s.sendall(b"454 4.7.0 no\r\n")
		69|to_starttls(); s.sendall(b"502 no\r\n")
		69|to_starttls(); s.sendall(b"250 what?\r\n")
		76|to_starttls(); s.sendall(b"220 go\r\n"); s.sendall(b"no TLS here\r\n"); hear()
		76|s.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"); hear()
		76|s.sendall(b"220-x\r\n" * 1000 + b"220 x\r\n"); hear()
		75|s.sendall(b"220 " + b"x" * 5000 + b"\r\n"); hear()
		75|pass
		75|s.sendall(b"220 x\r\n"); hear(end=b"\n")
		75|to_starttls()
		76|to_starttls(); s.sendall(b"220 go\r\n")
		76|to_starttls(); s.sendall(b"220 go\r\n"); hear(100)
	E
}

@test "plain text behind the answer to STARTTLS is not taken for words from within TLS" {
	need_tls
	peer 'to_starttls(); s.sendall(b"220 go\r\n250 injected\r\n"); s = begin_tls(); hear()'
	status 76 client --starttls localhost "$PORT" <<<QUIT
	grep -q 'in plain text, behind its answer to STARTTLS' "$DIR/told"
	refute grep injected "$DIR/out"
}

@test "TLS: 5 MB both ways at once, and a server that reads only when it has said all" {
	need_tls
	peer 's = begin_tls(); s.sendall(b"x" * 5000000); n = len(hear()); s.sendall(b"%d\r\n" % n); s.unwrap()'
	head -c 5000000 /dev/zero | tr '\0' y >"$DIR/in"
	status 0 client --tls localhost "$PORT" <"$DIR/in"
	[ "$(wc -c <"$DIR/out")" = 5000009 ]
	tail -c 9 "$DIR/out" | grep -q 5000000
}

@test "the process that speaks TLS has two descriptors and a filter of system calls, and ends with the client" {
	need_tls
	peer 's = begin_tls(); s.sendall(b"220 x\r\n"); hear()'
	mkfifo "$DIR/fifo"
	exec {hold}<>"$DIR/fifo"
	launch bash -c 'exec "$@" <"$0"' "$DIR/fifo" "$CLIENT" -C /dev/null --tls --log "$DIR/transcript" localhost "$PORT"
	until_true [ -s "$DIR/transcript" ]
	until_true grep -q 'S: 220' "$DIR/transcript"
	local tls
	tls=$(pgrep -P "$SERVER")
	[ -n "$tls" ]
	if "$CLIENT" -C /dev/null --show-config | grep -q '^sandbox = yes'; then        # sanitizers run without
		[ "$(awk '/^Seccomp:/ { print $2 }' "/proc/$tls/status")" = 2 ]
		[ "$(awk '/^NoNewPrivs:/ { print $2 }' "/proc/$tls/status")" = 1 ]
	fi
	# only root may look; the rules of Landlock stay, and nothing can be done with them
	[ "$(id -u)" != 0 ] || [ "$(find "/proc/$tls/fd" -type l -printf '%l\n' | sed -e 's/:.*//' -e '/^anon_inode/d' | tr '\n' ' ')" = 'socket socket ' ]
	kill -KILL "$SERVER"
	until_true gone "$tls"
	exec {hold}>&-
}
