"""What the rungs measured, as plain values: kernels under ncu, timelines, compiler facts.

Reading them out of files is done by `ncu_rep`, `trace` and `static`; judging them by `findings`.
"""

import msgspec


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A line of source, its file name already cut to a safe base name."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Producer(msgspec.Struct, frozen=True, kw_only=True):
    """The earlier instruction that a stalled one waits for, and the stall reason that says so."""

    offset: int
    sass: str
    reason: str
    place: Place | None = None


class Instruction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One SASS instruction with what was sampled and counted on it over the whole launch.

    `samples` are warp-state samples, `stalls` the same by reason. `sectors` are 32-byte L2 sectors
    that the access pattern asks for (before L1), `wavefronts` passes through the shared memory
    banks; the `_ideal` ones are what the same bytes need at least. `nway` is the exact bank
    conflict degree. `threads` counts lanes switched on, `divergent` branches that split a warp.
    A `chained` load's address comes from an earlier load; one that `polls` reads one address again
    and again until another block has written there. `called_from` is the kernel's own line nearest
    above an instruction of an inlined function.
    """

    offset: int
    sass: str
    place: Place | None = None
    samples: int = 0
    stalls: dict[str, int] = {}
    executed: int = 0
    threads: int = 0
    sectors: int = 0
    sectors_ideal: int = 0
    wavefronts: int = 0
    wavefronts_ideal: int = 0
    nway: int = 0
    divergent: int = 0
    chained: bool = False
    polls: bool = False
    called_from: Place | None = None
    waits_for: Producer | None = None

    @property
    def opcode(self) -> str:
        """Return the operation with its modifiers, without predicate and operands."""
        words = self.sass.split()
        if words and words[0].startswith("@"):
            words = words[1:]
        return words[0].rstrip(";") if words else ""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One of NVIDIA's rules that fired; `estimate_pct` is its own upper bound on what can be saved.

    That is of the kernel's time where `overall`, else only within the rule's own unit.
    """

    identifier: str
    estimate_pct: float
    overall: bool


class KernelReport(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel launch as Nsight Compute measured it.

    `counters` is keyed by Nsight Compute's metric names, `opcodes` by SASS opcode with modifiers
    (warp-level executions), `warps_by_registers` by registers per thread (warps per SM that fit).
    `absent` names counters that this report should have and has not, for "n/a on sm_90" rows.
    `cluster` is None for a launch without thread block clusters.
    `samples` and `listed` say how many warp samples there are and how many of the kernel's
    instructions are in `instructions`, which keeps only those that matter.
    """

    name: str
    device: str
    arch: str
    grid: str
    block: str
    cluster: str | None = None
    counters: dict[str, float]
    opcodes: dict[str, int] = {}
    warps_by_registers: dict[int, int] = {}
    instructions: tuple[Instruction, ...] = ()
    rules: tuple[Rule, ...] = ()
    absent: tuple[str, ...] = ()
    samples: int = 0
    listed: int = 0

    @property
    def time_us(self) -> float:
        """Return the launch's duration in microseconds."""
        return self.counters.get("gpu__time_duration.sum", 0.0) / 1e3


class TracedKernel(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel in torch.profiler's timeline: time and launches per call of the candidate.

    `registers` per thread and `shared_bytes` per block, static and dynamic, are its first launch's.
    """

    name: str
    time_us: float
    launches: int
    grid: str = "?"
    block: str = "?"
    registers: int | None = None
    shared_bytes: int | None = None


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """An operator of a CPU run: self time per call of the candidate, bytes where counted."""

    name: str
    self_us: float
    calls: int
    shapes: str = ""
    bytes_moved: int | None = None


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """A timeline of one call: kernels, what lay between them, and operators on the CPU.

    `span_us` runs from the first kernel's start to the last one's end, `gap_us` is the part of it
    in which none ran. `wall_us` is what the call took on the host while it was watched.
    """

    kernels: tuple[TracedKernel, ...] = ()
    operators: tuple[Operator, ...] = ()
    span_us: float | None = None
    gap_us: float | None = None
    wall_us: float | None = None


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """What ptxas reported for one kernel; stack and spill bytes per thread, shared per block."""

    name: str
    arch: str
    registers: int
    stack_bytes: int = 0
    spill_store_bytes: int = 0
    spill_load_bytes: int = 0
    shared_bytes: int = 0
    barriers: int = 0


class Opcodes(msgspec.Struct, frozen=True, kw_only=True):
    """How often each opcode stands in a kernel's SASS: places in the code, not executions."""

    name: str
    counts: dict[str, int]


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """A loop the C++ compiler did (`vector_bytes`) or did not (`reason`) vectorise.

    One that holds another loop is not `innermost`: no compiler is expected to vectorise it. One
    that adds floats up `in_order` has vectors in name only: its additions wait for each other. One
    that is written in intrinsics is vectorised `by_hand`, whatever the compiler says of it.
    """

    place: Place
    vector_bytes: int | None = None
    reason: str | None = None
    innermost: bool = True
    in_order: bool = False
    by_hand: bool = False


class Static(msgspec.Struct, frozen=True, kw_only=True):
    """What compilers know without running anything; `host_flags` are those of the C++ compiler.

    `streams` says that the source writes past the caches somewhere.
    """

    kernels: tuple[Compiled, ...] = ()
    opcodes: tuple[Opcodes, ...] = ()
    loops: tuple[Loop, ...] = ()
    threads_per_block: int | None = None
    host_flags: str | None = None
    streams: bool = False


class CpuRun(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate on the CPU, per call: threads and, where the system opens them, counters.

    `thread_seconds` is the CPU time of each thread that worked, most first; `gone_seconds` that of
    threads that ended meanwhile. `waited_share` is the part of their time that threads were ready
    and had no core, `system_share` the part spent in the kernel. `vector_bytes` are the widest
    vectors the processor has. Counters are None where the system keeps them closed, and
    `counters_closed` says why.
    """

    calls: int | None = None
    threads_used: int | None = None
    cpu_seconds: float | None = None
    wall_seconds: float | None = None
    thread_seconds: tuple[float, ...] = ()
    gone_seconds: float = 0.0
    waited_share: float | None = None
    system_share: float | None = None
    page_faults: int | None = None
    vector_bytes: int | None = None
    cycles: int | None = None
    instructions: int | None = None
    cache_misses: int | None = None
    branch_misses: int | None = None
    counters_closed: str | None = None
