#!/usr/bin/env bats
# Where mail for a domain goes, by client/dns.c and a DNS server that answers well, badly, late or never.
# shellcheck disable=SC2030,SC2031,SC2034
load helper
load servers
load dns

setup_file() {
	export DNS_ASK=$BATS_FILE_TMPDIR/dns-ask
	local root=$BATS_TEST_DIRNAME/.. flags=()
	[[ ! ${BUILD:-} =~ san ]] || flags=("-fsanitize=address,undefined" -fno-sanitize-recover=undefined)
	${CC:-cc} -std=c17 -g -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 "${flags[@]}" -I"$root/client" -I"$root/delivery" -I"$root/lib" -o "$DNS_ASK" \
		"$root/tests/dns-ask.c" "$root"/client/{dns,ask}.c "$root/delivery/names.c" "$root"/lib/{address,clock,log,systemd}.c -lidn2 -lunistring -lresolv -ldl
}
setup() { setup_mail; }

# ask mx DOMAIN [SELF], ask addresses HOST [PORT]: into $output; it never takes longer than a question may, plus what a busy machine needs.
MS=20000
ask() { run -0 clean_env timeout 120 "$DNS_ASK" "$DNS" "$MS" "$@"; }
# says LINE...: these are the lines of the output.
says() { [ "$output" = "$(printf '%s\n' "$@")" ] || { echo "not as expected:"; echo "$output"; return 1; }; }
# took MS COMMAND...: it takes at least that, and less than ten times as long.
took() {
	local least=$1 start=${EPOCHREALTIME/[.,]/} took
	shift
	"$@"
	took=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))
	[ "$took" -ge "$least" ] && [ "$took" -lt $((least * 10)) ] || { echo "$took ms"; return 1; }
}
asked() { grep -c "$1" "$ASKED" || true; }

@test "hosts come by preference, each once, in whatever case the answer is" {
	start_dns <<-'E'
		example.test MX 20 mx2.example.test
		example.test MX 65535 last.example.test
		example.test MX 0 MX0.Example.Test
		example.test MX 10 mx1.example.test
		example.test MX 30 mx1.example.test
		example.test MX 15 MX2.example.test
		example.test CASE
		_sub-1.example.test MX 1 a_b-c.example.test
	E
	for name in example.test EXAMPLE.Test; do
		ask mx "$name"
		says ok '0 MX0.Example.Test' '10 mx1.example.test' '15 MX2.example.test' '65535 last.example.test'
	done
	ask mx _sub-1.example.test
	says ok '1 a_b-c.example.test'
}

@test "equal ones are shuffled: every order of three is seen" {
	start_dns <<-'E'
		example.test MX 10 a.test
		example.test MX 10 b.test
		example.test MX 10 c.test
		example.test MX 5 first.test
	E
	MS=20000x100
	ask mx example.test
	[ "${#lines[@]}" = 100 ]
	for order in 'a.test b.test c.test' 'a.test c.test b.test' 'b.test a.test c.test' 'b.test c.test a.test' 'c.test a.test b.test' 'c.test b.test a.test'; do
		grep -qx "first.test $order" <<<"$output"
	done
	[ "$(sort -u <<<"$output" | wc -l)" = 6 ]
}

@test "of 64 the best 20, by TCP, for they do not fit" {
	start_dns < <(for i in {1..64}; do echo "example.test MX $((i * 37 % 64)) a-host-with-a-long-name-number-$i.example.test"; done)
	ask mx example.test
	[ "${lines[0]}" = ok ]
	[ "${#lines[@]}" = 21 ]
	[ "$(printf '%s\n' "${lines[@]:1}" | cut -d' ' -f1 | tr '\n' ' ')" = "$(seq -s ' ' 0 19) " ]
	[ "$(asked '^udp example.test MX')" = 1 ]
	[ "$(asked '^tcp example.test MX')" = 1 ]
}

@test "of 64 equal ones each has its turn" {
	start_dns < <(for i in {1..64}; do echo "example.test MX 10 host$i.example.test"; done)
	MS=20000x60
	ask mx example.test
	[ "$(tr ' ' '\n' <<<"$output" | sort | uniq -c | wc -l)" = 64 ]
	[ "$(awk '{ print NF }' <<<"$output" | sort -u)" = 20 ]
}

@test "an answer of nearly 64 KiB" {
	start_dns < <(for i in {1..1400}; do echo "example.test MX $i $(printf '%04d' $i)-host-of-the-example.test"; done)
	ask mx example.test
	[ "${#lines[@]}" = 21 ]
	[ "${lines[20]}" = '20 0020-host-of-the-example.test' ]
}

