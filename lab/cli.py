"""The `seawall` command: one sub-command a file in `lab.commands`."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from lab.results import Exit


class TerminatedError(KeyboardInterrupt):
    """Somebody sent SIGTERM or closed the terminal: stop as on Ctrl-C."""


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise TerminatedError


# Imported when it is asked for: all of them together take a second.
_COMMANDS = {
    "bench": "lab.commands.bench",
    "certs": "lab.commands.certs",
    "chaos": "lab.commands.chaos",
    "cockroach": "lab.commands.cockroach",
    "demo": "lab.commands.demo",
    "down": "lab.commands.up",
    "drill": "lab.commands.drill",
    "flags": "lab.commands.flags",
    "logs": "lab.commands.logs",
    "report": "lab.commands.report",
    "status": "lab.commands.status",
    "traces": "lab.commands.traces",
    "up": "lab.commands.up",
}


class _Commands(click.Group):
    """The sub-commands by name, each in a module of its own."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name])
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="seawall")
def seawall() -> None:
    """How gRPC services survive: a shop in three regions, made sick and cured."""


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
        sys.stderr.write("interrupted; what this command started is stopped\n")
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
