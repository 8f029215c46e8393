"""binome.service: how a server's systemd keeps Binôme running.

It is started again for ever: what runs when everything else is broken must not stay down because it fell often.
"""

from __future__ import annotations

from binome.estate import Estate
from binome.render.places import Folders


def unit(estate: Estate, server: str, folders: Folders) -> str:
    """The unit of one server. The estate file is expected beside the other configuration."""
    return f"""\
# {server} of {estate.estate}, rendered by Binôme: change the estate, not this file.
[Unit]
Description=Binôme on {server}
Wants=network-online.target
After=network-online.target etcd.service
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/bin/env binome run {folders.configuration}/estate.yaml --as {server}
Restart=always
RestartSec=1s
EnvironmentFile=-{folders.configuration}/secrets.env
StateDirectory=binome
RuntimeDirectory=binome
NoNewPrivileges=yes
ProtectHome=yes
ProtectSystem=strict
ReadWritePaths={folders.data} {folders.run} -{folders.tls} -{folders.ca}
MemoryMax=512M

[Install]
WantedBy=multi-user.target
"""