@test "this host among them: it and what is not better is dropped" {
	start_dns <<-'E'
		example.test MX 10 best.example.test
		example.test MX 20 Us.example.test
		example.test MX 20 equal.example.test
		example.test MX 30 worse.example.test
		ours.test MX 10 us.example.test
		ours.test MX 10 equal.example.test
		ours.test MX 20 worse.example.test
		twice.test MX 30 us.example.test
		twice.test MX 20 other.example.test
		twice.test MX 10 us2.example.test
		thrice.test MX 10 us2.example.test
		thrice.test MX 20 other.example.test
		thrice.test MX 30 us.example.test
		host.test A 192.0.2.1
		null.test MX 0 .
	E
	ask mx example.test 'other.test, uS.EXAMPLE.test'
	says ok '10 best.example.test'
	ask mx example.test 'us.example.tes us.example.testing s.example.test'
	[ "${#lines[@]}" = 5 ]
	ask mx ours.test us.example.test
	says 'self ours.test: the best MX is this host, which does not take its mail'
	ask mx twice.test 'us.example.test us2.example.test'
	says 'self twice.test: the best MX is this host, which does not take its mail'
	ask mx thrice.test 'us.example.test us2.example.test'
	says 'self thrice.test: the best MX is this host, which does not take its mail'
	ask mx twice.test 'us.example.test'
	says ok '10 us2.example.test' '20 other.example.test'
	ask mx host.test 'a.test HOST.test'
	says 'self host.test: is this host, which does not take its mail'
	ask mx '[192.0.2.1]' '[192.0.2.1]'
	says 'self [192.0.2.1]: is this host, which does not take its mail'
	ask mx null.test null.test
	[ "$output" = 'null null.test: takes no mail (null MX)' ]
}

@test "64 of them, this host the second best: one is left" {
	start_dns < <(for i in {1..64}; do echo "example.test MX $i host$i.example.test"; done)
	ask mx example.test host2.example.test
	says ok '1 host1.example.test'
	ask mx example.test host64.example.test
	[ "${#lines[@]}" = 21 ]
}

@test "null MX; beside others it does not count" {
	start_dns <<-'E'
		null.test MX 0 .
		null10.test MX 10 .
		mixed.test MX 0 .
		mixed.test MX 10 mx.mixed.test
	E
	ask mx null.test
	says 'null null.test: takes no mail (null MX)'
	ask mx null10.test
	says 'null null10.test: takes no mail (null MX)'
	ask mx mixed.test
	says ok '10 mx.mixed.test'
}

@test "no MX: the domain itself, whether it has A, AAAA or neither; no domain, no host" {
	start_dns <<-'E'
		a.test A 192.0.2.1
		aaaa.test AAAA 2001:db8::1
		neither.test TXT hello
		below.above.test A 192.0.2.1
		*.wild.test A 192.0.2.9
	E
	for name in a.test aaaa.test neither.test above.test x.wild.test; do
		ask mx "$name"
		says ok implicit "0 $name"
	done
	ask addresses a.test 2525
	says ok '192.0.2.1 2525'
	ask addresses aaaa.test 465
	says ok '2001:db8::1 465'
	ask addresses neither.test
	says 'none neither.test: has no address'
	ask mx nx.test
	says 'none nx.test: no such name'
	ask addresses nx.test
	says 'none nx.test: no such name'
}

@test "aliases: to a domain with MX, to one without, to nothing, to itself, one of many" {
	start_dns < <(cat <<-'E'
		alias.test CNAME other.alias.test
		other.alias.test CNAME real.test
		real.test MX 10 mx.real.test
		plain.test CNAME host.test
		host.test A 192.0.2.1
		mx.real.test CNAME host.test
		dangling.test CNAME nowhere.test
		loop.test CNAME loop2.test
		loop2.test CNAME loop.test
		bad.test CNAME a\032b.test
		a\032b.test MX 10 mx.real.test
	E
		printf 'c%d.test CNAME c%d.test\n' 1 2 2 3 3 4 4 5 5 6 6 7 7 8 8 9 9 10
		echo 'c10.test MX 10 end.test')
	ask mx alias.test
	says ok '10 mx.real.test'
	ask mx alias.test mx.real.test
	[[ $output == 'self '* ]]
	ask mx plain.test
	says ok implicit '0 plain.test'
	ask mx plain.test host.test
	[[ $output == 'self '* ]]
	ask addresses mx.real.test
	says ok '192.0.2.1 25'
	ask mx dangling.test
	says 'none dangling.test: no such name'
	ask mx loop.test
	says 'later loop.test: too many aliases (CNAME), or a loop of them'
	ask mx bad.test
	says 'later bad.test: an alias (CNAME) of what is no name'
	ask mx c2.test
	says ok '10 end.test'
	ask mx c1.test
	says 'later c1.test: too many aliases (CNAME), or a loop of them'
}

