"""Who is ejected and for how long: gRFC A50's and Envoy's cases."""

import pytest

from resilience import BackendEjected, BackendReturned
from resilience.balancing import OutlierConfig, Outliers
from resilience.testing import FakeClock, RecordingListener

pytestmark = pytest.mark.resilience

HOSTS = ("a", "b", "c", "d", "e")


class Sweep:
    """Outlier detection under a fake clock."""

    def __init__(self, hosts=HOSTS, **config):
        self.clock, self.listener = FakeClock(), RecordingListener()
        self.outliers = Outliers(
            "t", OutlierConfig(**config), clock=self.clock, listener=self.listener
        )
        self.outliers.follow(hosts)

    def feed(self, rates, volume=100):
        """Let each host have *volume* calls, so many percent of them good."""
        for name, rate in rates.items():
            for n in range(volume):
                self.outliers.record(name, ok=n < rate * volume / 100)

    def fail(self, *names):
        """Let each of these fail once."""
        for name in names:
            self.outliers.record(name, ok=False)

    def out_at(self, seconds):
        """Return who is out at that time."""
        self.clock.now = seconds
        return set(self.outliers.ejected())

    def told(self, kind):
        """Return the events of one kind."""
        self.outliers.tell(self.outliers.take_news())
        return self.listener.of(kind)


def test_success_rate_as_envoys_case_has_it():
    """Rates 100,100,100,100,50, factor 1.9: mean 90, threshold 52, the last goes."""
    sweep = Sweep(base_ejection_s=10, max_ejection_percent=20)
    sweep.feed({**dict.fromkeys("abcd", 100), "e": 50})

    assert set() == sweep.out_at(9.999)
    assert {"e"} == sweep.out_at(10.0)
    assert {"e"} == sweep.out_at(19.999)
    assert set() == sweep.out_at(20.0)
    (ejected,) = sweep.told(BackendEjected)
    assert ("success_rate", 10.0) == (ejected.reason, ejected.for_s)
    assert ["e"] == [event.backend for event in sweep.told(BackendReturned)]


@pytest.mark.parametrize(
    ("rate", "factor", "out"),
    [
        pytest.param(50, 1900, True, id="50 is below 52"),
        pytest.param(50, 2000, False, id="50 is not below 50"),
        pytest.param(50, 1999, True, id="50 is below 50.02"),
        pytest.param(100, 1900, False, id="all alike"),
        pytest.param(100, 0, False, id="the mean is not below itself"),
    ],
)
def test_a_rate_must_be_below_its_threshold(rate, factor, out):
    """gRFC A50: less than mean - stdev * factor / 1000, the stdev of the population."""
    sweep = Sweep(success_rate_stdev_factor=factor)
    sweep.feed({**dict.fromkeys("abcd", 100), "e": rate})

    assert ({"e"} if out else set()) == sweep.out_at(10.0)


@pytest.mark.parametrize(
    ("hosts", "volume"),
    [pytest.param("abcd", 100, id="four hosts"), pytest.param(HOSTS, 99, id="99")],
)
def test_too_few_hosts_or_calls_are_not_compared(hosts, volume):
    """gRFC A50's defaults: five hosts with a hundred calls each."""
    sweep = Sweep(hosts)
    sweep.feed({**dict.fromkeys(hosts, 100), hosts[-1]: 0}, volume)

    assert set() == sweep.out_at(10.0)


def test_failure_percentage_as_grpcs_case_has_it():
    """Three addresses, threshold 1, one failed call: out at the sweep, back at 20 s."""
    sweep = Sweep(
        ("a", "b", "c"),
        success_rate_stdev_factor=None,
        failure_percentage_threshold=1,
        failure_minimum_hosts=1,
        failure_request_volume=1,
        base_ejection_s=1,
        max_ejection_s=1,
        max_ejection_percent=1,
    )
    sweep.fail("a")

    assert {"a"} == sweep.out_at(10.0)
    assert {"a"} == sweep.out_at(19.999)
    assert set() == sweep.out_at(20.0)


@pytest.mark.parametrize(("threshold", "out"), [(50, set()), (49, {"e"})])
def test_failure_percentage_is_more_than_the_threshold(threshold, out):
    """gRFC A50's algorithm: exactly the threshold stays."""
    sweep = Sweep(
        success_rate_stdev_factor=None, failure_percentage_threshold=threshold
    )
    sweep.feed({**dict.fromkeys("abcd", 100), "e": 50})

    assert out == sweep.out_at(10.0)


def test_failure_percentage_counts_hosts_without_calls():
    """gRFC A50: there it is the number of addresses, asked or not."""
    sweep = Sweep(success_rate_stdev_factor=None, failure_percentage_threshold=85)
    sweep.feed({"e": 0})

    assert {"e"} == sweep.out_at(10.0)


def test_a_third_of_three_is_one():
    """grpc-go's case: at most 33 percent, one bad: it goes, and returns."""
    config = {"failure_percentage_threshold": 85, "max_ejection_percent": 33}
    sweep = Sweep("abc", minimum_hosts=3, request_volume=5, **config)
    sweep.feed({"a": 100, "b": 0, "c": 0}, 5)
    out = sweep.out_at(10.0)

    assert 1 == len(out)
    assert set() == sweep.out_at(40.0)


@pytest.mark.parametrize(
    ("percent", "out"), [(0, 1), (19, 1), (39, 1), (40, 2), (59, 2), (100, 5)]
)
def test_a_share_at_most_is_out(percent, out):
    """Of five that all fail no more than the share is ejected; one always may be."""
    sweep = Sweep(
        success_rate_stdev_factor=None,
        failure_percentage_threshold=10,
        panic_percent=0,
        max_ejection_percent=percent,
    )
    sweep.feed(dict.fromkeys(HOSTS, 0))

    assert out == len(sweep.out_at(10.0))
    assert f"{out} of 5 ejected" in repr(sweep.outliers)


