"""Policies from a file: what it may say, and how it is told what it may not."""

import json
from dataclasses import fields, is_dataclass
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import stop_never, wait_fixed

import resilience
from resilience import (
    BreakerConfig,
    BudgetConfig,
    BulkheadConfig,
    ClientPolicy,
    MethodPolicy,
    RetryConfig,
    ServerPolicy,
    bare,
    standard,
)
from resilience._file import (
    MAX_BYTES,
    PolicyFileError,
    dump_policies,
    load_document,
    load_policies,
)
from resilience._policy import INHERIT
from resilience._schema import Problems, field_value, hints, members

pytestmark = pytest.mark.resilience

SHOP = """
[targets.catalog]
timeout_s = 2
bulkhead = false
idempotent = ["GetProduct"]

[targets.catalog.retry]
attempts = 4

[targets.catalog.methods.GetProduct]
timeout_s = 0.5
retry = { backoff_s = 0.01 }

[targets.catalog.methods."/shop.v1.Catalog/List"]
breaker = false

[targets.acquirer]
preset = "bare"
breaker = { open_s = 1.5, window = "time" }

[server]
max_concurrent = 3
exempt = []
"""


def problems(text):
    with pytest.raises(PolicyFileError) as caught:
        load_document(text)
    return list(caught.value.problems)


def test_a_file_changes_presets_by_field():
    """A target begins with its preset; tables change single fields of configs."""
    read = load_document(SHOP)

    preset = standard("catalog")
    assert preset.retry is not None
    catalog = read.targets["catalog"]
    assert catalog.breaker == preset.breaker
    assert (2.0, None) == (catalog.timeout_s, catalog.bulkhead)
    assert catalog.retry == RetryConfig(attempts=4)
    assert catalog.idempotent == frozenset({"GetProduct"})
    assert read.targets["acquirer"] == ClientPolicy(
        target="acquirer",
        propagate_deadline=False,
        breaker=BreakerConfig(open_s=1.5, window="time"),
    )
    assert read.server == ServerPolicy(max_concurrent=3, exempt=frozenset())


def test_a_method_changes_what_its_target_has():
    """What a method does not say, also inside a table, is its target's."""
    catalog = load_policies(SHOP)["catalog"]

    assert catalog.methods == {
        "GetProduct": MethodPolicy(
            timeout_s=0.5, retry=RetryConfig(attempts=4, backoff_s=0.01)
        ),
        "/shop.v1.Catalog/List": MethodPolicy(breaker=None),
    }
    assert catalog.for_method("/shop.v1.Catalog/GetProduct").breaker == catalog.breaker


def test_json_is_read_like_toml(tmp_path):
    """The same document in JSON, from a path, gives the same policies."""
    path = tmp_path / "policies.json"
    path.write_text(json.dumps({"targets": {"a": {"bulkhead": None, "timeout_s": 3}}}))

    assert load_policies(path) == load_policies(
        "[targets.a]\nbulkhead = false\ntimeout_s = 3.0"
    )


def test_an_empty_document_is_no_error():
    """No target and the default of a server."""
    document = load_document("")

    assert ({}, ServerPolicy()) == (dict(document.targets), document.server)


