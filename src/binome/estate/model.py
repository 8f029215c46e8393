"""The estate: what the platform is, as frozen, typed records.

The sections and keys are those of the file; docs/estate.md describes them. A field's unit stands at the end of its name
(`act_after_ms`), the file's key does not have it (`act_after`). References are checked while the record is
read: the context of the validation holds the names of every section, so that a dangling reference is
reported together with every other mistake. What two keys of a record say against each other is checked in whole.py
for the same reason: a validator of a whole record is silent while one of its keys is wrong.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
)

from binome.estate.problem import Place
from binome.estate.references import defined_anywhere, known
from binome.estate.scalars import (
    Address,
    Amount,
    AnyName,
    Bytes,
    Count,
    Day,
    Email,
    Few,
    FilePath,
    FolderPath,
    GoodStatus,
    Handover,
    HeaderName,
    HostName,
    Interval,
    JsonPath,
    Line,
    Milliseconds,
    Moment,
    Name,
    Option,
    OptionName,
    Party,
    Phone,
    Port,
    Reason,
    Secret,
    Share,
    Template,
    TimeOfDay,
    Url,
    UrlPath,
    UserName,
    VaultUrl,
    Zone,
)
from binome.estate.tables import EMPTY, Many, Some, Statuses, Table
from binome.estate.text import Marks

ServerName = Annotated[Name, known("servers")]
DomainName = Annotated[Name, known("domains")]
ServiceName = Annotated[Name, known("services")]


def _file_key(field: str) -> str:
    return field.removesuffix("_").removesuffix("_ms").removesuffix("_bytes")


class Record(BaseModel):
    """The manner of every record: frozen, no unknown key, the keys of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=_file_key, hide_input_in_errors=True)


class Hoster(Record):
    """Sells capacity; a fault domain."""

    in_: Many[DomainName] = ()


class Site(Record):
    """One data centre; a fault domain."""

    hoster: Annotated[Name, known("hosters")] | None = None
    region: Name | None = None
    in_: Many[DomainName] = ()


DomainKind = Literal["building", "power", "rack", "hypervisor", "carrier", "registrar", "account", "provider"]


class Domain(Record):
    """Anything else that fails together: a building, a power feed, a rack, a registrar, an account, …"""

    kind: DomainKind
    in_: Many[Annotated[Name, known("domains", "sites", "hosters")]] = ()


class Server(Record):
    """One machine. Its site may be left out where one of its domains leads to it."""

    site: Annotated[Name, known("sites")] | None = None
    address: Address | None = None
    in_: Many[DomainName] = ()


class Service(Record):
    """What runs as members on servers. Every kind has these keys.

    `takeover_outage` is how long it is away when a member is lost and the others go on; `rebuild` how long a new member
    on a spare takes. Measured values go before both.
    """

    on: Some[ServerName]
    needs: Many[Annotated[Name, known("services", "links")]] = ()
    need: Count | None = None
    load: Amount | None = None
    capacity: Amount | None = None
    spares: Many[ServerName] = ()
    takeover_outage_ms: Milliseconds | None = None
    rebuild_ms: Milliseconds | None = None


Takeover = Literal["automatic", "confirm", "shadow", "manual"]


class EtcdTls(Record):
    """The files by which members and clients of etcd prove themselves to each other, the same paths on every server."""

    ca: FilePath
    cert: FilePath
    key: FilePath


class EtcdService(Service):
    """The agreement: etcd. With `user` clients log in; its password is where `password` says."""

    kind: Literal["etcd"]
    tls: EtcdTls | None = None
    user: Name | None = None
    password: Secret | None = None


class PatroniOptions(Record):
    """Options of the Patroni cluster of a database. The paths are for one that is not set up by the rendered files."""

    scope: Name | None = None
    file: FilePath | None = None
    data: FolderPath | None = None
    sockets: FolderPath | None = None


class PostgresqlService(Service):
    """A database: PostgreSQL under Patroni. `lag` is how far an asynchronous standby may be behind."""

    kind: Literal["postgresql"]
    replication: Literal["synchronous", "asynchronous"] = "synchronous"
    takeover: Takeover = "confirm"
    act_after_ms: Milliseconds = 2_000
    cooldown_ms: Milliseconds = 600_000
    lag_ms: Milliseconds | None = None
    patroni: PatroniOptions = PatroniOptions()


class HttpService(Service):
    """A web service; any member serves any request. If it holds data, `lag` is how far a member may be behind."""

    kind: Literal["http"]
    lag_ms: Milliseconds | None = None
    port: Port = 80
    health: UrlPath = "/"


