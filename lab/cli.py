"""The `seawall` command: one sub-command a file in `lab.commands`."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from lab.commands import (
    bench,
    certs,
    chaos,
    cockroach,
    cockroach_ranges,
    demo,
    drill,
    flags,
    logs,
    report,
    status,
    traces,
    up,
)
from lab.results import Exit


class TerminatedError(KeyboardInterrupt):
    """Somebody sent SIGTERM or closed the terminal: stop as on Ctrl-C."""


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise TerminatedError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="seawall")
def seawall() -> None:
    """How gRPC services survive: a shop in three regions, made sick and cured."""


for command in (
    demo.demo,
    up.up,
    up.down,
    status.status,
    flags.flags,
    traces.traces,
    logs.logs,
    chaos.chaos,
    bench.bench,
    drill.drill,
    report.report,
    certs.certs,
    cockroach.cockroach,
):
    seawall.add_command(command)
cockroach.cockroach.add_command(cockroach_ranges.ranges)


def main() -> NoReturn:
    """Run the command and exit by the table of exit codes."""
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGHUP, _terminated)
    try:
        code = seawall.main(standalone_mode=False)
    except click.UsageError as error:
        error.show()
        sys.exit(Exit.USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(Exit.USAGE)
    except (KeyboardInterrupt, click.Abort) as error:
        sys.stderr.write("interrupted; everything of the lab is stopped\n")
        # click turns what stops us into its own error, and keeps the cause.
        terminated = isinstance(error.__cause__ or error, TerminatedError)
        sys.exit(128 + signal.SIGTERM if terminated else Exit.INTERRUPTED)
    except BrokenPipeError:
        # The reader left (`| head`); nothing of ours is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.PASS)
    sys.exit(code if isinstance(code, int) else Exit.PASS)


if __name__ == "__main__":
    main()
