"""Nsight Compute's report files: the only door to `ncu_report`, which is loaded when first used.

It takes out of a report what `evidence` holds, bounded and cleaned; `read_apart` does so in a child
process, because a report comes from where candidates run and may make its native reader crash.
"""

import math
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from refine_agent.profiling import lines, metrics, plain, stalls, waits
from refine_agent.profiling.evidence import Instruction, KernelReport, Place, Producer, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import ncu_report

MOST_BYTES = 256 << 20
MOST_LAUNCHES = 64
MOST_PCS = 100_000
# Findings add up samples, sectors and passes over instructions, so that only kernels larger than
# any hand-written one are trimmed.
KEPT_INSTRUCTIONS = 4000
SECONDS = 30.0
MOST_RULES = 32
# ncu_report.SpeedupType_GLOBAL, a decrease of the kernel's run time; 1 is within its own metric.
GLOBAL_SPEEDUP = 2

RANGE = "candidate/"


class Launches(msgspec.Struct, frozen=True, kw_only=True):
    """What was read out of a report, and how many launches it holds (in the range asked for)."""

    kernels: tuple[KernelReport, ...]
    total: int


class UnreadableReport(Exception):  # noqa: N818  (an outcome the ladder expects)
    """A report that cannot be read; the message says why, and a page falls one rung."""


def read(report: Path, *, nvtx: str | None = RANGE) -> Launches:
    """Return the kernels of a report, launch by launch, in this process.

    With `nvtx` only launches inside that range count; None takes all. At most 64 launches are read.

    Raises:
        UnreadableReport: the file is missing, too large, or no report.
    """
    import ncu_report  # noqa: PLC0415  (37 MB of native code: only those who read reports load it)

    _refuse_oddities(report)
    try:
        context = ncu_report.load_report(str(report))
        # The reader takes any bytes for a report and finds nothing in them.
        if not any(len(context[index]) for index in range(len(context))):
            raise UnreadableReport(_no_report(report, "it holds no launch"))
        chosen = [
            (context[index], launch)
            for index in range(len(context))
            for launch in _chosen(context[index], nvtx)
        ]
        actions = [launches[launch] for launches, launch in chosen[:MOST_LAUNCHES]]
    except (RuntimeError, ValueError, OSError, MemoryError, IndexError, TypeError) as error:
        raise UnreadableReport(_no_report(report, str(error))) from error
    known = lines.chains(report.read_bytes())
    return Launches(kernels=tuple(_kernel(action, known) for action in actions), total=len(chosen))


def read_apart(report: Path, *, nvtx: str | None = RANGE, seconds: float = SECONDS) -> Launches:
    """Return what `read` returns, from a child process that may crash or hang without harm.

    Raises:
        UnreadableReport: as `read`; also when the reader crashed or took longer than `seconds`.
    """
    _refuse_oddities(report)
    command = [sys.executable, "-m", __name__, str(report.absolute()), *([nvtx] if nvtx else [])]
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnreadableReport(f"reading {report.name} took longer than {seconds:.0f} s") from error
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it crashed"]
        reason = last[0].removeprefix("UnreadableReport: ")[-160:]
        raise UnreadableReport(
            reason if reason.startswith(report.name) else _no_report(report, reason)
        )
    try:
        return msgspec.json.decode(done.stdout, type=Launches)
    except msgspec.DecodeError as error:
        raise UnreadableReport(_no_report(report, str(error))) from error


