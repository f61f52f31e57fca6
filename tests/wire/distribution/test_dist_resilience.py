"""`seawall-resilience`: the package alone, as others install it."""

import email
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
LAB = tomllib.loads((ROOT / "pyproject.toml").read_text())
ALONE = tomllib.loads((ROOT / "resilience" / "pyproject.toml").read_text())
DEPENDENCIES = {"grpcio", "protobuf", "pybreaker", "tenacity"}
# typing-extensions is grpcio's; the rest come with an environment.
INSTALLED = DEPENDENCIES | {"seawall-resilience", "typing-extensions", "pip"}
INSTALLED |= {"setuptools"}
DID = {"passes": True, "streams": True, "retries": 1, "silent": True}
DID |= {"refuses": "UNAVAILABLE"}


def run(*command, **options):
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        **options,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built once, with the builder at hand where there is one."""
    out = tmp_path_factory.mktemp("wheel")
    isolation = [] if importlib.util.find_spec("hatchling") is None else ["--no-"]
    run(
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel"),
        *("--quiet", "--no-deps", "--wheel-dir", out),
        *(f"{word}build-isolation" for word in isolation),
        ROOT / "resilience",
    )
    (built,) = out.glob("*.whl")
    return built


def test_the_two_distributions_agree():
    """The same package has one version, one licence and the same needs in both."""
    lab, alone = LAB["project"], ALONE["project"]

    for key in ("version", "requires-python", "license", "dependencies"):
        assert lab[key] == alone[key], key
    names = {re.split(r"[<>=]", each)[0] for each in alone["dependencies"]}
    assert names == DEPENDENCIES
    licences = [ROOT / "LICENSE", ROOT / "resilience" / "LICENSE"]
    assert 1 == len({licence.read_text() for licence in licences})


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    """Every module is in it, with its types, its licence and its README."""
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        (metadata,) = [name for name in held if name.endswith("/METADATA")]
        told = email.message_from_bytes(archive.read(metadata))

    code = {name for name in held if not name.startswith("seawall_resilience-")}
    source = (ROOT / "resilience").rglob("*.py")
    assert code == {
        "resilience/py.typed",
        *(path.relative_to(ROOT).as_posix() for path in source),
    }
    assert any(name.endswith("licenses/LICENSE") for name in held)
    assert "seawall-resilience" == told["Name"]
    assert told.get_payload().startswith("# seawall-resilience")
    assert {"opentelemetry", "prometheus"} == set(told.get_all("Provides-Extra"))


def test_the_wheel_works_with_its_declared_needs_alone(wheel, tmp_path):
    """Wrapping a channel and a server, a call, a retry, a refusal: aio and blocking."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    alone = [sys.executable, "-I", "-W", "error", HERE / "alone.py", tmp_path]
    told = json.loads(run(*alone))

    assert (DID, DID) == (told["sync"], told["aio"])
    assert ([], []) == (told["missing"], told["foreign"])


def _makes_environments(python):
    asked = [python, "-c", "import venv, ensurepip"]
    done = subprocess.run(asked, capture_output=True, check=False, timeout=60)
    return 0 == done.returncode


def pythons():
    """Every Python here that is supported: on the PATH, and pyenv's."""
    floor = tuple(map(int, re.findall(r"\d+", ALONE["project"]["requires-python"])))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    places = [Path(each) for each in os.environ.get("PATH", "").split(os.pathsep)]
    places += sorted(pyenv.glob("versions/*/bin"))
    found = {sys.version_info[:2]: Path(sys.executable)}
    for place in places:
        for path in sorted(place.glob("python3.*")):
            version = re.fullmatch(r"python3\.(\d+)", path.name)
            if version is None or (3, int(version[1])) < floor or path.is_dir():
                continue
            if _makes_environments(path):
                found.setdefault((3, int(version[1])), path)
    return found


def oldest(name):
    """The declared floor of a dependency, as a prefix to match: "1.66"."""
    (found,) = [d for d in ALONE["project"]["dependencies"] if d.startswith(name)]
    return found.partition(">=")[2]


def install_oldest(python, wheel):
    """Install the wheel with the oldest of everything; return grpcio's version.

    A Python younger than the floor's wheels takes the first that has one.
    """
    major, minor = map(int, oldest("grpcio").split("."))
    others = [f"{n}=={oldest(n)}.*" for n in sorted(DEPENDENCIES - {"grpcio"})]
    for newer in range(minor, minor + 40):
        wanted = f"grpcio=={major}.{newer}.*"
        done = subprocess.run(
            [
                *(python, "-m", "pip", "--disable-pip-version-check", "install"),
                *("--quiet", "--only-binary", ":all:", wheel, wanted, *others),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if 0 == done.returncode:
            return f"{major}.{newer}."
        assert "No matching distribution found for grpcio" in done.stderr, done.stderr
    raise AssertionError("no grpcio for this Python")


def install_newest(python, wheel):
    """Install the wheel with what the lab is pinned to; return grpcio's version."""
    run(
        *(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
        *("--constraint", ROOT / "constraints.txt", wheel),
    )
    pins = (ROOT / "constraints.txt").read_text()
    (pin,) = re.findall(r"^grpcio==(.+)$", pins, re.MULTILINE)
    return pin


@pytest.mark.dist
@pytest.mark.timeout(600)
@pytest.mark.parametrize("install", [install_oldest, install_newest])
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_the_wheel_installs_and_works(wheel, tmp_path, version, install):
    """In a fresh environment it brings only its needs, and does what it says."""
    python = pythons().get(tuple(map(int, version.split("."))))
    if python is None:
        pytest.skip(f"no Python {version} here")
    run(python, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    grpcio = install(python, wheel)
    told = json.loads(run(python, "-I", "-W", "error", HERE / "smoke.py"))
    listed = json.loads(
        run(
            *(python, "-m", "pip", "--disable-pip-version-check"),
            *("list", "--format", "json"),
        )
    )

    assert version == told["python"]
    assert told["grpcio"].startswith(grpcio)
    assert (DID, DID) == (told["sync"], told["aio"])
    assert ([], []) == (told["missing"], told["foreign"])
    assert {each["name"].lower().replace("_", "-") for each in listed} <= INSTALLED
