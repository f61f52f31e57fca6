"""The benchmark's arithmetic: figures from samples, budgets, and what is invalid."""

import pytest

from lab.bench import budgets, figures, kit, variants
from lab.bench.run import Run
from lab.bench.wire import IN_FLIGHT, SEQUENTIAL

pytestmark = pytest.mark.resilience

CLIENT, SERVER, KIT, REFUSAL = 0, 2, 3, 4


def a_run(costs, *, kit=False, drift=(0, 30, 60), rps=None, refusal_us=50.0):
    """Make a run in which a call costs what is given, more from block to block."""
    run = Run(python="3.11.7", kit=kit)
    for (side, name), cost in costs.items():
        for number, more in enumerate(drift, 1):
            for shape in (SEQUENTIAL, IN_FLIGHT):
                run.samples.append(
                    {
                        "block": number,
                        "side": side,
                        "name": name,
                        "shape": shape,
                        "client_us": cost + more,
                        "server_us": cost + more,
                        "p50_us": 2 * cost,
                        "rps": (rps or {}).get(name, 1000.0) / (1 + more),
                    }
                )
    run.refusal = {"calls": 1, "p50_us": refusal_us, "p99_us": refusal_us}
    return run


def costs(*, bare=174.0, client=40.0, server=20.0, again=0.0):
    return {
        ("client", variants.BARE): bare,
        ("client", variants.AGAIN): bare + again,
        ("client", variants.FULL): bare + client,
        ("server", variants.BARE): bare,
        ("server", variants.FULL): bare + server,
    }


def judged(*runs):
    found = figures.figures(runs)
    return budgets.judge(runs, found), found


def test_what_is_added_is_paired_within_a_block():
    """A machine that slows down between blocks adds nothing to what a variant costs."""
    _, found = judged(a_run(costs(client=40.0), drift=(0, 100, 1000)))

    full = figures.find(found, variants.FULL, SEQUENTIAL)

    assert 40.0 == full.added_cpu_us
    assert 274.0 == figures.find(found, variants.BARE, SEQUENTIAL).cpu_us


def test_a_block_that_bare_grpc_lacks_is_not_compared():
    """Only blocks that both are in say what is added."""
    run = a_run(costs(client=40.0))
    run.samples = [
        one
        for one in run.samples
        if not (one["name"] == variants.BARE and one["block"] == 2)
    ]

    _, found = judged(run)

    assert 40.0 == figures.find(found, variants.FULL, SEQUENTIAL).added_cpu_us


def test_server_figures_are_of_the_servers_process():
    """On the server's side the client's CPU is the peer's."""
    run = a_run(costs())
    for one in run.samples:
        one["client_us"] = 1.0

    _, found = judged(run)

    full = figures.find(found, variants.FULL, SEQUENTIAL, side="server")
    assert (20.0, 1.0) == (full.added_cpu_us, full.peer_cpu_us)


@pytest.mark.parametrize(
    ("bare", "client", "passed", "by"),
    [
        (174.0, 45.0, True, "raw"),
        (174.0, 45.1, False, "raw"),
        # Twice as slow a machine: 80 is 40 at the reference.
        (348.0, 80.0, True, "at_reference"),
        (348.0, 92.0, False, "at_reference"),
        # Twice as fast: 46 would be 92 there, and is over the budget here already.
        (87.0, 44.0, True, "raw"),
        (87.0, 46.0, False, "raw"),
    ],
)
def test_a_slower_machine_is_scaled_and_a_faster_one_is_not(bare, client, passed, by):
    """The budget holds raw, or scaled where bare gRPC is slower than 174 µs."""
    found, _ = judged(a_run(costs(bare=bare, client=client), drift=(0, 0, 0)))

    assert (passed, by) == (found[CLIENT].passed, found[CLIENT].judged_by)


def test_ours_is_compared_with_the_kit_in_its_own_interpreter():
    """The kit is beaten or not within its run, whatever the other run measured."""
    mine = a_run(costs(client=500.0))
    beside = costs(client=40.0) | {("client", variants.KIT): 174.0 + 60.0}

    found, _ = judged(mine, a_run(beside, kit=True))
    assert (-20.0, True) == (found[KIT].raw, found[KIT].passed)

    worse = beside | {("client", variants.FULL): 174.0 + 75.0}
    found, _ = judged(mine, a_run(worse, kit=True))
    assert (15.0, False) == (found[KIT].raw, found[KIT].passed)


def test_the_verdict_needs_both_full_chains():
    """Pass and fail are said of what was measured; a part of it is no pass."""
    passed, _ = judged(a_run(costs()))
    failed, _ = judged(a_run(costs(server=31.0), drift=(0, 0, 0)))
    slow, _ = judged(a_run(costs(), refusal_us=1000.0))
    few, _ = judged(a_run({("client", variants.BARE): 174.0}))

    assert "pass" == budgets.verdict(passed)
    assert "fail" == budgets.verdict(failed)
    assert (False, "fail") == (slow[REFUSAL].passed, budgets.verdict(slow))
    assert budgets.verdict(few) is None


def test_throughput_is_judged_at_32_in_flight():
    """Less than 0.88 of bare calls a second is over the budget."""
    few, _ = judged(
        a_run(costs(), rps={variants.FULL: 870.0}, drift=(0, 0, 0)),
    )

    assert (0.87, False) == (few[1].raw, few[1].passed)


@pytest.mark.parametrize(
    ("again", "drift", "word"),
    [
        (0.0, (0, 0, 0), None),
        (20.0, (0, 0, 0), "differs from itself by +11.5 %"),
        (-20.0, (0, 0, 0), "differs from itself by -11.5 %"),
        (0.0, (0, 200, 400), "measurements lie"),
    ],
)
def test_a_run_is_invalid_when_bare_grpc_disagrees_with_itself(again, drift, word):
    """The second bare and the spread of the first say what a run cannot tell."""
    _, found = judged(a_run(costs(again=again), drift=drift))

    reasons = budgets.doubts(found)

    assert (word is None) == (not reasons)
    assert all(word in reason for reason in reasons if "client" in reason)


def test_the_blocking_api_decides_about_no_run():
    """Where no verdict rests, noise makes nothing invalid."""
    noisy = {("blocking", variants.BARE): 174.0, ("blocking", variants.AGAIN): 300.0}

    _, found = judged(a_run(costs() | noisy, drift=(0, 0, 0)))

    assert [] == budgets.doubts(found)


def test_every_variant_of_ours_can_be_built():
    """No line of the tables names what does not exist."""
    for table in variants.TABLES.values():
        for one in table:
            if not one.kit_only:
                assert isinstance(one.build(), list), one.name


def test_names_are_unique_within_a_table():
    """A result's name and side say which line it is of."""
    for table in variants.TABLES.values():
        names = [one.name for one in table]
        assert len(set(names)) == len(names)


def test_a_python_that_is_none_is_refused(tmp_path):
    """The kit's Python must start, and be 3.12 or later."""
    with pytest.raises(kit.KitUnavailableError, match=r"no Python of 3\.12"):
        kit.environment(str(tmp_path / "python"))


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1, (0, 0)), (5, (0, 4)), (20, (4, 15)), (100, (39, 60))],
)
def test_the_bounds_of_a_median_are_order_statistics(number, expected):
    """The sign test's interval for a median, or wider by a place."""
    assert expected == figures.bounds(range(number))
