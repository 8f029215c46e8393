"""The Protocols that the pure code is served by: what the world must offer, and how it may fail.

Each has more than one implementation, and one conformance suite that all of them pass: the real engine and the model
that the simulation runs. Nothing here imports an engine. Times are in milliseconds; `now_ms` is since 1970 by this
server's own clock, which may be wrong; a `timeout_s` or a lease is measured by a monotonic clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from binome.core.decision import View
from binome.core.entry import Draft, Entry, Head
from binome.core.plan import Command, Outcome

if TYPE_CHECKING:  # an agent is served by these ports too, and has no room for the estate
    from binome.core.paging_notes import AnyNote, Sent
    from binome.core.target import Answer, Target
    from binome.estate.model import Sender

# -- time


class Clock(Protocol):
    """The clocks of one server."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, as this server believes."""

    def monotonic_s(self) -> float:
        """Seconds that only rise, as this server counts them."""

    async def sleep(self, seconds: float) -> None:
        """Returns when that much of the monotonic clock has passed."""


# -- a file of entries


class StoreError(Exception):
    """The store did not take the entries: nothing of them is in it (a full disk, a read-only file, a second writer)."""


class Store(Protocol):
    """A durable file of entries on one server: the whole journal of a single server, the mirror of a lookout."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Adds entries that follow the head; durable when it returns. Raises StoreError, with nothing added.

        Raises ValueError where they do not follow: the caller holds another journal.
        """

    def read(self, after: int, limit: int = 1000) -> list[Entry]:
        """The entries that follow number `after`, at most `limit`."""

    def head(self) -> Head:
        """The end of what is in the store."""

    def has(self, draft_id: str) -> bool:
        """Whether an entry with this id is in the store."""

    def close(self) -> None:
        """Lets the file go."""


# -- etcd, as much of it as we use


class EtcdError(Exception):
    """etcd refused, and did nothing: no quorum, a full quota, an unknown lease. `code` is gRPC's name for it."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class EtcdUnknownError(Exception):
    """No answer: what was asked for may have been done, may be done later, or never."""


class CompactedError(Exception):
    """The revision that was asked for is gone. `revision` is the oldest that is left."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"compacted up to revision {revision}")
        self.revision = revision


class KeyValue(NamedTuple):
    """A key as it is at some revision."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    lease: int


class Compare(NamedTuple):
    """A condition of a transaction on one key: equality of its value or of a revision (0: there is no such key)."""

    key: str
    target: Literal["value", "create_revision", "mod_revision"]
    value: bytes | int


class Put(NamedTuple):
    """Sets a key; with a lease it is gone when the lease ends."""

    key: str
    value: bytes
    lease: int = 0


class Delete(NamedTuple):
    """Removes a key, or, with `prefix`, all that begin with it."""

    key: str
    prefix: bool = False


class Range(NamedTuple):
    """Keys at one revision, in their order. `more`: there are others, past the limit."""

    keys: tuple[KeyValue, ...]
    revision: int
    more: bool = False


class Committed(NamedTuple):
    """The answer to a transaction: whether its conditions held, and the revision after it."""

    succeeded: bool
    revision: int


class Change(NamedTuple):
    """One event of a watch; `value` is None where the key is gone."""

    key: str
    value: bytes | None
    mod_revision: int


class EtcdStatus(NamedTuple):
    """What a member says of itself."""

    member: str
    leader: str
    size_bytes: int
    revision: int


class Etcd(Protocol):
    """A client of etcd. Every call raises EtcdError (nothing was done) or EtcdUnknownError (no answer)."""

    async def range(
        self, key: str, *, prefix: bool = False, limit: int = 0, revision: int = 0, after: str = ""
    ) -> Range:
        """One key, or all that begin with it; linearizable. Raises CompactedError for an old `revision`.

        With `after`, of those that begin with `key` only those behind that one: the next page of a long list.
        """

    async def transact(self, compares: Sequence[Compare], actions: Sequence[Put | Delete]) -> Committed:
        """Carries out all actions at one revision if all conditions hold, else none."""

    async def grant(self, ttl_s: int) -> int:
        """A new lease's id."""

    async def keep_alive(self, lease: int) -> bool:
        """Whether the lease still lived; it then lives for its whole time again."""

    async def revoke(self, lease: int) -> None:
        """Ends a lease, with the keys that hang on it."""

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Sequence[Change]]:
        """Changes since `from_revision`, in order, each revision whole; resumes by itself. Raises CompactedError."""

    async def compact(self, revision: int) -> None:
        """Forgets what is older than `revision`."""

    async def status(self) -> EtcdStatus:
        """Asks the first member that answers."""


# -- the journal, as the loop sees it


class NotLeaderError(Exception):
    """The append was refused: another one leads, or nobody. Nothing was added."""


class MovedOnError(Exception):
    """The append was refused: the journal holds entries that the decision behind it was not made from."""


class AppendUnknownError(Exception):
    """Nobody can say whether the entries were added; the journal finds out before it appends again."""


class Standing(NamedTuple):
    """How a journal stands, for people to see. `leader` is who leads, by etcd's word; empty: nobody, or not known.

    `append_s` is how long the last append of this server took, `size_bytes` what etcd holds; None where nobody knows.
    """

    leader: str
    append_s: float | None = None
    size_bytes: int | None = None


