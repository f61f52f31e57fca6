"""Regenerates the committed protobuf code; `make protos` runs it."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]


def generate(destination: Path) -> None:
    """Write the generated code of every .proto below `destination`."""
    scripts = Path(sysconfig.get_path("scripts"))
    sources = sorted((ROOT / "protos").rglob("*.proto"))
    google = Path(protoc.__file__).parent / "_proto"
    code = protoc.main(
        [
            "protoc",
            f"-I{ROOT}",
            f"-I{google}",
            f"--python_out={destination}",
            f"--grpc_python_out={destination}",
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--mypy_out=quiet:{destination}",
            f"--mypy_grpc_out=quiet:{destination}",
            *(str(source.relative_to(ROOT)) for source in sources),
        ]
    )
    if code:
        sys.exit(f"protoc failed with {code}")


if __name__ == "__main__":
    for stale in ROOT.glob("protos/shop/v1/*_pb2*"):
        stale.unlink()
    shutil.rmtree(ROOT / "protos/shop/v1/__pycache__", ignore_errors=True)
    generate(ROOT)
