"""A CPU's page: threads, page faults, counters and loops, tallied and compiled for real."""

import errno
import hashlib
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from refine_agent.builder import remarks
from refine_agent.profiling import call, processor, static, summary, trace
from refine_agent.profiling.evidence import CpuRun, Operator, Static, Trace
from refine_agent.profiling.processor import Tally
from refine_agent.profiling.records import Ceilings, Page, Rival, Work
from refine_agent.worker import tally

WORK = Work(bytes_needed=268_435_456, bytes_read=134_217_728, bytes_written=134_217_728)
CPU = Ceilings(device="2-core CPU", copy_gbps=12.0, fp32_matmul_tflops=0.06, threads=2)
RUN = CpuRun(calls=3, wall_seconds=0.08, cpu_seconds=0.15, thread_seconds=(0.076, 0.074))


def page(
    run: CpuRun = RUN,
    *,
    timing_us: float = 80_000.0,
    compiled: Static | None = None,
    seen: Trace | None = None,
    rivals: tuple[Rival, ...] = (),
) -> Page:
    return summary.page(
        candidate_digest="3fa9c2d17b60e4a5",
        device="2-core CPU",
        shape="(4096, 8192) float32",
        work=WORK,
        ceilings=CPU,
        timing_us=timing_us,
        trace=seen,
        static=compiled,
        cpu=run,
        rivals=rivals,
    )


def kinds(found: Page) -> set[str]:
    return {one.kind for one in found.findings}


# --- the tally ------------------------------------------------------------------------------------


def burn() -> None:
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 20_000)  # outside the interpreter's lock


def test_every_threads_own_time_is_tallied() -> None:
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(burn).result()

        def both() -> None:
            other = pool.submit(burn)
            burn()
            other.result()

        run = processor.run_of(tally.tally(both, seconds=0.1))
    assert call.threads_used(run) == 2
    first, second = run.thread_seconds[:2]
    assert second > first / 3


def test_a_call_on_one_thread_is_no_call_on_two_however_busy_the_machine() -> None:
    run = processor.run_of(tally.tally(burn, seconds=0.1))
    assert call.threads_used(run) == 1


def test_page_faults_are_counted() -> None:
    run = processor.run_of(tally.tally(lambda: b"x" * (64 << 20), seconds=0.05))
    assert run.page_faults is not None
    # 16,384 pages of 4 KB; a kernel that gives huge ones takes fewer.
    assert run.page_faults >= 32
    assert run.system_share is not None


def test_a_calls_counters_are_there_or_their_absence_has_a_reason() -> None:
    run = processor.run_of(tally.tally(burn, seconds=0.05))
    assert (run.cycles is None) == (run.counters_closed is not None)
    if run.cycles is not None and run.instructions is not None:
        assert 0.1 < run.instructions / run.cycles < 10


@pytest.mark.parametrize(
    ("refused", "paranoid", "words"),
    [
        (errno.ENOENT, 2, "virtual machine"),
        (errno.EACCES, 4, "sysctl kernel.perf_event_paranoid=2"),
        (errno.EPERM, 2, "seccomp profile"),
        (errno.ENOSYS, None, "no perf_event_open"),
    ],
)
def test_closed_counters_say_why_and_what_would_open_them(
    refused: int, paranoid: int | None, words: str
) -> None:
    closed = processor.run_of(Tally(calls=1, wall_s=0.1, closed=refused, paranoid=paranoid))
    assert words in (closed.counters_closed or "")
    assert "COUNTERS  n/a: " in page(closed).text()


@pytest.mark.parametrize(
    "impossible",
    [
        Tally(calls=0, wall_s=1.0),
        Tally(calls=1, wall_s=-1.0),
        Tally(calls=1, wall_s=1.0, thread_s=[1e30]),
        Tally(calls=1, wall_s=1.0, thread_s=[0.1] * 5000),
        Tally(calls=1, wall_s=1.0, page_faults=-1),
    ],
)
def test_a_tally_that_cannot_be_true_is_refused(impossible: Tally) -> None:
    rows = msgspec.json.encode(trace.Rows(processor=impossible))
    with pytest.raises(trace.UnreadableTrace):
        trace.read_processor(rows)


