"""Mappings that cannot be changed: the sections of the estate, and every table in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, WrapSerializer

_T = TypeVar("_T")
_K = TypeVar("_K")


class Frozen(Mapping[_K, _T]):
    """A mapping that cannot be changed, and so may be shared freely."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[_K, _T]) -> None:
        self._items = dict(items)

    def __getitem__(self, key: _K) -> _T:
        return self._items[key]

    def __iter__(self) -> Iterator[_K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)

    def __deepcopy__(self, _memo: object) -> Frozen[_K, _T]:
        return self


Table = Annotated[
    Mapping[_K, _T],
    BeforeValidator(lambda value: {} if value is None else value),
    AfterValidator(Frozen),
    WrapSerializer(lambda value, serialize: serialize(dict(value))),
]


EMPTY: Mapping[Any, Any] = Frozen({})
