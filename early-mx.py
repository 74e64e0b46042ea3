import os, socket, sys, threading, time
folder, mode = sys.argv[1:3]
s = socket.create_server(("127.0.0.1", 0))
def serve(c):
    f = c.makefile("rb")
    c.sendall(b"220 x\r\n")
    for line in f:
        v = line[:4].upper()
        with open(folder + "/heard", "ab") as h: h.write(line[:100])
        if v == b"EHLO": c.sendall(b"250-x\r\n250-PIPELINING\r\n" + (b"250-CHUNKING\r\n" if "bdat" in mode else b"") + b"250 SIZE\r\n")
        elif v in (b"DATA", b"BDAT"):
            if v == b"DATA": c.sendall(b"354 go\r\n")
            f.read(60000)
            if "552" in mode: c.sendall(b"552 5.3.4 message is too big for us\r\n")
            if "drain" in mode:
                c.shutdown(socket.SHUT_WR)
                while c.recv(65536): pass
            else: time.sleep(0.2)
            break
        elif v == b"QUIT": c.sendall(b"221 x\r\n"); break
        else: c.sendall(b"250 ok\r\n")
    f.close(); c.close()
open(folder + "/port.part", "w").write(str(s.getsockname()[1])); os.rename(folder + "/port.part", folder + "/port")
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