@test "addresses: IPv6 and IPv4 in turn, 16 of them; what nobody can be reached by is not one" {
	start_dns < <(cat <<-'E'
		both.test A 192.0.2.1
		both.test A 192.0.2.2
		both.test A 192.0.2.3
		both.test AAAA 2001:db8::1
		both.test AAAA 2001:db8::2
		odd.test A 0.0.0.0
		odd.test A 224.0.0.1
		odd.test A 255.255.255.255
		odd.test A 0.1.2.3
		odd.test AAAA ::
		odd.test AAAA ff02::1
		odd.test AAAA ::ffff:127.0.0.1
		some.test A 0.0.0.0
		some.test A 192.0.2.9
		some.test AAAA ::1
		self.test A 127.0.0.1
		self.test A 127.255.255.254
		self.test AAAA ::1
		short.test TYPE1 c00002
		short.test TYPE1 c000020102
		short.test A 192.0.2.7
		short.test TYPE28 c0000201
	E
		printf 'many.test A 192.0.2.%d\nmany.test AAAA 2001:db8::%d\nmany4.test A 192.0.2.%d\n' {1,2,3,4,5,6,7,8,9}{,,} {10..30}{,,})
	ask addresses both.test
	says ok '2001:db8::1 25' '192.0.2.1 25' '2001:db8::2 25' '192.0.2.2 25' '192.0.2.3 25'
	ask addresses odd.test
	says 'none odd.test: has no address that can be used'
	ask addresses some.test
	says ok '192.0.2.9 25'
	ask addresses self.test
	says 'none self.test: has no address that can be used'
	ask addresses short.test
	says ok '192.0.2.7 25'
	ask addresses many.test
	[ "${#lines[@]}" = 17 ]
	[ "${lines[16]}" = '192.0.2.8 25' ]
	ask addresses many4.test
	[ "${#lines[@]}" = 17 ]
	[ "${lines[16]}" = '192.0.2.16 25' ]
}

@test "one kind of address in trouble: the other counts; with none it is temporary" {
	start_dns <<-'E'
		half.test A 192.0.2.1
		half.test AAAA SERVFAIL
		other.test AAAA 2001:db8::1
		other.test A REFUSED
		none.test AAAA SERVFAIL
		none.test TXT x
		lies.test AAAA NXDOMAIN
		lies.test A 192.0.2.5
		late.test A SERVFAIL
		late.test TXT x
		dead.test A SERVFAIL
		dead.test AAAA REFUSED
	E
	ask addresses half.test
	says ok '192.0.2.1 25'
	ask addresses other.test
	says ok '2001:db8::1 25'
	ask addresses lies.test
	says ok '192.0.2.5 25'
	ask addresses none.test
	says 'later none.test: name server 127.0.0.1 could not find out (SERVFAIL)'
	ask addresses late.test
	says 'later late.test: name server 127.0.0.1 could not find out (SERVFAIL)'
	ask addresses dead.test
	[[ $output == 'later dead.test: name server '* ]]
}

@test "a server that says that it cannot: temporary, asked once, at once" {
	start_dns <<-'E'
		servfail.test MX 10 mx.test
		servfail.test SERVFAIL
		refused.test REFUSED
		formerr.test FORMERR
		notimp.test NOTIMP
		lame.test LAME
		broken.test GARBAGE
	E
	while IFS='|' read -r name times why; do
		ask mx "$name"
		says "later $name: name server 127.0.0.1 $why"
		[ "$(asked "udp $name MX")" = "$times" ]
	done <<-'E'
		servfail.test|1|could not find out (SERVFAIL)
		refused.test|1|does not answer us (REFUSED)
		formerr.test|2|does not understand the question (FORMERR)
		notimp.test|2|does not do this (NOTIMP)
		lame.test|1|does not look up names for others
		broken.test|1|answers with nonsense
	E
	[ "$(asked ' A$')" = 0 ]        # a failed question for MX is no sign that there is none
}

@test "a server that is silent, or sends what is no answer: three times, and temporary when the time is over" {
	start_dns <<-'E'
		silent.test MX 10 mx.test
		silent.test DROP
		noise.test NOISE
		half.test AAAA DROP
		half.test A 192.0.2.1
	E
	MS=800
	for name in silent noise; do
		took 800 ask mx "$name.test"
		says "later $name.test: name server 127.0.0.1 does not answer"
		until_true eval '[ "$(asked "udp $name.test MX")" = 3 ]'
	done
	took 800 ask addresses half.test
	says ok '192.0.2.1 25'
	took 1600 ask addresses silent.test
	says 'later silent.test: name server 127.0.0.1 does not answer'
}

