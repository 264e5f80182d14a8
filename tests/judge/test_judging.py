"""Whole trials on a CPU: real workers behind the real fence, real builds, the real clock."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from refine_agent.bench import IN_TURNS, LocalBench, line
from refine_agent.judge.seats import DEADLINES, Deadlines
from refine_agent.loop import ProblemRefused, Quiet
from refine_agent.records import (
    AnyVerdict,
    BuildFailed,
    Candidate,
    Crashed,
    Disqualified,
    Mismatch,
    Options,
    Passed,
    Problem,
    Setup,
    TimedOut,
)

PROBLEM = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm = nn.LayerNorm(features)

    def forward(self, x):
        return self.norm(x)

def get_inputs():
    return [torch.randn(64, 256)]

def get_init_inputs():
    return [256]
"""
HONEST = PROBLEM.partition("def get_inputs")[0].replace("class Model(", "class ModelNew(")
NORM = Problem(name="norm", source=PROBLEM)
OPTIONS = Options(device="cpu", compile_baseline=False)


def measured(problem: Problem, folder: Path) -> Iterator[LocalBench]:
    with LocalBench(problem, OPTIONS, folder, deadlines=IN_TURNS) as bench:
        bench.measure(problem, Quiet())
        yield bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBench]:
    yield from measured(NORM, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def setup(bench: LocalBench) -> Setup:
    return bench.measure(NORM, Quiet())


def judged(bench: LocalBench, source: str) -> AnyVerdict:
    candidate = Candidate(source=source)
    return bench.build(candidate, Quiet()) or bench.judge(candidate, Quiet())


def with_forward(body: str) -> str:
    return HONEST.replace("return self.norm(x)", body)


def test_every_impostor_is_turned_away_before_anyone_is_judged(setup: Setup) -> None:
    assert "zeros" in setup.fitness.rejected
    assert "a copy of an input" in setup.fitness.rejected
    assert not setup.fitness.weak


def test_an_honest_module_passes_with_both_clocks_and_its_fence_named(bench: LocalBench) -> None:
    verdict = judged(bench, HONEST)

    assert isinstance(verdict, Passed)
    assert verdict.timing.samples >= 5
    assert verdict.fence
    assert {phase.name for phase in verdict.phases} >= {"build", "load", "check", "timing"}


def test_a_copy_of_the_input_is_no_layer_norm(bench: LocalBench) -> None:
    verdict = judged(bench, with_forward("return x.clone()"))

    assert isinstance(verdict, Mismatch)
    assert verdict.where is not None
    assert verdict.map is not None


def test_parameters_away_from_their_defaults_expose_a_dropped_weight(bench: LocalBench) -> None:
    body = "return torch.nn.functional.layer_norm(x, (256,))"

    assert isinstance(judged(bench, with_forward(body)), Mismatch)


def test_another_dtype_is_a_mismatch_that_names_both(bench: LocalBench) -> None:
    verdict = judged(bench, with_forward("return self.norm(x).double()"))

    assert isinstance(verdict, Mismatch)
    assert "float64[64, 256]" in verdict.reason
    assert "float32[64, 256]" in verdict.reason


def test_an_input_that_was_written_to_disqualifies(bench: LocalBench) -> None:
    verdict = judged(bench, with_forward("y = self.norm(x); x.zero_(); return y"))

    assert isinstance(verdict, Disqualified)


def test_a_segmentation_fault_is_told_as_one(bench: LocalBench) -> None:
    verdict = judged(bench, with_forward("import os; os.kill(os.getpid(), 11)"))

    assert isinstance(verdict, Crashed)
    assert "SIGSEGV" in verdict.reason


def test_leaving_with_exit_code_zero_is_a_crash(bench: LocalBench) -> None:
    verdict = judged(bench, with_forward("import os; os._exit(0)"))

    assert isinstance(verdict, Crashed)
    assert "exit code 0" in verdict.reason


def test_an_exception_reaches_its_author_with_its_line(bench: LocalBench) -> None:
    verdict = judged(bench, with_forward("raise ValueError('no such luck')"))

    assert isinstance(verdict, Crashed)
    assert "no such luck" in verdict.reason
    assert "candidate.py" in verdict.log


def test_a_kernel_that_does_not_compile_fails_with_the_compilers_own_words(
    bench: LocalBench,
) -> None:
    source = HONEST + (
        "\nfrom torch.utils.cpp_extension import load_inline\n"
        "load_inline('broken', 'torch::Tensor f(torch::Tensor x) { return undeclared; }', "
        "functions=['f'])\n"
    )

    verdict = judged(bench, source)

    assert isinstance(verdict, BuildFailed)
    assert "undeclared" in verdict.log


def test_a_candidate_finds_no_key_in_its_environment(
    bench: LocalBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-for-candidates")
    body = (
        "import os\n        assert not [n for n in os.environ if n.endswith('KEY')], 'a key'\n"
        "        return self.norm(x)"
    )

    assert isinstance(judged(bench, with_forward(body)), Passed)


LEAVES_A_SEGMENT = f"""{HONEST}
import ctypes
ctypes.CDLL(None).shmget(0x7EF1, 4096, 0o1666)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a candidate segments of its own")
def test_no_shared_memory_of_a_candidate_outlasts_it(bench: LocalBench) -> None:
    assert isinstance(judged(bench, LEAVES_A_SEGMENT), Passed)

    keys = [line.split()[0] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    assert str(0x7EF1) not in keys


# What follows runs in the candidate's process, in its trial: when it is built, no memory is there.
READS_AND_WRITES_WHAT_IS_SHARED = """
import gc, sys
stub = next(each for each in gc.get_objects() if type(each).__name__ == "_Stub")
if stub._arena is not None:
    shared = stub._arena.bytes(0, stub._arena.total_bytes)
    found = int((shared == 0x5A).sum())
    shared.fill_(0x5A)
    raise RuntimeError(f"found {found} bytes of another's")
"""


def test_a_candidate_finds_no_word_from_the_one_before(bench: LocalBench) -> None:
    for number in range(2):
        verdict = judged(bench, f"{HONEST}{READS_AND_WRITES_WHAT_IS_SHARED}# {number}")

        assert isinstance(verdict, Crashed)
        assert verdict.reason == "RuntimeError: found 0 bytes of another's"


def test_who_keeps_every_deadline_and_takes_for_ever_is_out_of_time_before_the_judge_is(
    bench: LocalBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    little = Deadlines(load_s=60.0, calls_s=30.0, trial_s=6.0)
    monkeypatch.setattr(bench, "_deadlines", little)
    verdict = judged(bench, with_forward("import time; time.sleep(0.05); return self.norm(x)"))

    assert isinstance(verdict, TimedOut), verdict
    assert verdict.during in ("check", "timing")
    assert verdict.seconds == little.trial_s
    assert DEADLINES.trial_s < line.JUDGE_DEADLINE_S


def test_the_next_candidate_is_judged_as_if_none_had_crashed_before(bench: LocalBench) -> None:
    judged(bench, with_forward("import os; os.abort()"))

    assert isinstance(judged(bench, HONEST + "\n# again"), Passed)


def test_a_sealing_is_timed_for_longer_than_a_turn(tmp_path: Path) -> None:
    hasty = Deadlines(unsealed_sampling_s=0.01)

    with LocalBench(NORM, OPTIONS, tmp_path, deadlines=hasty) as bench:
        bench.measure(NORM, Quiet())
        turn = judged(bench, HONEST)
        sealed = bench.seal(Candidate(source=HONEST), Quiet())

    assert isinstance(turn, Passed)
    assert isinstance(sealed, Passed)
    assert sealed.timing.samples >= 2 * turn.timing.samples


LARGE = Problem(name="large", source=PROBLEM.replace("64, 256", "8192, 768").replace("256", "768"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBench]:
    yield from measured(LARGE, tmp_path_factory.mktemp("large"))


def test_many_bytes_are_compared_exactly_once_in_a_turn_and_always_in_a_seal(
    large: LocalBench,
) -> None:
    turn = judged(large, HONEST)
    sealed = large.seal(Candidate(source=HONEST), Quiet())

    assert isinstance(turn, Passed)
    assert isinstance(sealed, Passed)
    assert turn.checks.quickly == turn.checks.calls - 1
    assert 0 < turn.checks.worst_error < turn.checks.allowed_error
    assert sealed.checks.quickly == 0
    assert sealed.checks.cases > turn.checks.cases


def test_who_reuses_an_output_is_compared_exactly_once_too(large: LocalBench) -> None:
    body = (
        "y = self.norm(x); self.kept = y if not hasattr(self, 'kept') else self.kept.copy_(y); "
        "return self.kept"
    )

    verdict = judged(large, with_forward(body))

    assert isinstance(verdict, Passed)
    assert "reused output" in {doubt.kind for doubt in verdict.suspicions}
    assert 0 < verdict.checks.worst_error < verdict.checks.allowed_error


def test_a_quick_look_sees_what_is_wrong_on_other_inputs_than_the_usual_ones(
    large: LocalBench,
) -> None:
    body = (
        "y = self.norm(x); usual = abs(x.mean()) < 0.01 and abs(x.std() - 1) < 0.01; "
        "return y if usual else y * (1 + 1e-4)"
    )

    verdict = judged(large, with_forward(body))

    assert isinstance(verdict, Mismatch)
    assert "norm-wise error" in verdict.reason
    assert "timing" not in {phase.name for phase in verdict.phases}


def test_a_problem_whose_file_raises_is_refused_with_what_it_raised(tmp_path: Path) -> None:
    problem = Problem(name="broken", source=PROBLEM.replace("torch.randn", "torch.no_such"))

    with (
        LocalBench(problem, OPTIONS, tmp_path) as bench,
        pytest.raises(ProblemRefused, match="no_such"),
    ):
        bench.measure(problem, Quiet())
