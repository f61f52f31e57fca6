"""The frame of a plot over time: panels one above another on the same two axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lab.report import svg
from lab.report.stored import Run
from lab.report.svg import Scale

Write = Callable[[float], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How a plot is laid out on a screen or on a phone, in its own units."""

    name: str
    width: float
    panel: float
    left: float
    right: float
    gap: float = 36

    @property
    def across(self) -> float:
        """What is left for the data."""
        return self.width - self.left - self.right


WIDE = Size(name="wide", width=900, panel=140, left=62, right=74)
NARROW = Size(name="narrow", width=340, panel=116, left=42, right=60)
SIZES = (WIDE, NARROW)
HEAD = 38.0
FOOT = 34.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The time axis that all runs share, with the fault and the crowds."""

    runs: Sequence[Run]
    size: Size

    @property
    def x(self) -> Scale:
        """From the start of the load to its end."""
        longest = max(run.moment("end_s") for run in self.runs)
        return Scale(
            low=0,
            high=longest,
            start=self.size.left,
            end=self.size.width - self.size.right,
        )

    def panels(self) -> Iterator[tuple[Run, float, float]]:
        """Give each run with its panel's top and bottom."""
        size = self.size
        for index, run in enumerate(self.runs):
            top = HEAD + index * (size.panel + size.gap)
            yield run, top + 18, top + 18 + size.panel

    @property
    def height(self) -> float:
        """How high the whole is."""
        size = self.size
        count = len(self.runs)
        return HEAD + count * (size.panel + 18) + (count - 1) * (size.gap - 18) + FOOT

    def marks(self, run: Run, top: float, bottom: float) -> Iterator[Markup]:
        """Draw the fault's window and the crowds behind a panel."""
        x = self.x
        since, until = x.at(run.moment("in_force_s")), x.at(run.moment("removing_s"))
        yield svg.tag(
            "rect",
            x=since,
            y=top,
            width=until - since,
            height=bottom - top,
            class_="fault",
        )
        for at_s in run.crowds:
            at = x.at(at_s)
            yield svg.tag("line", x1=at, x2=at, y1=top, y2=bottom, class_="crowd")

    def head(self) -> Iterator[Markup]:
        """Name the phases and the crowds above the first panel."""
        run, x = self.runs[0], self.x
        wide = self.size is WIDE
        phases = (
            ("warming up" if wide else "", 0.0, run.moment("baseline_s")),
            ("before", run.moment("baseline_s"), run.moment("injecting_s")),
            ("fault", run.moment("in_force_s"), run.moment("removing_s")),
            ("after", run.moment("gone_s"), run.moment("end_s")),
        )
        for name, since, until in phases:
            middle = (x.at(since) + x.at(until)) / 2
            emphasis = " strong" if name == "fault" else ""
            yield svg.text(
                middle, 12, name, text_anchor="middle", class_=f"phase{emphasis}"
            )
        for at_s in run.crowds:
            yield svg.text(
                x.at(at_s),
                30,
                "▾ crowd" if wide else "▾",
                text_anchor="middle",
                class_="tick",
            )

    def foot(self, bottom: float) -> Iterator[Markup]:
        """Draw the time axis below the last panel."""
        x = self.x
        for at_s in x.ticks(5):
            at = x.at(at_s)
            yield svg.tag("line", x1=at, x2=at, y1=bottom, y2=bottom + 4, class_="axis")
            yield svg.text(
                at, bottom + 16, f"{at_s:g}", text_anchor="middle", class_="tick"
            )
        yield svg.text(
            (x.start + x.end) / 2,
            bottom + 31,
            "seconds since the load began",
            text_anchor="middle",
            class_="name",
        )

    def draw(
        self,
        title: str,
        y: Callable[[float, float], Scale],
        write: Write,
        unit: str,
        inside: Callable[[Run, int, Scale], Iterable[Markup]],
    ) -> Markup:
        """Draw the whole plot; `inside` draws one run's data."""
        parts = [*self.head()]
        bottom = 0.0
        for index, (run, top, bottom) in enumerate(self.panels()):
            scale = y(top, bottom)
            parts += self.marks(run, top, bottom)
            parts += axis(scale, self.size, write)
            parts.append(
                svg.text(self.size.left, top - 7, run.label, class_=f"panel run{index}")
            )
            if not index:
                parts.append(
                    svg.text(
                        self.size.width - self.size.right,
                        top - 7,
                        unit,
                        text_anchor="end",
                        class_="name",
                    )
                )
            parts += inside(run, index, scale)
        parts += self.foot(bottom)
        # Where a pointer is in time, for the script.
        x = self.x
        told = {"data_from": x.start, "data_to": x.end, "data_end": x.high}
        return svg.drawing(self.size.width, self.height, title, parts, **told)


def axis(scale: Scale, size: Size, write: Write, about: int = 5) -> Iterator[Markup]:
    """Draw the lines and numbers of a vertical scale."""
    for value in scale.ticks(about):
        at = scale.at(value)
        yield svg.tag(
            "line",
            x1=size.left,
            x2=size.width - size.right,
            y1=at,
            y2=at,
            class_="grid",
        )
        yield svg.text(
            size.left - 6, at + 4, write(value), text_anchor="end", class_="tick"
        )


def both(draw: Callable[[Size], Markup]) -> Markup:
    """Draw for a screen and for a phone; the page shows one of them."""
    return Markup("").join(
        svg.tag("div", draw(size), class_=f"plot {size.name}") for size in SIZES
    )
