"""etcd as the estate says that it is reached: real members on the rendered files, by TLS both ways and with a login."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from binome.cli.agreement import agreement
from binome.estate import Estate, load
from binome.estate.tables import Frozen
from binome.journal.etcd import EtcdClient
from binome.ports import EtcdError, Put
from binome.render import Folders, RenderError, render
from binome.runtime.identity import Authority
from tests.runtime.authorities import DAY_MS, ca, now_ms, put

FILE = """\
estate: littoral
sites: {{one: {{}}, two: {{}}, three: {{}}}}
servers:
  a: {{site: one, address: 192.0.2.1}}
  b: {{site: two, address: 192.0.2.2}}
  c: {{site: three, address: 192.0.2.3}}
  watch: {{site: three, address: 192.0.2.4}}
services:
  coordination:
    kind: etcd
    on: [a, b, c]
    tls: {{ca: {folder}/tls/ca.pem, cert: {folder}/tls/server.pem, key: {folder}/tls/server.pem}}
    user: binome
    password: "file:{folder}/password"
lookout: {{on: [a, b, watch]}}
"""


def estate_in(folder: Path) -> Estate:
    """The estate, with addresses that every machine has: a file may not name those."""
    estate = load(FILE.format(folder=folder).encode())
    servers = {
        name: one.model_copy(update={"address": (one.address or "").replace("192.0.2.", "127.0.77.")})
        for name, one in estate.servers.items()
    }
    return estate.model_copy(update={"servers": Frozen(servers)})


class Cluster:
    """Three members, each with a certificate of its own, on the files that `render` gives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = ca(folder / "ca")
        (folder / "password").write_text("ours\n")
        self.estate = estate_in(folder)
        self.members = [self.start(server) for server in "abc"]
        self.trust = ssl.create_default_context(
            cafile=put_here(self.ca, self.estate, folder / "tls", "watch") / "ca.pem"
        )
        self.trust.load_cert_chain(folder / "tls" / "server.pem")
        self.until_answered("/v3/maintenance/status")

    def start(self, server: str) -> subprocess.Popen[bytes]:
        tls = put_here(self.ca, self.estate, self.folder / server / "tls", server)
        files = render(self.estate, server, Folders(str(self.folder / server)))
        (text,) = (text for path, text in files.items() if path.endswith(".etcd.yml"))
        settings = yaml.safe_load(
            text.replace(str(self.folder / "tls"), str(tls))
        )  # on real servers the paths are equal
        settings["listen-client-urls"] = settings["advertise-client-urls"]  # here all share one 127.0.0.1
        path = self.folder / f"{server}.yml"
        path.write_text(yaml.safe_dump(settings | {"unsafe-no-fsync": True}))
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "etcd", "--config-file", str(path)],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / f"{server}.log").open("wb"),
        )

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        request = urllib.request.Request(f"https://127.0.77.1:2379{path}", data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5, context=self.trust) as response:
            answer: dict[str, Any] = json.load(response)
            return answer

    def until_answered(self, path: str) -> None:
        end_s = time.monotonic() + 20
        while time.monotonic() < end_s:
            with suppress(OSError):
                if self.ask(path).get("leader"):
                    return
            time.sleep(0.05)
        raise AssertionError((self.folder / "a.log").read_text()[-2000:])

    def end(self) -> None:
        for member in self.members:
            member.kill()
            member.wait()


def put_here(authority: Authority, estate: Estate, folder: Path, server: str) -> Path:
    """An identity with the server's real address in it."""
    return put(authority, folder, server, address=estate.servers[server].address)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("etcd"))
    try:
        for path, body in (
            ("user/add", {"name": "root", "password": "root's"}),
            ("user/grant", {"user": "root", "role": "root"}),
            ("user/add", {"name": "binome", "password": "ours"}),
            ("user/grant", {"user": "binome", "role": "root"}),
            ("enable", {}),
        ):
            cluster.ask(f"/v3/auth/{path}", **body)
        yield cluster
    finally:
        cluster.end()


async def written(estate: Estate, value: bytes) -> bytes:
    async with agreement(estate, "watch") as etcd:
        assert etcd is not None
        await etcd.transact((), [Put("/a", value)])
        return (await etcd.range("/a")).keys[0].value


@pytest.mark.lab
def test_by_tls_and_a_login_etcd_is_reached_and_without_either_not(cluster: Cluster) -> None:
    assert asyncio.run(written(cluster.estate, b"1")) == b"1"
    urls = [f"https://127.0.77.{n}:2379" for n in (1, 2, 3)]

    async def refused(tls: ssl.SSLContext, user: str = "binome", password: str = "ours") -> str:
        async with EtcdClient(urls, tls=tls, user=user, password=password) as etcd:
            with pytest.raises(EtcdError) as error:
                await etcd.range("/a")
            return str(error.value)

    bare = ssl.create_default_context(cafile=cluster.folder / "tls" / "ca.pem")
    assert re.search("bad certificate|certificate required", asyncio.run(refused(bare)))
    assert "invalid" in asyncio.run(refused(cluster.trust, password="theirs"))
    foreign = ssl.create_default_context(cafile=ca(cluster.folder / "foreign").folder / "ca.pem")
    assert "verify failed" in asyncio.run(refused(foreign))


@pytest.mark.lab
def test_a_renewed_certificate_is_shown_from_then_on(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has ended is refused; when a good one takes its place nothing has to be started again."""
    monkeypatch.setattr("binome.cli.agreement.LOOK_EVERY_S", 0.05)
    authority = Authority.make(cluster.folder / "aged", "littoral", days=7, now_ms=now_ms() - 60 * DAY_MS)

    async def test() -> None:
        tls = cluster.folder / "tls"
        good = (tls / "server.pem").read_bytes()
        try:
            old = put(authority, cluster.folder / "old", "watch", now_ms() - 30 * DAY_MS)
            (tls / "server.pem").write_bytes((old / "server.pem").read_bytes())
            async with agreement(cluster.estate, "watch") as etcd:
                assert etcd is not None
                with pytest.raises(EtcdError):
                    await etcd.range("/a")
                (tls / "server.pem").write_bytes(good)
                end_s = time.monotonic() + 10
                while True:
                    try:
                        await etcd.range("/a")
                        return
                    except EtcdError:
                        assert time.monotonic() < end_s
                        await asyncio.sleep(0.05)
        finally:
            (tls / "server.pem").write_bytes(good)

    asyncio.run(test())


@pytest.mark.parametrize(
    ("lost", "words"),
    [("tls/ca.pem", "tls/ca.pem: No such file"), ("tls/server.pem", "server.pem: No"), ("password", "No such file")],
)
def test_what_is_missing_is_named_with_its_key(tmp_path: Path, lost: str, words: str) -> None:
    put(ca(tmp_path / "ca"), tmp_path / "tls", "watch")
    (tmp_path / "password").write_text("ours")
    (tmp_path / lost).unlink()
    with pytest.raises(RenderError, match=words) as error:
        asyncio.run(written(estate_in(tmp_path), b""))
    assert str(error.value).startswith("services.coordination.")


def test_garbage_in_the_place_of_a_certificate_is_named(tmp_path: Path) -> None:
    put(ca(tmp_path / "ca"), tmp_path / "tls", "watch")
    (tmp_path / "password").write_text("ours")
    (tmp_path / "tls" / "server.pem").write_text("junk")
    with pytest.raises(RenderError, match=r"server.pem: no certificate and key in PEM"):
        asyncio.run(written(estate_in(tmp_path), b""))
