"""What a user installs: one wheel, the same from a checkout and from an sdist, that works anywhere.

setuptools follows the links below refine_agent while it builds; other build tools drop them in
silence, which is why wheels are made here, listed, installed and used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "refine_agent"

# A run without model, compiler or device, so that what ships is all that it needs.
PLAY = """
import sys
from pathlib import Path

import refine_agent
from refine_agent.records import Budget, Options, Problem
from refine_agent.session import Session
from refine_agent.standins import ScriptedAuthor, ScriptedBench, kernel

assert Path(refine_agent.__file__).is_relative_to(sys.prefix), refine_agent.__file__
session = Session.start(
    Problem(name="scale", source="class Model: ..."),
    options=Options(budget=Budget(turns=2)),
    runs=Path("runs"),
    author=ScriptedAuthor([kernel(speedup=1.2), kernel(speedup=1.7)]),
    bench=ScriptedBench(),
)
for turn in session.run():
    print(turn.number, turn.prompt.digest)
"""

DOUBLE = """
import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return x * 2.0 + 1.0


def get_inputs():
    return [torch.rand(256, 1024)]


def get_init_inputs():
    return []
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to build in, as a user's may be: a run of their own lies beside the recorded ones."""
    copy = tmp_path_factory.mktemp("checkout") / PACKAGE
    shutil.copytree(ROOT, copy, symlinks=True, ignore=_left_behind)
    for name in ("20260101-000000-00000-private", "recorded/layernorm-planted"):
        blobs = copy / "transcripts" / name / "blobs" / "ab"
        blobs.mkdir(parents=True)
        (blobs / ("0" * 62)).write_text("a text that an event names by its digest\n")
        (blobs.parents[1] / "events.jsonl").write_text("{}\n")
    return copy


def _left_behind(folder: str, names: list[str]) -> set[str]:
    left = {name for name in names if name.startswith(".") or name.endswith(".egg-info")}
    if Path(folder) == ROOT:
        left |= {"build", "dist"}
    if Path(folder) == ROOT / "transcripts":
        left |= set(names) - {"README.md", "recorded"}
    return left | {"__pycache__"}


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wheel(checkout, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def wheel_of_sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sdist")
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, str(out), cwd=checkout)
    [sdist] = out.glob("*.tar.gz")
    return make_wheel(sdist, out)


def make_wheel(source: Path, out: Path) -> Path:
    asked = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(out))
    run(sys.executable, "-m", "pip", "wheel", *asked, str(source), cwd=out)
    [made] = out.glob("*.whl")
    return made


def run(*command: str, cwd: Path) -> str:
    """Return what a command prints; what it says on failure is the test's message."""
    alone = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "REFINE_AGENT_"))}
    done = subprocess.run(
        command, cwd=cwd, env=alone, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_a_wheel_holds_every_file_of_the_package_and_nothing_else(
    checkout: Path, wheel: Path
) -> None:
    expected = set()
    for folder, folders, names in os.walk(checkout / PACKAGE, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        here = Path(folder).relative_to(checkout)
        if here.as_posix() == f"{PACKAGE}/transcripts":
            folders[:] = [name for name in folders if name == "recorded"]
        expected |= {(here / name).as_posix() for name in names}

    assert files_in(wheel) == expected


@pytest.mark.parametrize(
    "file",
    [
        "py.typed",
        "profiling/metrics.py",
        "profiling/README.md",
        "templates/system.md.j2",
        "templates/report.css",
        "builder/light/tensor.h",
        "builder/light/shim.cpp",
        "transcripts/README.md",
        "transcripts/recorded/layernorm-planted/events.jsonl",
        f"transcripts/recorded/layernorm-planted/blobs/ab/{'0' * 62}",
    ],
)
def test_a_wheel_holds_what_a_user_without_a_checkout_needs(wheel: Path, file: str) -> None:
    assert f"{PACKAGE}/{file}" in files_in(wheel)


def test_profiling_is_never_installed_under_its_bare_name(wheel: Path) -> None:
    """Python 3.15 ships a package called profiling (PEP 799), and cProfile imports it."""
    assert {name.split("/")[0] for name in files_in(wheel)} == {PACKAGE}


def test_runs_of_ones_own_are_not_shipped(wheel: Path) -> None:
    assert not [name for name in files_in(wheel) if "private" in name]


def test_an_sdist_gives_the_same_wheel(wheel: Path, wheel_of_sdist: Path) -> None:
    assert files_in(wheel_of_sdist) == files_in(wheel)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the tests' dependencies, but not with this checkout."""
    home = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", str(home), cwd=home)
    python = home / "bin" / "python"
    asked = ("--quiet", "--no-deps", "--no-index", str(wheel))
    run(sys.executable, "-m", "pip", "--python", str(python), "install", *asked, cwd=home)
    [packages] = home.glob("lib/python*/site-packages")
    # A folder named in a .pth file is searched, but the .pth files in it are not read: an editable
    # install of this checkout stays out.
    dependencies = [path for path in sys.path if path.endswith("-packages")]
    (packages / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    return home


def test_an_installed_wheel_plays_shows_and_reports_a_run_from_any_folder(
    installed: Path, tmp_path: Path
) -> None:
    command = str(installed / "bin" / "refine_agent")

    assert "optimize" in run(command, "--help", cwd=tmp_path)
    played = run(str(installed / "bin" / "python"), "-c", PLAY, cwd=tmp_path)
    assert len(played.splitlines()) == 2, "a prompt was rendered in each turn"
    assert "1.7" in run(command, "show", "last", "--runs", "runs", cwd=tmp_path)
    run(command, "report", "last", "--runs", "runs", "-o", "report.html", cwd=tmp_path)
    assert "<style" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_checkout_that_nobody_installed_runs_in_place(checkout: Path, tmp_path: Path) -> None:
    """The interpreter knows the dependencies, and the package only from where it stands."""
    (tmp_path / "double.py").write_text(DOUBLE, encoding="utf-8")
    (tmp_path / "answer.py").write_text(DOUBLE.replace("Model", "ModelNew"), encoding="utf-8")
    python = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    done = subprocess.run(
        [python, "-m", PACKAGE, "evaluate", tmp_path / "double.py", tmp_path / "answer.py"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": sysconfig.get_paths()["purelib"]},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    # Whether it is the faster of two alike is chance; that it was built, checked and timed is not.
    assert "worst error" in done.stdout, done.stdout + done.stderr
