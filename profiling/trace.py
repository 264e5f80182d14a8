"""torch.profiler's timeline, as the worker hands it over: JSON rows, read with bounds.

The worker runs the profiler; this module says what rows it must write and what they amount to.
"""

import statistics

import msgspec

from refine_agent.profiling import plain, processor
from refine_agent.profiling.evidence import CpuRun, Operator, Trace, TracedKernel
from refine_agent.profiling.processor import Tally

MOST_BYTES = 16 << 20
MOST_ROWS = 100_000
# Profilers count microseconds from 1970 or from boot; later than this is no time.
FAR_FUTURE_US = 1e18
WEEK_US = 7 * 86400 * 1e6


class UnreadableTrace(Exception):  # noqa: N818  (an outcome the ladder expects)
    """Rows that are not what `Rows` describes; the page falls one rung and says so."""


class KernelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel launch: its name, when it started on the device and how long it ran.

    In torch.profiler: an event of device type CUDA that is a kernel, `time_range.start` and
    `device_time`, both in microseconds. `call` counts the candidate's calls from 0. `registers` are
    per thread, `shared_bytes` per block.
    """

    name: str
    start_us: float
    duration_us: float
    grid: list[int] = []
    block: list[int] = []
    call: int = 0
    registers: int | None = None
    shared_bytes: int | None = None


class OperatorRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `key_averages()`: an operator, its self time on the CPU and how often it ran."""

    name: str
    self_us: float
    calls: int
    shapes: str = ""
    bytes_moved: int | None = None


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker writes: every kernel of `calls` calls, and the operators where asked for.

    `processor` is what calls without a profiler took of the CPU, for candidates that run there;
    `wall_us` what the watched ones took together on the host.
    """

    calls: int = 1
    kernels: list[KernelRow] = []
    operators: list[OperatorRow] = []
    processor: Tally | None = None
    wall_us: float | None = None


def read(rows_json: bytes | str) -> Trace:
    """Return the timeline of one call, times averaged over the calls in the rows.

    Raises:
        UnreadableTrace: the rows are too many, too large or not of this form.
    """
    rows = _decoded(rows_json)
    launches = sorted(rows.kernels, key=lambda row: row.start_us)
    by_call: dict[int, list[KernelRow]] = {}
    for row in launches:
        by_call.setdefault(row.call, []).append(row)
    spans = [_span_us(call) for call in by_call.values()]
    gaps = [_span_us(call) - _busy_us(call) for call in by_call.values()]
    return Trace(
        kernels=_kernels(launches, rows.calls),
        operators=_operators(rows),
        span_us=statistics.median(spans) if spans else None,
        gap_us=statistics.median(gaps) if gaps else None,
        wall_us=rows.wall_us / rows.calls if rows.wall_us else None,
    )


def read_processor(rows_json: bytes | str) -> CpuRun | None:
    """Return what one call took of the CPU, or None where nobody tallied it.

    Raises:
        UnreadableTrace: as `read`.
    """
    tally = _decoded(rows_json).processor
    return None if tally is None else processor.run_of(tally)


def _decoded(rows_json: bytes | str) -> Rows:
    if len(rows_json) > MOST_BYTES:
        raise UnreadableTrace(f"torch.profiler's rows are larger than {MOST_BYTES >> 20} MiB")
    try:
        rows = msgspec.json.decode(rows_json, type=Rows)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableTrace(f"torch.profiler's rows cannot be read ({error})") from error
    possible = rows.processor is None or processor.sane(rows.processor)
    possible = possible and (rows.wall_us is None or 0 <= rows.wall_us < WEEK_US)
    if rows.calls < 1 or len(rows.kernels) > MOST_ROWS or not _sane(rows) or not possible:
        raise UnreadableTrace("torch.profiler's rows have impossible counts or times")
    return rows


# As Kineto spells them in the arguments of a launch.
_SPELT = {"registers": "registers per thread", "shared_bytes": "shared memory"}


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename=_SPELT):
    """How a kernel was launched: blocks and threads in three dimensions, and what each takes."""

    grid: list[int]
    block: list[int]
    registers: int | None = None
    shared_bytes: int | None = None


def shapes_in(timeline: bytes) -> dict[str, Shape]:
    """Return each kernel's first launch shape from an exported timeline, by the name it has there.

    Kineto writes `"cat": "kernel", "args": {"grid": [x, y, z], "block": [x, y, z], "registers per
    thread": n, "shared memory": bytes}` for each launch; torch.profiler's own events have none.
    """
    try:
        events = msgspec.json.decode(timeline, type=_Timeline).traceEvents
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    found: dict[str, Shape] = {}
    for event in events:
        try:
            shape = msgspec.convert(event.get("args"), type=Shape)
        except msgspec.ValidationError:
            continue
        if event.get("cat") == "kernel":
            found.setdefault(str(event.get("name")), shape)
    return found


class _Timeline(msgspec.Struct, frozen=True):
    traceEvents: list[dict[str, object]] = []  # noqa: N815  (as it is spelled there)


# No device gives a thread or a block more.
MOST_REGISTERS = 1 << 10
MOST_SHARED_BYTES = 1 << 20


def _sane(rows: Rows) -> bool:
    return all(map(_possible, rows.kernels)) and all(
        0 <= row.self_us < WEEK_US and row.calls >= 0 for row in rows.operators
    )


def _possible(row: KernelRow) -> bool:
    return (
        0 <= row.duration_us < WEEK_US
        and abs(row.start_us) < FAR_FUTURE_US
        and 0 <= (row.registers or 0) <= MOST_REGISTERS
        and 0 <= (row.shared_bytes or 0) <= MOST_SHARED_BYTES
    )


def _kernels(launches: list[KernelRow], calls: int) -> tuple[TracedKernel, ...]:
    grouped: dict[str, list[KernelRow]] = {}
    for row in launches:
        grouped.setdefault(plain.name(row.name), []).append(row)
    kernels = [
        TracedKernel(
            name=name,
            time_us=sum(row.duration_us for row in rows) / calls,
            launches=max(1, round(len(rows) / calls)),
            grid=_extent(rows[0].grid),
            block=_extent(rows[0].block),
            registers=rows[0].registers,
            shared_bytes=rows[0].shared_bytes,
        )
        for name, rows in grouped.items()
    ]
    return tuple(sorted(kernels, key=lambda kernel: kernel.time_us, reverse=True))


def _extent(sizes: list[int]) -> str:
    known = list(sizes[:3])
    while len(known) > 1 and known[-1] == 1:
        known.pop()
    return "x".join(map(str, known)) or "?"


def _operators(rows: Rows) -> tuple[Operator, ...]:
    ranked = sorted(rows.operators, key=lambda row: row.self_us, reverse=True)
    return tuple(
        Operator(
            name=plain.operator(row.name),
            self_us=row.self_us / rows.calls,
            calls=max(1, round(row.calls / rows.calls)),
            shapes=plain.shapes(row.shapes),
            bytes_moved=None if row.bytes_moved is None else row.bytes_moved // rows.calls,
        )
        for row in ranked[:32]
    )


def _span_us(launches: list[KernelRow]) -> float:
    return max(row.start_us + row.duration_us for row in launches) - launches[0].start_us


def _busy_us(launches: list[KernelRow]) -> float:
    """Return the time in which at least one kernel ran; overlapping ones count once."""
    busy, reached = 0.0, float("-inf")
    for row in launches:
        end = row.start_us + row.duration_us
        busy += max(0.0, end - max(row.start_us, reached))
        reached = max(reached, end)
    return busy
