"""Hands for PostgreSQL under Patroni.

    cluster.py      what Patroni keeps in etcd, and what may be changed of it under which conditions: pure
    database.py     takeover, release of a lost standby, switchover: on the lookout that leads, through etcd
    member.py       fencing, rejoining, a write that proves: on the member's own server, by its agent
    processes.py    finding and ending the processes of one member, by what the kernel says of them
    rest.py         asking a member's Patroni how it is

What an agent runs (member, processes, rest) imports neither aiohttp nor pydantic, and knows no estate.
"""
