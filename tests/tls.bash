# Loaded behind helper and servers: certificates, and clients that speak TLS.
# shellcheck shell=bash disable=SC2154
CERTS=$BATS_FILE_TMPDIR/live

# certificate NAME [DAYS]: as certbot lays them out.
certificate() {
	mkdir -p "$CERTS/$1"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$CERTS/$1/privkey.pem" -out "$CERTS/$1/fullchain.pem" \
		-subj "/CN=$1" -addext "subjectAltName=DNS:$1" -days "${2:-2}" 2>/dev/null
}

# accounts: a certificate, and the password of alice@example.test, "secret", in $PASSWORDS.
accounts() {
	certificate mx.example.test
	export PASSWORDS=$BATS_FILE_TMPDIR/passwd
	echo secret | "$(dirname "$HANDLER")/smtp-passwd" --set alice@example.test "$PASSWORDS"
}

# smtp [SCRIPT]: Python, with a connected smtplib.SMTP `s`, `tls` to begin TLS with (nothing is verified), and reply() for a command.
smtp() {
	clean_env timeout "${LIMIT:-60}" "$PYTHON" - "$HOST" "$PORT" <<E
import smtplib, socket, ssl, sys, time
host, port = sys.argv[1], int(sys.argv[2])
tls = ssl.create_default_context()
tls.check_hostname = False
tls.verify_mode = ssl.CERT_NONE
def connect(): return smtplib.SMTP(host, port, local_hostname="client.example.org", timeout=30)
def reply(*line): return "%d %s" % (lambda r: (r[0], r[1].decode().replace("\n", "|")))(s.docmd(*line))
def send(rcpt="alice@example.test", text="Subject: x\r\n\r\nhello\r\n", sender="a@b.example"): return s.sendmail(sender, rcpt, text)
s = None
$(cat)
E
}
