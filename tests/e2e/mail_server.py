"""A real mail server (aiosmtpd) for the tests: TLS, authentication, and a folder of flags that make it fail.

mail_server.py FOLDER PORT: `right.pem` and `right-key.pem` in FOLDER, and the same of `other-host` and `untrusted`.
A port that ends in 465 speaks TLS at once, any other STARTTLS. What happens is added to FOLDER/log, a JSON object a
line. A flag is a file of that name in FOLDER. What a recipient's address says about the final dot happens at each of
its mails.
"""

import asyncio
import base64
import json
import os
import ssl
import sys
from email import message_from_bytes, policy

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

folder, port = sys.argv[1], int(sys.argv[2])
PASSWORD = os.environ["SMTP_PASSWORD"].encode()


def log(**what):
    with open(os.path.join(folder, "log"), "a") as file:
        file.write(json.dumps(what) + "\n")


def flag(name):
    return os.path.exists(os.path.join(folder, name))


def context(name):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # A session that is taken up again shows no certificate.
    made.num_tickets = 0
    made.options |= ssl.OP_NO_TICKET
    made.load_cert_chain(os.path.join(folder, f"{name}.pem"), os.path.join(folder, f"{name}-key.pem"))
    return made


right, bad = context("right"), {name: context(name) for name in ("other-host", "untrusted")}


def switch(connection, _name, _context):
    connection.context = next((bad[name] for name in bad if flag(name)), right)


right.sni_callback = switch


def authenticate(_server, session, _envelope, mechanism, data):
    log(event="auth", user=data.login.decode(), encrypted=session.ssl is not None, mechanism=mechanism)
    success = data.password == PASSWORD and not flag("deny-auth")
    # Not handled: it answers 535.
    return AuthResult(success=success, handled=success)


class Handler:
    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if "no-such-user" in address:
            return "550 5.1.1 no such user"
        if "policy" in address and not flag("policy-allows"):
            return "451 4.7.1 a rule of the policy refuses it"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, _session, envelope):
        mail = message_from_bytes(envelope.content, policy=policy.default)
        parts = [part for part in mail.walk() if not part.is_multipart()]
        log(
            event="mail",
            sender=envelope.mail_from,
            to=envelope.rcpt_tos,
            headers=[[name, str(value)] for name, value in mail.items()],
            types=[mail.get_content_type()] + [part.get_content_type() for part in parts],
            bodies=[part.get_content() for part in parts],
            raw=base64.b64encode(envelope.content).decode(),
        )
        if "silent" in envelope.rcpt_tos[0] and not flag("speaks"):
            await asyncio.sleep(600)
        if "hang-up" in envelope.rcpt_tos[0] and not flag("speaks"):
            server.transport.abort()
            await asyncio.sleep(1)
        return "250 2.0.0 Ok: queued as 4ABCDE12345"


class Server(SMTP):
    async def _handle_client(self):
        if flag("slow-banner"):
            await asyncio.sleep(600)
        await super()._handle_client()

    async def push(self, status):
        text = status if isinstance(status, str) else status.decode()
        if flag("strip-starttls") and "STARTTLS" in text:
            # An attacker in the middle: the offer is spelled otherwise.
            text = text.replace("STARTTLS", "XXXXXXXA")
        if flag("inject") and text.startswith("220 Ready to start TLS"):
            text += "\r\n250-mail.example\r\n250 AUTH PLAIN"
        await super().push(text)


class Service(Controller):
    def factory(self):
        return Server(self.handler, **self.SMTP_kwargs)


is_implicit = port % 1000 == 465
service = Service(
    Handler(),
    hostname="localhost",
    port=port,
    ssl_context=right if is_implicit else None,
    tls_context=None if is_implicit else right,
    require_starttls=not is_implicit,
    authenticator=authenticate,
    auth_required=True,
    # It does not know that a connection was encrypted from the start.
    auth_require_tls=not is_implicit,
    enable_SMTPUTF8=True,
)
service.start()
log(event="ready")
sys.stdin.read()
service.stop()
