"""Reads a dashboard by Grafana's own types, writes it again, and tells what was lost or is no value of its type."""

import enum
import json
import sys
import types
import typing

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard


def lost(before, after, place):
    """Places of what is in `before` and not the same in `after`."""
    if isinstance(before, dict):
        if not isinstance(after, dict):
            yield place
            return
        for key, value in before.items():
            if value is None:
                continue
            if key not in after:
                yield f"{place}.{key}"
            else:
                yield from lost(value, after[key], f"{place}.{key}")
    elif isinstance(before, list):
        if not isinstance(after, list) or len(before) != len(after):
            yield place
            return
        for nth, (one, other) in enumerate(zip(before, after)):
            yield from lost(one, other, f"{place}[{nth}]")
    elif before != after:
        yield f"{place}: {before!r} became {after!r}"


def is_of(value, hint, space):
    """Whether a value is of a type, as far as that is enumerations and plain types."""
    if isinstance(hint, str):
        hint = eval(hint, space)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(is_of(value, argument, space) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(is_of(one, arguments[0], space) for one in value)
    if origin is dict or hint in (object, typing.Any):
        return True
    if isinstance(hint, typing.ForwardRef):
        return is_of(value, hint.__forward_arg__, space)
    if hint is None or hint is type(None):
        return value is None
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return value in list(hint)
    if hint is float:
        return isinstance(value, (int, float))
    if isinstance(value, dict) and hasattr(hint, "from_json"):
        # What the types leave as it was read.
        return not list(lost(value, json.loads(JSONEncoder().encode(hint.from_json(value))), ""))
    return isinstance(value, hint) if isinstance(hint, type) else True


def mistyped(value, place):
    """Places of what is no value of its type."""
    if isinstance(value, list):
        for nth, one in enumerate(value):
            yield from mistyped(one, f"{place}[{nth}]")
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from mistyped(one, f"{place}.{key}")
    elif hasattr(value, "to_json"):
        space = vars(sys.modules[type(value).__module__])
        for name, hint in getattr(type(value), "__annotations__", {}).items():
            one = getattr(value, name, None)
            if not is_of(one, hint, space):
                yield f"{place}.{name}: {one!r} is no {hint}"
            yield from mistyped(one, f"{place}.{name}")


def main():
    register_default_plugins()
    with open(sys.argv[1], encoding="utf-8") as file:
        before = json.load(file)
    typed = dashboard.Dashboard.from_json(before)
    after = json.loads(JSONEncoder().encode(typed))
    wrong = [*lost(before, after, "dashboard"), *mistyped(typed, "dashboard")]
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


sys.exit(main())
