"""What compilers say: real nvcc and g++ output; occupancy against Nsight Compute's."""

import shutil
import subprocess
from pathlib import Path

import pytest

from refine_agent.profiling import static
from tests.profiling.evidence_on_file import RECORDED, layer_norm
from tests.profiling.zoo.animals import HERE as ZOO

needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on PATH")
LOOPS = Path(__file__).parent / "loops.cpp"


@pytest.mark.slow
@needs_nvcc
def test_spills_are_read_from_the_real_compiler(tmp_path: Path) -> None:
    source = ZOO / "sick" / "spills.cu"
    command = ["nvcc", "-arch=sm_90", "-Xptxas", "-v", "-cubin", "-o", str(tmp_path / "a.cubin")]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=True)
    kernels = {one.name: one for one in static.ptxas(done.stderr)}
    assert kernels["kernel"].registers == 32
    assert kernels["kernel"].spill_store_bytes > 200
    assert kernels["zoo_fill"].spill_store_bytes == 0


def test_opcodes_are_counted_per_kernel_from_a_disassembly() -> None:
    counts = {
        one.name: one.counts for one in static.sass((RECORDED / "wrong_pipe.sass").read_text())
    }
    assert counts["kernel"]["DFMA"] == counts["kernel"]["F2F.F32.F64"] > 10
    assert "DFMA" not in counts["zoo_fill"]


def test_the_occupancy_formula_agrees_with_nsight_compute() -> None:
    report = layer_norm()
    found = static.occupancy("sm_90", threads=128, registers=39, shared_bytes=24)
    assert found is not None
    assert found.blocks == report.counters["launch__occupancy_limit_registers"]
    assert found.pct == report.counters["sm__maximum_warps_per_active_cycle_pct"]
    assert found.limited_by == ("registers",)


def test_the_registers_that_would_lift_occupancy_agree_with_the_reports_curve() -> None:
    curve = layer_norm().warps_by_registers
    assert static.registers_for("sm_90", threads=128, registers=39, shared_bytes=24) == 32
    assert (curve[40], curve[32]) == (48, 64)


@pytest.mark.parametrize(
    ("arch", "threads", "registers", "shared", "pct", "limit"),
    [
        ("sm_90", 1024, 32, 0, 100, "warps"),
        ("sm_90", 128, 32, 112 << 10, 12.5, "shared memory"),
        ("sm_86", 32, 32, 0, 33, "blocks"),
        ("sm_89", 256, 168, 0, 17, "registers"),
        ("sm_80", 256, 255, 0, 12.5, "registers"),
    ],
)
def test_each_limit_of_an_sm_is_found(  # noqa: PLR0913, PLR0917
    arch: str, threads: int, registers: int, shared: int, pct: float, limit: str
) -> None:
    found = static.occupancy(arch, threads=threads, registers=registers, shared_bytes=shared)
    assert found is not None
    assert found.pct == pytest.approx(pct, abs=0.5)
    assert limit in found.limited_by


def test_an_unknown_architecture_has_no_occupancy_rather_than_a_guess() -> None:
    assert static.occupancy("sm_42", threads=128, registers=32) is None


def test_loops_that_vectorise_and_loops_that_do_not_are_told_apart(tmp_path: Path) -> None:
    remarks = ["-fopt-info-vec", "-fopt-info-vec-missed"]
    command = ["g++", "-O3", "-march=x86-64-v3", *remarks, "-c", str(LOOPS), "-o"]
    done = subprocess.run(
        [*command, str(tmp_path / "a.o")], capture_output=True, text=True, check=True
    )
    wanted = {
        number: line.split("// ")[1]
        for number, line in enumerate(LOOPS.read_text().splitlines(), 1)
        if "  // " in line
    }
    found = {loop.place.line: loop for loop in static.vectorisation(done.stderr, only=str(LOOPS))}
    assert set(found) == set(wanted)
    for line, words in wanted.items():
        if words == "vectorises":
            assert found[line].vector_bytes in {16, 32, 64}
        else:
            assert words in (found[line].reason or "")


def test_loops_of_headers_do_not_drown_the_candidate() -> None:
    text = "/usr/include/c++/12/vector:40:9: optimized: loop vectorized using 32 byte vectors\n"
    assert static.vectorisation(text, only="norm.cpp") == ()


NEST = """void transpose(const float* in, float* out, long rows, long columns) {
  for (long row = 0; row < rows; ++row)
    for (long i = 0; i < columns; ++i)
      out[i * rows + row] = in[row * columns + i];
}
float total(const float* x, long n) {
  float sum = 0;
  for (long i = 0; i < n; ++i) { sum += x[i] > 0 ? x[i] : sum; }
  return sum;
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on PATH")
def test_only_loops_that_hold_no_other_are_expected_to_vectorise(tmp_path: Path) -> None:
    source = tmp_path / "nest.cpp"
    source.write_text(NEST)
    flags = ["-O3", "-fopt-info-vec", "-fopt-info-vec-missed", "-c", "-o", str(tmp_path / "nest.o")]
    done = subprocess.run(["g++", *flags, str(source)], capture_output=True, text=True, check=True)
    found = static.report(vector_text=done.stderr, source="nest.cpp", source_text=NEST)
    assert {loop.place.line: loop.innermost for loop in found.loops} == {2: False, 3: True, 8: True}


def test_mangled_names_become_readable() -> None:
    symbol = "_ZN2at6native12_GLOBAL__N_128vectorized_layer_norm_kernelIffLb0EEEviT0_PKT_"
    assert static.demangle(symbol) == "vectorized_layer_norm_kernel"
    assert static.demangle("plain_name") == "plain_name"
