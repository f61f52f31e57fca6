"""Makes a report of stored runs and writes it: all of its files, or none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import jinja2
from rich.console import Console

from lab.files import write_together
from lab.report import markdown, model, page, stored
from lab.report.stored import ReportError, Run

FOLDER = "reports"
HTML, MARKDOWN, JSON = "report.html", "report.md", "report.json"


def make(
    runs: Sequence[Run], *, state: Path, folder: Path | None = None
) -> tuple[model.Report, dict[str, str]]:
    """Make the report of these runs and write it; give it and its paths by kind.

    Into the folder, or into one among the state's reports.
    Raises ReportError, and OSError with what was there before left as it was.
    """
    try:
        report = model.build(runs)
        texts = {
            HTML: page.render(report),
            MARKDOWN: markdown.render(report),
            JSON: json.dumps(report.to_json(), indent=1, default=str) + "\n",
        }
    except (
        *(LookupError, ValueError, TypeError, AttributeError, ArithmeticError),
        jinja2.TemplateError,
    ) as error:
        names = ", ".join(str(run.folder) for run in runs)
        raise ReportError(
            f"{names}: what is stored is not what a report needs "
            f"({type(error).__name__}: {error})"
        ) from error
    folder = folder or default_folder(state, report)
    write_together(folder, texts)
    return report, {
        "html": str(folder / HTML),
        "markdown": str(folder / MARKDOWN),
        "json": str(folder / JSON),
    }


def default_folder(state: Path, report: model.Report) -> Path:
    """Name the folder: the same runs have the same, however often it is made."""
    newest = max(run.folder.resolve().name for run in report.runs)
    stamp = newest.split(f"-{report.scenario}", 1)[0]
    name = f"{stamp}-{report.scenario}"
    if report.comparison is not None:
        name += f"-{report.runs[0].profile}-compared"
    elif len(report.runs) == 1:
        name += f"-{report.runs[0].profile}"
    return state / FOLDER / name


def at_the_end(
    judged: Iterable[Mapping[str, object]], *, console: Console
) -> dict[str, str]:
    """Report what was just run, and say where; a failure is a warning and no more.

    Of several runs of one profile the last is reported, beside the stored runs.
    """
    try:
        runs: dict[str, Run] = {}
        for one in judged:
            if "run_dir" in one:
                run = stored.load(Path(str(one["run_dir"])))
                runs[run.profile] = run
        if not runs:
            return {}
        beside = next(iter(runs.values())).folder.resolve().parent.parent
        _, paths = make(list(runs.values()), state=beside)
    except Exception as error:  # noqa: BLE001 (the verdict stands, whatever is wrong)
        said = str(error) if isinstance(error, ReportError) else repr(error)
        console.print(f"warning: no report: {said}", markup=False, soft_wrap=True)
        return {}
    console.print(f"report: {paths['html']}", markup=False, soft_wrap=True)
    return paths