# A LayerNorm of 1024x4096 in C++ on two cores that other programs used as well, as it was tallied,
# and what g++ 12 said of its loops.
SEEN = Tally(
    calls=6,
    wall_s=0.1758,
    thread_s=[0.0425382, 0.0408288],
    waited_s=0.2253,
    system_s=0.0525,
    page_faults=16_386,
    closed=errno.ENOENT,
    paranoid=2,
    vector_bytes=64,
)
REMARKS = """flags: -O3 -march=native -fopenmp
cpp_source:3:1: optimized: loop vectorized using 64 byte vectors
cpp_source:4:1: optimized: loop vectorized using 64 byte vectors
cpp_source:5:1: missed: couldn't vectorize loop
cpp_source:5:1: missed: not vectorized: control flow in loop.
"""
LINES = """float sum = 0;

for (i = 0; i < n; ++i) sum += a[i];
for (i = 0; i < n; ++i) y[i] = (a[i] - sum) * w[i] + b[i];
for (i = 0; i < n; ++i) { if (a[i] > limit) break; }
"""


def test_the_page_of_a_recorded_cpu_run_reads_as_reviewed(
    golden: Callable[[str, str], None],
) -> None:
    text = summary.page(
        candidate_digest="627124c65f996e36",
        device="AMD EPYC",
        shape="float32[1024, 4096] -> float32[1024, 4096]",
        work=Work(bytes_needed=33_587_200, bytes_read=16_809_984, bytes_written=16_777_216),
        ceilings=Ceilings(device="AMD EPYC", copy_gbps=8.6, fp32_matmul_tflops=0.061, threads=2),
        timing_us=13_200.0,
        static=static.report(vector_text=REMARKS, source="cpp_source", source_text=LINES),
        trace=Trace(
            operators=(Operator(name="aten::empty_like", self_us=27.0, calls=1),), wall_us=24_600.0
        ),
        cpu=processor.run_of(SEEN),
        rivals=(
            Rival(name="eager PyTorch", time_us=4009.6),
            Rival(name="torch.compile", time_us=6081.7),
        ),
    ).text()
    golden("cpu_tallied", text)


# --- what follows from it -------------------------------------------------------------------------


def test_one_thread_of_two_is_a_finding_even_on_a_busy_machine() -> None:
    alone = msgspec.structs.replace(RUN, thread_seconds=(0.08,), waited_share=0.6)
    found = page(alone, compiled=Static(host_flags="-O3 -march=native"))
    (first, *_) = found.findings
    assert first.kind == "few_threads"
    assert "pass -fopenmp" in first.advice
    assert "threads had no core 60 % of their time" in found.text()


def test_threads_guessed_from_times_are_no_finding_on_a_busy_machine() -> None:
    guessed = CpuRun(cpu_seconds=0.04, wall_seconds=0.08, waited_share=0.6)
    assert "few_threads" not in kinds(page(guessed))


def test_a_call_too_short_to_split_may_stay_on_one_thread() -> None:
    alone = msgspec.structs.replace(RUN, wall_seconds=1e-4, thread_seconds=(1e-4,), calls=200)
    assert "few_threads" not in kinds(page(alone, timing_us=100.0))


def test_threads_were_not_counted_in_a_call_of_microseconds() -> None:
    assert call.threads_used(CpuRun(cpu_seconds=2e-5, wall_seconds=1e-5)) is None


def test_a_busy_machine_is_named_before_the_code_is_blamed_for_no_reason() -> None:
    waited = msgspec.structs.replace(RUN, waited_share=0.7)
    assert kinds(page(waited)) == {"busy_machine"}
    assert kinds(page()) == {"far_from_floor"}


