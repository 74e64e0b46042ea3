#!/usr/bin/env bats
# AUTH through Dovecot: a real one, and one that does not keep to the protocol.
# shellcheck disable=SC2030,SC2031,SC2034
load helper
load peers

b64() { printf "$@" | base64 -w0; }
AUTH=(-o auth_plaintext=yes)
ask() {
	local OPTIONS=("${AUTH[@]}" -o "auth=dovecot:$DOVECOT/auth")
	say "$@"
}

@test "a real Dovecot: its mechanisms but ANONYMOUS; PLAIN, LOGIN, refusals, the user's name as Dovecot writes it" {
	dovecot_auth 'alice@example.test:secret'
	printf 'EHLO c\r\nQUIT\r\n' >"$BATS_TEST_TMPDIR/ehlo"
	over_socket whole "$BATS_TEST_TMPDIR/ehlo" "${AUTH[@]}" -o "auth=dovecot:$DOVECOT/auth" | tr -d '\r' | grep -x '250-AUTH PLAIN LOGIN SCRAM-SHA-256'
	ok='235 2.7.0 Authentication successful'
	[ "$(ask "AUTH PLAIN $(b64 '\0alice@example.test\0secret')")" = "$ok" ]
	[ "$(ask "AUTH PLAIN" "$(b64 '\0ALICE@example.test\0secret')")" = $'334 \n'"$ok" ]
	grep -q 'user=<alice@example.test>' "$LOG"
	refute grep -q 'user=<ALICE' "$LOG"
	[ "$(ask 'AUTH LOGIN' "$(b64 alice@example.test)" "$(b64 secret)" | tail -n 1)" = "$ok" ]
	[ "$(ask "AUTH PLAIN $(b64 '\0alice@example.test\0wrong')" "AUTH PLAIN $(b64 '\0alice@example.test\0secret')")" = $'535 5.7.8 Authentication failed\n'"$ok" ]
	[ "$(ask "AUTH PLAIN $(b64 '\0nobody@example.test\0secret')")" = '535 5.7.8 Authentication failed' ]
	[ "$(ask 'AUTH LOGIN' '*' "AUTH PLAIN $(b64 '\0alice@example.test\0secret')" | tail -n 1)" = "$ok" ]
	[ "$(ask 'AUTH ANONYMOUS eA==')" = '504 5.5.4 No such authentication mechanism here' ]
}

@test "a real Dovecot: SCRAM-SHA-256, both sides proved" {
	dovecot_auth 'alice@example.test:secret'
	run -0 "$PYTHON" - "$HANDLER" "${SETTINGS[@]}" "${AUTH[@]}" -o "auth=dovecot:$DOVECOT/auth" <<-'E'
		import base64, hashlib, hmac, socket, subprocess, sys
		ours, theirs = socket.socketpair()
		subprocess.Popen(sys.argv[1:], stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
		theirs.close()
		ours.settimeout(30)
		f = ours.makefile("rwb", 0)
		def say(line):
		    f.write(line + b"\r\n")
		    while (r := f.readline())[3:4] == b"-": pass
		    return r.strip()
		H = lambda k, m: hmac.digest(k, m, "sha256")
		for password, want in (b"secret", b"235"), (b"wrong", b"535"):
		    f.readline() if password == b"secret" else None
		    say(b"EHLO c")
		    first = b"n=alice@example.test,r=abcdefgh"
		    r = say(b"AUTH SCRAM-SHA-256 " + base64.b64encode(b"n,," + first))
		    assert r[:4] == b"334 ", r
		    server = base64.b64decode(r[4:])
		    v = dict(x.split(b"=", 1) for x in server.split(b","))
		    salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(v[b"s"]), int(v[b"i"]))
		    key = H(salted, b"Client Key")
		    bare = b"c=biws,r=" + v[b"r"]
		    message = first + b"," + server + b"," + bare
		    proof = bytes(a ^ b for a, b in zip(key, H(hashlib.sha256(key).digest(), message)))
		    r = say(base64.b64encode(bare + b",p=" + base64.b64encode(proof)))
		    if r[:4] == b"334 ":
		        assert base64.b64decode(r[4:]) == b"v=" + base64.b64encode(H(H(salted, b"Server Key"), message)), r
		        r = say(b"")
		    print(r.decode())
		    if password == b"secret":
		        say(b"QUIT")
		        ours, theirs = socket.socketpair()
		        subprocess.Popen(sys.argv[1:], stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
		        theirs.close()
		        ours.settimeout(30)
		        f = ours.makefile("rwb", 0)
		        f.readline()
	E
	[ "${lines[0]}" = '235 2.7.0 Authentication successful' ]
	[ "${lines[1]}" = '535 5.7.8 Authentication failed' ]
}

# fake TEXT...: a server at $DOVECOT/auth that says the first text, and another after each line AUTH or CONT; then it waits.
fake() {
	mkdir -p "$DOVECOT"
	rm -f "$DOVECOT/auth" "$DOVECOT/heard"
	start fake "$PYTHON" -c '
import socket, sys, os
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1] + "/new")
s.listen(5)
os.rename(sys.argv[1] + "/new", sys.argv[1] + "/auth")
while True:
    c, _ = s.accept()
    texts = [t.encode().decode("unicode_escape").encode("latin1") for t in sys.argv[2:]]
    c.sendall(texts.pop(0))
    f = c.makefile("rb")
    for line in f:
        open(sys.argv[1] + "/heard", "ab").write(line)
        if line[:4] in (b"AUTH", b"CONT"):
            if not texts: c.close(); f.close(); break
            c.sendall(texts.pop(0))
