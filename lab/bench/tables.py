"""What a person reads after a benchmark."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from lab.bench.budgets import Budget
from lab.bench.figures import Figure
from lab.bench.wire import IN_FLIGHT, SEQUENTIAL, STREAMED
from lab.tables import COLOURED

_COLUMNS = (
    "",
    "CPU, µs",
    "added",
    "of bare",
    "at 174",
    "p50, µs",
    "rps",
    "CPU at 32",
    "added",
    "rps at 32",
    "a message, µs",
    "added",
)


def show(
    console: Console,
    found: Sequence[Figure],
    skipped: Iterable[Mapping[str, str]],
    refusal: Mapping[str, float] | None,
) -> None:
    """Print a table for each side of each interpreter, and what was left out."""
    for side, api, kit in dict.fromkeys((f.side, f.api, f.kit) for f in found):
        mine = [f for f in found if (f.side, f.api, f.kit) == (side, api, kit)]
        where = f"{side}, {'grpc.aio' if api == 'aio' else 'blocking gRPC'}"
        title = f"{where}, Python {mine[0].python}" + (
            ", beside the kit" if kit else ""
        )
        table = Table(title=title, title_justify="left")
        for place, column in enumerate(_COLUMNS):
            table.add_column(column, justify="right" if place else "left")
        for name in dict.fromkeys(f.name for f in mine):
            shapes = {f.shape: f for f in mine if f.name == name}
            table.add_row(name, *_cells(shapes))
        console.print(table)
    if refusal is not None:
        console.print(
            f"an open breaker refuses within {refusal['p50_us']:.0f} µs (p50), "
            f"{refusal['p99_us']:.0f} µs (p99)"
        )
    for one in skipped:
        console.print(f"left out: {one['name']} ({one['side']}): {one['reason']}")


def _cells(shapes: Mapping[str, Figure]) -> Iterable[str]:
    one = shapes.get(SEQUENTIAL)
    if one is None:
        yield from ["-"] * 6
    else:
        yield f"{one.cpu_us:.1f}"
        between = f"({one.added_low_us:.0f}..{one.added_high_us:.0f})"
        yield f"{one.added_cpu_us:+.1f} {between}"
        yield f"{100 * one.added_share:+.0f} %"
        yield f"{one.added_at_reference_us:+.1f}"
        yield f"{one.p50_us:.0f}"
        yield f"{one.relative_rps:.2f}x"
    many = shapes.get(IN_FLIGHT)
    if many is None:
        yield from ["-"] * 3
    else:
        yield f"{many.cpu_us:.1f}"
        yield f"{many.added_cpu_us:+.1f}"
        yield f"{many.relative_rps:.2f}x"
    message = shapes.get(STREAMED)
    if message is None:
        yield from ["-"] * 2
    else:
        yield f"{message.cpu_us:.1f}"
        yield f"{message.added_cpu_us:+.1f}"


def show_budgets(console: Console, budgets: Sequence[Budget]) -> None:
    """Print each promise, what was measured, and which figure decided."""
    table = Table(title="Budgets", title_justify="left")
    for column in ("", "measured", "at 174 µs", "budget", "judged by"):
        table.add_column(column, justify="left" if column == "" else "right")
    table.add_column("")
    for one in budgets:
        outcome = "not measured"
        if one.passed is not None:
            outcome = COLOURED["pass" if one.passed else "fail"]
        table.add_row(
            one.name,
            _number(one.raw),
            _number(one.at_reference),
            _number(one.budget),
            "-" if one.raw is None else one.judged_by.replace("_", " "),
            outcome,
        )
    console.print(table)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) < 2 else f"{value:.1f}"
