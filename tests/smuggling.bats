#!/usr/bin/env bats
# P4: only CR LF . CR LF ends a message.  Each test hides a second message behind something that a lenient server takes for the end of
# data; the carrier must be refused whole with 554, nothing of it stored, none of the hidden commands answered, and the session goes on.
# A test has OPTIONS of its own:
# shellcheck disable=SC2030,SC2031
load helper

# What is said to be an end of data somewhere, as printf writes it, behind the "a" of a text line; and right behind the 354.
declare -gA BEHIND=(
	[LF.LF]='\n.\n' [LF.CRLF]='\n.\r\n' [CRLF.LF]='\r\n.\n'
	[CR.CR]='\r.\r' [CR.CRLF]='\r.\r\n' [CRLF.CR]='\r\n.\r' [LF.CR]='\n.\r' [CR.LF]='\r.\n'
	[CRLF.NUL.CRLF]='\r\n\0.\r\n' [CRLF..NUL.CRLF]='\r\n.\0\r\n' [CRLF..CR.NUL.LF]='\r\n.\r\0\n' [NUL.LF..LF]='\0\n.\n'
	[CRLF.CRCRLF]='\r\n.\r\r\n' [CRCRLF.CRCRLF]='\r\r\n.\r\r\n' [CRCRLF.LF]='\r\r\n.\n' [LF.CRCRLF]='\n.\r\r\n'
	[LFCR.LFCR]='\n\r.\n\r' [CRLF.LFCR]='\r\n.\n\r' [CRLF-CR.CRLF]='\r\n\r.\r\n' [CRLF-LF.CRLF]='\r\n\n.\r\n' [LFLF.LFLF]='\n\n.\n\n'
)
AT_START=('.\n' '.\r' '.\r\r\n' '.\n\r' '.\0\r\n' '.\r\0\n' '\0.\r\n' '\n.\n' '\n.\r\n' '\r.\r\n' '\r.\r')

# behind NAME...: those texts in BODIES.
behind() {
	local name
	BODIES=()
	for name; do BODIES+=("Subject: carrier\r\n\r\na${BEHIND[$name]:?}"); done
}

hidden() { lines "MAIL FROM:<evil@b.example>" "RCPT TO:<bob@example.test>" DATA "Subject: smuggled" "" gotcha .; }
true_message() { lines NOOP "MAIL FROM:<true@b.example>" "RCPT TO:<alice@example.test>" DATA "Subject: true" "" .; }

IN=$BATS_TEST_TMPDIR/in OUT=$BATS_TEST_TMPDIR/out

# hello PROTOCOL
hello() { if [ "$1" = lmtp ]; then lines "LHLO c"; else lines "EHLO c"; fi; }

# carriers PROTOCOL TEXT...: a session into $IN, for each text the carrier with the hidden message in it, and a true message behind it.
carriers() {
	local text
	{
		hello "$1"
		for text in "${@:2}"; do
			lines "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" DATA
			# shellcheck disable=SC2059
			printf "$text"
			hidden
			true_message
		done
		lines QUIT
	} >"$IN"
}

# smtp, lmtp MODE: send $IN to the handler, or to maildir-deliver itself; the codes of the answers behind the hello are in CODES.
OPTIONS=(-o max_errors=1000)
smtp() { over_socket "$1" "$IN" "${OPTIONS[@]}" >"$OUT" && codes; }
lmtp() { HANDLER=$DELIVER over_socket "$1" "$IN" --lmtp "${OPTIONS[@]}" >"$OUT" && codes; }
codes() { CODES=$(tr -d '\r' <"$OUT" | sed -e 1d -e '/^250-mx.example.test/,/^250 /d' | cut -c 1-3 | tr '\n' ' '); }

# times N WORDS: them so many times.
times() { local i; for ((i = 0; i < $1; i++)); do printf '%s ' "$2"; done; }
empty() { rm -rf "$ROOT"/*/*/new "$ROOT"/*/*/tmp; }
never() { ! "$@"; }

# only_true N: nothing was stored but the N messages that came afterwards.
only_true() {
	[ "$(find "$ROOT" -type f | wc -l) $(count "$ROOT/example.test/alice")" = "$1 $1" ]
	[ "$(grep -rlx 'Subject: true' "$ROOT" | wc -l)" = "$1" ]
	never grep -rE 'evil|smuggled|gotcha|carrier' "$ROOT"
}

REFUSED="250 250 354 554 250 250 250 354 250"

