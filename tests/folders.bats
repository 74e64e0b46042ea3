#!/usr/bin/env bats
# The detail of an address: folders, separators, and what a hostile one cannot reach; mailboxes on hold.
# shellcheck disable=SC2034  # OPTIONS, PARAMETERS, BODY: post.bash reads them
load helper
load post

setup() {
	setup_mail
	BOX=$ROOT/example.test/alice
}

folder() { mkdir -p "$BOX/$1"/{new,cur,tmp}; }

@test "a detail is the folder of that name, as written or in lower case; without one it is the inbox" {
	folder .work
	folder .Lists
	folder .a.b
	mkdir "$BOX/.empty"
	expect <<-END
		alice 250 alice
		alice+work 250 alice/.work
		alice+WORK 250 alice/.work
		Alice+Lists 250 alice/.Lists
		alice+lists 250 alice
		alice+a.b 250 alice/.a.b
		alice+empty 250 alice/.empty
		alice+none 250 alice
		"alice+" 250 alice
		alice+work+more 250 alice
		bob+work 250 bob
	END
	[ ! -e "$BOX/.none" ]
	post alice+work@example.test alice@example.test
	[ "$(boxes)" = "alice alice/.work" ]
	run grep -h ^Delivered-To "$(new_files "$BOX/.work")"
	[ "$output" = "Delivered-To: alice+work@example.test" ]
}

@test "aliases and links lead to folders too" {
	folder .work
	ln -s alice "$ROOT/example.test/link"
	echo 'job: alice+work, alice, bob+work' >"$ROOT/example.test/.aliases"
	expect <<-END
		job 250 alice alice/.work bob
		link+work 250 alice/.work
	END
}

@test "detail_folders = no: the inbox, whatever is there" {
	folder .work
	OPTIONS=(-o detail_folders=no)
	expect <<<"alice+work 250 alice"
}

@test "the separator is a setting: others, several, none" {
	folder .work
	folder .a+b
	mkdir "$ROOT/example.test/bob-work" "$ROOT/example.test/bob+work"
	printf '%s\n' 'list-one: bob' 'list+two: alice' 'list-two: bob' >"$ROOT/example.test/.aliases"
	OPTIONS=(-o detail_separator=-)
	expect <<-END
		alice-work 250 alice/.work
		alice+work 550 5.1.1
		alice-a+b 250 alice/.a+b
		bob-work 250 bob
		bob+work 250 bob+work
		list-one 250 bob
		-alice 550 5.1.1
	END
	OPTIONS=(-o detail_separator=+-)
	expect <<-END
		alice-work 250 alice/.work
		alice+work 250 alice/.work
		alice-a+b 250 alice/.a+b
		list-one 250 bob
		list+one 550 5.1.1
		list-two 250 bob
		list+two 250 alice
	END
	OPTIONS=(-o detail_separator=)
	expect <<-END
		alice+work 550 5.1.1
		bob-work 250 bob-work
		bob+work 250 bob+work
		list-one 250 bob
	END
}

@test "a hostile detail is the inbox" {
	folder .work
	mkdir -p "$ROOT/example.test/.a" "$BATS_TEST_TMPDIR/outside/new" "$BOX/.sub/dir" "$BOX/."$'\xc3\xa4'
	PARAMETERS=SMTPUTF8
	for detail in . .. ... ../bob /bob ../../../outside .work work. wo..rk work/new sub/dir '..%2f' 'a b' "$(printf 'x%.0s' {1..50})" $'\xc3\xa4' '*' '\\'; do
		got=$(reached "\"alice+$detail\"@example.test")
		echo "$detail: $got"
		[ "$got" = "250 alice" ]
	done
	[ "$(find "$ROOT/example.test/bob" "$BATS_TEST_TMPDIR/outside" -type f)" = "" ]
	[ "$(reached "alice+$(printf 'x%.0s' {1..60})@example.test")" = "501 5.1.3" ]
}

@test "a link, a file or a FIFO in place of a folder is the inbox; a folder that is broken is temporary" {
	mkdir -p "$BATS_TEST_TMPDIR/outside"/{new,tmp}
	ln -s "$BATS_TEST_TMPDIR/outside" "$BOX/.outside"
	ln -s ../bob "$BOX/.bob"
	ln -s loop "$BOX/.loop"
	touch "$BOX/.file"
	mkfifo "$BOX/.fifo"
	mkdir "$BOX/.broken" "$BOX/.linked"
	touch "$BOX/.broken/tmp"
	ln -s "$BATS_TEST_TMPDIR/outside/tmp" "$BOX/.linked/tmp"
	expect <<-END
		alice+outside 250 alice
		alice+bob 250 alice
		alice+loop 250 alice
		alice+file 250 alice
		alice+fifo 250 alice
		alice+broken 451 4.2.0
		alice+linked 451 4.2.0
	END
	[ "$(find "$BATS_TEST_TMPDIR/outside" -type f)" = "" ]
}

@test "the sticky bit on a mailbox holds its mail, that for its folders too, and that of lists" {
	folder .work
	chmod +t "$BOX"
	echo 'list: bob, alice' >"$ROOT/example.test/.aliases"
	expect <<-END
		alice 450 4.2.1
		alice+work 450 4.2.1
		list 450 4.2.1
		bob 250 bob
	END
	run -75 deliver -d alice@example.test </dev/null
	[[ "$output" == "4.2.1 "* ]]
	chmod -t "$BOX"
	chmod +t "$BOX/.work"
	expect <<-END
		alice 250 alice
		alice+work 250 alice/.work
	END
}

@test "as root: a folder's mail is written as the owner of the mailbox" {
	needs_root
	folder .work
	chown -R 1234:1235 "$BOX"
	chmod 700 "$BOX" "$BOX/.work"
	post alice+work@example.test
	[ "$(stat -c %u:%g "$(new_files "$BOX/.work")")" = 1234:1235 ]
}