_LONG = "targets.a.timeout_s: expected float or false, not a int too long to show"
_WAIT = "targets.a.retry.wait: expected wait_base (in code alone) or false, not '1s'"
_ATTEMPTS = 'targets.a.methods."/a.B/C".retry.attemps: unknown, did you mean attempts?'
WRONG = [
    (
        f"targets.a.timeout_s = 0x{'f' * 9999}",
        [_LONG],
    ),
    ("sever = {}", ["sever: unknown, did you mean server?"]),
    ("targets = 3", ["targets: expected a table, not 3"]),
    ("targets.a = 3", ["targets.a: expected a table, not 3"]),
    ('targets."" = {}', ['targets."": target must be named']),
    (
        "targets.a.tiemout_s = 1",
        ["targets.a.tiemout_s: unknown, did you mean timeout_s?"],
    ),
    ('targets.a.target = "b"', ["targets.a.target: unknown"]),
    (
        'targets.a.preset = "best"',
        ["targets.a.preset: 'best' is none of bare, standard"],
    ),
    (
        'targets.a.timeout_s = "2 s"',
        ["targets.a.timeout_s: expected float or false, not '2 s'"],
    ),
    (
        "targets.a.timeout_s = nan",
        ["targets.a.timeout_s: expected float or false, not nan"],
    ),
    (
        "targets.a.timeout_s = true",
        ["targets.a.timeout_s: expected float or false, not True"],
    ),
    (
        "targets.a.retry.attempts = 2.0",
        ["targets.a.retry.attempts: expected int, not 2.0"],
    ),
    (
        "targets.a.retry.attempts = 0",
        ["targets.a.retry: attempts must be at least 1"],
    ),
    (
        'targets.a.retry.wait = "1s"',
        ["targets.a.retry.wait: expected wait_base (in code alone) or false, not '1s'"],
    ),
    (
        "targets.a.bulkhead = 3",
        ["targets.a.bulkhead: expected a table or false, not 3"],
    ),
    (
        'targets.a.breaker.window = "hours"',
        ["targets.a.breaker.window: expected 'count' or 'time', not 'hours'"],
    ),
    (
        "targets.a.idempotent = [3]",
        ["targets.a.idempotent: expected a list of str or false, not [3]"],
    ),
    ("targets.a.methods = 3", ["targets.a.methods: expected a table, not 3"]),
    (
        'targets.a.methods."/a.B/C".retry.attemps = 3',
        ['targets.a.methods."/a.B/C".retry.attemps: unknown, did you mean attempts?'],
    ),
    (
        "targets.a.methods.Get.timeout_s = -1",
        ["targets.a.methods.Get: timeouts must be more than 0, or None"],
    ),
    (
        "server.max_concurrent = 0",
        ["server: max_concurrent must be at least 1, or None"],
    ),
    (
        "targets.a.timeout_s = -1\ntargets.b.retry.attempts = 0",
        [
            "targets.a: timeouts must be more than 0, or None",
            "targets.b.retry: attempts must be at least 1",
        ],
    ),
    ('{"server": {}, "server": {}}', ["server: given twice"]),
]


@pytest.mark.parametrize(("text", "told"), WRONG, ids=[text[:40] for text, _ in WRONG])
def test_what_is_wrong_is_told_with_its_path(text, told):
    """Each problem names its place in full, all of them at once."""
    assert problems(text) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("targets = ", "not TOML: "),
        ('{"targets": ', "not JSON: "),
        ('{"targets": ' + "[" * 100_000, "not JSON: nested too deep"),
        (" " * (MAX_BYTES + 1), "longer than 1000000 characters"),
    ],
    ids=["toml", "json", "deep", "long"],
)
def test_what_is_no_document_is_told_as_such(text, told):
    """A text that does not parse, nests without end or is too long is refused."""
    (problem,) = problems(text)

    assert problem.startswith(told)


def test_a_file_that_cannot_be_read_is_told_by_name(tmp_path):
    """A missing file, one that is no text and one that is too long."""
    raw, long = tmp_path / "raw", tmp_path / "long"
    raw.write_bytes(b"\xff")
    long.write_bytes(b"#" * (MAX_BYTES + 1))

    assert problems(tmp_path / "no") == [f"{tmp_path}/no: No such file or directory"]
    assert problems(raw) == [f"{raw}: not UTF-8: invalid start byte"]
    assert problems(long) == ["longer than 1000000 bytes"]


