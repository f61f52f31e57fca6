"""`python -m observability.collector`: run until standard input ends or SIGTERM."""

import argparse
import asyncio
import gc
import json
import os
import signal
import sqlite3
import sys
import threading
from pathlib import Path

from observability.collector.receiver import build
from observability.collector.writer import StoreWriter


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, serve, drain; 2 when the address or store fails."""
    parser = argparse.ArgumentParser(prog="python -m observability.collector")
    parser.add_argument("--listen", default="127.0.0.1:0", help="host:port")
    parser.add_argument("--store", type=Path, required=True, help="SQLite file")
    parser.add_argument("--max-spans", type=int, default=2_000_000)
    given = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asyncio.run(_serve(given.listen, given.store, given.max_spans))
    except (OSError, RuntimeError, sqlite3.Error) as error:
        sys.stderr.write(f"collector: {error}\n")
        return 2
    return 0


async def _serve(listen: str, store: Path, max_spans: int) -> None:
    writer = StoreWriter(store, max_spans=max_spans)
    server = build(writer)
    port = server.add_insecure_port(listen)
    await server.start()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    threading.Thread(
        target=_watch_stdin, args=(loop, stop), name="stdin", daemon=True
    ).start()
    # What is loaded by now stays; collections need not walk it again.
    gc.collect()
    gc.freeze()
    host = listen.rpartition(":")[0]
    ready = {"endpoint": f"http://{host}:{port}", "store": str(store)}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop(0.5)
    writer.close(0.5)


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # Our starter holds the other end: its death, however sudden, ends the file.
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


if __name__ == "__main__":
    sys.exit(main())
