"""Runs that never happened, written by the real transcript: what readers of runs are tested on.

The numbers are invented and say so (the model is named `synthetic`); how real ones come about is
the business of the bench and its own tests.
"""

from __future__ import annotations

import re
from textwrap import dedent
from typing import TYPE_CHECKING

import msgspec

from refine_agent.profiling.records import (
    Ceilings,
    Change,
    Finding,
    Flops,
    Grade,
    Kernel,
    Metric,
    Page,
    Prediction,
    Work,
)
from refine_agent.records import (
    AnyVerdict,
    Baseline,
    Budget,
    BuildFailed,
    Candidate,
    Checks,
    Crashed,
    Environment,
    Fitness,
    Hinted,
    Judged,
    Measured,
    Message,
    Mismatch,
    Moved,
    Offered,
    Options,
    Passed,
    Phase,
    Problem,
    Profiled,
    Prompt,
    Prompted,
    Ratio,
    Replied,
    Reply,
    Resumed,
    Sealed,
    Setup,
    Share,
    Started,
    Stopped,
    Suspicion,
    Timing,
    TurnClosed,
    Usage,
    Vetoed,
    digest_of,
)
from refine_agent.transcript import SCHEMA, Transcript

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BEGAN = 1_795_000_000.0
DEVICE = "NVIDIA H200"
SHAPE = "float32[4096, 8192]"
BYTES_NEEDED = 2 * 4096 * 8192 * 4 + 2 * 8192 * 4
EAGER_US, COMPILED_US, FLOOR_US, BOUND_US = 110.4, 71.3, 62.9, 55.8
FENCE = "landlock 7, uid 65534"

REFERENCE = dedent('''\
    """LayerNorm over the last dimension, 4096 rows of 8192, fp32."""
    import torch
    from torch import nn


    class Model(nn.Module):
        def __init__(self, features: int) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(features)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(x)


    def get_inputs():
        return [torch.rand(4096, 8192)]


    def get_init_inputs():
        return [8192]
    ''')

_MODULE = '''\
import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CUDA = r"""
{cuda}"""

CPP = "torch::Tensor layer_norm(torch::Tensor x, torch::Tensor weight, torch::Tensor bias);"

layer_norm = load_inline(
    name="layer_norm", cpp_sources=CPP, cuda_sources=CUDA, functions=["layer_norm"]
)


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm = nn.LayerNorm(features)

    def forward(self, x):
        return layer_norm.layer_norm(x.contiguous(), self.norm.weight, self.norm.bias)
'''

_HEAD = dedent("""\
    #include <torch/extension.h>
    #include <ATen/cuda/CUDAContext.h>

    template <typename T>
    __device__ T block_sum(T value) {
        __shared__ T parts[32];
        for (int step = 16; step > 0; step >>= 1)
            value += __shfl_xor_sync(0xffffffff, value, step);
        if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
        __syncthreads();
        value = threadIdx.x % 32 < blockDim.x / 32 ? parts[threadIdx.x % 32] : T(0);
        for (int step = 16; step > 0; step >>= 1)
            value += __shfl_xor_sync(0xffffffff, value, step);
        __syncthreads();
        return value;
    }

    """)

_TWO_PASSES = dedent("""\
    __global__ void norm_rows(const float* x, const float* w, const float* b, float* y, int n) {
        const float* row = x + (size_t)blockIdx.x * n;
        float sum = 0, squares = 0;
        for (int i = threadIdx.x; i < n; i += blockDim.x) sum += row[i];
        const float mean = block_sum(sum) / n;
        for (int i = threadIdx.x; i < n; i += blockDim.x)
            squares += (row[i] - mean) * (row[i] - mean);
        const float scale = rsqrtf(block_sum(squares) / n + 1e-5f);
        for (int i = threadIdx.x; i < n; i += blockDim.x)
            y[(size_t)blockIdx.x * n + i] = (row[i] - mean) * scale * w[i] + b[i];
    }
    """)

