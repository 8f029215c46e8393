"""Tables and lists: mappings that cannot be changed, and lists of which a single name may stand for one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, GetJsonSchemaHandler, ValidationInfo, WrapSerializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from binome.estate.scalars import Status, wrong

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


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _not_empty(values: tuple[_T, ...], info: ValidationInfo) -> tuple[_T, ...]:
    if not values:
        raise wrong(f"an empty `{(info.field_name or 'list').removesuffix('_')}`", "at least one name", "Name one.")
    return values


class _OrOne:
    """Tells the schema that a single name may stand for a list of one, and what else it says of the list."""

    def __init__(self, **more: Any) -> None:
        self._more = more

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = {**handler(core), **self._more}
        return {"anyOf": [schema, schema["items"]]}


Many = Annotated[tuple[_T, ...], BeforeValidator(_as_list), _OrOne()]
"""A list of names, each given once (whole.py sees to that); a single one may stand without brackets."""
Statuses = Annotated[
    tuple[Status, ...], BeforeValidator(lambda value: [value] if type(value) is int else value), _OrOne()
]
"""A list of statuses of HTTP; a single one may stand without brackets."""
Some = Annotated[tuple[_T, ...], BeforeValidator(_as_list), AfterValidator(_not_empty), _OrOne(minItems=1)]
"""The same, with at least one name."""