class Journal(Protocol):
    """Facts in one order for all. Reading works alone; appending needs the right to it."""

    @property
    def generation(self) -> int | None:
        """The generation in which we lead; None while we do not, or cannot know."""

    async def append(self, drafts: Sequence[Draft], *, after: int | None = None) -> None:
        """Adds facts; durable when it returns. Raises NotLeaderError, AppendUnknownError or StoreError.

        `after` is the number of the last entry that they were decided from: where the journal has moved on since,
        nothing is added, and MovedOnError says so. A draft whose id the journal has already is passed over, so that a
        decision may be recorded again. Requests that were submitted are answered by being appended.
        """

    async def follow(self, after: int, timeout_s: float) -> Sequence[Entry]:
        """Entries after number `after`, as soon as there are any; none after `timeout_s`, or when something changed:
        leadership, or the requests that were submitted."""

    def has(self, draft_id: str) -> bool:
        """Whether a fact with this id is in the journal, as far as it is known here."""

    async def submit(self, draft: Draft) -> None:
        """Hands a person's request to whoever leads, now or later; durable when it returns. Fails as `append` does."""

    def submitted(self) -> Sequence[Draft]:
        """The requests that nobody has appended yet."""


# -- eyes


class Finding(NamedTuple):
    """What a probe found. `said` is one printable line of at most 200 characters; `took_s` is how long it took.

    `details` are what that kind of probe learned besides, by name, such as a role, a lag or the days that are left.
    """

    answer: Answer
    said: str
    took_s: float
    details: Mapping[str, str | int | float | bool | None] = {}


class Beats(Protocol):
    """The heartbeats that jobs sent, as far as they are known here. Times are of this server's monotonic clock."""

    @property
    def since_s(self) -> float:
        """Since when beats are listened for: of what came before nothing is known."""

    def last_s(self, job: str) -> float | None:
        """When the newest beat of a job came, here or at another lookout; None where none is known."""


class Surroundings(NamedTuple):
    """What a probe gets of the world besides its targets.

    `named` are the addresses that the estate names, as `str(ipaddress)` writes them: only these are reached among those
    that lead back to this server or its hoster's innards. `secret` gives what `env:NAME` or `file:PATH` stands for, and
    raises OSError where there is no such thing.
    """

    clock: Clock
    named: frozenset[str]
    secret: Callable[[str], str]
    beats: Beats


class Probe(Protocol):
    """Looks at targets of one kind. It is made by a `ProbeFactory`, once, in the loop that it looks in."""

    async def look(self, target: Target) -> Finding:
        """Looks once, within the target's `timeout_ms`. Raises nothing: what is not known is an unsure answer."""


ProbeFactory = Callable[[Surroundings], Probe]
"""What an entry point of the group `binome.probes` names; the entry point's own name is the kind."""


class Observer(Protocol):
    """Something that this server has seen, and that is to become facts where it leads."""

    def observed(self, view: View, now_ms: int) -> Sequence[Draft]:
        """What the state does not say yet; nothing once it does, so that asking again does no harm."""


# -- pages


class Outbox(Protocol):
    """What happened to the pages of one lookout, durable on it, in order. Nobody else's agreement is needed."""

    def append(self, notes: Sequence[AnyNote]) -> None:
        """Adds notes; durable when it returns. Raises StoreError: then they may or may not be found later."""

    def read(self) -> list[AnyNote]:
        """Every note, in order. Raises StoreError."""

    def forget(self, before_ms: int) -> None:
        """Lets go of the notes of a time before. Raises StoreError."""

    def close(self) -> None:
        """Lets the file go."""


class Message(NamedTuple):
    """What a sender is given. `id` is the same whenever the same is sent again, so that a provider may know it again.

    `to` is a phone number, a mail address, or a person's name, as the sender's kind needs. `sms` fits one text message
    and is one printable line, as `subject` is; `body` has several. `at_ms` is since 1970.
    """

    id: str
    person: str
    to: str
    sms: str
    subject: str
    body: str
    at_ms: int


class Delivery(NamedTuple):
    """What came of sending. `said` is one printable line, of at most 200 characters, without any secret."""

    outcome: Sent
    said: str


class Notify(Protocol):
    """Sends messages in one way. It is made by a `NotifyFactory`; it keeps nothing from one message to the next."""

    async def send(self, message: Message) -> Delivery:
        """Sends it once. Raises nothing.

        Accepted only where the other side said so; refused or later only where it surely has not been sent; anything
        else, also a lost reply and an answer that makes no sense, is unknown.
        """


class NotifyFactory(Protocol):
    """What an entry point of the group `binome.notify` names; the entry point's own name is the sender's kind."""

    def __call__(self, name: str, options: Sender, secret: Callable[[str], str]) -> Notify:
        """Makes a sender. `secret` gives what `env:NAME` or `file:PATH` stands for, and raises OSError.

        Raises ValueError, saying what the estate lacks, where nothing could be sent with these options.
        """


# -- hands


class Commit(Protocol):
    """Appends facts and changes keys of etcd in one transaction, so that no crash can come between the two."""

    async def __call__(
        self, drafts: Sequence[Draft], conditions: Sequence[Compare], actions: Sequence[Put | Delete]
    ) -> bool:
        """Does all of it while we lead and the conditions hold, else nothing; whether it was done.

        Done before, by the ids of the drafts, is done. Fails as `Journal.append` does.
        """


class Driver(Protocol):
    """Carries out the commands of one family."""

    async def carry_out(self, command: Command) -> Outcome:
        """Does it, again without harm if it was done before. Anything that is not sure is an unknown outcome."""


class Shown(Protocol):
    """Something of a server that follows from the state alone, such as files that people look at."""

    def show(self, view: View) -> None:
        """Makes it what the state says; at once, again without harm. Raises OSError where that cannot be."""
