"""What profiling hands to the agent: work, ceilings, pages, changes, predictions, grades.

What the single rungs measured before it became a page lies in `evidence`.
"""

from html import escape
from typing import Literal

import msgspec

Rung = Literal["ncu", "torch.profiler", "static", "timing"]
Precision = Literal["fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "int8"]
Outcome = Literal["confirmed", "partly", "refuted", "not measured"]
Direction = Literal["better", "worse", "neither"]


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel of a candidate's call, by its share of the call's device time.

    `name` has been made safe to print: a candidate chooses it. Times are per call of the candidate,
    summed over `launches`. `cluster` is None without thread block clusters. `shared_bytes` are per
    block, static and dynamic; `spill_bytes` per thread, stores and loads. `fits_pct` of an SM's
    warps can be there at once.
    """

    name: str
    share_pct: float | None
    time_us: float | None
    launches: int
    grid: str
    block: str
    cluster: str | None = None
    registers: int | None = None
    shared_bytes: int | None = None
    spill_bytes: int | None = None
    fits_pct: float | None = None


class Flops(msgspec.Struct, frozen=True, kw_only=True):
    """Operations that a reference asks for at one precision; `matrix` ones may use tensor cores."""

    precision: Precision
    count: int
    matrix: bool = False


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What the operation needs, counted by the judge without running it.

    `bytes_needed` is every input, parameter and output once; `bytes_read` and `bytes_written` split
    it where the judge knows. `unfused_bytes` is what one kernel per operator would move. `caveats`
    say where the count is not a bound (causal masks, gathers, inputs that fit the L2).
    """

    bytes_needed: int
    flops: tuple[Flops, ...] = ()
    unfused_bytes: int | None = None
    caveats: tuple[str, ...] = ()
    bytes_read: int | None = None
    bytes_written: int | None = None


class Ceilings(msgspec.Struct, frozen=True, kw_only=True):
    """What a device can do: datasheet peaks and, where measured, ceilings reached by a library.

    Bandwidths in GB/s (1e9 bytes), arithmetic in TFLOP/s (1e12). Every field is None until someone
    measured it or a source states it; `sources` says which.
    """

    device: str
    arch: str | None = None
    sms: int | None = None
    l2_bytes: int | None = None
    dram_peak_gbps: float | None = None
    copy_gbps: float | None = None
    read_gbps: float | None = None
    write_gbps: float | None = None
    fp64_tflops: float | None = None
    fp32_tflops: float | None = None
    tf32_tflops: float | None = None
    fp16_tflops: float | None = None
    bf16_tflops: float | None = None
    fp8_tflops: float | None = None
    int8_tops: float | None = None
    fp64_matmul_tflops: float | None = None
    fp32_matmul_tflops: float | None = None
    tf32_matmul_tflops: float | None = None
    fp16_matmul_tflops: float | None = None
    bf16_matmul_tflops: float | None = None
    fp8_matmul_tflops: float | None = None
    int8_matmul_tops: float | None = None
    threads: int | None = None
    sources: tuple[str, ...] = ()


class Rival(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody else's time for the same call, such as torch.compile's: what is proven possible."""

    name: str
    time_us: float


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One number of a page: `key` is a row of `metrics.TABLE`, `kernel` None the whole call."""

    key: str
    value: float
    unit: str
    ceiling: float | None = None
    kernel: str | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that costs time: what, where, how much of the call is at stake, what to try.

    `severity` is the fraction of the call's time at stake (0 to 1), an estimate that never exceeds
    the distance to the floor. `where` is file and line, or None where no line is to blame.
    """

    kind: str
    severity: float
    text: str
    advice: str
    where: str | None = None
    kernel: str | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """How one metric moved from the parent's page to this one."""

    metric: str
    before: float
    after: float
    unit: str
    direction: Direction
    text: str


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What an expert would say on seeing the profile of one candidate on one shape."""

    candidate_digest: str
    rung: Rung
    device: str
    shape: str
    why_not_higher: str | None = None
    kernels: tuple[Kernel, ...] = ()
    metrics: tuple[Metric, ...] = ()
    findings: tuple[Finding, ...] = ()
    lines: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()

    def text(self) -> str:
        """Return the page for a prompt and for people, most important first, about 1,200 tokens."""
        if not self.changed:
            return "\n".join(self.lines)
        since = "; ".join(change.text for change in self.changed[:SHOWN_CHANGES])
        return "\n".join((*self.lines, f"SINCE THE PARENT  {since}"))

    def _repr_html_(self) -> str:
        """Return the page as a notebook shows it; a candidate chose some of its words."""
        return f"<pre>{escape(self.text())}</pre>"

    def value(self, key: str) -> float | None:
        """Return the whole call's number for `key`, or None if it was not measured."""
        for metric in self.metrics:
            if metric.key == key and metric.kernel is None:
                return metric.value
        return None


# Eight differences are about as many as fit one line of a terminal window; they come ranked.
SHOWN_CHANGES = 8


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What an author expects of the next kernel: one metric, before (if it said so) and after."""

    metric: str
    after: float
    before: float | None = None


class Grade(msgspec.Struct, frozen=True, kw_only=True):
    """How a prediction fared against what was measured."""

    prediction: Prediction
    measured: float | None
    verdict: Outcome
    text: str
