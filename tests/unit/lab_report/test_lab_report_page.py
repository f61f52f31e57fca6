"""The page, the Markdown and the JSON as files."""

from __future__ import annotations

import html.parser
import json
import re

from lab.report import making, markdown, model, page, stored

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'


class Elements(html.parser.HTMLParser):
    """Collects what a browser would see."""

    def __init__(self):
        super().__init__()
        self.tags = []
        self.data = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.data.append(data)


def built(*folders):
    return model.build([stored.load(folder) for folder in folders])


def embedded(text):
    found = re.search(
        r'<script type="application/json" id="embedded">(.*?)</script>', text
    )
    return json.loads(found[1])


def test_the_page_needs_nothing_but_itself(both):
    """No address, no inline handler, one program that its policy names by hash."""
    text = page.render(built(*both))
    elements = Elements()
    elements.feed(text)
    tags = [tag for tag, _ in elements.tags]

    assert not {"link", "img", "iframe", "object"} & set(tags)
    assert 2 == tags.count("script")
    assert not [
        name
        for _, attributes in elements.tags
        for name in attributes
        if name[:2] == "on"
    ]
    addresses = set(re.findall(r"https?://[^\"' <)]+", text))
    assert {"http://www.w3.org/2000/svg"} == addresses
    assert "default-src 'none'" in text
    assert len(text.encode()) < page.MAX_BYTES


def test_the_table_shows_the_verdicts_numbers(both):
    """Figures and totals stand there as the terminal prints them."""
    report = built(*both)
    text = page.render(report)
    told = [run.told for run in report.runs]
    row = re.search(r">peak identical loads</th>(.*?)</tr>", text)[1]

    assert [f"{one['peak_identical_loads']}" for one in told] == re.findall(
        r">(\d+)</td>", row
    )
    assert 6 == told[0]["peak_identical_loads"]
    assert "SQL statements per checkout" in text
    for title in ("Latency over time", "Throughput over time", "Equal statements at"):
        # Once for a screen and once for a phone.
        assert 2 == len(re.findall(f"<title>{title}", text))
    assert "open from 5.00 to 6.00 s (slow_rate)" in text


def test_hostile_words_stay_words(run, passed):
    """What a span, a check or a reason says is shown, never obeyed."""
    folder = run("sick", said=HOSTILE, **passed)
    path = folder / "verdict.json"
    told = json.loads(path.read_text())
    told["checks"][0] |= {"note": HOSTILE, "expected": HOSTILE, "observed": HOSTILE}
    told["invariants"] = [
        {"name": HOSTILE, "passed": False, "observed": HOSTILE, "expected": HOSTILE}
    ]
    path.write_text(json.dumps(told))
    report = built(folder)
    text = page.render(report)
    elements = Elements()
    elements.feed(text)

    assert 2 == [tag for tag, _ in elements.tags].count("script")
    assert "img" not in [tag for tag, _ in elements.tags]
    # The span's attribute came through as it was.
    assert HOSTILE in embedded(text)["words"]
    assert "<img" not in markdown.render(report).replace("\\<", "")


def test_the_embedded_traces_can_be_unpacked(both):
    """Indices lead back to the words of the spans."""
    report = built(*both)
    data = embedded(page.render(report))
    told = report.journey[0].trace
    packed = data["traces"][told["trace_id"]]

    assert len(told["spans"]) == len(packed["spans"])
    first = packed["spans"][0]
    assert told["spans"][0]["name"] == data["words"][first[1]]
    for check in report.runs[0].told["checks"]:
        if check["trace_ids"]:
            assert check["trace_ids"][0] in data["traces"]


def test_a_page_that_would_be_too_big_says_what_it_leaves_out(both, monkeypatch):
    """The traces of the checks go first."""
    report = built(*both)
    monkeypatch.setattr(page, "MAX_BYTES", 1000)
    text = page.render(report)

    assert "Left out: the traces of all checks" in text
    assert {told.journey.trace_id for told in report.journey} == set(
        embedded(text)["traces"]
    )


def test_an_interrupted_run_is_a_page_too(interrupted):
    """Short, and it says invalid and why."""
    text = page.render(built(interrupted))

    assert "INVALID" in text
    assert "the run was interrupted" in text
    assert "<svg" not in text
    assert 'id="valid"' in text


def test_one_profile_has_one_panel(run, passed):
    """Nothing speaks of the profile that was not run."""
    text = page.render(built(run("cured", **passed)))

    assert ">cured<" in text
    assert ">sick<" not in text
    assert "✓ PASS" in text


def test_failed_checks_stand_at_the_top(run):
    """Whoever opens the page of a failed run reads first what failed."""
    folder = run("cured", valid=True, invalid_reasons=[], verdict="fail")
    text = page.render(built(folder))

    assert "✕ FAIL" in text
    assert text.index("Checks of cured that are not met") < text.index('id="table"')


def test_a_comparison_has_differences(run, passed):
    """Two runs of one profile: both badges, a table of differences, no pass on top."""
    folders = run("cured", name="a", **passed), run("cured", name="b", **passed)
    text = page.render(built(*folders))

    assert "What is different" in text
    assert "No check and no invariant changed its answer." in text


def test_markdown_tables_have_as_many_cells_as_heads(both):
    """Every row of every table is whole, whatever the cells say."""
    text = markdown.render(built(*both))
    width = 0
    for line in text.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line))
        assert not (width and cells) or width == cells, line
        width = cells

    assert "## Before, during and after the fault" in text
    assert "seawall chaos run slow-database --profile both --seed 7" in text


def test_json_is_the_whole_model(both, runs):
    """The machine-readable form has figures, series, checks, facts and traces."""
    loaded = [stored.load(folder) for folder in both]
    _, paths = making.make(loaded, state=runs.parent)
    with open(paths["json"]) as file:  # noqa: PTH123
        told = json.load(file)

    assert "seawall-report/1" == told["schema"]
    assert ["sick", "cured"] == [one["label"] for one in told["runs"]]
    assert {"series", "facts", "environment", "checks", "per_second"} <= set(
        told["runs"][0]
    )
    assert 2 == len(told["journey"])
    assert told["evidence"]