def _refuse_oddities(report: Path) -> None:
    """Refuse what is no plain file: a candidate can put a link to anything in a report's place."""
    try:
        found = report.lstat()
    except OSError:
        raise UnreadableReport(
            f"{report.name} is not there: a wrong path, or the profiler wrote none"
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableReport(f"{report.name} is no plain file; name the report itself, no link")
    if found.st_size > MOST_BYTES:
        raise UnreadableReport(f"{report.name} is larger than {MOST_BYTES >> 20} MiB")


def _no_report(report: Path, reason: str) -> str:
    return (
        f"{report.name} is no readable Nsight Compute report ({plain.sass(reason) or 'no reason'})"
    )


def _chosen(launches: "ncu_report.IRange", nvtx: str | None) -> "Iterable[int]":
    return range(len(launches)) if nvtx is None else launches.actions_by_nvtx([nvtx], [])


def _kernel(action: "ncu_report.IAction", known: "Mapping[str, lines.Chains]") -> KernelReport:
    names = set(action.metric_names())
    counters = _counters(action, names)
    every = _instructions(action, names, known.get(action.name(action.NameBase_MANGLED)))
    return KernelReport(
        name=_name(action),
        device=plain.device(_text(action, "device__attribute_display_name") or ""),
        arch=_arch(counters),
        grid=_extent(action, "launch__grid_dim_"),
        block=_extent(action, "launch__block_dim_"),
        cluster=_cluster(action),
        counters=counters,
        opcodes=_opcodes(action, names),
        warps_by_registers=_warps_by_registers(action, names),
        instructions=_worth_keeping(every),
        rules=_rules(action),
        absent=tuple(name for name in metrics.needed_counters() if name not in counters),
        samples=int(counters.get("smsp__pcsamp_sample_count", 0)),
        listed=len(every),
    )


def _name(action: "ncu_report.IAction") -> str:
    """Return a kernel's name; what was profiled as a whole (a range, a graph) says so."""
    name = plain.name(action.name(action.NameBase_DEMANGLED) or action.name() or "unnamed")
    kinds = {action.WorkloadType_RANGE: "range", action.WorkloadType_GRAPH: "graph"}
    kind = kinds.get(action.workload_type())
    return name if kind is None else plain.name(f"{kind}_of_kernels_{name}")


def _counters(action: "ncu_report.IAction", names: set[str]) -> dict[str, float]:
    found = {}
    for name in metrics.needed_counters():
        value = _number(action, name) if name in names else None
        if value is not None:
            found[name] = value
    return found


def _number(action: "ncu_report.IAction", name: str) -> float | None:
    metric = action.metric_by_name(name)
    try:
        value = None if metric is None else metric.value()
    except (RuntimeError, ValueError, TypeError):
        return None
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _text(action: "ncu_report.IAction", name: str) -> str | None:
    metric = action.metric_by_name(name)
    value = None if metric is None else metric.value()
    return value if isinstance(value, str) else None


def _arch(counters: dict[str, float]) -> str:
    major = counters.get("device__attribute_compute_capability_major")
    minor = counters.get("device__attribute_compute_capability_minor")
    return "unknown" if major is None or minor is None else f"sm_{int(major)}{int(minor)}"


def _extent(action: "ncu_report.IAction", prefix: str) -> str:
    sizes = [_number(action, f"{prefix}{axis}") for axis in "xyz"]
    known = [int(size) for size in sizes if size is not None]
    while len(known) > 1 and known[-1] == 1:
        known.pop()
    return "x".join(map(str, known)) or "?"


def _cluster(action: "ncu_report.IAction") -> str | None:
    # All dimensions are 0 for a launch without clusters.
    size = _extent(action, "launch__cluster_dim_")
    return None if size in {"?", "1"} or size.startswith("0") else size


def _instances(action: "ncu_report.IAction", name: str, names: set[str]) -> dict[Any, float]:
    if name not in names:
        return {}
    metric = action.metric_by_name(name)
    if metric is None or not metric.num_instances() or not metric.has_correlation_ids():
        return {}
    ids = metric.correlation_ids()
    found = {}
    for at in range(min(metric.num_instances(), ids.num_instances(), MOST_PCS)):
        try:
            value = metric.value(at)
        except (RuntimeError, ValueError, TypeError):
            continue  # n/a at this place
        if isinstance(value, int | float) and math.isfinite(value):
            found[ids.value(at)] = value
    return found


def _opcodes(action: "ncu_report.IAction", names: set[str]) -> dict[str, int]:
    wanted = "sass__inst_executed_per_opcode_with_modifier_all"
    name = wanted if wanted in names else "sass__inst_executed_per_opcode"
    found = _instances(action, name, names)
    return {plain.sass(str(opcode)): int(count) for opcode, count in list(found.items())[:512]}


def _warps_by_registers(action: "ncu_report.IAction", names: set[str]) -> dict[int, int]:
    """Keep the steps of the curve: the most registers with which each number of warps fits."""
    curve = _instances(action, "launch__occupancy_per_register_count", names)
    steps: dict[int, int] = {}
    for registers, warps in curve.items():
        steps[int(warps)] = max(int(registers), steps.get(int(warps), 0))
    return {registers: warps for warps, registers in sorted(steps.items())}


def _rules(action: "ncu_report.IAction") -> tuple[Rule, ...]:
    found = []
    for rule in list(action.rule_results_as_dicts())[:MOST_RULES]:
        estimate = rule.get("speedup_estimation")
        if not estimate or not math.isfinite(estimate["speedup"]):
            continue
        identifier = re.sub(r"\W", "", str(rule.get("rule_identifier", "")))[:40]
        found.append(
            Rule(
                identifier=identifier,
                estimate_pct=float(estimate["speedup"]),
                overall=estimate["type"] == GLOBAL_SPEEDUP,
            )
        )
    return tuple(found)


_PER_PC = {
    "samples": "smsp__pcsamp_sample_count",
    "executed": "inst_executed",
    "threads": "thread_inst_executed_true",
    "sectors": "memory_l2_theoretical_sectors_global",
    "sectors_ideal": "memory_l2_theoretical_sectors_global_ideal",
    "wavefronts": "memory_l1_wavefronts_shared",
    "wavefronts_ideal": "memory_l1_wavefronts_shared_ideal",
    "nway": "derived__memory_l1_conflicts_shared_nway",
    "divergent": "smsp__branch_targets_threads_divergent",
}


# The stalls in which a warp waits for one earlier instruction, and not for room in a queue.
_WAITED_FOR = {"long_scoreboard", "short_scoreboard", "barrier"}


def _instructions(
    action: "ncu_report.IAction", names: set[str], known: lines.Chains | None
) -> tuple[Instruction, ...]:
    counted = {field: _instances(action, name, names) for field, name in _PER_PC.items()}
    stalled = {
        reason: _instances(action, stalls.sampled_counter(reason), names)
        for reason in stalls.STALLS
    }
    base = _instances(action, "launch__function_pcs", names)
    start = int(min(base.values(), default=0))
    pcs = sorted(pc for pc in counted["executed"] if isinstance(pc, int))
    if not pcs:
        pcs = sorted(pc for pc in counted["samples"] if isinstance(pc, int))
    code = [(action.sass_by_pc(pc) or "").strip() for pc in pcs]
    offsets = [pc - (start or pcs[0]) for pc in pcs]
    compiled = [_source(action, pc) for pc in pcs]
    chains = None if known is None else _chains(known, offsets, compiled)
    places = _own_places(compiled) if chains is None else _own_frames(chains)
    callers = _callers(places, _kernel_bodies(action)) if chains is None else _outermost(chains)
    repeated = waits.loops(code, pcs)
    found = []
    for at, pc in enumerate(pcs):
        held = {why: int(by_pc[pc]) for why, by_pc in stalled.items() if by_pc.get(pc)}
        why = max(_WAITED_FOR & held.keys(), key=lambda reason: held[reason], default=None)
        source = None if why is None else waits.producer(code, at, why, repeated)
        found.append(
            Instruction(
                offset=offsets[at],
                sass=plain.sass(code[at]),
                place=places[at],
                stalls=held,
                chained=bool(counted["sectors"].get(pc)) and _chained(code, at, repeated),
                polls=waits.polls(code, at, repeated),
                called_from=callers[at],
                waits_for=None
                if source is None or why is None
                else Producer(
                    offset=offsets[source],
                    sass=plain.sass(code[source]),
                    reason=why,
                    place=places[source],
                ),
                **{field: int(by_pc.get(pc, 0)) for field, by_pc in counted.items()},
            )
        )
    return tuple(found)


def _chained(code: list[str], at: int, repeated: tuple[waits.Loop, ...]) -> bool:
    return bool(_LOADS.match(code[at])) and waits.follows_a_load(code, at, repeated)


_LOADS = re.compile(r"^(?:@!?U?P\d+\s+)?LD")


# Inlined wrappers (atomicAdd, __ldcg, float4 operators, CUB, CUTLASS) carry their header's lines.
_LIBRARY = re.compile(
    r"/targets/[^/]+/include/|/(?:usr|opt)/(?:local/)?(?:cuda[^/]*/)?(?:lib|include)/"
    r"|(?:site|dist)-packages/|/torch/include/|/(?:cub|thrust|cutlass|cute|cuda/std)/"
)


def _source(action: "ncu_report.IAction", pc: int) -> Place | None:
    """Return an instruction's line as compiled; a library's file keeps line 0."""
    try:
        info = action.source_info(pc)
    except (RuntimeError, ValueError):
        return None
    if info is None:
        return None
    return _place(str(info.file_name()), int(info.line()))


def _place(path: str, line: int) -> Place:
    path = path[-plain.READ_CHARS :]
    return Place(file=plain.file_name(path), line=0 if _LIBRARY.search(path) else line)


def _chains(
    known: lines.Chains, offsets: list[int], compiled: list[Place | None]
) -> list[list[Place]] | None:
    """Return each instruction's call chain, if all agree with what Nsight Compute says itself.

    It names the innermost line, or the call where that begins at the same instruction.
    """
    found = [[_place(one.path, one.line) for one in known.at(offset)] for offset in offsets]
    agree = all(
        place is None or place in chain for place, chain in zip(compiled, found, strict=True)
    )
    return found if agree and any(found) else None


def _own_frames(chains: list[list[Place]]) -> list[Place | None]:
    """Return the innermost line of each chain that is the candidate's own, where it has one."""
    own = [next((place for place in chain if place.line), None) for chain in chains]
    return _own_places(
        [place or next(iter(chain), None) for place, chain in zip(own, chains, strict=True)]
    )


def _outermost(chains: list[list[Place]]) -> list[Place | None]:
    """Return the kernel's own line behind each instruction of an inlined function of its file."""
    own = [[place for place in chain if place.line] for chain in chains]
    return [chain[-1] if chain and chain[-1] != chain[0] else None for chain in own]


def _own_places(compiled: list[Place | None]) -> list[Place | None]:
    """Attribute a library's instructions to the candidate's line before them, else after them."""
    own = [place if place is not None and place.line else None for place in compiled]
    if not any(own):
        return compiled
    before, found = None, []
    for place in own:
        before = place or before
        found.append(before)
    first = next(place for place in own if place is not None)
    return [place or first for place in found]


MOST_SOURCE = 1 << 20
_KERNEL = re.compile(r"\b__global__\b[^;{]*\{")
_COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"', re.DOTALL)


def _kernel_bodies(action: "ncu_report.IAction") -> dict[str, list[range]]:
    """Return the lines of every kernel in the sources that a report brings along, by file."""
    try:
        sources = dict(action.source_files())
    except (RuntimeError, ValueError, TypeError):
        return {}
    found: dict[str, list[range]] = {}
    for path, text in sources.items():
        if isinstance(text, str) and len(text) <= MOST_SOURCE and not _LIBRARY.search(path):
            found[plain.file_name(path)] = kernel_bodies(text)
    return {file: bodies for file, bodies in found.items() if bodies}


def _blank(found: re.Match[str]) -> str:
    return "\n" * found.group().count("\n")


def kernel_bodies(source: str) -> list[range]:
    """Return the lines of each kernel in a CUDA source, from `__global__` to its closing brace."""
    text, found = _COMMENT_OR_STRING.sub(_blank, source), []
    for start in _KERNEL.finditer(text):
        depth, end = 1, start.end()
        while depth and end < len(text):
            depth += (text[end] == "{") - (text[end] == "}")
            end += 1
        first = text.count("\n", 0, start.start()) + 1
        found.append(range(first, text.count("\n", 0, end) + 2))
    return found


def _callers(places: list[Place | None], bodies: dict[str, list[range]]) -> list[Place | None]:
    """Return for instructions of inlined functions the kernel's line that stands nearest above."""
    inside = [
        place
        if place is not None and any(place.line in body for body in bodies.get(place.file, ()))
        else None
        for place in places
    ]
    if not any(inside):
        return [None] * len(places)
    found: list[Place | None] = []
    last = next(place for place in inside if place is not None)
    for place, own in zip(places, inside, strict=True):
        last = own or last
        found.append(last if own is None and place is not None else None)
    return found


def _worth_keeping(every: tuple[Instruction, ...]) -> tuple[Instruction, ...]:
    """Keep the sampled and the memory-bound ones, in program order."""
    if len(every) <= KEPT_INSTRUCTIONS:
        return every
    ranks: tuple[Callable[[Instruction], int], ...] = (
        lambda one: one.samples,
        lambda one: one.sectors,
        lambda one: one.wavefronts,
        lambda one: one.divergent,
        lambda one: one.executed if _LONG_LATENCY.match(one.opcode) else 0,
    )
    kept: set[int] = set()
    for rank in ranks:
        best = sorted((one for one in every if rank(one)), key=rank, reverse=True)
        kept.update(one.offset for one in best[: KEPT_INSTRUCTIONS // len(ranks)])
    return tuple(one for one in every if one.offset in kept)


_LONG_LATENCY = re.compile(
    r"(LD|ST|ATOM|RED|D(ADD|MUL|FMA|SETP|MNMX)|F2F|MUFU|UTMA|SHFL|BAR|[A-Z]*MMA)"
)


def _main() -> None:
    _bound_myself()
    report, *nvtx = sys.argv[1:]
    try:
        found = read(Path(report), nvtx=nvtx[0] if nvtx else None)
    except UnreadableReport as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(msgspec.json.encode(found))


def _bound_myself() -> None:
    import resource  # noqa: PLC0415  (Unix only, and only this child needs it)

    for what, most in (
        (resource.RLIMIT_AS, 8 << 30),
        (resource.RLIMIT_CPU, 60),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    _main()
