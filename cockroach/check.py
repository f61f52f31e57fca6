"""Whether a cluster fits the shop: facts in, findings out; nothing here connects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cockroach.facts import Facts, Finding, GatewayFacts, Verdict, version_of
from cockroach.topology import REGIONS

#: CockroachDB versions by whose documentation the statements are written.
OLDEST_KNOWN = (25, 4)
NEWEST_KNOWN = (26, 2)
#: What the data layer cannot do without came no later than this.
OLDEST_USABLE = (24, 1)
#: The oldest PostgreSQL that the schema is prepared on.
OLDEST_POSTGRES = 15
LICENCE_SOON_DAYS = 21.0
#: CockroachDB's --max-offset, as it is and as it is advised over several regions.
MAX_OFFSET_MS = 500.0
ADVISED_OFFSET_MS = 250.0
# A node stops itself when its clock is off by so much of --max-offset.
_FATAL = 0.8
# Orders carry the time of the machine that took them.
_POSTGRES_OFFSET_MS = 1000.0

_SET_LICENCE = "SET CLUSTER SETTING enterprise.license to a key of your own"
_SURVIVE = "ALTER DATABASE ... SURVIVE REGION FAILURE"


def evaluate(facts: Facts) -> tuple[Finding, ...]:
    """Judge the facts, one finding a subject, in the order of reading."""
    if facts.flavour == "postgres":
        return (
            *_unreachable(facts),
            _postgres_version(facts),
            Finding(
                "regions",
                "warn",
                "one server stands for every region",
                "services work; localities, survival and distances are not to be seen",
            ),
            _isolation(facts),
            _clocks(facts),
            _may_create(facts),
            _schema(facts),
        )
    return (
        *_unreachable(facts),
        _version(facts),
        *_regions(facts),
        _database(facts),
        _survival(facts),
        _licence(facts),
        _isolation(facts),
        _clocks(facts),
        _may_create(facts),
        _may_look(facts),
        _schema(facts),
    )


def failed(findings: Sequence[Finding]) -> bool:
    """Tell whether the cluster does not fit."""
    return any(one.verdict == "fail" for one in findings)


def _unreachable(facts: Facts) -> Iterator[Finding]:
    if facts.unreachable:
        yield Finding(
            "reachable",
            "fail",
            f"no answer from {', '.join(facts.unreachable)}",
            "start them, or leave them out of the URL",
        )


def _dotted(version: tuple[int, int]) -> str:
    return f"v{version[0]}.{version[1]}"


def _version(facts: Facts) -> Finding:
    found = version_of(facts.version)
    known = f"{_dotted(OLDEST_KNOWN)} to {_dotted(NEWEST_KNOWN)}"
    if found is None:
        return Finding(
            "version", "warn", facts.version[:80], f"cannot be read; {known} are known"
        )
    text = f"CockroachDB {_dotted(found)}"
    if found < OLDEST_USABLE:
        return Finding(
            "version",
            "fail",
            text,
            f"upgrade to {known}; the oldest that can work is {_dotted(OLDEST_USABLE)}",
        )
    if not OLDEST_KNOWN <= found <= NEWEST_KNOWN:
        return Finding(
            "version",
            "warn",
            text,
            f"the statements are written by the documentation of {known}",
        )
    return Finding("version", "ok", text)


def _postgres_version(facts: Facts) -> Finding:
    found = version_of(facts.version)
    text = facts.version.split(" on ", 1)[0][:80]
    if found is None or found[0] < OLDEST_POSTGRES:
        return Finding(
            "version", "fail", text, f"use PostgreSQL {OLDEST_POSTGRES} or newer"
        )
    return Finding("version", "ok", text)


def _regions(facts: Facts) -> Iterator[Finding]:
    asked = {one.region for one in facts.gateways if one.region}
    cluster = facts.cluster_regions
    there = set(cluster) if cluster is not None else asked
    if cluster:
        text = ", ".join(
            f"{region} ({', '.join(cluster[region]) or 'no zones'})"
            for region in sorted(cluster)
        )
    else:
        text = ", ".join(sorted(asked)) or "no node tells a region"
    missing = [one for one in REGIONS if one not in there]
    if missing:
        yield Finding(
            "regions",
            "fail",
            text,
            f"no node in {', '.join(missing)}: start nodes with "
            f"--locality=region={missing[0]},zone={missing[0]}-a",
        )
        return
    narrow = sorted(one for one in REGIONS if cluster and len(cluster[one]) < 2)
    if narrow:
        yield Finding(
            "regions",
            "warn",
            text,
            f"one zone only in {', '.join(narrow)}: its loss is the region's",
        )
    else:
        yield Finding("regions", "ok", text)
    yield _gateways(facts, [one for one in REGIONS if one not in asked])


def _gateways(facts: Facts, without: Sequence[str]) -> Finding:
    text = ", ".join(f"{one.host} in {one.region or '?'}" for one in facts.gateways)
    if without:
        return Finding(
            "gateways",
            "warn",
            text,
            f"no host of the URL is in {', '.join(without)}: their statements go "
            "through another region; name a host of each",
        )
    return Finding("gateways", "ok", text)


def _database(facts: Facts) -> Finding:
    name, regions = "database regions", facts.database_regions
    if regions is None:
        return Finding(
            name, "warn", "not known", "may the user see the database? see may create"
        )
    if not regions:
        return Finding(
            name,
            "warn",
            "none: the database is in no region yet",
            "the first migration makes it multi-region; its user must own the database",
        )
    text = f"{', '.join(regions)}; primary {facts.primary_region or 'not known'}"
    missing = [one for one in REGIONS if one not in regions]
    if missing:
        adding = ", ".join(f'ADD REGION "{one}"' for one in missing)
        return Finding(name, "fail", text, f"ALTER DATABASE ... {adding}")
    return Finding(name, "ok", text)


def _survival(facts: Facts) -> Finding:
    name, goal = "survival goal", facts.survival
    if goal is None:
        return Finding(
            name,
            "warn",
            "not known" if facts.database_regions else "none yet",
            f"{_SURVIVE} keeps every row when a region is lost",
        )
    if goal == "region":
        return Finding(name, "ok", "region: every write waits for another region")
    return Finding(
        name,
        "ok",
        f"{goal}: writes wait for their own region only, and stop when it is lost",
        f"{_SURVIVE} if they must not stop",
    )


def _licence(facts: Facts) -> Finding:
    name = "licence"
    if facts.throttled:
        return Finding(
            name,
            "fail",
            "throttled to five open transactions (XXC02)",
            f"{_SET_LICENCE}, or make the cluster anew for another seven days",
        )
    if facts.has_licence is None:
        return Finding(
            name,
            "warn",
            f"not known: {facts.user} may not read cluster settings",
            f"ask an admin, or GRANT SYSTEM VIEWCLUSTERSETTING TO {facts.user}",
        )
    if not facts.has_licence:
        return Finding(
            name,
            "warn",
            "no key: several nodes are throttled seven days after their creation",
            f"{_SET_LICENCE}; one node of start-single-node needs none",
        )
    owner = f"a key of {facts.organization}" if facts.organization else "a key"
    days = facts.licence_days
    if days is None:
        return Finding(
            name,
            "ok",
            f"{owner} is set; days left not known, as no SQL tells them",
            "--status http://NODE:8080 reads them from a node's metrics",
        )
    if days <= 0:
        return Finding(
            name,
            "fail",
            f"{owner} that expired {-days:.0f} days ago",
            f"{_SET_LICENCE}: a free one throttles 30 days after expiry, a trial 7",
        )
    soon = days < LICENCE_SOON_DAYS
    return Finding(
        name,
        "warn" if soon else "ok",
        f"{owner} with {days:.0f} days left",
        "renew it" if soon else "",
    )


def _isolation(facts: Facts) -> Finding:
    if facts.isolation == "serializable":
        return Finding("isolation", "ok", "serializable by default")
    return Finding(
        "isolation",
        "warn",
        f"{facts.isolation} by default",
        "the services ask for SERIALIZABLE themselves; others that write the same "
        "rows should too",
    )


def _clocks(facts: Facts) -> Finding:
    name = "clock offset"
    known = [one for one in facts.gateways if one.offset_ms is not None]
    if facts.clock_mean_offset_ms is not None:
        off, error = abs(facts.clock_mean_offset_ms), 0.0
        text = f"{off:.0f} ms, a node's own mean"
    elif known:
        off, error = _spread(known)
        against = "between the hosts" if len(known) > 1 else "to this machine"
        text = f"{off:.0f} ms {against}, give or take {error:.0f}"
    else:
        return Finding(name, "warn", "not known", "run NTP on every node")
    sure = max(0.0, off - error)
    if facts.flavour == "postgres":
        if sure > _POSTGRES_OFFSET_MS:
            return Finding(
                name, "warn", text, "run NTP: orders carry the services' time"
            )
        return Finding(name, "ok", text)
    if sure <= _FATAL * ADVISED_OFFSET_MS:
        return Finding(name, "ok", text)
    # Against this machine it may be this machine that is wrong.
    between_nodes = facts.clock_mean_offset_ms is not None or len(known) > 1
    fatal = between_nodes and sure > _FATAL * MAX_OFFSET_MS
    verdict: Verdict = "fail" if fatal else "warn"
    return Finding(
        name,
        verdict,
        text,
        f"run NTP on every node: one stops itself at {_FATAL:.0%} of --max-offset "
        f"({MAX_OFFSET_MS:.0f} ms unless set, {ADVISED_OFFSET_MS:.0f} ms advised)",
    )


def _spread(known: Sequence[GatewayFacts]) -> tuple[float, float]:
    offsets = [one.offset_ms or 0.0 for one in known]
    errors = sorted((one.offset_error_ms for one in known), reverse=True)
    if len(known) == 1:
        return abs(offsets[0]), errors[0]
    return max(offsets) - min(offsets), errors[0] + errors[1]


def _may_create(facts: Facts) -> Finding:
    name = "may create"
    if facts.can_create is None:
        return Finding(
            name,
            "warn",
            f"not known of {facts.user}",
            "migrations need CREATE on the database",
        )
    if facts.can_create:
        return Finding(name, "ok", f"{facts.user} may create tables")
    return Finding(
        name,
        "warn",
        f"{facts.user} may not create tables",
        f"migrate as another user, or GRANT CREATE ON DATABASE ... TO {facts.user}",
    )


def _may_look(facts: Facts) -> Finding:
    name, user = "may look", facts.user
    if facts.is_admin:
        return Finding(
            name,
            "warn",
            f"{user} is an admin and sees everything",
            "let services have a user of their own that is none",
        )
    if facts.system_grants is None:
        return Finding(
            name,
            "warn",
            f"not known of {user}",
            "`seawall cockroach ranges` needs ZONECONFIG, contention VIEWACTIVITY",
        )
    wanted = {
        "VIEWACTIVITY": {"VIEWACTIVITY", "VIEWACTIVITYREDACTED", "ALL"},
        "ZONECONFIG": {"ZONECONFIG", "ALL"},
    }
    lacks = [one for one, by in wanted.items() if not facts.system_grants & by]
    text = f"{user} has {', '.join(sorted(facts.system_grants)) or 'nothing'} granted"
    if lacks:
        granting = {
            "VIEWACTIVITY": f"GRANT SYSTEM VIEWACTIVITY TO {user}",
            "ZONECONFIG": f"GRANT ZONECONFIG ON DATABASE ... TO {user}",
        }
        return Finding(name, "warn", text, "; ".join(granting[one] for one in lacks))
    return Finding(name, "ok", text)


def _schema(facts: Facts) -> Finding:
    name, cure = "schema", "`seawall up --database URL --migrate`"
    if facts.revision is None:
        return Finding(name, "warn", "no shop in it", f"{cure} makes and seeds it")
    if facts.revision == facts.head:
        return Finding(name, "ok", f"revision {facts.revision}, the newest")
    text = f"revision {facts.revision}; this program's newest is {facts.head}"
    if facts.revision < facts.head:
        return Finding(name, "warn", text, f"{cure} brings it forward")
    return Finding(name, "fail", text, "use the program that made it, or a newer one")
