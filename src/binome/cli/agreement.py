"""etcd, as the estate says that one reaches it: endpoints, certificates, a login."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from binome.cli.secret import SecretError, secret
from binome.estate import Estate
from binome.estate.model import EtcdService, EtcdTls
from binome.journal.etcd import EtcdClient
from binome.journal.etcd_gateway import Timing
from binome.render import RenderError, etcd_endpoints, etcd_url

TIMING = Timing(patience_s=0.2, answer_s=0.5)
"""A member whose leader burned answers nothing for seconds; a takeover does not wait for that. What came of a change
that got no answer is read back, so that impatience costs nothing but a question."""
LOOK_EVERY_S = 30.0
"""How often the certificate's file is looked at: it may live for days only, and connections are made for ever."""


@asynccontextmanager
async def agreement(estate: Estate, server: str) -> AsyncIterator[EtcdClient | None]:
    """The etcd that several lookouts agree through; None where one looks out alone.

    Raises RenderError where the estate has none, or what it names to reach it cannot be read.
    """
    if estate.lookout is None or len(estate.lookout.on) == 1:
        yield None
        return
    etcds = {name: service for name, service in estate.services.items() if isinstance(service, EtcdService)}
    if not etcds:
        raise RenderError("several lookouts need a service of kind etcd to agree through.  Add one to the estate.")
    name, options = next(iter(etcds.items()))
    try:
        password = secret(options.password) if options.password else ""
    except SecretError as error:
        raise RenderError(f"services.{name}.password: {error}") from error
    tls = _Tls(name, options.tls) if options.tls else None
    urls = [etcd_url(options, endpoint) for endpoint in etcd_endpoints(estate, name, server)]
    context = tls.context if tls else None
    async with EtcdClient(urls, tls=context, user=options.user or "", password=password, timing=TIMING) as client:
        fresh = asyncio.ensure_future(tls.keep_fresh()) if tls else None
        try:
            yield client
        finally:
            if fresh is not None:
                fresh.cancel()


class _Tls:
    """What we show etcd, and whom we believe there; the certificate follows its file."""

    def __init__(self, service: str, tls: EtcdTls) -> None:
        self._tls = tls
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._stamp = (0, 0)
        path = tls.ca
        try:
            self.context.load_verify_locations(path)
            path = tls.cert
            self._load()
        except (ssl.SSLError, OSError) as error:
            reason = "no certificate and key in PEM" if isinstance(error, ssl.SSLError) else error.strerror
            raise RenderError(f"services.{service}.tls: {path}: {reason}") from error

    def _load(self) -> None:
        found = Path(self._tls.cert).stat()
        stamp = (found.st_ino, found.st_mtime_ns)
        if stamp != self._stamp:
            self.context.load_cert_chain(self._tls.cert, self._tls.key)
            self._stamp = stamp

    async def keep_fresh(self) -> None:
        """Shows the newest certificate to whom we connect from now on; one that cannot be read leaves the last."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                self._load()
            except (ssl.SSLError, OSError):
                continue  # it is being replaced; etcd's refusal, if it comes to that, is told by the journal
