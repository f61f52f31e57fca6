from observability import names
from observability.evidence import Evidence
from observability.spans import SpanEvent

RPC = {names.RPC_METHOD: "shop.v1.Orders/PlaceOrder"}


def sql(make, name, start, end, key="k", **more):
    tags = {names.DB_SYSTEM: "postgresql", names.DB_QUERY_SUMMARY: name}
    tags[names.DB_KEY] = key
    return make(name, start, end, kind="CLIENT", tags=tags, **more)


def test_parents_children_and_roots_are_found(make):
    """Every span knows its parent, its children, its descendants and its root."""
    root = make("root", 0, 10)
    child = make("child", 1, 5, parent=root)
    leaf = make("leaf", 2, 3, parent=child)
    other = make("other", 0.5, 1, trace="t2")
    evidence = Evidence([leaf, other, child, root])

    assert [root, other] == evidence.roots()
    assert [child] == evidence.children(root)
    assert [child, leaf] == evidence.descendants(root)
    assert [child, root] == evidence.ancestors(leaf)
    assert root is evidence.root(leaf)
    assert [root, child, leaf] == evidence.trace("t1")
    assert evidence.trace_ids == ["t1", "t2"]


def test_a_span_without_its_parent_is_an_orphan(make):
    """A missing parent is told, for it means that a span was lost."""
    root = make()
    child = make(parent=root)
    grandchild = make(parent=child)

    assert [grandchild] == Evidence([root, grandchild]).orphans()


def test_selection_takes_all_conditions_together(make):
    """A span is selected when it fits every condition given."""
    wanted = make("a", 5, 6, service="orders", tags={"k": 1})
    evidence = Evidence(
        [
            wanted,
            make("a", 5, 6, service="orders", tags={"k": 2}),
            make("b", 5, 6, service="orders", tags={"k": 1}),
            make("a", 5, 6, service="catalog", tags={"k": 1}),
            make("a", 9, 10, service="orders", tags={"k": 1}),
        ]
    )

    found = evidence.select(
        service="orders",
        name={"a", "c"},
        attributes={"k": 1},
        between=(0, 6_000_000),
        where=lambda span: span.region == "eu",
    )

    assert [wanted] == found


def test_statements_leave_out_waiting_and_probes(make):
    """Waiting for a pool is no statement; BEGIN and COMMIT are, when asked for."""
    insert = sql(make, "INSERT orders", 1, 2)
    begin = sql(make, names.SPAN_BEGIN, 0, 1)
    wait = sql(make, names.SPAN_POOL_ACQUIRE, 0, 1)
    probe = make(
        "SELECT",
        0,
        1,
        kind="CLIENT",
        tags={names.DB_SYSTEM: "postgresql", names.DB_PROBE: True},
    )
    evidence = Evidence([insert, begin, wait, probe])

    assert [begin, insert] == evidence.statements()
    assert [insert] == evidence.statements(control=False)
    assert probe in evidence.statements(probes=True)


def test_roots_without_any_count_as_zero(make):
    """A mean over roots is wrong unless those with nothing are counted too."""
    busy, idle = make(trace="t1"), make(trace="t2")
    evidence = Evidence([busy, idle, make(parent=busy), make(parent=busy)])
    counted = evidence.select(where=lambda span: span.parent_id is not None)

    assert evidence.per_root_count(counted) == {"t1": 2, "t2": 0}


def test_identical_loads_are_those_of_one_statement_and_key_at_once(make):
    """Another key, another statement or another time is no pile-up."""
    herd = [sql(make, "SELECT products", i, 50, trace=f"t{i}") for i in range(4)]
    rest = [
        sql(make, "SELECT products", 0, 50, key="other"),
        sql(make, "SELECT stock", 0, 50),
        sql(make, "SELECT products", 60, 70),
    ]

    worst = Evidence([*herd, *rest]).identical_loads()[0]

    assert (
        worst.summary,
        worst.key,
        worst.peak,
        worst.loads,
    ) == ("SELECT products", "k", 4, 5)
    assert worst.trace_ids == ("t0", "t1", "t2", "t3")


def test_attempts_are_counted_at_the_callee(make):
    """Three attempts of which two arrive are two; a refused call is no call."""
    call = make("m", 0, 9, kind="CLIENT", tags=RPC)
    spans = [call, make("m", 0, 9, kind="CLIENT", tags=RPC, trace="refused")]
    for number in range(3):
        tags = {**RPC, names.PREVIOUS_ATTEMPTS: number}
        attempt = make(
            "attempt", number, number + 1, kind="CLIENT", parent=call, tags=tags
        )
        spans.append(attempt)
        if number:
            spans.append(make("m", number, number + 1, kind="SERVER", parent=attempt))
    plain = make("m", 0, 1, kind="CLIENT", tags=RPC, trace="plain")
    spans += [plain, make("m", 0, 1, kind="SERVER", parent=plain)]

    figures = Evidence(spans).attempts_per_call()

    assert (figures.calls, figures.sent, figures.served, figures.worst) == (2, 4, 3, 2)
    assert figures.ratio == 1.5
    assert figures.trace_ids == ("t1",)


def test_a_deadline_that_grows_or_vanishes_is_a_violation(make):
    """A callee may not be given more time than its caller had left."""
    remaining = names.DEADLINE_REMAINING_MS
    caller = make("a", 0, 50, kind="SERVER", tags={remaining: 100.0})
    good = make("b", 10, 20, kind="SERVER", parent=caller, tags={remaining: 85.0})
    grown = make("c", 10, 20, kind="SERVER", parent=caller, tags={remaining: 500.0})
    none = make("d", 10, 20, kind="SERVER", parent=caller)

    found = Evidence([caller, good, grown, none]).shrinking_deadlines()

    assert [(grown, 410.0), (none, None)] == [(v.span, v.excess_ms) for v in found]


def test_work_after_the_caller_left_is_found_below_failed_calls_only(make):
    """What runs on after a call that timed out is late; after a good one it is not."""
    tags = {**RPC, names.RPC_STATUS: "DEADLINE_EXCEEDED"}
    left = make("m", 0, 100, kind="CLIENT", status="ERROR", tags=tags)
    served = make("m", 1, 300, kind="SERVER", parent=left)
    query = make("SELECT", 2, 250, kind="CLIENT", parent=served)
    in_time = make("SELECT", 2, 90, kind="CLIENT", parent=served)
    fine = make("m", 0, 100, kind="CLIENT", tags=RPC, trace="t2")
    background = make("m", 1, 900, kind="SERVER", parent=fine)

    late = Evidence([left, served, query, in_time, fine, background]).after_deadline()

    assert [(served, 200.0), (query, 150.0)] == [(w.span, w.late_ms) for w in late]


def test_events_come_with_their_spans_in_order_of_time(make):
    """Events are found by name wherever they happened, and cut by time."""
    later = make("b", events=[SpanEvent("opened", 9, {"new": "open"})])
    sooner = make("a", events=[SpanEvent("opened", 5, {}), SpanEvent("x", 1, {})])
    evidence = Evidence([later, sooner])

    assert [event.time_ns for _, event in evidence.events("opened")] == [5, 9]
    assert [sooner] == [s for s, _ in evidence.events("opened", between=(0, 6))]
    assert [later] == [
        span
        for span, _ in evidence.events(
            "opened", where=lambda _, e: "new" in e.attributes
        )
    ]