def test_in_a_panic_everybody_is_asked():
    """Envoy's panic: with less than half left, ejecting is worse than asking them."""
    sweep = Sweep("abcdef", max_ejection_percent=100, consecutive_failures=1)
    sweep.fail("a", "b", "c")
    assert {"a", "b", "c"} == sweep.out_at(1.0)
    sweep.fail("d")

    assert set() == sweep.out_at(2.0)
    assert 4 == len(sweep.told(BackendEjected))


def test_a_run_of_failures_ejects_at_once():
    """Envoy's consecutive failures: no sweep is waited for, a success starts over."""
    sweep = Sweep(consecutive_failures=3)
    sweep.fail("a", "a")
    sweep.outliers.record("a", ok=True)
    sweep.fail("a", "a")
    assert set() == sweep.out_at(1.0)
    sweep.fail("a")

    assert {"a"} == sweep.out_at(1.0)


def test_ejections_lengthen_and_are_made_good():
    """Each ejection is longer; each healthy sweep shortens the next one."""
    sweep = Sweep(base_ejection_s=10, max_ejection_s=25, consecutive_failures=2)
    lengths, now = [], 0.0
    for _ in range(4):
        sweep.fail("a", "a")
        begun = now
        while sweep.out_at(now):
            now += 10
        lengths.append(now - begun)

    assert [10, 20, 25, 25] == [event.for_s for event in sweep.told(BackendEjected)]
    assert [10, 20, 30, 30] == lengths
    for _ in range(4):
        now += 10
        sweep.out_at(now)
    sweep.fail("a", "a")
    assert 10 == sweep.told(BackendEjected)[-1].for_s


@pytest.mark.parametrize(
    ("base_s", "max_s", "lasts"),
    [(30, 300, 30), (30, 10, 30), (30, 30, 30)],
)
def test_an_ejection_is_never_shorter_than_its_base(base_s, max_s, lasts):
    """gRFC A50: the longest is the greater one of base and maximum."""
    sweep = Sweep(base_ejection_s=base_s, max_ejection_s=max_s, consecutive_failures=1)
    sweep.fail("a")

    assert lasts == sweep.told(BackendEjected)[0].for_s


@pytest.mark.parametrize("quiet_s", [10, 30, 40, 50, 95, 3600])
def test_sweeps_that_nobody_asked_for_are_made_up(quiet_s):
    """After a silence the multiplier is what a timer's sweeps would have left."""
    lazy = Sweep(base_ejection_s=10, consecutive_failures=1)
    timed = Sweep(base_ejection_s=10, consecutive_failures=1)
    for sweep in (lazy, timed):
        for start in (0, 10, 30):
            sweep.out_at(start)
            sweep.fail("a")
        assert [10, 20, 30] == [event.for_s for event in sweep.told(BackendEjected)]
    for second in range(30, 30 + quiet_s, 10):
        timed.out_at(second)
    hosts = []
    for sweep in (lazy, timed):
        sweep.out_at(30 + quiet_s)
        host = sweep.outliers._hosts["a"]
        hosts.append((host.multiplier, host.ejected_at))

    assert hosts[0] == hosts[1]


def test_a_record_sweeps_too():
    """What comes after the interval's end is the next interval's."""
    sweep = Sweep(minimum_hosts=1, request_volume=2, failure_percentage_threshold=50)
    sweep.fail("a", "a")
    sweep.clock.now = 10.0
    sweep.outliers.record("a", ok=True)

    assert ["a"] == [event.backend for event in sweep.told(BackendEjected)]


@pytest.mark.parametrize(("percent", "out"), [(0, 0), (100, 1)])
def test_enforcing_is_by_percent(percent, out):
    """At 0 what was found is not done."""
    sweep = Sweep(consecutive_failures=1, enforcing_percent=percent)
    sweep.fail("a")

    assert out == len(sweep.out_at(0.0))


def test_nothing_configured_ejects_nobody():
    """Without a rule the worst backend stays."""
    sweep = Sweep(success_rate_stdev_factor=None)
    sweep.feed({**dict.fromkeys("abcd", 100), "e": 0})

    assert set() == sweep.out_at(10.0)


def test_who_is_gone_is_forgotten():
    """An update drops what is known; a call that still ends there is not counted."""
    sweep = Sweep(consecutive_failures=1)
    sweep.fail("a")
    sweep.outliers.follow("bc")
    sweep.fail("a")

    assert set() == sweep.out_at(0.0)
    assert {"b", "c"} == set(sweep.outliers._hosts)


def test_nobody_listening_keeps_nothing():
    """News for nobody do not pile up."""
    outliers = Outliers("t", OutlierConfig(consecutive_failures=1), clock=FakeClock())
    outliers.follow(HOSTS)
    outliers.record("a", ok=False)

    assert {"a"} == outliers.ejected()
    assert [] == outliers.news


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval_s": 0},
        {"interval_s": float("inf")},
        {"base_ejection_s": -1},
        {"max_ejection_percent": 101},
        {"failure_percentage_threshold": -1},
        {"success_rate_stdev_factor": -1},
        {"minimum_hosts": 0},
        {"failure_minimum_hosts": 0},
        {"failure_request_volume": 0},
        {"consecutive_failures": 0},
    ],
)
def test_impossible_outlier_configs_are_refused(wrong):
    """What cannot be meant is told when it is made, by name."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OutlierConfig(**wrong)
