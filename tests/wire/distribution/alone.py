"""Runs the smoke program where nothing can be imported but what the wheel needs.

`python alone.py UNPACKED_WHEEL`: what the environment has beside the declared
dependencies is hidden, so that the check needs no network.
"""

import runpy
import sys
from pathlib import Path

# grpcio brings typing_extensions, protobuf is `google`.
ALLOWED = {
    "resilience",
    "grpc",
    "google",
    "pybreaker",
    "tenacity",
    "typing_extensions",
    *sys.stdlib_module_names,
}


class OnlyDeclared:
    """An import finder that knows only the declared dependencies."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"{name} is no dependency", name=name)


if __name__ == "__main__":
    for name in [n for n in sys.modules if n.partition(".")[0] not in ALLOWED]:
        if name != "__main__":
            del sys.modules[name]
    sys.path.insert(0, sys.argv[1])
    sys.meta_path.insert(0, OnlyDeclared)
    import resilience

    assert Path(resilience.__file__).is_relative_to(sys.argv[1]), resilience.__file__
    runpy.run_path(str(Path(__file__).with_name("smoke.py")), run_name="__main__")
