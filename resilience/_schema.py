"""Frozen dataclasses from plain tables and back, by their type hints alone.

What a field may hold is read from its annotation, so that a field that is
added to a config can be set from a file without a line here.
"""

import difflib
import enum
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from resilience._policy import INHERIT, Inherit

# Which class a table is of, where a field may hold several.
TYPE: Final = "type"

_LISTS: Final = (frozenset, set, tuple, list)


class Problems(list[str]):
    """What is wrong with a document, each with the full path of its place."""

    def at(self, path: str, message: str) -> None:
        """Note one."""
        self.append(f"{path}: {message}" if path else message)


class _NotThisError(Exception):
    """A value is not of a kind; the kind is told by whoever knows all of them."""


def join(path: str, key: str) -> str:
    """Return the dotted path of *key* below *path*, quoted where TOML would."""
    plain = key.replace("_", "").replace("-", "").isalnum() and key.isascii()
    part = key if plain else f'"{key}"'
    return f"{path}.{part}" if path else part


def shown(value: object) -> str:
    """Return the beginning of *value* as a message may hold it."""
    try:
        return f"{value!r:.60}"
    except ValueError:
        # An integer written in hexadecimal may be too long to be shown in decimal.
        return f"a {type(value).__name__} too long to show"


@lru_cache(maxsize=256)
def hints(cls: type) -> dict[str, Any]:
    """Return the resolved annotations of *cls*."""
    return get_type_hints(cls)


def unknown(problems: Problems, path: str, given: Any, known: list[str]) -> None:
    """Note every key of *given* that is not *known*, and what may be meant."""
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            hint = f", did you mean {close[0]}?" if close else ""
            problems.at(join(path, str(key)), f"unknown{hint}")


def table(
    cls: type,
    given: Any,
    path: str,
    problems: Problems,
    *,
    base: Any = None,
    inherited: Any = None,
    skip: frozenset[str] = frozenset(),
) -> Any:
    """Return *base* (or a new *cls*) with the fields that *given* has.

    Tables in it change the value that *inherited*, or else *base*, has there.
    *skip* are fields that this table does not give. What is wrong is noted in
    *problems*, and then None is returned.
    """
    if not isinstance(given, Mapping):
        problems.at(path, f"expected a table, not {shown(given)}")
        return None
    before = len(problems)
    known = {item.name: item for item in fields(cls) if item.name not in skip}
    unknown(problems, path, given, list(known))
    above = base if inherited is None else inherited
    values = {
        name: field_value(
            hints(cls)[name],
            given[name],
            join(path, name),
            problems,
            base=getattr(above, name, None),
        )
        for name in known
        if name in given
    }
    if base is None:
        for name, item in known.items():
            if name not in values and _required(item):
                problems.at(join(path, name), "missing")
    if len(problems) > before:
        return None
    try:
        return cls(**values) if base is None else replace(base, **values)
    except (ValueError, TypeError) as error:
        problems.at(path, str(error))
        return None


def field_value(
    kind: Any, given: Any, path: str, problems: Problems, *, base: Any = None
) -> Any:
    """Return *given* as a value of *kind*; note in *problems* when it is none."""
    kinds = members(kind)
    if types.NoneType in kinds and (
        given is None or (given is False and bool not in kinds)
    ):
        return None
    classes = [each for each in kinds if is_dataclass(each)]
    if classes and isinstance(given, Mapping):
        cls, rest = _class_of(classes, given, path, problems)
        if cls is None:
            return None
        return table(
            cls,
            rest,
            path,
            problems,
            base=base if type(base) is cls else None,
        )
    for each in kinds:
        if is_mapping(each) and isinstance(given, Mapping):
            inner = get_args(each)[1]
            read = {
                str(key): field_value(inner, value, join(path, str(key)), problems)
                for key, value in given.items()
            }
            return types.MappingProxyType(read)
        try:
            return _plain(each, given)
        except _NotThisError:
            continue
    problems.at(path, f"expected {_expected(kinds)}, not {shown(given)}")
    return None