class HaproxyService(Service):
    """The edge: HAProxy. `routes` are ports by service, `reads` ports that any living member of a database answers."""

    kind: Literal["haproxy"]
    routes: Table[Annotated[str, known("services")], Port] = EMPTY
    reads: Table[Annotated[str, known("services")], Port] = EMPTY


class GenericService(Service):
    """A service that Binôme knows by its members alone: no health check, no configuration.

    If it holds data, `lag` is how far a member may be behind.
    """

    kind: Literal["generic"]
    lag_ms: Milliseconds | None = None
    takeover: Takeover = "automatic"


AnyService = Annotated[
    EtcdService | PostgresqlService | HttpService | HaproxyService | GenericService,
    Field(discriminator="kind"),
]
SERVICE_KINDS = ("etcd", "postgresql", "http", "haproxy", "generic")


class Provider(Record):
    """Who delivers for a link: a URL, or a host."""

    url: Url | None = None
    host: HostName | None = None
    secret: Secret | None = None
    in_: Many[DomainName] = ()


class Link(Record):
    """Something outside that the platform speaks to, through one of several providers."""

    kind: Literal["sms", "email", "voice", "http"]
    providers: Table[Name, Provider] = EMPTY


class InternetName(Record):
    """An internet domain name and where it leads.

    `servers` have authority over it, and are each asked whether they answer with what `expect` says.
    """

    to: ServiceName
    ttl_ms: Milliseconds = 300_000
    registrar: DomainName | None = None
    servers: Many[Party] = ()
    expect: Many[Party] = ()


class Objective(Record):
    """What customers are promised."""

    availability: Share | None = None
    rto_ms: Milliseconds | None = None
    rpo_ms: Milliseconds | None = None


class Product(Record):
    """What customers use. `survives` says how many fault domains may be lost at once."""

    needs: Some[Annotated[Name, known("services", "links")]]
    survives: Literal["none", "one", "two"] = "none"
    objective: Objective = Objective()


class Vault(Record):
    """Where copies lie. `key_on` are the servers that keep its key: without one of them its copies cannot be read.

    Its own server finds it at `path`, the others by `url`; without one by SFTP. `user` and `password` are of a REST
    server.
    """

    kind: Literal["restic", "directory"]
    on: ServerName
    path: FolderPath
    url: VaultUrl | None = None
    user: UserName | None = None
    password: Secret | None = None
    key: Secret | None = None
    key_on: Many[ServerName] = ()


class Data(Record):
    """What must not be lost: the service that it lives in, the backups that hold copies of it.

    In a database it is one of that name, or `database`, reached as `user` by TCP or in the folder `socket`; elsewhere
    it is the files below `paths`.
    """

    in_: ServiceName
    backup: Many[Annotated[Name, known("backups")]] = ()
    size_bytes: Bytes | None = None
    database: UserName | None = None
    user: UserName | None = None
    password: Secret | None = None
    socket: FolderPath | None = None
    paths: Many[FolderPath] = ()


class Keep(Record):
    """How many copies of each age are kept: restic's rules. The last ones, then the last of each hour, day, …"""

    last: Count | None = None
    hourly: Count | None = None
    daily: Count | None = None
    weekly: Count | None = None
    monthly: Count | None = None
    yearly: Count | None = None


class Check(Record):
    """A query of the team's own, which a restored copy of some data has to answer with true."""

    of: Annotated[Name, known("data")]
    ask: Line


class Proof(Record):
    """When and where a backup is restored to prove it, and what it is asked."""

    every_ms: Interval
    on: ServerName
    checks: Table[Name, Check] = EMPTY


class Backup(Record):
    """What is copied, how, when and where to. `restore` is how long a restore takes; a measured one goes before it."""

    of: Some[Annotated[Name, known("data")]]
    method: Literal["dump", "basebackup", "git", "files"]
    every_ms: Interval
    at: TimeOfDay | None = None
    to: Some[Annotated[Name, known("vaults")]]
    keep: Keep = Keep()
    proof: Proof | None = None
    restore_ms: Milliseconds | None = None


class Contact(Record):
    """A person who can be reached."""

    email: Email | None = None
    sms: Phone | None = None


ContactName = Annotated[Name, known("contacts")]


class Override(Record):
    """Somebody who is on call out of turn. The times are of the rota's zone."""

    who: ContactName
    from_: Moment
    until: Moment


class Rota(Record):
    """Who is on call, in turns."""

    weekly: Many[ContactName] = ()
    daily: Many[ContactName] = ()
    zone: Zone = "UTC"
    handover: Handover = "Mon 09:00"
    overrides: tuple[Override, ...] = ()


