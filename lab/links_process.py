"""The process that carries every byte between regions, with Toxiproxy's API on it."""

from __future__ import annotations

from chaos import toxiproxy
from links import Engine
from links.process import serve


async def _toxiproxy(engine: Engine) -> dict[str, str]:
    _, address = await toxiproxy.start(engine)
    return {"toxiproxy": address}


if __name__ == "__main__":
    serve(extra=_toxiproxy)
