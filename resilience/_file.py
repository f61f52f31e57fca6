"""Policies as a file: TOML or JSON, checked by the types of the configs.

::

    [targets.catalog]
    preset = "standard"            # the base, "standard" or "bare"
    timeout_s = 2.0
    bulkhead = false               # off; in JSON also null

    [targets.catalog.retry]        # changes the preset's
    attempts = 4

    [targets.catalog.methods.GetProduct]
    timeout_s = 0.5                # and inherits the rest from its target

    [server]
    max_concurrent = 200

Tables are the fields of `ClientPolicy`, `MethodPolicy`, `ServerPolicy` and
their configs, by name.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from resilience._errors import rebuilt
from resilience._frozen import Frozen
from resilience._policy import (
    ClientPolicy,
    MethodPolicy,
    ServerPolicy,
    bare,
    standard,
)
from resilience._schema import Problems, join, plain, shown, table, unknown

MAX_BYTES: Final = 1_000_000

_PRESETS: Final = MappingProxyType({"standard": standard, "bare": bare})
_TARGET: Final = frozenset({"target"})
_APART: Final = _TARGET | {"methods"}


class PolicyFileError(ValueError):
    """A policy file that cannot be used; *problems* has a line for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)

    def __reduce__(self) -> Any:
        return rebuilt, (type(self), self.args), self.__dict__


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """All that a policy file says."""

    targets: Mapping[str, ClientPolicy]
    server: ServerPolicy


def load_policies(source: str | PathLike[str]) -> dict[str, ClientPolicy]:
    """Return the client policies of *source* by target; see `load_document`."""
    return dict(load_document(source).targets)


def load_document(source: str | PathLike[str]) -> PolicyDocument:
    """Read policies from a text, or from a file if *source* is a Path.

    A text that begins with a brace is JSON, any other is TOML. A target without
    a preset begins with "standard".

    Raises:
        PolicyFileError: it cannot be read, is larger than a megabyte, has a key
            that is no field, a value of another type, or one that a config
            refuses; each problem is told with its full path.
    """
    document = _parse(_text(source))
    problems = Problems()
    unknown(problems, "", document, ["server", "targets"])
    named = document.get("targets", {})
    targets = {}
    if isinstance(named, Mapping):
        for name, given in named.items():
            targets[name] = _target(name, given, join("targets", name), problems)
    else:
        problems.at("targets", f"expected a table, not {shown(named)}")
    server = table(
        ServerPolicy,
        document.get("server", {}),
        "server",
        problems,
        base=ServerPolicy(),
    )
    if problems:
        raise PolicyFileError(problems)
    return PolicyDocument(Frozen(targets), server)


def dump_policies(
    policies: Mapping[str, ClientPolicy], server: ServerPolicy | None = None
) -> str:
    """Return *policies* as JSON that `load_policies` reads back to equal values.

    Every field is written, so that the file says what holds whatever the
    presets become. Raises ValueError for what no file can hold (a tenacity
    strategy, say) and for a policy of another target than its name.
    """
    targets = {}
    for name, policy in policies.items():
        path = join("targets", name)
        if policy.target != name:
            raise ValueError(f"{path}: is the policy of {policy.target!r}")
        targets[name] = {"preset": "bare", **plain(policy, path, skip=_TARGET)}
    document: dict[str, Any] = {"targets": targets}
    if server is not None:
        document["server"] = plain(server, "server")
    return json.dumps(document, indent=2) + "\n"


def _target(name: str, given: Any, path: str, problems: Problems) -> Any:
    if not isinstance(given, Mapping):
        problems.at(path, f"expected a table, not {shown(given)}")
        return None
    if not name:
        problems.at(path, "target must be named")
        return None
    preset = given.get("preset", "standard")
    build = _PRESETS.get(preset) if isinstance(preset, str) else None
    if build is None:
        known = ", ".join(sorted(_PRESETS))
        problems.at(join(path, "preset"), f"{shown(preset)} is none of {known}")
        build = bare
    own = {key: given[key] for key in given if key not in {"preset", "methods"}}
    base = build(name)
    policy = table(ClientPolicy, own, path, problems, base=base, skip=_APART)
    below = given.get("methods", {})
    path = join(path, "methods")
    if not isinstance(below, Mapping):
        problems.at(path, f"expected a table, not {shown(below)}")
        return None
    methods = {
        method: table(
            MethodPolicy,
            override,
            join(path, method),
            problems,
            # A method's table changes what its target has.
            inherited=base if policy is None else policy,
        )
        for method, override in below.items()
    }
    if policy is None or None in methods.values():
        return None
    at = path
    try:
        policy = replace(policy, methods=methods)
        # What a method and its target say together is refused now, not by a call.
        for method in methods:
            at = join(path, method)
            policy.for_method(method)
    except ValueError as error:
        problems.at(at, str(error))
    return policy


def _text(source: str | PathLike[str]) -> str:
    if isinstance(source, str):
        if len(source) > MAX_BYTES:
            raise PolicyFileError([f"longer than {MAX_BYTES} characters"])
        return source
    path = Path(source)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise PolicyFileError([f"longer than {MAX_BYTES} bytes"])
        return raw.decode()
    except OSError as error:
        raise PolicyFileError([f"{path}: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        raise PolicyFileError([f"{path}: not UTF-8: {error.reason}"]) from error


def _parse(text: str) -> dict[str, Any]:
    kind = "JSON" if text.lstrip().startswith("{") else "TOML"
    try:
        if kind == "JSON":
            read: dict[str, Any] = json.loads(text, object_pairs_hook=_once)
            return read
        return tomllib.loads(text)
    except RecursionError as error:
        raise PolicyFileError([f"not {kind}: nested too deep"]) from error
    except PolicyFileError:
        raise
    except ValueError as error:
        raise PolicyFileError([f"not {kind}: {error}"]) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise PolicyFileError([f"{', '.join(twice)}: given twice"])
    return found
