#!/usr/bin/env bats
# What a speaker that was taken over can hold up.  (What else it can do: ../sandbox.bats.)
load ../helper
load attack

@test "a speaker that never ends is killed a minute after session_timeout: status 75, nothing is left" {
	[ "${HOSTILE-}" = full ] || skip "takes more than a minute: HOSTILE=full"
	HANDLER=$BUILD/hook/smtp-handler
	[ -x "$HANDLER" ] || HANDLER=$BUILD/../hook/smtp-handler
	[ -x "$HANDLER" ] || skip "no test build of the handler here"
	attack <<'PYTHON'
s = Session("deliver=" + DELIVER, "vrfy=yes", "session_timeout=1s")
began = time.monotonic()
s.socket.sendall(start() + lines("DATA") + message("before"))
hear(s.socket, b"Ok, stored")
s.socket.sendall(start()[16:] + lines("VRFY spin"))
assert s.process.wait(120) == 75
tell("killed after %.1f s" % (time.monotonic() - began))
until("all processes have ended", lambda: not family(os.getpid()))
assert subjects() == ["before"]
assert in_log("speaker killed: by signal 9") == 1
nothing_in_tmp()
PYTHON
}
