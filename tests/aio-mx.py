#!/usr/bin/env python3
"""aiosmtpd as a host that takes mail: aio-mx.py FOLDER [CERTIFICATE KEY]

Listens on 127.0.0.1 and writes its port to FOLDER/port; each message goes to FOLDER/kept/NAME.N for each of its recipients.  It knows ann, joe and grün."""
import asyncio, os, ssl, sys
from aiosmtpd.smtp import SMTP

folder = sys.argv[1]
tls = None
if len(sys.argv) > 2:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*sys.argv[2:4])


class Handler:
    count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.split("@")[0] not in ("ann", "joe", "grün"):
            return "550 5.1.1 who is that?"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        Handler.count += 1
        for address in envelope.rcpt_tos:
            name = "%s/kept/%s.%d" % (folder, address.split("@")[0], Handler.count)
            with open(name + ".part", "wb") as f:
                f.write(b"X-From: %s\n" % envelope.mail_from.encode() + envelope.content.replace(b"\r\n", b"\n"))
            os.rename(name + ".part", name)
        return "250 2.0.0 taken, number %d" % Handler.count


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), hostname="aio.example", enable_SMTPUTF8=True, tls_context=tls, loop=loop), "127.0.0.1", 0)
    with open(folder + "/port.part", "w") as f:
        f.write(str(server.sockets[0].getsockname()[1]))
    os.rename(folder + "/port.part", folder + "/port")
    await server.serve_forever()


asyncio.run(main())