# refused PROTOCOL TEXT...: in every way of cutting it up.
refused() {
	local mode
	carriers "$@"
	for mode in whole bytes lines; do
		empty
		"$1" "$mode"
		echo "$* ($mode): $CODES"
		[ "$CODES" = "$(times $(($# - 1)) "$REFUSED")221 " ]
		[ "$(grep -c '^554 5\.6\.0 ' "$OUT")" = $(($# - 1)) ]
		only_true $(($# - 1))
	done
}

@test "LF . CR LF is no end of data (CVE-2023-51764 Postfix, CVE-2023-51765 Sendmail, CVE-2023-51766 Exim, CVE-2024-27305 aiosmtpd)" {
	behind LF.CRLF CRLF-LF.CRLF LF.CRCRLF
	refused smtp "${BODIES[@]}"
}

@test "LF . LF and CR LF . LF are no end of data (CVE-2023-52354 chasquid)" {
	behind LF.LF CRLF.LF LFLF.LFLF CRLF.LFCR
	refused smtp "${BODIES[@]}"
}

@test "CR . CR, CR . CR LF and CR LF . CR are no end of data" {
	behind CR.CR CR.CRLF CRLF.CR CRLF-CR.CRLF
	refused smtp "${BODIES[@]}"
}

@test "LF . CR, CR . LF and LF CR . LF CR are no end of data" {
	behind LF.CR CR.LF LFCR.LFCR
	refused smtp "${BODIES[@]}"
}

@test "a dot with a NUL beside it is no end of data" {
	behind CRLF.NUL.CRLF CRLF..NUL.CRLF CRLF..CR.NUL.LF NUL.LF..LF
	refused smtp "${BODIES[@]}"
}

@test "CR CR LF is no line end (as Postfix took it until January 2024)" {
	behind CRLF.CRCRLF CRCRLF.CRCRLF CRCRLF.LF
	refused smtp "${BODIES[@]}"
}

@test "no sequence is left out above" {
	local name
	for name in "${!BEHIND[@]}"; do grep -qE "^	behind(.*)? $name( |\$)" "$BATS_TEST_FILENAME" || { echo "$name"; return 1; }; done
}

@test "the same right behind the 354" { refused smtp "${AT_START[@]}"; }
@test "the same in the header" { refused smtp 'Subject: carrier\n.\r\n' 'Subject: carrier\r\n \n.\n' 'Subject: carrier\r\n\n.\r\n'; }

@test "the same to maildir-deliver itself (LMTP)" {
	behind "${!BEHIND[@]}"
	refused lmtp "${BODIES[@]}"
}

@test "the same to maildir-deliver itself, right behind the 354" { refused lmtp "${AT_START[@]}"; }

@test "LMTP: a carrier is refused once for each recipient" {
	{
		lines "LHLO c" "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "RCPT TO:<bob@example.test>" DATA
		printf 'a\n.\r\n'
		hidden
		lines NOOP QUIT
	} >"$IN"
	lmtp bytes
	[ "$CODES" = "250 250 250 354 554 554 250 221 " ]
	[ "$(find "$ROOT" -type f | wc -l)" = 0 ]
}

@test "a pipe with strict = yes is as strict" {
	behind "${!BEHIND[@]}"
	carriers smtp "${BODIES[@]}" "${AT_START[@]}"
	strict <"$IN" >"$OUT"
	codes
	[ "$CODES" = "$(times $((${#BEHIND[@]} + ${#AT_START[@]})) "$REFUSED")221 " ]
	only_true $((${#BEHIND[@]} + ${#AT_START[@]}))
}

@test "CR CR LF . CR LF has a true CR LF . CR LF in it: refused for its bare CR, and what follows it are commands" {
	carriers smtp 'Subject: carrier\r\r\n.\r\n'
	for mode in whole bytes lines; do
		empty
		smtp $mode
		[ "$CODES" = "250 250 354 554 250 250 354 250 250 250 250 354 250 221 " ]
		never grep -r carrier "$ROOT"
		[ "$(count "$ROOT/example.test/alice") $(count "$ROOT/example.test/bob")" = "1 1" ]
	done
}

@test "a dot with anything else beside it is text: one message, stored whole" {
	local texts=('a\r\n..\r\n' 'a\r\n. \r\n' 'a\r\n .\r\n' 'a\r\n.\t\r\n' 'a\r\n\x0b.\x0b\r\n' 'a\r\n.\x0c\r\n' 'a\r\n.\x85\r\n' 'a\xe2\x80\xa8.\xe2\x80\xa8' 'a\r\n=0D=0A.=0D=0A\r\n')
	carriers smtp "${texts[@]}"
	for mode in whole bytes lines; do
		empty
		smtp $mode
		echo "$mode: $CODES"
		[ "$CODES" = "$(times 9 "250 250 354 250 250 250 250 354 250")221 " ]
		[ "$(count "$ROOT/example.test/alice") $(count "$ROOT/example.test/bob")" = "18 0" ]
		[ "$(grep -rlx 'RCPT TO:<bob@example.test>' "$ROOT/example.test/alice" | wc -l)" = 9 ]
	done
}

# --- BDAT: cut within the sequence, at each of its octets ---

# chunks PROTOCOL TEXT...: for each text and each place in it a transaction of two chunks cut there, and a NOOP; then the true message.
chunks() {
	local i n all text=$BATS_TEST_TMPDIR/text
	CUTS=0
	{
		hello "$1"
		for t in "${@:2}"; do
			# shellcheck disable=SC2059
			printf "$t" >"$text"
			n=$(wc -c <"$text")
			hidden >>"$text"
			all=$(wc -c <"$text")
			for ((i = 0; i <= n; i++)); do
				lines "MAIL FROM:<a@b.example>" "RCPT TO:<alice@example.test>" "BDAT $i"
				head -c "$i" "$text"
				lines "BDAT $((all - i)) LAST"
				tail -c "+$((i + 1))" "$text"
				lines NOOP
				CUTS=$((CUTS + 1))
			done
		done
		true_message
		lines QUIT
	} >"$IN"
}

# chunks_refused PROTOCOL: each transaction at its first chunk or at its second, the rest of it swallowed.
chunks_refused() {
	local mode
	chunks "$1" "${BEHIND[@]/#/a}"
	for mode in whole bytes; do
		empty
		"$1" "$mode"
		[ "$(sed -E 's/250 250 (250 554|554 503) 250 /x/g' <<<"$CODES")" = "$(times $CUTS x | tr -d ' ')250 250 250 354 250 221 " ]
		only_true 1
	done
}

@test "across BDAT chunks, cut at every octet: refused" { chunks_refused smtp; }
@test "across BDAT chunks, cut at every octet, to maildir-deliver itself: refused" { chunks_refused lmtp; }

@test "a true CR LF . CR LF across BDAT chunks is text, wherever it is cut" {
	chunks smtp 'a\r\n.\r\n'
	for mode in whole bytes; do
		empty
		smtp $mode
		[ "$CODES" = "$(times 7 "250 250 250 250 250")250 250 250 354 250 221 " ]
		[ "$(count "$ROOT/example.test/alice") $(count "$ROOT/example.test/bob")" = "8 0" ]
		[ "$(grep -rlx 'MAIL FROM:<evil@b.example>' "$ROOT" | wc -l)" = 7 ]
	done
}

# --- bare_newline = normalize: a bare LF is stored as a line end, and ends nothing ---

# What has neither CR nor NUL of its own, as it is sent and as it is stored.
LF_ONLY=('a\n.\n' 'a\n.\n' 'a\n.\r\n' 'a\n.\n' 'a\r\n.\n' 'a\n\n' 'a\r\n\n.\r\n' 'a\n\n.\n' 'a\n\n.\n\n' 'a\n\n.\n\n' '.\n' '\n' '\n.\n' '\n.\n' '\n.\r\n' '\n.\n' '..\n' '.\n')

# stored PROTOCOL: each of them is one message with the hidden one as its text; and the true one comes after it.
stored() {
	local mode i file texts=()
	OPTIONS+=(-o bare_newline=normalize)
	for ((i = 0; i < ${#LF_ONLY[@]}; i += 2)); do
		texts+=("${LF_ONLY[i]}")
		# shellcheck disable=SC2059
		printf "${LF_ONLY[i + 1]}"
		hidden | tr -d '\r' | sed '$d'
		printf 'Subject: true\n\n'
	done >"$BATS_TEST_TMPDIR/want"
	carriers "$1" "${texts[@]}"
	for mode in whole bytes lines; do
		empty
		"$1" "$mode"
		[ "$CODES" = "$(times ${#texts[@]} "250 250 354 250 250 250 250 354 250")221 " ]
		[ "$(count "$ROOT/example.test/bob")" = 0 ]
		for file in $(new_files "$ROOT/example.test/alice"); do
			sed -e '/^Return-Path: /d' -e '/^Delivered-To: /d' -e '/^Received: /,/ +0000$/d' "$file"
		done | diff -u "$BATS_TEST_TMPDIR/want" -
	done
}

@test "normalize: with a bare LF beside the dot it is one message; only CR LF . CR LF ends it" { stored smtp; }
@test "normalize: the same to maildir-deliver itself" { stored lmtp; }

@test "normalize: a bare CR or a NUL is refused as ever" {
	local sequence texts=()
	for sequence in "${BEHIND[@]/#/a}" "${AT_START[@]}"; do
		[[ " ${LF_ONLY[*]} " == *" $sequence "* ]] || texts+=("Subject: carrier\r\n\r\n$sequence")
	done
	[ ${#texts[@]} -gt 20 ]
	OPTIONS+=(-o bare_newline=normalize)
	refused smtp "${texts[@]}"
	refused lmtp "${texts[@]}"
}

@test "normalize: a bare LF still ends no command" {
	{
		lines "EHLO c"
		printf 'MAIL FROM:<evil@b.example>\nRCPT TO:<bob@example.test>\nDATA\nx\n.\nQUIT\r\n'
		lines "RCPT TO:<bob@example.test>" QUIT
	} >"$IN"
	OPTIONS+=(-o bare_newline=normalize)
	for mode in whole bytes; do
		smtp $mode
		[ "$CODES" = "500 503 221 " ]
	done
}

@test "normalize: what goes on to a next hop by DATA has its dots stuffed anew" {
	local fake=$BATS_TEST_TMPDIR/fake.log hop=$BATS_TEST_TMPDIR/hop
	printf '#!/bin/bash\nFAKE_LOG=%q exec %q %q never die PIPELINING X-ALL-OR-NOTHING\n' "$fake" "$PYTHON" "$TESTS/fake-hop.py" >"$hop"
	chmod +x "$hop"
	carriers smtp 'a\n.\r\nb\n.\n'
	OPTIONS+=(-o bare_newline=normalize -o "deliver=$hop")
	smtp whole
	[ "$CODES" = "250 250 354 250 250 250 250 354 250 221 " ]
	[ "$(grep -cx $'DATA\r' "$fake")" = 3 ]         # two of them commands, one text
	[ "$(grep -cx $'[.][.]\r' "$fake")" = 2 ]
	[ "$(grep -cx $'[.]\r' "$fake")" = 2 ]
	[ "$(grep -v '^EOF' "$fake" | grep -cv $'\r$')" = 0 ]
}

# --- where LF is a line end by design ---

@test "a transcript on a pipe may have LF line ends, and there LF . LF is the end; CR . CR is not" {
	printf 'EHLO c\nMAIL FROM:<a@b.example>\nRCPT TO:<alice@example.test>\nDATA\nSubject: 1\n.\nMAIL FROM:<a@b.example>\nRCPT TO:<alice@example.test>\nDATA\na\r.\rb\n.\nQUIT\n' | handler >"$OUT"
	codes
	[ "$CODES" = "250 250 354 250 250 250 354 554 221 " ]
	[ "$(count "$ROOT/example.test/alice")" = 1 ]
}

@test "a pipe that comes from the network, as the environment tells, is as strict" {
	for name in REMOTE_ADDR TCPREMOTEIP; do
		printf 'EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nx\n.\nNOOP\r\n.\r\nQUIT\r\n' |
			clean_env "$name=192.0.2.1" "$HANDLER" "${SETTINGS[@]}" 2>>"$LOG" >"$BATS_TEST_TMPDIR/out"
		[ "$(grep -c '^554 5.6.0' "$BATS_TEST_TMPDIR/out")" = 1 ]
	done
	no_trace
}

@test "in a message for the MDA form no dot ends anything" {
	printf 'Subject: x\n\na\n.\nb\r\n.\r\nc\n..\n' | deliver -d alice@example.test
	[ "$(tail -n +3 "$(new_files "$ROOT/example.test/alice")" | tr '\n' '|')" = "Subject: x||a|.|b|.|c|..|" ]
}

@test "a bare LF or CR between commands executes nothing behind it" {
	for text in 'NOOP\nMAIL FROM:<evil@b.example>\r\n' 'NOOP\rMAIL FROM:<evil@b.example>\r\n' '\nMAIL FROM:<evil@b.example>\r\n' 'NOOP\0\nMAIL FROM:<evil@b.example>\r\n' 'NOOP\r\r\n'; do
		{
			lines "EHLO c"
			# shellcheck disable=SC2059
			printf "$text"
			lines "RCPT TO:<bob@example.test>" QUIT
		} >"$IN"
		for mode in whole bytes; do
			smtp $mode
			echo "$text ($mode): $CODES"
			[ "$CODES" = "500 503 221 " ]
		done
	done
}
