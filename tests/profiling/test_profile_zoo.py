"""The zoo: each sick kernel's first finding names its sickness and line; healthy ones have none."""

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from refine_agent.profiling import metrics, summary
from tests.profiling.zoo import scores
from tests.profiling.zoo.animals import RECORDED, VARIANTS, Variant, animals, recorded, recording
from tests.profiling.zoo.scores import Score

EVERY = {animal.name: animal for animal in animals()}
SCORES = {f"{one.seen.animal}-{one.seen.variant}": one for one in scores.scores()}
# The rules answer for these; those they were never tuned on are counted in the zoo's README.
TUNED = [name for name, one in SCORES.items() if not one.animal.unseen]
SICK = [name for name in TUNED if SCORES[name].animal.sickness]
HEALTHY = [name for name in TUNED if name not in SICK]
Golden = Callable[[str, str], None]


def wanted(score: Score) -> tuple[str | None, str | None]:
    return (score.animal.sickness, score.animal.where)


@pytest.mark.parametrize("name", SICK)
def test_the_first_finding_names_the_sickness_and_its_line(name: str) -> None:
    first = SCORES[name].first
    assert first is not None, "no finding at all"
    kind, where = wanted(SCORES[name])
    assert first.kind == kind
    if where is not None:
        assert first.where == where


def test_lanes_that_meet_in_one_word_are_told_as_turns_and_not_as_bank_conflicts() -> None:
    text = scores.page("shared_atomics-first").text()
    assert "passes through shared memory (90 %) are lanes that meet in one word" in text
    assert "90 % of wavefronts from atomics' turns" in text


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_kernel_gets_no_finding(name: str) -> None:
    assert scores.page(name).findings == ()


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_kernels_report_alone_gets_no_finding_either(name: str) -> None:
    assert scores.page(name, alone=True).findings == ()


# What a report cannot show: how often data must be read, what the operation may use, host time.
HIDDEN_FROM_REPORTS = {"extra_traffic", "l2_rereads", "no_tensor_cores", "launch_gaps"}


@pytest.mark.parametrize("name", SICK)
def test_a_report_alone_names_every_sickness_that_it_can_show(name: str) -> None:
    kind, _ = wanted(SCORES[name])
    assert SCORES[name].hit_alone or kind in HIDDEN_FROM_REPORTS


@pytest.mark.parametrize("name", SICK)
def test_the_finding_does_not_depend_on_the_kernels_name(name: str) -> None:
    first = SCORES[name].first
    assert first is not None
    again = scores.page(name, kernel="some_other_name").findings[0]
    assert (again.kind, again.where, again.severity) == (first.kind, first.where, first.severity)


@pytest.mark.parametrize("name", list(SCORES))
def test_every_animals_page_fits_its_budget(name: str) -> None:
    assert summary.tokens(scores.page(name).text()) <= 1200


@pytest.mark.parametrize("name", list(SCORES))
def test_every_recording_is_of_the_program_as_it_is_now(name: str) -> None:
    assert SCORES[name].seen.source_digest == SCORES[name].animal.digest


@pytest.mark.parametrize("name", list(SCORES))
def test_recorded_counters_are_complete_on_this_architecture(name: str) -> None:
    for report in recording(name).reports:
        assert metrics.missing(report) == ()


def test_the_hit_rates_are_those_that_the_readme_tells() -> None:
    assert scores.written() == scores.table(), "run python tests/profiling/zoo/scores.py"


@pytest.mark.parametrize(
    "name",
    [
        "bank_conflict-first",
        "barrier_stalls-second",
        "copy-first",
        "few_blocks-second",
        "second_pass-first",
        "spills-second",
        "wrong_pipe-first",
    ],
)
def test_the_page_of_a_recorded_animal_reads_as_reviewed(name: str, golden: Golden) -> None:
    golden(f"zoo_{name}", scores.page(name).text())


def test_the_zoo_is_as_large_as_promised_and_every_animal_says_what_ails_it() -> None:
    sick = {animal.sickness for animal in EVERY.values() if animal.sickness}
    healthy = [animal for animal in EVERY.values() if animal.sickness is None]
    assert len(sick) >= 15
    assert len(healthy) >= 4
    for animal in healthy:
        assert "HEALTHY" in animal.source.read_text()


def test_the_recordings_are_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in RECORDED.iterdir()) < 2_000_000
    assert set(recorded()) == set(SCORES)


def test_the_second_variant_hides_the_name_and_changes_the_size() -> None:
    first, second = VARIANTS
    assert second.kernel != first.kernel
    assert "-DVARIANT" in second.flags
    assert all("kVariant" in animal.source.read_text() for animal in EVERY.values())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on PATH")
@pytest.mark.parametrize("name", ["bank_conflict", "layer_norm"])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_an_animal_compiles(name: str, variant: Variant, tmp_path: Path) -> None:
    command = ["nvcc", "-arch=sm_90", "-std=c++17", "-lineinfo", *variant.flags, "-cubin"]
    out = tmp_path / "a.cubin"
    subprocess.run([*command, "-o", str(out), str(EVERY[name].source)], check=True)
    assert out.stat().st_size > 1000


def test_a_recording_session_that_fails_ends_in_time_and_leaves_its_log(tmp_path: Path) -> None:
    script, out = RECORDED.parent / "record.py", tmp_path / "zoo.tar"
    command = [sys.executable, str(script), "--what", "animals", "--only", "copy", "--seconds", "9"]
    done = subprocess.run(
        [*command, "--out", str(out)],
        env={"PATH": "/no/such/folder", "NVCC": "/no/such/nvcc"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    with tarfile.open(out) as tar:
        log = tar.extractfile("zoo/log.txt")
        assert log is not None
        assert b"BUILD FAILED copy-first" in log.read()


def test_animals_that_await_their_recording_are_named_and_fail_nothing() -> None:
    waiting = [name for name in EVERY if not scores.both_recorded(EVERY[name])]
    told = scores.written().split("Not recorded as they are now: ")[-1].split(".\n")[0]
    assert told.split(", ") == waiting or not waiting
