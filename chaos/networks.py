"""Who waits, by the network that he comes from, and what his pages make servers ask.

The storefront writes on its spans which declared block of addresses a visitor is in;
how long he waited is his own account, and what servers asked of servers the links'.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from chaos import checks, journeys
from chaos.checks import Bounds, Check, Scene
from chaos.journeys import CONTRACT_PRICES, Journey
from observability import names

DECLARED = "block:"
EVERYBODY_ELSE = ""


def one_network_waits(scene: Scene, bounds: Bounds) -> Check:
    """Show that visitors from one declared network wait, and nobody else does.

    The median of the slowest network that came often enough, against the median of all
    the others together.
    """
    waits = _waits(scene)
    slow = _slowest(waits, bounds)
    others = [ms for owner, them in waits.items() if owner != slow for ms in them]
    most = float(bounds["others_at_most_ms"])
    observed = median(waits[slow]) if slow else 0.0
    check = checks.at_least(
        "one_network_waits",
        observed,
        bounds["at_least_ms"],
        f"ms median wait in {slow or 'any network'}, everybody else {most:g} at most",
        _of(scene, slow),
    )
    if not others or median(others) > most:
        waited = f"{median(others):.0f} ms" if others else "not seen"
        return checks.unproven(check, f"everybody else: {waited}")
    return check


def no_network_waits(scene: Scene, bounds: Bounds) -> Check:
    """Hold that no declared network waits long, of those that came often enough."""
    waits = _waits(scene)
    slow = _slowest(waits, bounds)
    observed = median(waits[slow]) if slow else float("inf")
    check = checks.at_most(
        "no_network_waits",
        observed,
        bounds["at_most_ms"],
        f"ms median wait in {slow or 'any network'}",
        _of(scene, slow),
    )
    return check if slow else checks.unproven(check, "too few visits from any")


def pages_search_every_region(scene: Scene, bounds: Bounds) -> Check:
    """Show that a firm's page makes its database server ask those of other regions."""
    read = _pages(scene)
    return checks.at_least(
        "pages_search_every_region",
        _between(scene) / len(read) if read else 0.0,
        bounds["at_least"],
        "round trips between the regions' database servers per page",
        [one.trace_id for one in sorted(read, key=lambda one: -one.latency_ms)],
    )


def pages_stay_in_their_region(scene: Scene, bounds: Bounds) -> Check:
    """Hold that no page makes a database server ask another."""
    read = _pages(scene)
    known = scene.trips is not None and scene.trips.between_gateways is not None
    check = checks.at_most(
        "pages_stay_in_their_region",
        _between(scene) if known else float("inf"),
        bounds["at_most"],
        "round trips between the regions' database servers",
        [one.trace_id for one in sorted(read, key=lambda one: -one.latency_ms)],
    )
    good = [one for one in read if one.outcome == "success" and not one.degraded]
    least = int(bounds.get("min_pages", 1))
    if not known:
        return checks.unproven(check, "the links' trips were not told apart")
    if len(good) < least:
        return checks.unproven(check, f"only {len(good)} pages were read")
    return check


def _between(scene: Scene) -> int:
    return (scene.trips.between_gateways or 0) if scene.trips is not None else 0


def _pages(scene: Scene) -> list[Journey]:
    return [
        one
        for one in journeys.offered(scene.journeys, scene.timeline.during)
        if one.journey == CONTRACT_PRICES
    ]


def _networks(scene: Scene) -> dict[str, str]:
    """Name the declared network of each trace's visitor, "" for none."""
    found: dict[str, str] = {}
    for span in scene.evidence.select(
        kind="SERVER", where=lambda span: names.IP_RULE in span.attributes
    ):
        rule = str(span.attributes[names.IP_RULE])
        owner = rule.removeprefix(DECLARED) if rule.startswith(DECLARED) else ""
        found.setdefault(span.trace_id, owner)
    return found


def _waits(scene: Scene) -> dict[str, list[float]]:
    networks = _networks(scene)
    waits: defaultdict[str, list[float]] = defaultdict(list)
    for one in journeys.offered(scene.journeys, scene.timeline.during):
        if one.trace_id in networks:
            waits[networks[one.trace_id]].append(one.latency_ms)
    return waits


def _slowest(waits: dict[str, list[float]], bounds: Bounds) -> str:
    # The median of a handful is anybody's.
    least = int(bounds.get("min_visits", 1))
    declared = [
        owner
        for owner, them in waits.items()
        if owner != EVERYBODY_ELSE and len(them) >= least
    ]
    return max(declared, key=lambda owner: median(waits[owner]), default="")


def _of(scene: Scene, owner: str) -> list[str]:
    networks = _networks(scene)
    mine = [one for one in scene.journeys if networks.get(one.trace_id) == owner]
    return [one.trace_id for one in sorted(mine, key=lambda one: -one.latency_ms)]