def test_unequal_threads_are_found() -> None:
    uneven = msgspec.structs.replace(RUN, thread_seconds=(0.08, 0.03))
    (found,) = [one for one in page(uneven).findings if one.kind == "unequal_threads"]
    assert found.severity == pytest.approx(1 - 0.055 / 0.08)
    assert "unequal_threads" not in kinds(page())


def test_page_faults_are_blamed_only_where_they_are_many() -> None:
    many = msgspec.structs.replace(RUN, page_faults=32_769, system_share=0.5)
    few = msgspec.structs.replace(RUN, page_faults=328, system_share=0.5)
    assert "page_faults" in kinds(page(many))
    assert "page_faults" not in kinds(page(few))


def test_operators_are_shares_of_the_call_that_the_profiler_saw() -> None:
    # The judge's median was taken at another moment, on a machine that did other work.
    layer_norm = Operator(name="aten::native_layer_norm", self_us=39_000.0, calls=1)
    text = page(seen=Trace(operators=(layer_norm,), wall_us=40_000.0)).text()
    assert "aten::native_layer_norm 39.0 ms 98 %" in text
    assert "outside torch's operators 1000.0 us 2 %" in text


def test_bytes_that_an_operator_handed_on_are_no_rate_of_its_own() -> None:
    outer = Operator(name="aten::relu", self_us=2_000.0, calls=1, bytes_moved=268_435_456)
    text = page(seen=Trace(operators=(outer,), wall_us=40_000.0)).text()
    assert "aten::relu 2000.0 us 5 % x1" in text
    assert "x1 134" not in text


def test_a_baseline_that_is_faster_is_a_second_ceiling() -> None:
    near = page(timing_us=23_000.0)
    assert "only fewer bytes would be faster" in near.text()
    beaten = page(timing_us=23_000.0, rivals=(Rival(name="torch.compile", time_us=21_500.0),))
    assert "only fewer" not in beaten.text()
    assert "torch.compile proves that 7 % can be won with the same bytes" in beaten.text()
    behind = page(timing_us=23_000.0, rivals=(Rival(name="torch.compile", time_us=25_000.0),))
    assert "proves" not in behind.text()
    assert "torch.compile 25.0 ms (1.09x this)" in behind.text()


# --- loops ----------------------------------------------------------------------------------------

SOURCE = """#include <cmath>
float total(const float* x, long n, float* y) {
  float sum = 0;
  int count = 0;
  for (long i = 0; i < n; ++i) sum += x[i];
  for (long i = 0; i < n; ++i) count += x[i] > 0.5f;
  for (long i = 0; i < n; ++i) y[i] = std::exp(x[i]) * sum;
  for (long i = 0; i < n; ++i) { if (x[i] > 3) break; y[i] += x[i]; }
  for (long i = 0; i < n; ++i) { float v = x[i]; v += 1; y[i] = v; }
  return sum + count;
}
"""


def loops_of(folder: Path, *flags: str, source: str = SOURCE) -> Static:
    (folder / "main.cpp").write_text(f'#line 1 "cpp_source"\n{source}')
    asked = remarks.vectorisation_flags(flags)
    command = ["g++", *flags, *asked, "-c", "main.cpp", "-o", "main.o"]
    subprocess.run(command, cwd=folder, check=True)
    remarks.collect(folder, flags)
    told = (folder / remarks.FILE).read_text()
    return static.report(vector_text=told, source="cpp_source", source_text=source)


needs_gcc = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on PATH")


@needs_gcc
def test_a_build_says_which_loops_did_not_vectorise_and_why(tmp_path: Path) -> None:
    compiled = loops_of(tmp_path, "-O3", "-mavx2")
    found = {loop.place.line: loop for loop in compiled.loops}
    assert found[7].reason == "it calls a function that may write memory"
    assert found[8].reason == "it branches inside"
    assert found[6].vector_bytes == 32
    text = page(compiled=compiled).text()
    assert "LOOPS  compiled with -O3 -mavx2; vectorised: cpp_source:5 (32 B, sums in order)" in text
    assert "cpp_source:7 (it calls a function that may write memory)" in text