SECONDS = st.floats(0.001, 1000.0)
RETRIES = st.builds(
    RetryConfig,
    attempts=st.integers(1, 9),
    backoff_s=st.floats(0.0, 1.0),
    backoff_max_s=st.floats(1.0, 9.0),
    multiplier=st.floats(1.0, 9.0),
    jitter=st.sampled_from(["full", "equal", "decorrelated", "grpc", "none"]),
    retry_on=st.frozensets(st.sampled_from(["UNAVAILABLE", "ABORTED", "INTERNAL"])),
    attempt_timeout_s=st.none() | SECONDS,
)
BREAKERS = st.builds(
    BreakerConfig,
    failure_rate=st.floats(0.01, 1.0),
    window=st.sampled_from(["count", "time"]),
    window_size=st.integers(20, 100),
    min_calls=st.integers(1, 20),
    open_s=SECONDS,
    half_open_max_wait_s=st.none() | SECONDS,
)
BULKHEADS = st.builds(BulkheadConfig, limit=st.integers(1, 99), max_wait_s=SECONDS)
INHERITED = st.just(INHERIT)
NAMES = st.text(min_size=1, max_size=8)
METHODS = st.builds(
    MethodPolicy,
    timeout_s=INHERITED | st.none() | SECONDS,
    retry=INHERITED | st.none() | RETRIES,
    breaker=INHERITED | st.none() | BREAKERS,
    bulkhead=INHERITED | st.none() | BULKHEADS,
)
CLIENTS = st.dictionaries(NAMES, st.just({}), max_size=3).flatmap(
    lambda names: st.fixed_dictionaries(
        {
            name: st.builds(
                ClientPolicy,
                target=st.just(name),
                timeout_s=st.none() | SECONDS,
                propagate_deadline=st.booleans(),
                reserve_s=st.floats(0.0, 1.0),
                retry=st.none() | RETRIES,
                retry_budget=st.none()
                | st.builds(BudgetConfig, max_tokens=st.floats(0.1, 1000.0)),
                breaker=st.none() | BREAKERS,
                bulkhead=st.none() | BULKHEADS,
                idempotent=st.none() | st.frozensets(NAMES, max_size=3),
                methods=st.dictionaries(NAMES, METHODS, max_size=3).map(
                    MappingProxyType
                ),
            )
            for name in names
        }
    )
)


@given(clients=CLIENTS, limit=st.none() | st.integers(1, 99))
def test_what_is_dumped_loads_to_equal_values(clients, limit):
    """Whatever a policy says survives the way through a file."""
    server = ServerPolicy(max_concurrent=limit, propagate_deadline=limit is None)

    read = load_document(dump_policies(clients, server))

    assert (clients, server) == (dict(read.targets), read.server)


def test_presets_survive_the_file():
    """Standard and bare, and a window without end, are written as they are."""
    policies = {
        "a": standard("a"),
        "b": bare("b"),
        "c": ClientPolicy(target="c", breaker=BreakerConfig(slow_after_s=float("inf"))),
    }

    assert load_policies(dump_policies(policies)) == policies


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (
            ClientPolicy(target="a", retry=RetryConfig(wait=wait_fixed(1))),
            "targets.a.retry.wait: .*cannot be written",
        ),
        (
            ClientPolicy(target="a", retry=RetryConfig(stop=stop_never)),
            "targets.a.retry.stop: .*cannot be written",
        ),
        (ClientPolicy(target="b"), "targets.a: is the policy of 'b'"),
    ],
)
def test_what_no_file_can_hold_is_not_dumped(policy, told):
    """Nothing is left out in silence."""
    with pytest.raises(ValueError, match=told):
        dump_policies({"a": policy})


def _unreadable(cls, path=""):
    """Every field below *cls* that no file can set."""
    for item in fields(cls):
        place = f"{path}.{item.name}" if path else item.name
        for kind in members(hints(cls)[item.name]):
            if is_dataclass(kind):
                yield from _unreadable(kind, place)
            else:
                found = Problems()
                field_value(kind, object(), place, found)
                if found and "in code alone" in found[0]:
                    yield place


def test_every_field_of_every_policy_can_be_set_from_a_file():
    """A field that is added is readable, or is named here as one of code alone."""
    unreadable = {
        place
        for cls in (resilience.ClientPolicy, MethodPolicy, ServerPolicy)
        for place in _unreadable(cls)
    }

    # Functions, and answers of any type, are given in code.
    assert unreadable == {
        "breaker_key",
        "coalesce.key",
        "fallback.key",
        "fallback.other",
        "fallback.provide",
        "fallback.value",
        "retry.stop",
        "retry.wait",
    }
