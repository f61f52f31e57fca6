"""Run the service as a process of its own."""

from services.runtime.main import main

main("orders")