NESTED = """#include <cmath>
void gelu(const float* in, const float* b, float* o, long rows, long columns) {
#pragma omp parallel for
  for (long row = 0; row < rows; ++row)
    for (long i = 0; i < columns; ++i) {
      const float v = in[row * columns + i] + b[i];
      o[row * columns + i] = std::tanh(v);
    }
}
"""


@needs_gcc
def test_a_call_of_libm_is_named_where_the_compiler_speaks_of_access_patterns(
    tmp_path: Path,
) -> None:
    compiled = loops_of(tmp_path, "-O3", "-mavx2", "-fopenmp", source=NESTED)
    (inner,) = [loop for loop in compiled.loops if loop.innermost]
    assert inner.place.line in {5, 6}  # GCC names the body's first line in an outlined region
    assert (inner.reason or "").startswith("it calls tanh, which has vectors only under")


BY_HAND = """#include <immintrin.h>
void scale(const float* x, float* y, long n) {
  const __m256 two = _mm256_set1_ps(2.f);
  for (long i = 0; i + 8 <= n; i += 8)
    _mm256_stream_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), two));
  _mm_sfence();
}
"""


@needs_gcc
def test_a_loop_in_intrinsics_has_vectors_whatever_the_compiler_says(tmp_path: Path) -> None:
    compiled = loops_of(tmp_path, "-O3", "-mavx2", source=BY_HAND)
    (loop,) = compiled.loops
    assert (loop.vector_bytes, loop.by_hand, loop.reason) == (32, True, None)
    told = page(compiled=compiled)
    assert "vectorised: cpp_source:4 (32 B, by hand)" in told.text()
    assert "scalar_loops" not in kinds(told)
    assert "seen by the compiler and the processor's own counts" in told.text()


@needs_gcc
def test_streaming_stores_are_advised_until_there_are_some(tmp_path: Path) -> None:
    def advice(source: str) -> str:
        compiled = loops_of(tmp_path, "-O3", "-mavx2", "-ffast-math", source=source)
        (found,) = [one for one in page(compiled=compiled).findings if one.kind == "far_from_floor"]
        return found.advice

    ordinary = BY_HAND.replace("_mm256_stream_ps", "_mm256_storeu_ps")
    assert "streaming stores" in advice(ordinary)
    assert "streaming stores" not in advice(BY_HAND)


@needs_gcc
def test_a_float_sum_is_vectorised_in_name_only_until_it_may_be_reordered(tmp_path: Path) -> None:
    strict = loops_of(tmp_path, "-O3", "-mavx2")
    assert {loop.place.line for loop in strict.loops if loop.in_order} == {5}
    loose = loops_of(tmp_path, "-O3", "-mavx2", "-ffast-math")
    assert not any(loop.in_order for loop in loose.loops)


@needs_gcc
def test_a_build_without_optimisation_is_the_first_finding(tmp_path: Path) -> None:
    compiled = loops_of(tmp_path)
    assert compiled.host_flags == ""
    assert page(compiled=compiled).findings[0].kind == "unoptimised"
    assert "LOOPS  compiled with no flags" in page(compiled=compiled).text()


@needs_gcc
def test_narrow_vectors_are_told_of_the_processors_wide_ones(tmp_path: Path) -> None:
    wide = msgspec.structs.replace(RUN, vector_bytes=64)
    assert "narrow_vectors" in kinds(page(wide, compiled=loops_of(tmp_path, "-O3")))
    assert "narrow_vectors" not in kinds(page(wide, compiled=loops_of(tmp_path, "-O3", "-mavx2")))