' "$DOVECOT" "$@"
	until_true test -S "$DOVECOT/auth"
}
hello='VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tOAUTHBEARER\nMECH\tEXTERNAL\nMECH\tX\tprivate\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n'

@test "OAUTHBEARER passes through: a token, and the error that is told as a challenge" {
	fake "$hello" 'OK\t1\tuser=alice\n'
	token=$(b64 'n,a=alice,\001auth=Bearer %s\001\001' "$(head -c 4000 /dev/zero | tr '\0' t)")
	[ "$(ask "AUTH OAUTHBEARER $token")" = '235 2.7.0 Authentication successful' ]
	grep -qP "^AUTH\t1\tOAUTHBEARER\tservice=smtp\trip=local\tresp=\Q$token\E$" "$DOVECOT/heard"
	grep -qP '^CPID\t\d+$' "$DOVECOT/heard"
	stop_all
	error=$(b64 '{"status":"invalid_token"}')
	fake "$hello" "CONT\\t1\\t$error\\n" 'FAIL\t1\tuser=alice\n'
	[ "$(ask "AUTH OAUTHBEARER $token" AQ==)" = "334 $error"$'\n535 5.7.8 Authentication failed' ]
	grep -qF 'authentication failed: peer=local user=<alice> mechanism=OAUTHBEARER' "$LOG"
}

@test "a Dovecot that is down, hangs, closes, or talks nonsense: 454, and never a login" {
	mkdir -p "$DOVECOT"
	AUTH+=(-o command_timeout=300ms)
	no='454 4.7.0 Authentication is not available now'
	try() { ask "AUTH PLAIN $(b64 '\0alice\0secret')"; }
	[ "$(try)" = "$no" ]
	for greeting in '' 'VERSION\t2\t0\nMECH\tPLAIN\nDONE\n' 'VERSION\t1\t1\nDONE\n' '\0\0\0' 'VERSION\t1\t1\nMECH\tPLAIN\n'; do
		fake "$greeting"
		[ "$(try)" = "$no" ]
		stop_all
	done
	for answer in '' 'OK\t1\n' 'OK\t2\tuser=alice\n' 'OK\n' 'OKAY\t1\tuser=alice\n' 'OK\t1\tuser=\n' 'OK\t1\tuser=al\x01ice\n' 'FAIL\t1\ttemp\n' 'CONT\t1\t!!\n' 'OK\t1\tuser=alice'; do
		fake "$hello" "$answer"
		[ "$(try)" = "$no" ] || { echo "after $answer: $(try)"; false; }
		stop_all
	done
	fake "$hello" "OK\\t1\\tuser=$(head -c 300 /dev/zero | tr '\0' u)\\n"
	[ "$(try)" = "$no" ]
}
