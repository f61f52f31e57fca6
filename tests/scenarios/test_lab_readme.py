"""What the README shows is what a user gets."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
GRPCURL = [line for line in COMMANDS if line.startswith("grpcurl ")]
# Run elsewhere: the two commands of a fresh machine by CI itself, the start and the
# end by the fixture, the experiment by its own scenario, the report of stored runs by
# its unit tests, the drill by those of drills.
ELSEWHERE = (
    "make demo",
    ".venv/bin/seawall up --detach",
    ".venv/bin/seawall down",
    ".venv/bin/seawall chaos run slow-database --profile cured",
    ".venv/bin/seawall report",
    ".venv/bin/seawall drill run hot-standby --fault kill",
)
SEAWALL = [
    line
    for line in COMMANDS
    if line.startswith(".venv/bin/seawall") and line not in ELSEWHERE
]


def test_every_command_is_run_by_some_test() -> None:
    """No command stands in the README that nothing runs."""
    assert [] == [c for c in COMMANDS if c not in (*GRPCURL, *SEAWALL, *ELSEWHERE)]


def _call(channel: grpc.Channel, line: str) -> dict[str, Any]:
    words = shlex.split(line)
    body = json.loads(words[words.index("-d") + 1]) if "-d" in words else {}
    service, _, method = words[-1].partition("/")
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    described = pool.FindServiceByName(service).methods_by_name[method]
    request = json_format.ParseDict(body, GetMessageClass(described.input_type)())
    reply = channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(described.output_type).FromString,
    )(request, timeout=10)
    return json_format.MessageToDict(reply, preserving_proto_field_name=True)


def test_the_calls_work_through_reflection(storefront: str) -> None:
    """Health, browse, cart, order and history, with nothing known but reflection."""
    calls = [line for line in GRPCURL if not re.search(r" (list|describe)\b", line)]
    with grpc.insecure_channel(storefront) as channel:
        names = ProtoReflectionDescriptorDatabase(channel).get_services()
        health, browse, cart, order, history = (_call(channel, line) for line in calls)
        again = _call(channel, calls[3])

    assert {"shop.v1.Storefront", "grpc.health.v1.Health"} <= set(names)
    assert "SERVING" == health["status"]
    assert 3 == len(browse["products"])
    assert {"product_id": "P0001", "quantity": 2} in cart["cart"]["items"]
    assert "ORDER_STATE_CONFIRMED" == order["order"]["state"]
    assert order["order"]["order_id"] == history["orders"][0]["order_id"]
    assert order["order"]["order_id"] == again["order"]["order_id"]


@pytest.mark.grpcurl
def test_the_grpcurl_commands_run_as_written(storefront: str) -> None:
    """Each documented grpcurl command exits 0, only the port replaced."""
    if shutil.which("grpcurl") is None:
        pytest.skip("grpcurl is not on the PATH; it installs with Go")
    for line in GRPCURL:
        words = shlex.split(line.replace("127.0.0.1:7101", storefront))
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=30, check=False
        )
        assert 0 == done.returncode, f"{line}\n{done.stderr}"


@pytest.mark.parametrize("line", SEAWALL)
def test_the_seawall_commands_run_as_written(
    line: str, lab: dict[str, Any], seawall: Callable[..., Any]
) -> None:
    """Each documented look at a running lab exits 0 and prints something."""
    done = seawall(*shlex.split(line)[1:])

    assert 0 == done.returncode, done.stderr
    assert done.stdout.strip()
