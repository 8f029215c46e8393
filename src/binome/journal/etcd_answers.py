"""What an answer of etcd's says about the request: done, refused, or nobody knows.

A request that changes something may be sent a second time only if it is certain that the first did nothing. etcd gives
a refusal one of gRPC's codes and a sentence, and neither alone tells. So we go by where in etcd the refusal is made:

- *before the proposal* (who asks, what is asked, whether there is a leader, whether this member lags too far behind):
  nothing was done, and where the reason is this member's own, another may do it;
- *when it is applied* (no such lease, compacted, no space): it was ordered, refused by every member alike, and nothing
  was done; another member would say the same;
- *while it waits for its turn* (timed out, stopping, connection lost): it is in somebody's log, or is not, and may be
  carried out long after the answer. Nobody knows.

Only what is known to be of the first two is a refusal. All else, and every sentence that we do not know, is unknown.
"""

from __future__ import annotations

import msgspec

from binome.ports import EtcdError, EtcdUnknownError

_CODES = (
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
    "Internal", "Unavailable", "DataLoss", "Unauthenticated",
)  # fmt: skip
"""gRPC's codes by their numbers."""

_REFUSED = {
    "InvalidArgument",  # too large, too many operations, a key twice; the gateway's own: it cannot read our JSON
    "NotFound",  # no such lease: found out when it is applied, before anything is changed
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",  # no space: asked before the proposal, and again, by the alarm, when it is applied
    "FailedPrecondition",
    "OutOfRange",  # compacted, or not there yet
    "Unimplemented",
    "DataLoss",  # the alarm of a corrupt member: every member applies nothing any more
    "Unauthenticated",
}

_ELSEWHERE = {
    # Refused at the door, because we ask for a leader with every request (`hasleader`).
    "etcdserver: no leader",
    # This member's own log is far ahead of what it has applied; it takes no more proposals.
    "etcdserver: too many requests",
    # A member of an older version in the middle of an upgrade.
    "etcdserver: not capable",
    # Raft took it for nobody: no leader, or one that is handing over. What a *follower* forwards to a leader that
    # drops it gets no answer at all, and times out: unknown.
    "raft proposal dropped",
}
"""Refusals of one member, made before the proposal. Of the others with these codes we cannot know:

"etcdserver: request timed out", also "possibly due to previous leader failure" and "possibly due to connection lost":
proposed, and the answer did not come in time; a later leader may still commit it.
"etcdserver: server stopped": the member stops while the proposal waits.
"etcdserver: leader changed": said of reads alone in the versions that we know, so for a change we do not rely on it.
"context deadline exceeded", "context canceled": no leader for the whole time, or proposed just before; not told apart.
"transport is closing" and its like: the gateway lost its own member, perhaps after it had asked.
"""

_TOKEN_REFUSED = {
    "etcdserver: invalid auth token",  # expired, or the member was started anew and forgot it
    "etcdserver: user name is empty",  # no token: logins were switched on after our first request
    "etcdserver: revision of auth store is old",  # users were changed after the token was made
}


class ElsewhereError(EtcdError):
    """This endpoint did nothing, and will not now; another one may."""


class _Error(msgspec.Struct):
    message: str = ""
    code: int = 2
    grpc_code: int = 2  # the name of `code` inside a stream, up to etcd 3.5


_decoder = msgspec.json.Decoder(_Error)


def failure(status: int, answer: bytes) -> EtcdError | EtcdUnknownError:
    """What an answer other than 200 means for a request that changes something."""
    try:
        error = _decoder.decode(answer)
    except msgspec.DecodeError:
        if status == 404:  # not the gateway's answer, but that of the web server that it is missing from
            hint = "etcd has no JSON gateway here: set enable-grpc-gateway"
            return ElsewhereError(hint, "Unimplemented")
        return EtcdUnknownError(f"HTTP status {status} without a reason")
    return refusal(error.code, error.message)


def stream_failure(raw: bytes) -> EtcdError | EtcdUnknownError:
    """What the error in the middle of a stream means."""
    error = _decoder.decode(raw)
    return refusal(error.code if error.code != 2 else error.grpc_code, error.message)


def refusal(number: int, message: str) -> EtcdError | EtcdUnknownError:
    """What gRPC's code and etcd's sentence mean for a request that changes something."""
    code = _CODES[number] if 0 <= number < len(_CODES) else "Unknown"
    if message in _ELSEWHERE:
        return ElsewhereError(message, code)
    # gRPC uses this code for itself too, when the answer to something done is larger than it carries.
    of_grpc_itself = code == "ResourceExhausted" and not message.startswith("etcdserver:")
    if code in _REFUSED and not of_grpc_itself:
        return EtcdError(message, code)
    return EtcdUnknownError(message)


def token_refused(reason: str) -> bool:
    """Whether a new token may help."""
    return any(sentence in reason for sentence in _TOKEN_REFUSED)
