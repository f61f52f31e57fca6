"""The committed generated code is what the .proto files say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_generated_code_is_fresh(tmp_path: Path) -> None:
    """Generating again gives the committed files, byte for byte."""
    program = (
        "import sys, pathlib; sys.path.insert(0, '.');"
        "from tests.house.generate_protos import generate;"
        "generate(pathlib.Path(sys.argv[1]))"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(tmp_path)],
        cwd=ROOT,
        check=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    made = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*_pb2*"))
    kept = sorted(p.relative_to(ROOT) for p in ROOT.glob("protos/**/*_pb2*.py*"))
    kept = [p for p in kept if "__pycache__" not in p.parts]

    assert made == kept
    stale = [
        str(p) for p in made if (tmp_path / p).read_bytes() != (ROOT / p).read_bytes()
    ]
    assert [] == stale, "run `make protos`"


def test_every_message_and_method_is_documented() -> None:
    """Every service, and every method whose name does not say all, has a comment."""
    for path in sorted((ROOT / "protos").rglob("*.proto")):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if line.startswith("service "):
                assert lines[number - 1].startswith("//"), f"{path.name}: {line}"
