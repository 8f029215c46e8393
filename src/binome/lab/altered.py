"""The lab's copy of an estate, with other values for some keys of one entry; everything else stays as written.

A demonstration that repeats a fire cannot wait for the cooldown of ten minutes that a real platform should have, nor
change the file that people keep. What was changed is said in the report.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml


def altered(text: bytes, service: str, values: Mapping[str, str], section: str = "services") -> bytes:
    """The estate in `text`, in which keys of a service, or of what else a section has, have these values.

    `text` is an estate that loads.

    A key that is there gets its new value in its place; one that is not becomes the first of its entry.
    """
    written = text.decode()
    for key, value in values.items():
        root = yaml.compose(written, Loader=yaml.CSafeLoader)
        node = _value(_value(root, section), service)
        found = _find(node, key)
        if found is not None:
            begin, end = found.start_mark.index, found.end_mark.index
            written = f"{written[:begin]}{value}{written[end:]}"
        else:
            first, _ = node.value[0]
            begin = first.start_mark.index
            between = ", " if node.flow_style else "\n" + " " * first.start_mark.column
            written = f"{written[:begin]}{key}: {value}{between}{written[begin:]}"
    return written.encode()


def _value(node: yaml.Node | None, key: str) -> yaml.MappingNode:
    found = _find(node, key)
    if not isinstance(found, yaml.MappingNode):
        raise ValueError(f"{key} is no mapping")
    return found


def _find(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)