_REGISTERS = dedent("""\
    // The row stays in registers between the passes: DRAM is read once.
    template <int PACKS>
    __global__ void norm_rows(const float4* x, const float4* w, const float4* b, float4* y, int n) {
        const float4* row = x + (size_t)blockIdx.x * n;
        float4 pack[PACKS];
        float sum = 0, squares = 0;
        #pragma unroll
        for (int i = 0; i < PACKS; ++i) {
            pack[i] = row[threadIdx.x + i * blockDim.x];
            sum += pack[i].x + pack[i].y + pack[i].z + pack[i].w;
        }
        const float mean = block_sum(sum) / (4 * n);
        #pragma unroll
        for (int i = 0; i < PACKS; ++i) {
            const float4 p = pack[i];
            const float4 d = {p.x - mean, p.y - mean, p.z - mean, p.w - mean};
            squares += d.x * d.x + d.y * d.y + d.z * d.z + d.w * d.w;
        }
        const float scale = rsqrtf(block_sum(squares) / (4 * n) + 1e-5f);
        for (int i = 0; i < PACKS; ++i) {
            const int at = threadIdx.x + i * blockDim.x;
            const float4 g = w[at], o = b[at];
            y[(size_t)blockIdx.x * n + at] = {
                (pack[i].x - mean) * scale * g.x + o.x, (pack[i].y - mean) * scale * g.y + o.y,
                (pack[i].z - mean) * scale * g.z + o.z, (pack[i].w - mean) * scale * g.w + o.w};
        }
    }
    """)

_LAUNCH = dedent("""\

    torch::Tensor layer_norm(torch::Tensor x, torch::Tensor weight, torch::Tensor bias) {
        auto y = torch::empty_like(x);
        const int n = x.size(-1), rows = x.numel() / n;
        CALL
        return y;
    }
    """)


def _module(kernel: str, call: str) -> str:
    return _MODULE.format(cuda=_HEAD + kernel + _LAUNCH.replace("CALL", call))


_PLAIN_CALL = (
    "norm_rows<<<rows, 256>>>(x.data_ptr<float>(), weight.data_ptr<float>(),\n"
    "        bias.data_ptr<float>(), y.data_ptr<float>(), n);"
)
_PACKED_CALL = (
    "norm_rows<4><<<rows, 512>>>((float4*)x.data_ptr<float>(), (float4*)weight.data_ptr<float>(),\n"
    "        (float4*)bias.data_ptr<float>(), (float4*)y.data_ptr<float>(), n / 4);"
)