class Route(Record):
    """By which sender a page goes, how long after the one before it, and pages of which severity."""

    via: Annotated[Name, known("senders")]
    after_ms: Milliseconds = 0
    for_: Many[Literal["critical", "warning", "info"]] = ()


class Acceptance(Record):
    """How an answer looks that says: accepted. `json` leads to a value, which `matches` must match."""

    status: tuple[GoodStatus, ...] = ()
    json_: JsonPath | None = None
    matches: Template | None = None


class Sender(Record):
    """How pages are sent. What a kind does not know of these keys, it does not look at."""

    kind: Literal["sms-http", "smtp", "webhook"]
    url: Url | None = None
    host: HostName | None = None
    secret: Secret | None = None
    in_: Many[DomainName] = ()
    method: Literal["POST", "PUT", "GET"] = "POST"
    format: Literal["json", "form"] = "json"
    headers: Table[HeaderName, Template] = EMPTY
    body: Template | None = None
    accepted: Acceptance = Acceptance()
    from_: Email | None = None
    user: Template | None = None
    port: Port = 587
    tls: Literal["starttls", "implicit", "none"] = "starttls"


class People(Record):
    """Who is paged, and how."""

    response_ms: Milliseconds | None = None
    contacts: Table[Name, Contact] = EMPTY
    rota: Rota = Rota()
    routes: tuple[Route, ...] = ()
    senders: Table[Name, Sender] = EMPTY
    escalate_after_ms: Interval = 300_000
    acknowledge: Url | None = None
    heartbeat: Secret | None = None


class Lookout(Record):
    """Where the platform is watched from, and how impatiently."""

    on: Some[ServerName]
    every_ms: Interval = 1_000
    fall: Count = 3
    rise: Count = 2
    timeout_ms: Interval = 800


class Probe(Record):
    """Something else that is looked at: `kind` names the driver, which need not be one of ours.

    probe_keys.py says which keys a built-in kind has. Where it stands: `url`, else `address`, else `host`, else the
    address of the server that it is `on`.
    """

    kind: Name
    of: Annotated[Name, known("services", "links")] | None = None
    on: ServerName | None = None
    url: Url | None = None
    address: Address | None = None
    host: HostName | None = None
    port: Port | None = None
    every_ms: Interval | None = None
    timeout_ms: Interval | None = None
    fall: Count | None = None
    rise: Count | None = None
    status: Statuses = ()
    contains: Line | None = None
    headers: Table[HeaderName, Line] = EMPTY
    redirects: Few | None = None
    ca: FolderPath | None = None
    days: Count | None = None
    name: HostName | None = None
    type: Literal["A", "AAAA", "CNAME", "MX", "NS", "TXT"] | None = None
    expect: Many[Party] = ()
    user: UserName | None = None
    password: Secret | None = None
    database: UserName | None = None
    grace_ms: Milliseconds | None = None
    token: Secret | None = None
    options: Table[OptionName, Option] = EMPTY


class Accepted(Record):
    """A finding that the team has decided to live with, until a day."""

    rule: Name
    subject: Annotated[AnyName, defined_anywhere()]
    reason: Reason
    until: Day


class Estate(Record):
    """The whole file. `place` finds where something stands in it."""

    estate: Name = "estate"
    hosters: Table[Name, Hoster] = EMPTY
    sites: Table[Name, Site] = EMPTY
    domains: Table[Name, Domain] = EMPTY
    servers: Table[Name, Server] = EMPTY
    services: Table[Name, AnyService] = EMPTY
    links: Table[Name, Link] = EMPTY
    names: Table[HostName, InternetName] = EMPTY
    products: Table[Name, Product] = EMPTY
    vaults: Table[Name, Vault] = EMPTY
    data: Table[Name, Data] = EMPTY
    backups: Table[Name, Backup] = EMPTY
    people: Annotated[People, BeforeValidator(lambda value: {} if value is None else value)] = People()
    lookout: Lookout | None = None
    probes: Table[Name, Probe] = EMPTY
    accept: Annotated[tuple[Accepted, ...], BeforeValidator(lambda value: () if value is None else value)] = ()

    _marks: Marks = PrivateAttr(default_factory=lambda: Marks(Place(1, 1)))
    _lines: tuple[str, ...] = PrivateAttr(default=())

    def place(self, *path: str | int) -> Place:
        """Where the key at `path` stands in the file: `place("services", "database", "on")`."""
        return self._marks.find(path, key=True)

    def line(self, number: int) -> str:
        """One line of the file, by its number from 1; empty where the estate did not come from a file."""
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    def as_json(self) -> dict[str, Any]:
        """The model as plain data in the notations of the file: read as an estate file, it gives this model again."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
