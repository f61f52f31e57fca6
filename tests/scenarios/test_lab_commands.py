"""The commands around a running lab: status, flags, traces, logs, refusals."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from cockroach.topology import REGIONS, rtt_ms
from lab import profiles
from protos.shop.v1 import common_pb2, storefront_pb2, storefront_pb2_grpc

Seawall = Callable[..., Any]


def _json(done: Any) -> dict[str, Any]:
    assert done.stdout.startswith("{"), done.stderr
    return json.loads(done.stdout)


def test_status_tells_of_every_process_and_distance(
    lab: dict[str, Any], seawall: Seawall
) -> None:
    """28 services serve, six gateways are up, and the WAN is as far as configured."""
    status = _json(seawall("status", "--json", "-"))

    assert "pass" == status["verdict"]
    assert 28 == len(status["results"])
    assert {"SERVING"} == {one["health"] for one in status["results"]}
    assert ["up"] * 6 == [one["health"] for one in status["gateways"]]
    for one in status["wan"]:
        configured = rtt_ms(one["from"], one["to"])
        assert configured <= one["ms"] < configured + 60
    assert {frozenset((o["from"], o["to"])) for o in status["wan"]} == {
        frozenset((a, b)) for a in REGIONS for b in REGIONS if a != b
    }


def test_a_second_up_says_that_one_is_running(
    lab: dict[str, Any], seawall: Seawall
) -> None:
    """The second start is refused with exit code 2 and tells what to do."""
    done = seawall("up")

    assert 2 == done.returncode
    assert "is running already" in done.stderr
    assert "seawall down" in done.stderr


def test_a_taken_port_is_named(
    lab: dict[str, Any], tmp_path: Path, seawall_in: Any
) -> None:
    """Another lab on the same ports exits 2 and names the first port it misses."""
    port = int(lab["services"][0]["address"].rpartition(":")[2])
    done = seawall_in(tmp_path)("up", "--port-base", str(port - 1))

    assert 2 == done.returncode
    assert f"{port} (storefront-us-a)" in done.stderr
    assert "--port-base" in done.stderr


@pytest.mark.parametrize("cure", profiles.CURE_NAMES)
def test_each_cure_is_a_switch_of_its_own(
    cure: str, lab: dict[str, Any], seawall: Seawall
) -> None:
    """A switch moves its own settings at run time, and back."""
    try:
        assert 0 == seawall("flags", "set", f"{cure}=off").returncode
        assert "off" == seawall("flags", "get", cure).stdout.strip()
        values = json.loads(Path(lab["policies"]).read_text())["values"]
    finally:
        assert 0 == seawall("flags", "set", "all=on").returncode

    moved = {
        s.name: s.sick for c in profiles.CURES if c.name == cure for s in c.settings
    }
    cured = profiles.values(profiles.cures_of("cured"))
    assert {**cured, **moved} == values


def test_an_unknown_cure_is_refused(lab: dict[str, Any], seawall: Seawall) -> None:
    """A cure that does not exist is a usage error that lists those that do."""
    done = seawall("flags", "set", "wishful-thinking=on")

    assert 2 == done.returncode
    assert "locality-routing" in done.stderr


def test_a_journey_is_found_drawn_and_joined_with_its_logs(
    storefront: str, seawall: Seawall
) -> None:
    """One order: found by service, operation and attribute, drawn, joined by id."""
    customer = "asia-00000000-0000-4000-8000-000000000033"
    with grpc.insecure_channel(storefront) as channel:
        order = (
            storefront_pb2_grpc.StorefrontStub(channel)
            .Checkout(
                storefront_pb2.CheckoutRequest(
                    customer_id=customer,
                    items=[common_pb2.LineItem(product_id="P0003", quantity=1)],
                    card_token="tok_visa",
                    idempotency_key="scenario-trace-1",
                ),
                timeout=10,
            )
            .order
        )
    assert order.order_id.startswith("asia-")

    def traces() -> list[dict[str, Any]]:
        done = seawall(
            *(
                "traces",
                "--service",
                "orders",
                "--operation",
                "INSERT orders INSERT order_items",
            ),
            *("--attribute", "seawall.home_region=asia", "--min-ms", "1"),
            *("--limit", "1", "--json", "-"),
        )
        return _json(done)["results"]

    # Spans leave in batches, each process's at its own time.
    drawn, until = "", time.monotonic() + 20
    while not re.search(r"storefront", drawn) and time.monotonic() < until:
        found = traces()
        drawn = seawall("traces", found[0]["trace_id"]).stdout if found else ""
    logged = seawall("logs", "--trace", found[0]["trace_id"]).stdout

    assert "INSERT orders" in drawn
    assert re.search(r"storefront", drawn)
    assert re.search(r"\d ms", drawn)
    assert "storefront-us-a" in logged
    assert seawall("traces", "0" * 32).returncode == 2


def test_commands_without_a_lab_say_so(tmp_path: Path, seawall_in: Any) -> None:
    """No lab: exit code 2 and a sentence, for every command that needs one."""
    seawall = seawall_in(tmp_path)
    for command in (["status"], ["down"], ["flags", "list"], ["traces"], ["logs"]):
        done = seawall(*command)
        assert 2 == done.returncode, command
        assert "no lab is running" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--profile", "sick", "--without", "breakers"), "--profile cured"),
        (("--profile", "cured", "--without", "vitamins"), "coalescing"),
    ],
)
def test_a_cure_is_left_out_of_the_cured_profile_only(
    seawall: Any, arguments: tuple[str, ...], told: str
) -> None:
    """What cannot be left out is refused, with a word on what can."""
    done = seawall("chaos", "run", "slow-database", *arguments)

    assert (done.returncode, told in done.stderr) == (2, True)


def test_a_lab_with_every_cure_is_not_one_without(
    lab: dict[str, Any], seawall: Seawall
) -> None:
    """The lab that runs is used only when its cures are those asked for."""
    done = seawall(
        "chaos", "run", "slow-database", "--profile", "cured", "--without", "breakers"
    )

    assert 2 == done.returncode
    assert "is running already" in done.stderr
