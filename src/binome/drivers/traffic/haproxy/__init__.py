"""Hands for HAProxy: `traffic.py` what is wanted of an edge, `runtime.py` how it is said to its socket.

An agent runs both: they import neither aiohttp nor pydantic, and know no estate.
"""
