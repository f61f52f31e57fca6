"""`seawall bench resilience` end to end, small: processes, JSON object, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.resilience, pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parents[3]
KEYS = {
    "name",
    "side",
    "api",
    "shape",
    "python",
    "interpreter",
    "cpu_us",
    "added_cpu_us",
    "added_low_us",
    "added_high_us",
    "blocks",
    "added_share",
    "added_at_reference_us",
    "peer_cpu_us",
    "p50_us",
    "rps",
    "relative_rps",
    "spread",
}


def bench(*arguments, path=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "lab.cli", "bench", "resilience", *arguments],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_quick_run_of_a_few_variants_says_everything_it_promises():
    """One JSON object alone on standard output, its figures complete."""
    done = bench(
        "--quick",
        "--rounds=2",
        "--no-kit",
        "--variant=no-op interceptor",
        "--variant=ours in full",
        "--json=-",
    )

    # Whether so short a run is valid, or within budget, is this machine's affair.
    assert done.returncode in {0, 1, 3}, done.stderr
    document = json.loads(done.stdout)
    assert ("seawall/1", "bench resilience") == (
        document["schema"],
        document["command"],
    )
    assert document["valid"] == (done.returncode != 3)
    assert document["verdict"] in ({"pass", "fail"} if document["valid"] else {None})
    results = document["results"]
    assert all(set(one) == KEYS for one in results)
    measured = {(one["side"], one["api"], one["name"]) for one in results}
    names = {"bare", "bare again", "no-op interceptor", "ours in full"}
    kinds = {("client", "aio"), ("client", "blocking"), ("server", "aio")}
    assert {(*kind, name) for kind in kinds for name in names} == measured
    assert {"sequential", "32 in flight", "streamed message"} == {
        one["shape"] for one in results
    }
    assert all(one["cpu_us"] > 0 and one["rps"] > 0 for one in results)
    assert all(one["added_cpu_us"] == 0 for one in results if one["name"] == "bare")
    assert document["refusal"]["p99_us"] >= document["refusal"]["p50_us"] > 0


def test_what_is_left_out_is_told():
    """Without the kit, its budget is not judged and the reason stands there."""
    done = bench("--quick", "--rounds=2", "--no-kit", "--json=-", "--variant", KIT)

    document = json.loads(done.stdout)
    assert [(KIT, "--no-kit")] == [
        (one["name"], one["reason"]) for one in document["skipped"]
    ]
    against = [one for one in document["budgets"] if "kit" in one["name"]]
    assert [None] == [one["passed"] for one in against]


KIT = "grpc-client-kit: timeout, retry, breaker"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--variant", "no such variant"),
        ("--rounds", "1"),
        ("--kit-python", "python3", "--no-kit"),
        ("--kit-python", "/no/such/python"),
    ],
)
def test_usage_errors_exit_2(arguments):
    """What cannot be measured is said at once, with exit code 2."""
    done = bench("--quick", *arguments)

    assert 2 == done.returncode
    assert "Error" in done.stderr
    assert not done.stdout