@test "a question or an answer that is lost, and an answer that is late, cost nothing but time" {
	start_dns <<-'E'
		once.test MX 10 mx.test
		once.test DROP 1
		twice.test MX 10 mx.test
		twice.test DROP 2
		late.test MX 10 mx.test
		late.test DELAY 300
	E
	MS=1400
	took 200 ask mx once.test
	says ok '10 mx.test'
	took 600 ask mx twice.test
	says ok '10 mx.test'
	MS=14000
	took 300 ask mx late.test
	says ok '10 mx.test'
	[ "$(asked late.test)" = 1 ]
}

@test "answers of others are passed by: another number, another question, a question" {
	start_dns <<-'E'
		stray.test MX 10 mx.test
		stray.test A 192.0.2.1
		stray.test STRAY
	E
	ask mx stray.test
	says ok '10 mx.test'
	ask addresses stray.test
	says ok '192.0.2.1 25'
}

@test "what is cut comes by TCP, and TCP has its limits too" {
	start_dns <<-'E'
		cut.test MX 10 mx.test
		cut.test TRUNCATE
		drop.test TRUNCATE
		drop.test TCP-DROP
		stuck.test MX 10 mx.test
		stuck.test TRUNCATE
		stuck.test TCP-CUT
		close.test MX 10 mx.test
		close.test TRUNCATE
		close.test TCP-CLOSE
		again.test TRUNCATE
		again.test TCP-TRUNCATE
		slow.test MX 10 mx.test
		slow.test TRUNCATE
		slow.test TCP-DROP
		slow.test DELAY 100
	E
	ask mx cut.test
	says ok '10 mx.test'
	MS=400
	for name in drop stuck; do
		took 300 ask mx "$name.test"
		[[ $output == "later $name.test: name server 127.0.0.1 does not answer"* ]]
	done
	took 300 ask mx slow.test
	[[ $output == 'later slow.test: name server 127.0.0.1 does not answer'* ]]
	ask mx close.test
	says 'later close.test: name server 127.0.0.1 cannot be reached: Connection reset by peer'
	ask mx again.test
	says 'later again.test: name server 127.0.0.1 answers with nonsense'
}

@test "a server that does not know EDNS0 is asked without" {
	start_dns <<-'E'
		old.test MX 10 mx.test
		old.test NO-EDNS
	E
	ask mx old.test
	says ok '10 mx.test'
	[ "$(asked old.test)" = 2 ]
}

@test "nobody there: at once" {
	DNS=127.0.0.1:1
	ask mx example.test
	says 'later example.test: name server 127.0.0.1 cannot be reached: Connection refused'
}

@test "the AD bit of a server on this host counts" {
	start_dns <<-'E'
		signed.test MX 10 mx.test
		signed.test AUTHENTIC
		half.test A 192.0.2.1
		half.test A AUTHENTIC
		half.test AAAA 2001:db8::1
		mx.test A 192.0.2.1
		mx.test AUTHENTIC
		not.test MX 10 mx.test
	E
	ask mx signed.test
	says ok authentic '10 mx.test'
	ask mx not.test
	says ok '10 mx.test'
	ask addresses mx.test
	says ok authentic '192.0.2.1 25'
	ask addresses half.test
	says ok '2001:db8::1 25' '192.0.2.1 25'
}

@test "P8: hosts whose names are no names are dropped, and with no other left it is temporary" {
	start_dns <<-'E'
		some.test MX 1 a\032b.test
		some.test MX 2 a\010.test
		some.test MX 3 a\046b.test
		some.test MX 4 \000.test
		some.test MX 5 \195\164.test
		some.test MX 6 192.0.2.1
		some.test MX 7 a/b.test
		some.test MX 8 "mx".test
		some.test MX 9 good.test
		some.test TYPE15 00
		some.test TYPE15 0001
		some.test TYPE15 0001c00c00
		some.test TYPE15 0001ff
		some.test TYPE15 000102
		bad.test MX 10 a\010b.test
		mixed.test MX 10 $x.test
		mixed.test MX 0 .
		aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test MX 10 mx.test
	E
	ask mx some.test
	says ok '9 good.test'
	for name in bad mixed; do
		ask mx "$name.test"
		says "later $name.test: no MX with a name that can be used"
	done
	ask mx aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test
	says ok '10 mx.test'
}

