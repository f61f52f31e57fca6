"""What is drawn from spans, kept small enough for a verdict."""

import json

from chaos import environment, series, sql_figures


def test_a_breaker_that_changed_has_a_lane(world):
    """One lane a process and breaker, the first to change first, with reasons."""
    world.breaker(1022, "closed", "open", instance="orders-eu-a")
    world.breaker(1021, "closed", "open", name="orders@eu", instance="storefront-us-a")
    world.breaker(1023, "open", "half_open", instance="orders-eu-a", reason="over")
    lanes = series.of(world.scene())["breakers"]["lanes"]

    assert [("orders@eu", "storefront-us-a", 1), ("database@eu", "orders-eu-a", 2)] == [
        (lane["breaker"], lane["instance"], len(lane["changes"])) for lane in lanes
    ]
    assert (23.0, "open", "half_open", "over") == tuple(
        lanes[1]["changes"][1][key] for key in ("at_s", "old", "new", "reason")
    )


def test_more_lanes_and_changes_than_fit_are_counted(world, monkeypatch):
    """A verdict does not grow without bound, and says what it leaves out."""
    monkeypatch.setattr(series, "MAX_LANES", 1)
    monkeypatch.setattr(series, "MAX_CHANGES", 2)
    for at_s in (1021, 1022, 1023):
        world.breaker(at_s, "closed", "open", instance="orders-eu-a")
    world.breaker(1024, "closed", "open", instance="catalog-eu-a")
    found = series.of(world.scene())["breakers"]

    assert (1, 1, 2, 1) == (
        found["left_out"],
        len(found["lanes"]),
        len(found["lanes"][0]["changes"]),
        found["lanes"][0]["left_out"],
    )


def test_a_herd_is_the_hottest_load_around_its_crowd(world):
    """Equal statements that overlap, from moment to moment; others are not in it."""
    world.flashes = [1030.0]
    for offset in (0.0, 0.01, 0.02):
        world.sql("SELECT products", 1030 + offset, 100, key="front page")
    world.sql("SELECT products", 1030, 100, key="another page")
    world.sql("SELECT products", 1035, 100, key="front page")
    herd = series.of(world.scene())["herds"][0]

    assert (30.0, "SELECT products", "front page", 3, 3) == tuple(
        herd[key] for key in ("at_s", "summary", "key", "peak", "loads")
    )
    assert [[0.0, 1], [10.0, 2], [20.0, 3], [100.0, 2], [110.0, 1], [120.0, 0]] == (
        herd["steps"]
    )


def test_a_root_counts_at_its_first_statement(world):
    """In bins of 50 ms; who came before the crowd's window does not count."""
    world.flashes = [1030.0]
    for at_s, statements in ((1030.0, (0.01, 0.3)), (1030.02, (0.02,)), (1025, (5.0,))):
        one = world.journey(at_s)
        for offset in statements:
            world.sql("SELECT products", at_s + offset, trace=one.trace_id, key="k")
    world.journey(1030.5)
    herd = series.of(world.scene())["herds"][0]

    assert [[0, 2]] == herd["first_statements"]


def test_a_crowd_without_loads_is_an_empty_herd(world):
    """Nothing overlapped is not nothing measured."""
    world.flashes = [1030.0]
    herd = series.of(world.scene())["herds"][0]

    assert (0, 0, []) == (herd["peak"], herd["loads"], herd["steps"])


def test_edges_are_told_from_the_most_amplified(world):
    """Calls, attempts served and their ratio, as the check counts them."""
    world.call("shop.v1.Orders/PlaceOrder", 1021, attempts=3)
    world.call("shop.v1.Orders/PlaceOrder", 1022)
    world.call("shop.v1.Cart/GetCart", 1022)
    scene = world.scene()
    methods = series.of(scene)["edges"]["methods"]

    assert [
        ("shop.v1.Orders/PlaceOrder", 2, 4, 2.0),
        ("shop.v1.Cart/GetCart", 1, 1, 1.0),
    ] == [(one["method"], one["calls"], one["served"], one["ratio"]) for one in methods]
    assert methods[0]["ratio"] == sql_figures.worst_edge(scene, min_calls=1).ratio


def test_series_are_plain_values(world):
    """They go into a JSON file and come back the same."""
    world.flashes = [1030.0]
    world.sql("SELECT products", 1030, 100, key="front page")
    world.breaker(1022, "closed", "open")
    found = series.of(world.scene())

    assert found == json.loads(json.dumps(found))


def test_the_environment_names_what_moves_a_figure():
    """Python, platform, processors, and the versions of what does the work."""
    found = environment.present()

    assert found["cpus"] >= 1
    assert found["memory_mb"] > 100
    assert found["packages"]["grpcio"]
    assert set(environment.PACKAGES) == set(found["packages"])