def members(kind: Any) -> list[Any]:
    """Return the kinds of a union, or the only one; `Inherit` is no kind in a file."""
    union = get_origin(kind) in {Union, types.UnionType}
    return [each for each in (get_args(kind) if union else (kind,)) if each != Inherit]


def is_mapping(kind: Any) -> bool:
    """Whether *kind* is a table of values by name."""
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _plain(kind: Any, given: Any) -> Any:
    origin = get_origin(kind)
    if origin in _LISTS and isinstance(given, list):
        return _list(origin, get_args(kind), given)
    if origin is Literal or _is_enum(kind):
        return _choice(kind, given)
    if kind is float and type(given) in {int, float}:
        try:
            number = float(given)
        except OverflowError as error:
            raise _NotThisError from error
        # Every comparison with it is false, so that no config could refuse it.
        if not math.isnan(number):
            return number
    if kind in {bool, int, str} and type(given) is kind:
        return given
    raise _NotThisError


def _choice(kind: Any, given: Any) -> Any:
    if _is_enum(kind):
        for member in kind:
            if given in (member.value, member.name, member.name.lower()):
                return member
    else:
        for choice in get_args(kind):
            if type(choice) is type(given) and choice == given:
                return choice
    raise _NotThisError


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _list(origin: Any, kinds: tuple[Any, ...], given: list[Any]) -> Any:
    if origin is tuple and (len(kinds) != 2 or kinds[1] is not ...):
        if len(kinds) != len(given):
            raise _NotThisError
        return tuple(_plain(*pair) for pair in zip(kinds, given, strict=True))
    return origin(_plain(kinds[0], each) for each in given)


def _class_of(
    classes: list[Any], given: Any, path: str, problems: Problems
) -> tuple[Any, Any]:
    if len(classes) == 1:
        return classes[0], given
    by_name = {cls.__name__: cls for cls in classes}
    cls = by_name.get(given.get(TYPE))
    if cls is None:
        problems.at(join(path, TYPE), f"expected one of {', '.join(sorted(by_name))}")
    return cls, {key: value for key, value in given.items() if key != TYPE}


def _expected(kinds: list[Any]) -> str:
    words = []
    for kind in kinds:
        origin = get_origin(kind)
        if kind is types.NoneType:
            words.append("false")
        elif is_dataclass(kind) or is_mapping(kind):
            words.append("a table")
        elif origin is Literal:
            words.extend(repr(choice) for choice in get_args(kind))
        elif origin in _LISTS:
            inner = [each for each in get_args(kind) if each is not ...]
            words.append(f"a list of {_expected(inner)}")
        elif _is_enum(kind):
            words.extend(repr(choice.value) for choice in kind)
        elif kind in {bool, int, float, str}:
            words.append(kind.__name__)
        else:
            words.append(f"{getattr(kind, '__name__', kind)} (in code alone)")
    return " or ".join(words)


def _required(item: "Field[Any]") -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def plain(value: Any, path: str = "", *, skip: frozenset[str] = frozenset()) -> Any:
    """Return *value* as tables, lists and scalars, from which it can be read again.

    Fields that inherit are left out. Raises ValueError for what no file can
    hold, a function for one.
    """
    if is_dataclass(value) and not isinstance(value, type):
        found = {}
        for item in fields(value):
            held = getattr(value, item.name)
            if held is INHERIT or item.name in skip:
                continue
            found[item.name] = plain(held, join(path, item.name))
            several = members(hints(type(value))[item.name])
            if is_dataclass(held) and sum(map(is_dataclass, several)) > 1:
                found[item.name][TYPE] = type(held).__name__
        return found
    if isinstance(value, Mapping):
        return {key: plain(held, join(path, key)) for key, held in value.items()}
    if isinstance(value, (frozenset, set)):
        return sorted(plain(held, path) for held in value)
    if isinstance(value, (tuple, list)):
        return [plain(held, path) for held in value]
    if isinstance(value, enum.Enum):
        return plain(value.value, path)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"{path}: {shown(value)} cannot be written to a file")
