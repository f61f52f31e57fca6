"""Policies: an immutable snapshot that follows a file."""

import json
import os
from pathlib import Path

import pytest

from lab import profiles
from services.runtime.policy import PolicyFile, PolicyFileError, PolicySet, parse
from services.runtime.testing import write_policies
from services.runtime.wiring import (
    Derived,
    client_policy,
    data_policy,
    server_policy,
)

CURED = profiles.values(profiles.cures_of("cured"))
SICK = profiles.values(profiles.cures_of("sick"))


def document(**values):
    return json.dumps({"version": 1, "profile": "x", "values": CURED | values})


@pytest.mark.parametrize("values", [SICK, CURED], ids=["sick", "cured"])
def test_both_profiles_of_the_lab_are_policies(values):
    """Every value that the lab knows is one of ours, and none is missing."""
    policies = PolicySet(**values)

    sizes = {
        service: data_policy(policies, service).pool_size
        for service in ("cart", "catalog", "storefront")
    }
    assert {"cart": 2, "catalog": 3, "storefront": 1} == sizes
    assert client_policy(policies, "cart@eu", "eu").target == "cart@eu"
    assert server_policy(policies, 7).max_concurrent == 7


def test_a_cure_left_out_is_a_policy_left_out():
    """Off means that the policy is not there, not that it is lenient."""
    sick = client_policy(PolicySet(**SICK), "cart@eu", "eu")
    cured = client_policy(PolicySet(**CURED), "cart@eu", "eu")

    assert (sick.breaker, sick.bulkhead, sick.retry_budget) == (None, None, None)
    assert not sick.propagate_deadline
    assert None not in {cured.breaker, cured.bulkhead, cured.retry_budget}
    assert cured.propagate_deadline


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "expected"),
        ('{"values": {}}', "missing breakers"),
        (document(cahce_ttl_s=1), "unknown cahce_ttl_s"),
        (document(breakers=1), "breakers=1 is no bool"),
        (document(retry_attempts=2.5), "retry_attempts=2.5 is no int"),
        (document(retry_attempts=True), "retry_attempts=True is no int"),
        (document(stale_s=-1), "stale_s=-1 is no float"),
        (document(query_schema="fast"), "is none of naive, local"),
        (json.dumps({"values": CURED, "comment": ""}), "unknown comment"),
    ],
)
def test_a_file_with_anything_odd_is_refused(text, said):
    """Unknown, missing and wrong values are named."""
    with pytest.raises(PolicyFileError, match=said):
        parse(text)


def test_a_new_file_takes_over_whole_and_a_bad_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """A sound file is swapped in; a broken or missing one leaves the old in force."""
    path = write_policies(tmp_path / "policies.json", CURED)
    policies = PolicyFile(path)
    before = policies()

    assert not policies.refresh()
    assert policies() is before

    write_policies(path, CURED | {"stale_s": 7.0}, version=2)

    assert policies.refresh()
    assert policies().stale_s == 7.0
    assert policies.snapshot.version == 2
    assert before.stale_s == 30.0

    path.write_text("{")

    assert not policies.refresh()
    assert policies().stale_s == 7.0
    assert "policy file refused" in caplog.text

    path.unlink()

    assert not policies.refresh()
    assert policies().stale_s == 7.0


def test_a_file_of_the_same_age_and_size_is_seen(tmp_path: Path):
    """Two writes within one tick of the clock are told apart."""
    path = write_policies(tmp_path / "policies.json", CURED)
    stamp = path.stat()
    policies = PolicyFile(path)
    write_policies(path, CURED | {"stale_s": 31.0})
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    assert policies.refresh()


def test_a_start_without_policies_is_refused(tmp_path: Path):
    """There is no default profile: a missing file is an error."""
    with pytest.raises(PolicyFileError, match="No such file"):
        PolicyFile(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("target", "trip_s"),
    [("orders@eu", 0.0), ("orders@us", 0.08), ("orders@asia", 0.22), ("any", 0.0)],
)
def test_the_way_there_and_back_is_kept_of_a_deadline(target, trip_s):
    """A callee across the ocean is given no later deadline than its caller has."""
    given = client_policy(PolicySet(**CURED), target, "eu")

    assert given.reserve_s == pytest.approx(0.02 + trip_s)


def test_a_derived_policy_is_made_anew_only_for_a_new_snapshot():
    """Reading a policy at every call costs a comparison, not a construction."""
    snapshots = [PolicySet(**CURED), PolicySet(**SICK)]
    now = [snapshots[0]]
    derived = Derived(lambda: now[0], lambda it: data_policy(it, "cart"))
    first = derived()

    assert derived() is first

    now[0] = snapshots[1]

    assert derived().gateway_choice == "round_robin_all"
