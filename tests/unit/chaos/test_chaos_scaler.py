"""The scaler adds by connection count, writes it down, and takes it all back."""

import json
import stat
from types import SimpleNamespace

import pytest

from chaos.scaler import Rule, Scaler, decide, undo
from links.control import LinkInfo
from links.spec import LinkSpec, LinkStats

RULE = Rule(connections_at_most=20, most_gateways=3, every_s=1.0)
REGIONS = ("us", "eu")


class FakeControl:
    """Links by name with their live connections."""

    def __init__(self):
        self.links = {}
        self.live = {}
        for client in REGIONS:
            for region in REGIONS:
                for zone in "ab":
                    self.add(self.spec(client, f"{region}-{zone}"))

    def spec(self, client, gateway):
        return LinkSpec(
            name=f"sql-{client}-to-{gateway}",
            upstream="127.0.0.1:5432",
            kind="sql",
            source=client,
            target=gateway.partition("-")[0],
            protocol="postgres",
        )

    def add(self, spec):
        listen = f"127.0.0.1:{6000 + len(self.links)}"
        self.links[spec.name] = LinkInfo(
            spec=spec, listen=listen, upstream=spec.upstream, enabled=True, toxics=()
        )
        return listen

    def remove(self, name):
        del self.links[name]

    def list(self):
        return list(self.links.values())

    def stats(self):
        return {
            name: LinkStats(connections_live=self.live.get(name, 0))
            for name in self.links
        }


@pytest.fixture
def control():
    return FakeControl()


@pytest.fixture
def lab(tmp_path, control):
    lists = {}
    for client in REGIONS:
        path = lists[client] = tmp_path / f"database-{client}.json"
        gateways = [
            {"name": f"{region}-{zone}", "region": region, "zone": zone}
            for region in REGIONS
            for zone in "ab"
        ]
        path.write_text(json.dumps({"dbname": "shop", "gateways": gateways}))
        path.chmod(0o600)
    log = tmp_path / "scaler.jsonl"
    note = tmp_path / "scaler.links"
    scaler = Scaler(control, lists=lists, log=log, note=note, rule=RULE)
    return SimpleNamespace(scaler=scaler, lists=lists, log=log, note=note)


def busy(control, region, connections):
    """Put so many live connections on each gateway of a region."""
    for client in REGIONS:
        for zone in "ab":
            name = f"sql-{client}-to-{region}-{zone}"
            control.live[name] = connections // len(REGIONS)


@pytest.mark.parametrize(
    ("connections", "action", "gateway"),
    [
        ({"eu-a": 30, "eu-b": 30}, "add", "eu-c"),
        ({"eu-a": 40, "eu-b": 0}, "stay", ""),
        ({"eu-a": 41, "eu-b": 0}, "add", "eu-c"),
        ({"eu-a": 90, "eu-c": 90}, "add", "eu-b"),
        ({"eu-a": 90, "eu-b": 90, "eu-c": 90}, "stay", ""),
        ({}, "stay", ""),
    ],
)
def test_the_mean_decides(connections, action, gateway):
    """Above the bound it adds under a free name, up to what it may have."""
    found = decide("eu", connections, RULE)

    assert (action, gateway) == (found.action, found.gateway)
    assert found.why


def test_a_new_gateway_is_dialled_from_everywhere(control, lab):
    """One link from each region, and an entry in each list that leads to it."""
    busy(control, "eu", 50)
    lab.scaler.look()

    assert ["sql-us-to-eu-c", "sql-eu-to-eu-c"] == list(lab.scaler.added)
    for client, path in lab.lists.items():
        added = json.loads(path.read_text())["gateways"][-1]
        listen = control.links[f"sql-{client}-to-eu-c"].listen
        assert ("eu-c", "eu", "c") == (added["name"], added["region"], added["zone"])
        assert listen == f"{added['host']}:{added['port']}"
        assert control.links[f"sql-{client}-to-eu-c"].spec.source == client


def test_the_list_stays_private(control, lab):
    """It holds a password: nobody may read it who could not before."""
    busy(control, "eu", 50)
    lab.scaler.look()

    modes = {stat.S_IMODE(path.stat().st_mode) for path in lab.lists.values()}
    assert {0o600} == modes


def test_nothing_is_added_where_counts_are_normal(control, lab):
    """A region is judged by its own gateways, and none is added below the bound."""
    busy(control, "eu", 20)
    texts = [path.read_text() for path in lab.lists.values()]
    decisions = lab.scaler.look()

    assert {"stay"} == {one.action for one in decisions}
    assert texts == [path.read_text() for path in lab.lists.values()]


def test_every_decision_is_written_down(control, lab):
    """What was seen, what was done and why, for each region at each look."""
    busy(control, "eu", 50)
    lab.scaler.look()
    lab.scaler.look()
    lines = [json.loads(line) for line in lab.log.read_text().splitlines()]

    assert ["eu", "us", "eu", "us"] == [line["region"] for line in lines]
    assert {"eu-a": 50, "eu-b": 50} == lines[0]["connections"]
    assert ("add", "eu-c") == (lines[0]["action"], lines[0]["gateway"])
    assert "50 connections a gateway, 20 are normal" == lines[0]["why"]
    assert len(lab.scaler.looks_s) == 2


def test_all_is_taken_back(control, lab):
    """The lists are as they were before the links go, and no link is left."""
    texts = [path.read_text() for path in lab.lists.values()]
    busy(control, "eu", 50)
    lab.scaler.look()

    assert lab.scaler.take_back() == []
    assert texts == [path.read_text() for path in lab.lists.values()]
    lab.scaler.remove_links()
    assert not [name for name in control.links if name.endswith("-c")]


def test_what_a_killed_scaler_left_is_taken_back(control, lab):
    """By whoever comes next: its own lists and links, and nobody else's; once."""
    before = [json.loads(path.read_text()) for path in lab.lists.values()]
    links = set(control.links)
    busy(control, "eu", 50)
    lab.scaler.look()
    control.add(control.spec("us", "us-d"))
    taken = {"lists": lab.lists, "control": control}

    assert ["sql-us-to-eu-c", "sql-eu-to-eu-c"] == undo(lab.note, **taken)
    assert before == [json.loads(path.read_text()) for path in lab.lists.values()]
    assert {"sql-us-to-us-d"} == control.links.keys() - links
    assert [] == undo(lab.note, **taken)


def test_a_scaler_that_ended_well_leaves_no_note(control, lab):
    """There is nothing to take back a second time."""
    busy(control, "eu", 50)
    lab.scaler.look()
    assert lab.note.exists()
    lab.scaler.take_back()
    lab.scaler.remove_links()

    assert not lab.note.exists()


@pytest.mark.parametrize(
    "change", [{"connections_at_most": 0}, {"every_s": 0}, {"most_gateways": 0}]
)
def test_a_rule_that_means_nothing_is_refused(change):
    """No bound, no interval or no gateway is no scaler."""
    given = {"connections_at_most": 20, "most_gateways": 3, "every_s": 1.0}

    with pytest.raises(ValueError, match="positive"):
        Rule(**{**given, **change})
