"""The files of continuous integration fit their schemas and name what is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github" / "workflows" / "ci.yml"
GITLAB = ROOT / ".gitlab-ci.yml"
SCRIPTS = sorted(
    path for path in (ROOT / ".ci").iterdir() if path.is_file() and not path.suffix
)


@pytest.mark.parametrize(
    ("path", "schema"),
    [(GITHUB, "vendor.github-workflows"), (GITLAB, "vendor.gitlab-ci")],
    ids=["github", "gitlab"],
)
def test_the_files_fit_their_schemas(path: Path, schema: str) -> None:
    """The published schema accepts the file."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema),
            str(path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout


def test_what_they_run_is_there() -> None:
    """Scripts exist and may be run, made targets are in the Makefile."""
    text = GITHUB.read_text() + GITLAB.read_text()
    makefile = (ROOT / "Makefile").read_text()
    scripts = [path.read_text() for path in SCRIPTS]
    made = {one for part in scripts for one in re.findall(r"(?m)^make (\S+)$", part)}

    named = set(re.findall(r"\.ci/([a-z]+)\b", text))
    assert {"run", "cockroach", "compose"} == named == {one.name for one in SCRIPTS}
    assert all(path.stat().st_mode & 0o111 for path in SCRIPTS)
    for target in made:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for test in re.findall(r"tests/\S+\.py", text):
        assert (ROOT / test).exists(), test


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(script: Path) -> None:
    """bash reads every script."""
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_versions_are_those_of_compose() -> None:
    """The single node is of the version that compose runs by default."""
    compose = (ROOT / "docker-compose.yml").read_text()
    (default,) = set(re.findall(r"COCKROACH_VERSION:-([^}]+)\}", compose))

    assert f"cockroachdb/cockroach:{default} " in GITHUB.read_text()
