"""Kind `postgresql`: the server answers the start of a connection, on a socket of our own.

    user, password, database     with them, role and lag are asked by a query, as details

A thorough look asks besides whether pages have checksums, and which roles and databases set `synchronous_commit` to a
value below `on` (the catalogue `pg_db_role_setting`, which any role may read).

The probe asks whether TLS is spoken (`SSLRequest`). The postmaster makes a process for that, so one that is frozen or
has no memory left does not answer. Where TLS is spoken, that is enough. Where it is not, the probe goes on to the
startup message, and any answer to it is life: a question for a password, a refusal, "the database system is starting
up". The words are in `said`, and the code of an error in the details.

A frozen server can make a client library ignore its own time limits, so the verdict never waits for one: the query is
only made when the server has answered, and left behind where it takes too long.
(PostgreSQL's documentation, "Frontend/Backend Protocol", Message Flow and Message Formats.)
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from binome.core.target import Target
from binome.drivers.probe.shared.findings import WrongError, printable, timed, up
from binome.drivers.probe.shared.reach import Reach
from binome.drivers.probe.shared.talk import Talk, talking
from binome.ports import Finding, Surroundings

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_LONGEST_BYTES = 16 << 10
_QUESTIONS = {0: "nothing", 3: "a password", 5: "a password (md5)", 10: "a password (scram)", 7: "gssapi", 9: "sspi"}
_MOST_LEFT_BEHIND = 8
_QUERY = """
select pg_is_in_recovery(), current_setting('synchronous_commit'),
       case when pg_is_in_recovery() and pg_last_wal_receive_lsn() is distinct from pg_last_wal_replay_lsn()
            then extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float else 0 end
"""


_MORE = """
select current_setting('data_checksums'), count(*),
       string_agg(concat_ws(' in ', 'role ' || r.rolname, 'database ' || d.datname) || ' sets ' || v.value, '; '
                  order by r.rolname, d.datname)
from pg_db_role_setting s
     cross join lateral unnest(s.setconfig) as c(line)
     cross join lateral (select split_part(c.line, '=', 2) as value) v
     left join pg_roles r on r.oid = s.setrole
     left join pg_database d on d.oid = s.setdatabase
where c.line like 'synchronous\\_commit=%' and v.value not in ('on', 'true', 'yes', '1', 'remote_apply')
"""


class PostgresqlProbe:
    """A `Probe` that speaks the beginning of the wire protocol."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        self._reach = Reach(surroundings.named)
        self._secret = surroundings.secret
        self._left_behind: set[asyncio.Task[dict[str, Any]]] = set()

    async def look(self, target: Target) -> Finding:
        """Up for any well-formed answer; details: `role`, `lag_s`, `synchronous_commit`, `code`, as far as known.

        Of a thorough look with credentials besides: `checksums` (`on` or `off`); `weak` is how many settings of roles
        and databases are below `on`, and `weak_ones` says which.
        """
        found = await timed(target, self._clock, self._ask(target))
        left_s = target.timeout_ms / 1000 - found.took_s
        if found.answer != "up" or "user" not in target.options or left_s <= 0:
            return found
        return found._replace(details={**found.details, **await self._queried(target, left_s)})

    async def _ask(self, target: Target) -> Finding:
        address = await self._reach.address_of(target.address)
        async with talking(address, target.port) as talk:
            talk.send(_SSL_REQUEST)
            letter = await talk.read_exactly(1)
            if letter == b"S":
                return up("it takes connections, over TLS", {"tls": True})
            if letter != b"N":
                raise WrongError(f"it does not speak PostgreSQL: {printable(letter + await _more(talk))}")
            talk.send(_startup(str(target.options.get("user", "binome"))))
            return await _answered(talk)

    async def _queried(self, target: Target, left_s: float) -> dict[str, Any]:
        """Role and lag, if they come in time; why not, otherwise."""
        if len(self._left_behind) >= _MOST_LEFT_BEHIND:
            return {"query": "earlier queries hang"}
        query = asyncio.ensure_future(self._query(target, left_s))
        self._left_behind.add(query)
        query.add_done_callback(self._left_behind.discard)
        done, _ = await asyncio.wait({query}, timeout=left_s)
        if done:
            return query.result()
        query.cancel()
        return {"query": "no answer in time"}

    async def _query(self, target: Target, left_s: float) -> dict[str, Any]:
        import psycopg  # noqa: PLC0415 - only where credentials are given

        options = target.options
        try:
            address = await self._reach.address_of(target.address)
            async with await psycopg.AsyncConnection.connect(
                host=address,
                port=target.port,
                user=str(options["user"]),
                password=self._secret(str(options["password"])) if "password" in options else None,
                dbname=str(options.get("database", "postgres")),
                connect_timeout=max(2, int(left_s)),
                application_name="binome",
                autocommit=True,
            ) as connection:
                row = await (await connection.execute(_QUERY)).fetchone()
                more = None
                if options.get("thorough"):
                    more = await (await connection.execute(_MORE)).fetchone()
        except (psycopg.Error, OSError, WrongError, UnicodeError) as error:
            return {"query": printable(str(error).strip().partition("\n")[0])}
        standby, commit, lag_s = row or (None, None, None)
        found = {"role": "standby" if standby else "primary", "synchronous_commit": commit, "lag_s": lag_s}
        if more is not None:
            checksums, weak, ones = more
            found |= {"checksums": checksums, "weak": weak, "weak_ones": printable(ones or "")}
        return found


def _startup(user: str) -> bytes:
    words = b"\0".join([b"user", user.encode(), b"database", b"postgres", b"application_name", b"binome"])
    body = struct.pack("!i", 3 << 16) + words + b"\0\0"
    return struct.pack("!i", len(body) + 4) + body


async def _answered(talk: Talk) -> Finding:
    """The answer to the startup message. Raises WrongError where it is none."""
    head = await talk.read_exactly(5)
    letter, length_bytes = chr(head[0]), int.from_bytes(head[1:], "big") - 4
    if letter not in "REvN" or not 0 <= length_bytes <= _LONGEST_BYTES:
        raise WrongError(f"it does not speak PostgreSQL: {printable(head + await _more(talk))}")
    body = await talk.read_exactly(length_bytes)
    if letter == "E":
        fields = {part[:1]: part[1:].decode("utf-8", "backslashreplace") for part in body.split(b"\0") if part}
        if b"C" not in fields or b"M" not in fields:
            raise WrongError(f"it does not speak PostgreSQL: {printable(head + body)}")
        return up(f"it answers: {fields[b'M']}", {"code": printable(fields[b"C"][:5])})
    if letter == "R" and length_bytes < 4:
        raise WrongError(f"it does not speak PostgreSQL: {printable(head + body)}")
    asks = int.from_bytes(body[:4], "big") if letter == "R" else 0
    return up(f"it takes connections, and asks for {_QUESTIONS.get(asks, 'credentials')}")


async def _more(talk: Talk) -> bytes:
    """What else is there already of an answer that is none."""
    try:
        async with asyncio.timeout(0.05):
            return await talk.read_some(60)
    except (OSError, EOFError):  # TimeoutError is an OSError
        return b""
