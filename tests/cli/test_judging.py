"""``profile`` of a report: what it takes, and that nothing it cannot mean is passed over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.profiling.evidence_on_file import report_file

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_file(tmp_path_factory.mktemp("report"))


def profile(*arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "refine_agent", "profile", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160", **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_range_chooses_the_launches_of_a_report(recorded: Path) -> None:
    assert "vectorized_layer_norm_kernel" in profile(recorded, "--nvtx", "candidate/").stdout

    other = profile(recorded, "--nvtx", "elsewhere/")

    assert other.returncode == 2
    assert "no kernel inside the range elsewhere/" in other.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["kernel.py"], "leave out kernel.py"),
        (["--device", "cpu"], "leave out --device"),
        (["--no-sanitize", "--profile", "ncu"], "leave out --profile, --sanitize/--no-sanitize"),
    ],
)
def test_what_only_means_something_where_a_kernel_runs_is_refused_for_a_report(
    recorded: Path, more: list[str], said: str
) -> None:
    done = profile(recorded, *more)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"and nothing is run; {said}\n")


def test_settings_of_the_environment_are_no_words_about_a_report(recorded: Path) -> None:
    assert profile(recorded, REFINE_AGENT_DEVICE="cpu").returncode == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--profile", "off"], "leaves no page to print; evaluate judges without one"),
        (["--nvtx", "step/"], "--nvtx chooses launches of a report"),
    ],
)
def test_a_problems_page_needs_a_profile_and_has_no_ranges(more: list[str], said: str) -> None:
    done = profile(ROOT / "examples" / "layernorm.py", *more)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