TWO_PASSES = _module(_TWO_PASSES, _PLAIN_CALL)
WRONG_TAIL = TWO_PASSES.replace("i < n; i += blockDim.x) sum", "i < n - 1; i += blockDim.x) sum")
REGISTERS = _module(_REGISTERS, _PACKED_CALL)
STREAMING = REGISTERS.replace(
    "pack[i] = row[threadIdx.x + i * blockDim.x]",
    "pack[i] = __ldcs(row + threadIdx.x + i * blockDim.x)",
)
CLUSTERS = REGISTERS.replace("__global__ void", "__global__ __cluster_dims__(2) void")
CACHED = REGISTERS.replace(
    "auto y = torch::empty_like(x);",
    "static torch::Tensor y;\n    if (y.defined()) return y;\n    y = torch::empty_like(x);",
)
WIDER = STREAMING.replace("<4><<<rows, 512>>>", "<2><<<rows, 1024>>>")
HANGING = STREAMING.replace(
    "const float mean", "while (blockIdx.x == 4095) {}\n    const float mean"
)
PERSISTENT = STREAMING.replace(
    "__global__ void norm_rows", "__global__ __launch_bounds__(512, 4) void norm_rows"
)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of the invented run."""

    source: str
    verdict: AnyVerdict
    idea: str
    parent: int | None = None
    prediction: Prediction | None = None
    grade: Grade | None = None
    page: Page | None = None
    engineer: bool = False
    before: tuple[Hinted | Moved | Vetoed, ...] = ()
    sealed: AnyVerdict | None = None


def timing(median_us: float, *, spread_pct: float = 0.6, samples: int = 320) -> Timing:
    """Return a timing with an interval of ± ``spread_pct``."""
    spread = median_us * spread_pct / 100
    return Timing(
        median_us=median_us,
        low_us=round(median_us - spread, 3),
        high_us=round(median_us + spread, 3),
        samples=samples,
    )


def ratio(value: float, *, spread_pct: float = 0.8) -> Ratio:
    """Return a ratio with an interval of ± ``spread_pct``."""
    spread = value * spread_pct / 100
    return Ratio(value=value, low=value - spread, high=value + spread)


def passed(median_us: float, **fields: object) -> Passed:
    """Return a passing verdict of a kernel that takes ``median_us``."""
    verdict = Passed(
        timing=timing(median_us),
        judge_clock=timing(median_us * 1.012, spread_pct=1.4),
        eager=timing(EAGER_US),
        compiled=timing(COMPILED_US),
        speedup=ratio(COMPILED_US / median_us),
        vs_eager=ratio(EAGER_US / median_us),
        vs_compiled=ratio(COMPILED_US / median_us),
        call=timing(median_us + 7.1, spread_pct=2.0),
        checks=Checks(
            cases=5,
            calls=410,
            worst_case="large offsets (1e4 + N(0, 1))",
            worst_error=3.1e-7,
            allowed_error=2.4e-6,
        ),
        shares=(Share(origin="authored", share_pct=100.0, example="norm_rows"),),
        flavour="light",
        builds=(digest_of(str(median_us)),),
        phases=_phases(build=1.9, load=0.4, check=1.1, timing=0.9),
        fence=FENCE,
    )
    return msgspec.structs.replace(verdict, **fields)


def _phases(**seconds: float) -> tuple[Phase, ...]:
    return tuple(Phase(name=name, seconds=value) for name, value in seconds.items())


def page(  # noqa: PLR0913 - a page has that many numbers
    source: str,
    *,
    median_us: float,
    dram_mb: float,
    occupancy_pct: float,
    registers: int,
    stall_pct: float,
    eligible: float,
    findings: tuple[Finding, ...],
    before: Page | None = None,
) -> Page:
    """Return the profile page of a kernel whose counters are these."""
    dram_gbps = dram_mb / median_us * 1e3
    rows = (
        Metric(key="time_us", value=median_us, unit="us"),
        Metric(key="floor_ratio", value=median_us / FLOOR_US, unit="x", ceiling=1.0),
        Metric(key="traffic_ratio", value=dram_mb * 1e6 / BYTES_NEEDED, unit="x", ceiling=1.0),
        Metric(key="launches", value=1, unit="launches"),
        Metric(key="dram_mb", value=dram_mb, unit="MB", ceiling=BYTES_NEEDED / 1e6),
        Metric(key="dram_gbps", value=dram_gbps, unit="GB/s", ceiling=4811),
        Metric(key="dram_pct", value=dram_gbps / 48.11, unit="%", ceiling=100),
        Metric(key="fp32_tflops", value=268.4 / median_us, unit="TFLOP/s", ceiling=65.9),
        Metric(key="occupancy_pct", value=occupancy_pct, unit="%", ceiling=100),
        Metric(key="registers", value=registers, unit="registers/thread"),
        Metric(key="eligible_warps", value=eligible, unit="warps"),
        Metric(key="stall_long_scoreboard_pct", value=stall_pct, unit="%"),
        Metric(key="stall_barrier_pct", value=6.2, unit="%"),
        Metric(key="bank_conflict_pct", value=0.0, unit="%"),
        Metric(key="spill_instructions", value=0, unit="instructions"),
    )
    needed_mb = BYTES_NEEDED / 1e6
    name = "norm_rows<4>" if "PACKS" in source else "norm_rows"
    lines = (
        f"KERNEL {name}  grid 4096 x block 512  {median_us:.1f} us  on {DEVICE}",
        f"FLOOR  {median_us / FLOOR_US:.2f}x the measured floor of {FLOOR_US} us",
        f"DRAM  {dram_mb:.0f} of {needed_mb:.0f} MB needed; {dram_gbps / 1e3:.2f} of 4.81 TB/s",
        f"OCCUPANCY  {occupancy_pct:.0f} % achieved; {registers} registers/thread",
        f"STALL  long_scoreboard {stall_pct:.0f} % (a load from global memory to come back)",
        *(f"FINDING  {found.text} -> {found.advice}" for found in findings),
    )
    return Page(
        candidate_digest=digest_of(source),
        rung="ncu",
        device=DEVICE,
        shape=SHAPE,
        kernels=(
            Kernel(
                name=name,
                share_pct=100.0,
                time_us=median_us,
                launches=1,
                grid="4096",
                block="512",
            ),
        ),
        metrics=rows,
        findings=findings,
        lines=lines,
        changed=_changes(before, rows) if before is not None else (),
    )


def _changes(before: Page, rows: tuple[Metric, ...]) -> tuple[Change, ...]:
    wanted = {"time_us": "lower", "dram_mb": "lower", "occupancy_pct": "higher"}
    found = []
    for row in rows:
        old = before.value(row.key)
        if row.key not in wanted or old is None or old == row.value:
            continue
        improved = (row.value < old) == (wanted[row.key] == "lower")
        found.append(
            Change(
                metric=row.key,
                before=old,
                after=row.value,
                unit=row.unit,
                direction="better" if improved else "worse",
                text=f"{row.key} {old:.1f} -> {row.value:.1f} {row.unit}",
            )
        )
    return tuple(found)


def _line(source: str, fragment: str) -> str:
    """Return where a fragment first stands in a candidate, as a finding says it."""
    return f"candidate.py:{source[: source.index(fragment)].count(chr(10)) + 1}"


SECOND_PASS = Finding(
    kind="second_pass",
    severity=0.41,
    text="every row is read three times; 473 MB cross DRAM where 268 MB are needed",
    advice="keep the row in registers between the passes: 8192 floats fit 512 threads x 16",
    where=_line(TWO_PASSES, "squares +="),
    kernel="norm_rows",
)
SCALAR_LOADS = Finding(
    kind="latency_bound",
    severity=0.22,
    text="76 % of a warp's time waits for 4-byte loads; 0.45 warps are eligible of 4 schedulers",
    advice="load float4: a quarter of the instructions, four times the bytes in flight",
    where=_line(TWO_PASSES, "sum += row[i]"),
    kernel="norm_rows",
)
LATE_LOADS = Finding(
    kind="latency_bound",
    severity=0.14,
    text="all loads of a row are issued, then all warps wait at the barrier for the slowest",
    advice="more blocks per SM (registers allow 2, 64 allow 4) overlap one row's wait with another",
    where=_line(REGISTERS, "pack[i] = row["),
    kernel="norm_rows<4>",
)
TAIL = Finding(
    kind="tail",
    severity=0.03,
    text="7.76 waves: the last one fills 76 % of the SMs",
    advice="a persistent grid of 132 x 4 blocks takes rows in turn",
    kernel="norm_rows<4>",
)

_PAGE_1 = page(
    TWO_PASSES,
    median_us=116.8,
    dram_mb=473,
    occupancy_pct=88,
    registers=24,
    stall_pct=76,
    eligible=0.45,
    findings=(SECOND_PASS, SCALAR_LOADS),
)
_PAGE_3 = page(
    REGISTERS,
    median_us=76.9,
    dram_mb=272,
    occupancy_pct=47,
    registers=62,
    stall_pct=58,
    eligible=0.61,
    findings=(LATE_LOADS, TAIL),
    before=_PAGE_1,
)
_PAGE_4 = page(
    STREAMING,
    median_us=72.6,
    dram_mb=269,
    occupancy_pct=47,
    registers=62,
    stall_pct=55,
    eligible=0.66,
    findings=(LATE_LOADS, TAIL),
    before=_PAGE_3,
)
_PAGE_8 = page(
    WIDER,
    median_us=68.4,
    dram_mb=269,
    occupancy_pct=71,
    registers=38,
    stall_pct=49,
    eligible=0.83,
    findings=(TAIL,),
    before=_PAGE_4,
)
_PAGE_9 = page(
    PERSISTENT,
    median_us=65.2,
    dram_mb=268.5,
    occupancy_pct=96,
    registers=32,
    stall_pct=44,
    eligible=1.1,
    findings=(),
    before=_PAGE_4,
)


def _grade(metric: str, before: float, after: float, measured: float, verdict: str) -> Grade:
    return Grade(
        prediction=Prediction(metric=metric, before=before, after=after),
        measured=measured,
        verdict=verdict,  # type: ignore[arg-type]
        text=f"you expected {metric} {before:g} -> {after:g}; it is {measured:g}: {verdict}",
    )


def trials() -> tuple[Trial, ...]:
    traffic = _grade("traffic_ratio", 1.76, 1.0, 1.01, "confirmed")
    barrier = _grade("stall_long_scoreboard_pct", 58, 30, 55, "partly")
    occupancy = _grade("occupancy_pct", 47, 95, 96, "confirmed")
    waves = _grade("eligible_warps", 0.66, 2.0, 0.83, "partly")
    return (
        Trial(
            source=TWO_PASSES,
            verdict=passed(116.8),
            page=_PAGE_1,
            idea="One block per row, mean first and then variance, so that neither loses digits.",
        ),
        Trial(
            source=WRONG_TAIL,
            parent=1,
            verdict=Mismatch(
                case="large offsets (1e4 + N(0, 1))",
                reason="the mean misses the last element of a row",
                error=0.0121,
                allowed=2.4e-6,
                where="[0, 8191]: got 1.2041, wanted 1.2163",
                map="rows    0-1023 | . . . . . . . # |\nrows 1024-2047 | . . . . . . . # |\n"
                "rows 2048-3071 | . . . . . . . # |\nrows 3072-4095 | . . . . . . . # |",
                phases=_phases(build=1.8, load=0.4, check=0.8),
                fence=FENCE,
            ),
            idea="Split the sums over two accumulators to break the dependency chain.",
            prediction=Prediction(metric="time_us", before=116.8, after=95),
        ),
        Trial(
            source=REGISTERS,
            parent=1,
            before=(Hinted(at=0, text="8192 floats fit the registers of one block. Read x once."),),
            verdict=passed(76.9),
            page=_PAGE_3,
            grade=traffic,
            prediction=traffic.prediction,
            idea="Keep the row in registers as float4 packs: one read of x instead of three.",
        ),
        Trial(
            source=STREAMING,
            parent=3,
            engineer=True,
            verdict=passed(72.6),
            page=_PAGE_4,
            grade=barrier,
            prediction=barrier.prediction,
            idea="x is never read again: load it with __ldcs so that it does not evict y.",
        ),
        Trial(
            source=CLUSTERS,
            parent=4,
            verdict=BuildFailed(
                log="candidate.py:24: error: kernel launch from __host__ needs a cluster-aware "
                "configuration\n    __global__ __cluster_dims__(2) void norm_rows(\n"
                "               ^\n1 error detected in the compilation of candidate.",
                phases=_phases(build=1.4),
                fence=FENCE,
            ),
            idea="Two blocks of a cluster share a row through distributed shared memory.",
        ),
        Trial(
            source=CACHED,
            parent=4,
            verdict=passed(
                4.9,
                suspicions=(
                    Suspicion(
                        kind="faster than the floor",
                        evidence=f"4.9 µs is 11.4x below the datasheet's bound of {BOUND_US} µs: "
                        "268 MB cannot cross DRAM in that time",
                    ),
                    Suspicion(
                        kind="clocks disagree",
                        evidence="device time 4.9 µs, the judge's clock 71.0 µs over 64 calls",
                    ),
                ),
            ),
            idea="Reuse the output buffer between calls to save the allocation.",
        ),
        Trial(
            source=HANGING,
            parent=3,
            before=(
                Vetoed(at=0, attempt=6, reason="It returns the first call's tensor for ever."),
                Moved(at=0, attempt=3, reason="Start again from the register kernel."),
            ),
            verdict=Crashed(
                during="check",
                reason="CUDA error: unspecified launch failure",
                log="========= Invalid __shared__ read of size 4 bytes\n"
                "=========     at norm_rows<4>+0x4b0 in candidate.py:44\n",
                phases=_phases(build=1.9, load=0.4, check=6.0),
                fence=FENCE,
            ),
            idea="Prefetch the next row while this one is reduced.",
        ),
        Trial(
            source=WIDER,
            parent=4,
            before=(Moved(at=0, attempt=4, reason="The streaming loads are the better start."),),
            verdict=passed(68.4),
            page=_PAGE_8,
            grade=waves,
            prediction=waves.prediction,
            idea="1024 threads with two packs each: half the registers, twice the warps.",
        ),
        Trial(
            source=PERSISTENT,
            parent=4,
            verdict=passed(65.2),
            page=_PAGE_9,
            grade=occupancy,
            prediction=occupancy.prediction,
            sealed=passed(65.5, sealed=True, flavour="stock"),
            idea="Bound registers to 32 with __launch_bounds__(512, 4): four blocks per SM overlap "
            "one row's barrier with another's loads.",
        ),
    )


class Clock:
    """Seconds that pass only when somebody says so, so that a run is the same every time."""

    def __init__(self) -> None:
        self.now = BEGAN

    def after(self, seconds: float) -> float:
        """Let time pass and return the new time."""
        self.now += seconds
        return self.now


def started(
    *, run: str = "20261118-120640-5eed", problem: str = "layernorm", at: float = BEGAN
) -> Started:
    """Return the header of an invented run."""
    return Started(
        at=at,
        schema=SCHEMA,
        run=run,
        problem=Problem(name=problem, source=REFERENCE),
        model="synthetic",
        options=Options(budget=Budget(turns=8, target=1.08), device="cuda"),
        templates={"system.md.j2": "f00dfeedf00dfeed"},
        version="0.1.0",
        git_commit="182be85e602398e24b76e5bd0d5f5a5073f6f383",
    )


def setup() -> Setup:
    """Return what the bench would have found out about LayerNorm on an H200."""
    return Setup(
        environment=Environment(
            device=DEVICE,
            device_kind="cuda",
            driver="580.159.04",
            torch="2.11.0+cu130",
            compiler="nvcc 13.0",
            python="3.12.11",
            ncu="2025.3.1",
            cores=16,
            fence=FENCE,
        ),
        fitness=Fitness(
            rejected=("zeros", "mean", "input copy", "last tile unwritten", "stale output"),
            cases=("uniform", "normal", "large offsets (1e4 + N(0, 1))", "tiny variance", "signs"),
            allowed_error=2.4e-6,
            inputs=(SHAPE,),
            outputs=(SHAPE,),
        ),
        baseline=Baseline(eager=timing(EAGER_US), compiled=timing(COMPILED_US)),
        work=Work(
            bytes_needed=BYTES_NEEDED,
            flops=(Flops(precision="fp32", count=8 * 4096 * 8192),),
            unfused_bytes=3 * BYTES_NEEDED,
        ),
        ceilings=("measured copy 4.27 TB/s", "datasheet DRAM 4.81 TB/s"),
        peaks=Ceilings(
            device=DEVICE,
            arch="sm_90",
            sms=132,
            dram_peak_gbps=4811,
            copy_gbps=4270,
            fp32_tflops=66.9,
            fp32_matmul_tflops=51.0,
        ),
        bound_us=BOUND_US,
        floor_us=FLOOR_US,
        phases=_phases(baseline=14.2, impostors=2.1),
    )


def layernorm(folder: Path, *, attempts: int | None = None) -> Transcript:
    """Write a believable run: eight model turns and an offer, with a hint, a veto and two moves.

    It holds every outcome a reader has to present: passed, doubtful and vetoed, wrong, unbuildable,
    crashed, offered by the engineer, sealed. ``attempts`` stops after so many.
    """
    ended = "8 of 8 turns taken" if attempts is None else None
    return play(folder, trials()[:attempts], ended=ended)


def play(
    folder: Path,
    chosen: Sequence[Trial],
    *,
    measured: Setup | None = None,
    ended: str | None = None,
) -> Transcript:
    """Write a run of these trials, a turn each, and return it as a reader finds it."""
    clock = Clock()
    transcript = Transcript.create(folder, started(run=folder.name))
    transcript.record(Measured(at=clock.after(17), setup=measured or setup()))
    for number, trial in enumerate(chosen, 1):
        for event in trial.before:
            transcript.record(msgspec.structs.replace(event, at=clock.after(20)))
        take(transcript, number, trial, clock)
    if ended is not None:
        transcript.record(Stopped(at=clock.after(1), reason=ended, resumable=False))
    transcript.close()
    return Transcript.read(folder)


def take(transcript: Transcript, number: int, trial: Trial, clock: Clock) -> None:
    """Record one turn."""
    began = clock.now
    waited = 0.0 if trial.engineer else 21.0 + 3.1 * number
    if trial.engineer:
        transcript.record(
            Offered(
                at=clock.after(1),
                turn=number,
                attempt=number,
                source=trial.source,
                parent=trial.parent,
                idea=trial.idea,
            )
        )
    else:
        for event in _asked(number, trial, clock, waited):
            transcript.record(event)
    for outcome in _outcomes(number, trial, clock):
        transcript.record(outcome)
    phases = (Phase(name="model", seconds=waited),) if waited else ()
    phases = (*phases, *transcript.phases_of(number))
    seconds = max(clock.now - began, sum(phase.seconds for phase in phases))
    overhead = seconds - sum(phase.seconds for phase in phases)
    transcript.record(
        TurnClosed(
            at=clock.after(0.1),
            turn=number,
            ledger=(*phases, Phase(name="overhead", seconds=overhead)),
            seconds=seconds,
        )
    )


def _asked(number: int, trial: Trial, clock: Clock, waited: float) -> Iterator[Prompted | Replied]:
    hints = "".join(f"\nThe engineer says: {e.text}" for e in trial.before if isinstance(e, Hinted))
    messages = (
        Message(role="system", content="You write CUDA kernels. Answer with one fenced block."),
        Message(role="user", content=f"Turn {number} of 8.{hints}\n\n```python\n{REFERENCE}```"),
    )
    digest = digest_of("".join(message.content for message in messages))
    prompt = Prompt(messages=messages, digest=digest, shape=digest)
    yield Prompted(at=clock.after(0.1), turn=number, prompt=prompt, parent=trial.parent)
    foretold = trial.prediction
    prediction = (
        f"PREDICTION: {foretold.metric} {foretold.before:g} -> {foretold.after:g}\n"
        if foretold is not None and foretold.before is not None
        else ""
    )
    reply = Reply(
        text=f"IDEA: {trial.idea}\n{prediction}\n```python\n{trial.source}```\n",
        model="synthetic",
        answers=digest,
        finish_reason="stop",
        usage=Usage(input_tokens=5200 + 310 * number, cached_tokens=4100, output_tokens=2400),
        cost_usd=0.031 + 0.002 * number,
        seconds=waited,
    )
    yield Replied(at=clock.after(waited), turn=number, attempt=number, reply=reply)


def _outcomes(number: int, trial: Trial, clock: Clock) -> Iterator[Judged | Profiled | Sealed]:
    candidate = Candidate(
        source=trial.source,
        author="engineer" if trial.engineer else "model",
        parent=trial.parent,
        idea=trial.idea,
        prediction=trial.prediction,
    )
    judged = sum(phase.seconds for phase in trial.verdict.phases)
    yield Judged(
        at=clock.after(judged),
        turn=number,
        attempt=number,
        verdict=trial.verdict,
        candidate=candidate,
    )
    if trial.page is not None:
        yield Profiled(
            at=clock.after(5.4),
            turn=number,
            attempt=number,
            page=trial.page,
            grade=trial.grade,
            seconds=5.4,
        )
    if trial.sealed is not None:
        sealed = msgspec.structs.replace(trial.sealed, phases=_phases(build=38.2, check=1.2))
        yield Sealed(at=clock.after(39.4), attempt=number, verdict=sealed)


def many(folder: Path, count: int) -> None:
    """Write ``count`` runs below ``folder``: copies of one, each with its own name and times."""
    layernorm(folder / "first")
    lines = (folder / "first" / "events.jsonl").read_text()
    blobs = {p.relative_to(folder / "first"): p.read_bytes() for p in _blobs(folder / "first")}
    for number in range(1, count):
        run = (
            folder
            / f"20261118-{number // 3600:02}{number // 60 % 60:02}{number % 60:02}-{number:04x}"
        )
        run.mkdir()
        value = f'"value":{71.3 / 65.5 * (0.98 + number % 97 / 400):.6f}'
        text = lines.replace('"run":"first"', f'"run":"{run.name}"')
        text = re.sub(r'"value":1\.08854\d+', value, text)
        (run / "events.jsonl").write_text(text)
        for path, content in blobs.items():
            (run / path).parent.mkdir(parents=True, exist_ok=True)
            (run / path).write_bytes(content)


def _blobs(run: Path) -> Iterator[Path]:
    return (path for path in (run / "blobs").rglob("*") if path.is_file())


OTHER_DEVICE = "AMD EPYC"


def other_machine() -> Setup:
    """Return what a bench finds on a CPU to which a run was copied: no peaks, other baselines."""
    environment = Environment(
        device=OTHER_DEVICE, device_kind="cpu", torch="2.13.0+cpu", compiler="g++ 12.2", cores=2
    )
    baseline = Baseline(eager=timing(40_000.0), compiled=timing(30_000.0))
    return msgspec.structs.replace(
        setup(),
        environment=environment,
        baseline=baseline,
        peaks=Ceilings(device=OTHER_DEVICE, copy_gbps=21),
        ceilings=("measured copy 21 GB/s",),
        bound_us=None,
        floor_us=13_000.0,
    )


def moved(folder: Path, *, attempts: int = 1) -> Transcript:
    """Write a finished run that was copied to another machine and went on there in vain."""
    layernorm(folder)
    transcript, clock = Transcript.open(folder), Clock()
    clock.after(10_000)
    transcript.record(Resumed(at=clock.after(1)))
    transcript.record(Measured(at=clock.after(17), setup=other_machine()))
    slower = passed(
        33_000.0,
        eager=timing(40_000.0),
        compiled=timing(30_000.0),
        speedup=ratio(30 / 33),
        vs_eager=ratio(40 / 33),
        vs_compiled=ratio(30 / 33),
    )
    trial = msgspec.structs.replace(trials()[0], verdict=slower, page=None)
    first = transcript.next_turn
    for number in range(first, first + attempts):
        take(transcript, number, trial, clock)
    transcript.close()
    return Transcript.read(folder)
