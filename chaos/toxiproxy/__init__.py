"""Toxiproxy's HTTP API over an engine of links, for any client that speaks it."""

from chaos.toxiproxy.server import start

__all__ = ["start"]
