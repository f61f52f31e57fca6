"""`python -m links`: an engine in a process of its own (see `links.process`)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from links.process import serve
from links.spec import LinkSpec


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m links", description=__doc__)
    parser.add_argument("--control", default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--seed", type=int, default=0, help="of the toxics' chance")
    parser.add_argument("--links", type=Path, help="JSON list of link specs")
    arguments = parser.parse_args()
    specs = []
    if arguments.links is not None:
        specs = [LinkSpec(**v) for v in json.loads(arguments.links.read_text())]
    serve(control=arguments.control, specs=specs, seed=arguments.seed)


if __name__ == "__main__":
    main()
