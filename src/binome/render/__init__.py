"""The estate as configuration files of its engines.

`render(estate, server)` gives the files of one server, by their absolute paths. Lab and real server get them from here:
the only difference is the root that the paths start at. Passwords are never in a file: Patroni reads them from
its environment (`PATRONI_REPLICATION_PASSWORD`, `PATRONI_REWIND_PASSWORD`; `PATRONI_ETCD3_PASSWORD` where etcd has a
user).
"""

from binome.render.files import render
from binome.render.places import Folders, RenderError, etcd_endpoints, etcd_url

__all__ = ["Folders", "RenderError", "etcd_endpoints", "etcd_url", "render"]
