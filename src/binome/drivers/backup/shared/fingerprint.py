"""The fingerprint of a database: what must come out again when a restored copy is asked the same questions.

Per table the number of rows, and two sums modulo 2^64: of a 64-bit hash of each row's text, under two seeds. Sums do
not depend on the order of the rows; an exclusive or would not either, but two equal rows would cancel. The hash is
PostgreSQL's own of text (`hashtextextended`), which hash partitions rely on to stay the same over versions. Rows are
written under pinned settings (postgres.py). What a dump has no rows of is not in it: temporary tables, what belongs to
an extension, materialised views, which a restore fills anew.

Sequences are not part of a snapshot: they are read before and after the dump, and the restored value lies between.
The schema is the text of `pg_dump --schema-only` without its comments, as a hash.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import psycopg
from psycopg import sql

_MODULUS = 1 << 64

_TABLES = """
SELECT n.nspname, c.relname, c.relpersistence = 'u', pg_table_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""

_ROWS = """
SELECT count(*), coalesce(sum(hashtextextended((r.*)::text COLLATE "C", 0)), 0),
       coalesce(sum(hashtextextended((r.*)::text COLLATE "C", 1)), 0)
FROM ONLY {} r
"""

_LARGE_OBJECTS = """
SELECT count(*), coalesce(sum(hashtextextended(m.oid::text || md5(lo_get(m.oid)), 0)), 0),
       coalesce(sum(hashtextextended(m.oid::text || md5(lo_get(m.oid)), 1)), 0)
FROM pg_largeobject_metadata m
"""

_ROLES = """
SELECT r.rolname, concat_ws(' ', CASE WHEN rolsuper THEN 'superuser' END, CASE WHEN rolcanlogin THEN 'login' END,
  CASE WHEN rolcreatedb THEN 'createdb' END, CASE WHEN rolcreaterole THEN 'createrole' END,
  CASE WHEN rolreplication THEN 'replication' END, CASE WHEN rolbypassrls THEN 'bypassrls' END,
  CASE WHEN NOT rolinherit THEN 'noinherit' END,
  'of ' || (SELECT string_agg(g.rolname, ',' ORDER BY g.rolname COLLATE "C")
            FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid))
FROM pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY r.rolname COLLATE "C"
"""


async def tables(connection: psycopg.AsyncConnection) -> list[tuple[str, str, int]]:
    """Schema, name and size in bytes of every table whose rows a dump has; on a standby without the unlogged."""
    standby = (await _one(connection, "SELECT pg_is_in_recovery()"))[0]
    found = await (await connection.execute(_TABLES)).fetchall()
    return [(schema, name, size) for schema, name, unlogged, size in found if not (unlogged and standby)]


async def fingerprint(connection: psycopg.AsyncConnection, hear: Callable[[int], None]) -> dict[str, Any]:
    """The fingerprint of the database, except of its schema; `hear` is told how many bytes of tables are done."""
    rows, done = {}, 0
    for schema, name, size in await tables(connection):
        count, first, second = await _one(connection, sql.SQL(_ROWS).format(sql.Identifier(schema, name)))
        rows[f"{schema}.{name}"] = [count, *_words(first, second)]
        done += size
        hear(done)
    count, first, second = await _one(connection, _LARGE_OBJECTS)
    extensions = await connection.execute("SELECT extname, extversion FROM pg_extension ORDER BY 1")
    return {
        "tables": rows,
        "large_objects": [count, *_words(first, second)],
        "extensions": {name: version async for name, version in extensions},
        "roles": {name: flags async for name, flags in await connection.execute(_ROLES)},
    }


async def sequences(connection: psycopg.AsyncConnection) -> dict[str, int | None]:
    """Where each sequence stands, now: sequences know no snapshots. None: it was never used."""
    found = await connection.execute("SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2")
    return {f"{schema}.{name}": value async for schema, name, value in found}


def schema_hash(text: list[str]) -> str:
    """The hash of a schema, by the lines that pg_dump writes; comments, and its random keys, are left out."""
    kept = [line for line in text if line.strip() and not line.startswith(("--", "\\restrict", "\\unrestrict"))]
    return sha256("\n".join(kept).encode()).hexdigest()


def _words(*sums: int) -> list[str]:
    """Sums modulo 2^64 as 16 hexadecimal digits: JSON's numbers are not safe beyond 2^53."""
    return [f"{int(one) % _MODULUS:016x}" for one in sums]


async def _one(connection: psycopg.AsyncConnection, query: Any) -> tuple[Any, ...]:
    """The row of a query that has one."""
    (found,) = await (await connection.execute(query)).fetchall()
    return tuple(found)