@test "what is no domain is never asked for; what is one beyond ASCII becomes A-labels" {
	start_dns <<-'E'
		xn--bcher-kva.test MX 10 mx.test
		xn--bcher-kva.test A 192.0.2.1
	E
	long=$(printf '%063d.' 1 2 3)
	for name in '' . a..b .a a. 'a b.test' $'a\nb.test' 'a/b' $'\xff.test' '[192.0.2' '[x]' "$(printf '%064d' 0).test" "$long$(printf '%062d' 4)" '-' '$(reboot)' '*.test' 'a\032b.test'; do
		ask mx "$name"
		[[ $output == none*': not a domain name' ]] || { echo "$name: $output"; return 1; }
		refute grep -q '[^ -~]' <<<"$output"
		ask addresses "$name"
		[[ $output == none*': not a'* ]] || { echo "$name: $output"; return 1; }
	done
	[ ! -s "$ASKED" ]
	ask mx "$long$(printf '%056d' 4).test"
	says "none $long$(printf '%056d' 4).test: no such name"
	ask mx bücher.test
	says ok '10 mx.test'
	ask mx BÜCHER.test mx.test
	says 'self xn--bcher-kva.test: the best MX is this host, which does not take its mail'
	ask addresses bücher.test
	says ok '192.0.2.1 25'
}

@test "an address is its own, and nobody is asked" {
	start_dns </dev/null
	while read -r name want; do
		ask addresses "$name" 24
		says ok "$want 24"
	done <<-'E'
		192.0.2.1 192.0.2.1
		[192.0.2.1] 192.0.2.1
		2001:db8::1 2001:db8::1
		[2001:db8::1] 2001:db8::1
		[IPv6:2001:DB8::1] 2001:db8::1
		[ipv6:::1] ::1
		127.0.0.1 127.0.0.1
	E
	for name in '[IPv6:192.0.2.1]' '[]' '[IPv6:]' '[192.0.2.300]' 0.0.0.0 :: '[IPv6:::ffff:192.0.2.1]' '[fe80::1%lo]' "[$(printf '%0300d' 0)]"; do
		ask addresses "$name"
		[[ $output == 'none '*': not an address that can be used' ]]
	done
	ask mx '[IPv6:2001:DB8::1]'
	says ok implicit '0 [ipv6:2001:db8::1]'
	[ ! -s "$ASKED" ]
}

@test "the server that is set" {
	start_dns <<<'example.test MX 10 mx.test'
	for DNS in x 127.0.0.1: 127.0.0.1:0 127.0.0.1:65536 127.0.0.1:1x 127.0.0.1:-1 '[::1' '[::1]x' '[::1]:' '[127.0.0.1]' localhost ::1:2:3:4:5:6:7:8:9 '[]' : "$(printf '%0300d' 1)"; do
		run -1 "$DNS_ASK" "$DNS" 100 mx example.test
		[ "$output" = 'not opened: the name server that is set is no address' ]
	done
	for DNS in ::1 '[::1]' 127.0.0.2 '[::1]:65535'; do
		MS=20 ask mx example.test
		[[ $output == "later example.test: name server $(tr -d '[]' <<<"${DNS%:65535}") "* ]]
	done
}

@test "over IPv6" {
	"$PYTHON" -c 'import socket; socket.create_server(("::1", 0), family=socket.AF_INET6)' 2>/dev/null || skip "no IPv6 here"
	start_dns --host ::1 <<-'E'
		example.test MX 10 mx.test
		cut.test MX 10 mx.test
		cut.test TRUNCATE
	E
	DNS="[::1]:${DNS##*:}"
	ask mx example.test
	says ok '10 mx.test'
	ask mx cut.test
	says ok '10 mx.test'
}

@test "the server reads its zone again when it has changed, and does not take one that it does not understand" {
	start_dns <<<'example.test MX 10 one.test'
	ask mx example.test
	says ok '10 one.test'
	echo 'example.test MX 20 second.test' >"$ZONE"
	ask mx example.test
	says ok '20 second.test'
	echo 'example.test MX' >"$ZONE"
	ask mx example.test
	says ok '20 second.test'
	grep -F "zone:1: what is 'example.test MX" "$LOG"
	for line in 'example.test MX' 'example.test A 192.0.2.1 192.0.2.2' 'example.test MX 1 a b' 'example.test MX x y' 'example.test A 1.2.3' 'example.test WHAT 1' 'example.test'; do
		echo "$line" >"$BATS_TEST_TMPDIR/bad"
		run -1 "$PYTHON" "$TESTS/dns-server.py" "$BATS_TEST_TMPDIR/bad"
		[[ $output == *":1: what is '$line"* ]]
	done
}
