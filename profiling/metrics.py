"""THE table: every number a page may show, with its counters, formula, unit, ceiling and meaning.

It turns one kernel's counters into readings; what the readings amount to is `findings`' business.
`README.md` beside this file is checked against this table by a test.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from refine_agent.profiling.evidence import KernelReport
from refine_agent.profiling.sectors import (
    LOAD_BYTES,
    STORE_BYTES,
    load_bytes_per_sector,
    store_bytes_per_sector,
)
from refine_agent.profiling.stalls import STALLS, sampled_counter, stall_counter, stall_shares

Pool = Literal["sum", "mean", "max"]
Better = Literal["lower", "higher", "neither"]

GUIDE = "Nsight Compute, Kernel Profiling Guide"
CUDA_GUIDE = "CUDA C++ Programming Guide"


class Quantity(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    `counters` are Nsight Compute's names; `of` computes the value from a kernel's report, and is
    None for numbers of the whole call. `ceiling` is what the hardware could do, in the same unit.
    `pool` says how several kernels become one number: bytes add up, percentages are weighted by
    time. `predictable` rows are those whose change an author may predict and be graded on.
    """

    key: str
    unit: str
    meaning: str
    source: str
    counters: tuple[str, ...] = ()
    of: Callable[[KernelReport], float | None] | None = None
    ceiling: Callable[[KernelReport], float | None] | None = None
    pool: Pool = "mean"
    better: Better = "neither"
    predictable: bool = False
    note: str = ""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of one kernel."""

    quantity: Quantity
    value: float
    ceiling: float | None


def reading(report: KernelReport, key: str) -> float | None:
    """Return one number of one kernel, or None where the report has not its counters."""
    of = BY_KEY[key].of
    return None if of is None else of(report)


def readings(report: KernelReport) -> tuple[Reading, ...]:
    """Return every row of the table that this report can fill."""
    found = []
    for quantity in TABLE:
        value = quantity.of(report) if quantity.of else None
        if value is None:
            continue
        ceiling = quantity.ceiling(report) if quantity.ceiling else None
        found.append(Reading(quantity=quantity, value=value, ceiling=ceiling))
    return tuple(found)


# Warp-level executions of each opcode with its modifiers, one instance each.
OPCODES = "sass__inst_executed_per_opcode_with_modifier_all"


def complete(report: KernelReport) -> bool:
    """Tell whether a report has all that pages read, its instructions and opcodes included."""
    return not report.absent and bool(report.opcodes) and bool(report.instructions)


def missing(report: KernelReport) -> tuple[str, ...]:
    """Return the keys this report cannot fill: shown as n/a on this device, never left out."""
    absent = set(report.absent)
    return tuple(row.key for row in TABLE if row.of and absent.intersection(row.counters))


def _counter(name: str, scale: float = 1.0) -> Callable[[KernelReport], float | None]:
    def of(report: KernelReport) -> float | None:
        value = report.counters.get(name)
        return None if value is None else value * scale

    return of


def _sum(*names: str, scale: float = 1.0) -> Callable[[KernelReport], float | None]:
    def of(report: KernelReport) -> float | None:
        values = [report.counters[name] for name in names if name in report.counters]
        return sum(values) * scale if len(values) == len(names) else None

    return of


def _share(part: str, whole: str) -> Callable[[KernelReport], float | None]:
    def of(report: KernelReport) -> float | None:
        if part not in report.counters or whole not in report.counters:
            return None
        return (
            100 * report.counters[part] / report.counters[whole] if report.counters[whole] else 0.0
        )

    return of


def _constant(value: float) -> Callable[[KernelReport], float | None]:
    return lambda _report: value


def dram_gbps(report: KernelReport) -> float | None:
    """Return achieved DRAM bandwidth in GB/s: bytes that moved over the launch's duration."""
    megabytes = _sum("dram__bytes_read.sum", "dram__bytes_write.sum", scale=1e-6)(report)
    return None if megabytes is None or not report.time_us else megabytes / report.time_us * 1e3


def dram_peak_gbps(report: KernelReport) -> float | None:
    """Return the DRAM's peak in GB/s: bytes per clock times its clock during this very launch."""
    per_clock = report.counters.get("dram__bytes.sum.peak_sustained")
    clock = report.counters.get("dram__cycles_elapsed.avg.per_second")
    return per_clock * clock / 1e9 if per_clock and clock else _bus_peak_gbps(report)


def _bus_peak_gbps(report: KernelReport) -> float | None:
    # Double data rate: two transfers per memory clock over the bus width. Agrees with the counters
    # within 0.1 % on an H200 (6016 bit x 3.201 GHz x 2 / 8 = 4814 GB/s against 4811).
    bits = report.counters.get("device__attribute_global_memory_bus_width")
    kilohertz = report.counters.get("device__attribute_memory_clock_rate")
    return 2 * bits / 8 * kilohertz * 1e3 / 1e9 if bits and kilohertz else None


_FUSED = "smsp__sass_thread_inst_executed_op_ffma_pred_on.sum.per_cycle_elapsed"
_FUSED_PEAK = "sm__sass_thread_inst_executed_op_ffma_pred_on.sum.peak_sustained"


def _twice(report: KernelReport, name: str, derived: str) -> float | None:
    """Return twice a counter, which NVIDIA's roofline section has under a name of its own."""
    once = report.counters.get(name)
    return report.counters.get(derived) if once is None else 2 * once


def fp32_tflops(report: KernelReport) -> float | None:
    """Return executed FP32 operations per second in TFLOP/s; a fused multiply-add counts twice."""
    counters = report.counters
    names = ("fadd", "fmul")
    rates = [
        counters.get(f"smsp__sass_thread_inst_executed_op_{name}_pred_on.sum.per_cycle_elapsed")
        for name in names
    ]
    fused = _twice(report, _FUSED, "derived__smsp__sass_thread_inst_executed_op_ffma_pred_on_x2")
    clock = counters.get("smsp__cycles_elapsed.avg.per_second")
    if fused is None or clock is None or None in rates:
        return None
    return (sum(rate for rate in rates if rate is not None) + fused) * clock / 1e12


def fp32_peak_tflops(report: KernelReport) -> float | None:
    """Return the FP32 peak in TFLOP/s at the clock of this launch."""
    derived = "derived__sm__sass_thread_inst_executed_op_ffma_pred_on_x2"
    per_clock = _twice(report, _FUSED_PEAK, derived)
    clock = report.counters.get("smsp__cycles_elapsed.avg.per_second")
    return per_clock * clock / 1e12 if per_clock and clock else None


def _boost_ghz(report: KernelReport) -> float | None:
    kilohertz = report.counters.get("device__attribute_clock_rate")
    return kilohertz / 1e6 if kilohertz else None


def tensor_instructions(report: KernelReport) -> float | None:
    """Return executed matrix instructions (HMMA, HGMMA, IMMA, DMMA...), counted by opcode.

    The tensor pipe's own counter is not zero in kernels without any (0.24 % on a LayerNorm that
    has not one MMA), so opcodes decide.
    """
    if not report.opcodes:
        return None
    return float(sum(n for opcode, n in report.opcodes.items() if "MMA" in opcode.split(".")[0]))


def _lanes(report: KernelReport) -> float | None:
    executed = report.counters.get("inst_executed")
    threads = report.counters.get("thread_inst_executed_true")
    if executed and threads is not None:
        return 100 * threads / 32 / executed
    ratio = report.counters.get("smsp__thread_inst_executed_pred_on_per_inst_executed.ratio")
    return None if ratio is None else 100 * ratio / 32


def _sm_balance(report: KernelReport) -> float | None:
    most = report.counters.get("sm__cycles_active.max")
    mean = report.counters.get("sm__cycles_active.avg")
    return 100 * mean / most if most and mean is not None else None


def _nway(report: KernelReport) -> float | None:
    # A 16-byte access takes four passes however its lanes are spread: only passes beyond the ideal
    # make a conflict of them.
    accesses = [one for one in report.instructions if one.nway]
    conflicts = [one.nway for one in accesses if one.wavefronts > one.wavefronts_ideal]
    return float(max(conflicts, default=1)) if accesses else None


def _stall(reason: str) -> Callable[[KernelReport], float | None]:
    def of(report: KernelReport) -> float | None:
        shares = stall_shares(report)
        return 100 * shares[reason] if shares else None

    return of


def _excess(wasted: str, whole: str) -> Callable[[KernelReport], float | None]:
    return _share(wasted, whole)


def _bank_excess(report: KernelReport) -> float | None:
    wavefronts = report.counters.get("memory_l1_wavefronts_shared")
    ideal = report.counters.get("memory_l1_wavefronts_shared_ideal")
    if wavefronts is None or ideal is None:
        return None
    return 100 * (wavefronts - ideal) / wavefronts if wavefronts else 0.0


_PCT = "%"
_ELAPSED = ".avg.pct_of_peak_sustained_elapsed"

CALL_ROWS = (
    Quantity(
        key="time_us",
        unit="us",
        meaning="time of one call: the judge's median where it timed, else the sum of the kernels",
        source="the judge's timing; gpu__time_duration.sum",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="floor_ratio",
        unit="x",
        meaning="time over the measured ceiling's: 1.0 is as fast as a library copy or matmul",
        source="roofline",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="bound_ratio",
        unit="x",
        meaning="time over the datasheet's bound: below 1.0 is impossible",
        source="roofline",
        better="lower",
    ),
    Quantity(
        key="traffic_ratio",
        unit="x",
        meaning="DRAM bytes moved over bytes the operation needs",
        source="dram__bytes_read.sum + dram__bytes_write.sum; FakeTensor count",
        better="lower",
        predictable=True,
        note="below 1.0 when results are still in the L2 at the kernel's end",
    ),
    Quantity(
        key="l2_read_ratio",
        unit="x",
        meaning="bytes that SMs read from the L2 over bytes the operation must read: re-reading "
        "that caches hide from DRAM",
        source="l1tex__m_xbar2l1tex_read_bytes.sum; FakeTensor count",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="launches",
        unit="launches",
        meaning="kernel launches in one call",
        source="torch.profiler, else Nsight Compute",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="gap_pct",
        unit=_PCT,
        meaning="share of the call's span on the device in which no kernel ran",
        source="torch.profiler timeline (CUPTI activity records)",
        better="lower",
        predictable=True,
    ),
)

KERNEL_ROWS = (
    Quantity(
        key="kernel_us",
        unit="us",
        meaning="duration of the kernel alone, caches flushed before it",
        source=GUIDE,
        counters=("gpu__time_duration.sum",),
        of=_counter("gpu__time_duration.sum", 1e-3),
        pool="sum",
        better="lower",
    ),
    Quantity(
        key="dram_mb",
        unit="MB",
        meaning="bytes that crossed the DRAM interface, read plus written (1e6 bytes)",
        source=GUIDE,
        counters=("dram__bytes_read.sum", "dram__bytes_write.sum"),
        of=_sum("dram__bytes_read.sum", "dram__bytes_write.sum", scale=1e-6),
        pool="sum",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="dram_read_mb",
        unit="MB",
        meaning="bytes read from DRAM",
        source=GUIDE,
        counters=("dram__bytes_read.sum",),
        of=_counter("dram__bytes_read.sum", 1e-6),
        pool="sum",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="dram_write_mb",
        unit="MB",
        meaning="bytes written to DRAM; what stays in the L2 at the kernel's end is not in it",
        source=GUIDE,
        counters=("dram__bytes_write.sum",),
        of=_counter("dram__bytes_write.sum", 1e-6),
        pool="sum",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="l2_read_mb",
        unit="MB",
        meaning="bytes that SMs read from the L2, TMA's and remote shared memory's included",
        source=GUIDE,
        counters=("l1tex__m_xbar2l1tex_read_bytes.sum",),
        of=_counter("l1tex__m_xbar2l1tex_read_bytes.sum", 1e-6),
        pool="sum",
        better="lower",
    ),
    Quantity(
        key="dram_gbps",
        unit="GB/s",
        meaning="DRAM bandwidth achieved",
        source=f"{GUIDE}; peak = bytes per clock x DRAM clock of the same launch",
        counters=(
            "dram__bytes_read.sum",
            "dram__bytes_write.sum",
            "dram__bytes.sum.peak_sustained",
        ),
        of=dram_gbps,
        ceiling=dram_peak_gbps,
        better="higher",
        predictable=True,
    ),
    Quantity(
        key="dram_pct",
        unit=_PCT,
        meaning="DRAM busy, of its peak",
        source=GUIDE,
        counters=(f"gpu__dram_throughput{_ELAPSED}",),
        of=_counter(f"gpu__dram_throughput{_ELAPSED}"),
        ceiling=_constant(100),
        better="higher",
        predictable=True,
    ),
    Quantity(
        key="l2_pct",
        unit=_PCT,
        meaning="L2 busy: its busiest sub-unit, of peak",
        source=GUIDE,
        counters=(f"lts__throughput{_ELAPSED}",),
        of=_counter(f"lts__throughput{_ELAPSED}"),
        ceiling=_constant(100),
    ),
    Quantity(
        key="l1_pct",
        unit=_PCT,
        meaning="L1 and shared memory busy: the busiest sub-unit, of peak",
        source=GUIDE,
        counters=("l1tex__throughput.avg.pct_of_peak_sustained_active",),
        of=_counter("l1tex__throughput.avg.pct_of_peak_sustained_active"),
        ceiling=_constant(100),
    ),
    Quantity(
        key="memory_pct",
        unit=_PCT,
        meaning="memory system busy: DRAM, L1, links and part of the L2, whichever is busiest",
        note="BUSY's L2 counts all of its units and may read higher",
        source=GUIDE,
        counters=(f"gpu__compute_memory_throughput{_ELAPSED}",),
        of=_counter(f"gpu__compute_memory_throughput{_ELAPSED}"),
        ceiling=_constant(100),
        predictable=True,
    ),
    Quantity(
        key="sm_pct",
        unit=_PCT,
        meaning="SMs busy: the busiest of issue slots and arithmetic pipes",
        source=GUIDE,
        counters=(f"sm__throughput{_ELAPSED}",),
        of=_counter(f"sm__throughput{_ELAPSED}"),
        ceiling=_constant(100),
        predictable=True,
    ),
    Quantity(
        key="l1_hit_pct",
        unit=_PCT,
        meaning="L1 sector hit rate",
        source=GUIDE,
        counters=("l1tex__t_sector_hit_rate.pct",),
        of=_counter("l1tex__t_sector_hit_rate.pct"),
        ceiling=_constant(100),
        predictable=True,
    ),
    Quantity(
        key="l2_hit_pct",
        unit=_PCT,
        meaning="L2 sector hit rate",
        source=GUIDE,
        counters=("lts__t_sector_hit_rate.pct",),
        of=_counter("lts__t_sector_hit_rate.pct"),
        ceiling=_constant(100),
        predictable=True,
    ),
    Quantity(
        key="occupancy_pct",
        unit=_PCT,
        meaning="warps resident on an active SM, of what the SM can hold",
        source=f"{GUIDE}; {CUDA_GUIDE}, occupancy",
        counters=("sm__warps_active.avg.pct_of_peak_sustained_active",),
        of=_counter("sm__warps_active.avg.pct_of_peak_sustained_active"),
        ceiling=_counter("sm__maximum_warps_per_active_cycle_pct"),
        better="higher",
        predictable=True,
    ),
    Quantity(
        key="occupancy_limit_pct",
        unit=_PCT,
        meaning="warps that registers, shared memory and block size let an SM hold",
        source=f"{GUIDE}; {CUDA_GUIDE}, occupancy",
        counters=("sm__maximum_warps_per_active_cycle_pct",),
        of=_counter("sm__maximum_warps_per_active_cycle_pct"),
        ceiling=_constant(100),
        better="higher",
        predictable=True,
    ),
    Quantity(
        key="registers",
        unit="registers/thread",
        meaning="registers allocated per thread",
        source=GUIDE,
        counters=("launch__registers_per_thread",),
        of=_counter("launch__registers_per_thread"),
        ceiling=_constant(255),
        predictable=True,
    ),
    Quantity(
        key="shared_kb",
        unit="KB/block",
        meaning="shared memory per block, static plus dynamic plus the driver's (1e3 bytes)",
        source=GUIDE,
        counters=("launch__shared_mem_per_block",),
        of=_counter("launch__shared_mem_per_block", 1e-3),
        ceiling=_counter("device__attribute_max_shared_memory_per_block_optin", 1e-3),
        predictable=True,
    ),
    Quantity(
        key="waves",
        unit="waves",
        meaning="blocks of the grid over blocks that fit the device at once",
        source=GUIDE,
        counters=("launch__waves_per_multiprocessor",),
        of=_counter("launch__waves_per_multiprocessor"),
        predictable=True,
    ),
    Quantity(
        key="sm_balance_pct",
        unit=_PCT,
        meaning="mean over longest time an SM was active: 100 means that none waited for another",
        source=GUIDE,
        counters=("sm__cycles_active.avg", "sm__cycles_active.max"),
        of=_sm_balance,
        ceiling=_constant(100),
        better="higher",
        predictable=True,
    ),
    Quantity(
        key="issue_pct",
        unit=_PCT,
        meaning="cycles in which a scheduler issued an instruction",
        source=GUIDE,
        counters=("smsp__issue_active.avg.per_cycle_active",),
        of=_counter("smsp__issue_active.avg.per_cycle_active", 100),
        ceiling=_constant(100),
        predictable=True,
    ),
    Quantity(
        key="eligible_warps",
        unit="warps",
        meaning="warps ready to issue, per scheduler and cycle; below 1 the scheduler idles",
        source=GUIDE,
        counters=("smsp__warps_eligible.avg.per_cycle_active",),
        of=_counter("smsp__warps_eligible.avg.per_cycle_active"),
        predictable=True,
    ),
    Quantity(
        key="load_bytes_per_sector",
        unit="B of 32",
        meaning="bytes used of each 32-byte sector that global loads (cp.async too) ask "
        "for, before L1",
        source=GUIDE,
        counters=(LOAD_BYTES,),
        of=load_bytes_per_sector,
        ceiling=_constant(32),
        better="higher",
        predictable=True,
    ),
    Quantity(
        key="store_bytes_per_sector",
        unit="B of 32",
        meaning="bytes used of each 32-byte sector that global stores touch",
        source=GUIDE,
        counters=(STORE_BYTES,),
        of=store_bytes_per_sector,
        ceiling=_constant(32),
        better="higher",
        predictable=True,
    ),
    Quantity(
        key="excess_sectors_pct",
        unit=_PCT,
        meaning="global sectors asked for beyond what the bytes need when coalesced, before L1",
        source=GUIDE,
        counters=(
            "derived__memory_l2_theoretical_sectors_global_excessive",
            "memory_l2_theoretical_sectors_global",
        ),
        of=_excess(
            "derived__memory_l2_theoretical_sectors_global_excessive",
            "memory_l2_theoretical_sectors_global",
        ),
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="bank_conflict_pct",
        unit=_PCT,
        meaning="shared-memory wavefronts beyond the ideal, exact per access (not the hardware's "
        "conflict counter, which also counts arbitration)",
        source=GUIDE,
        counters=("memory_l1_wavefronts_shared", "memory_l1_wavefronts_shared_ideal"),
        of=_bank_excess,
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="bank_conflict_nway",
        unit="ways",
        meaning="worst bank conflict of any one instruction that needs more passes than its bytes; "
        "1 is none",
        source=f"{GUIDE}; the largest instance, not the metric's value, which is a sum",
        counters=("derived__memory_l1_conflicts_shared_nway",),
        of=_nway,
        pool="max",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="spill_instructions",
        unit="instructions",
        meaning="executed warp instructions that save or reload spilled registers",
        source=GUIDE,
        counters=("sass__inst_executed_register_spilling",),
        of=_counter("sass__inst_executed_register_spilling"),
        pool="sum",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="local_instructions",
        unit="instructions",
        meaning="executed loads and stores of local memory: spills, or arrays indexed at run time",
        source=GUIDE,
        counters=(
            "smsp__sass_inst_executed_op_local_ld.sum",
            "smsp__sass_inst_executed_op_local_st.sum",
        ),
        of=_sum(
            "smsp__sass_inst_executed_op_local_ld.sum", "smsp__sass_inst_executed_op_local_st.sum"
        ),
        pool="sum",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="lanes_pct",
        unit=_PCT,
        meaning="lanes switched on per executed instruction; lost to divergence and predicates",
        source=GUIDE,
        counters=("inst_executed", "thread_inst_executed_true"),
        of=_lanes,
        ceiling=_constant(100),
        better="higher",
        predictable=True,
    ),
    Quantity(
        key="instructions_m",
        unit="million",
        meaning="executed warp instructions",
        source=GUIDE,
        counters=("smsp__inst_executed.sum",),
        of=_counter("smsp__inst_executed.sum", 1e-6),
        pool="sum",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="fp32_tflops",
        unit="TFLOP/s",
        meaning="executed FP32 operations per second, a fused multiply-add counting two",
        source=f"{GUIDE}, roofline charts",
        counters=(
            "smsp__sass_thread_inst_executed_op_fadd_pred_on.sum.per_cycle_elapsed",
            "smsp__sass_thread_inst_executed_op_fmul_pred_on.sum.per_cycle_elapsed",
            _FUSED,
            "smsp__cycles_elapsed.avg.per_second",
        ),
        of=fp32_tflops,
        ceiling=fp32_peak_tflops,
    ),
    Quantity(
        key="sm_clock_ghz",
        unit="GHz",
        meaning="the SMs' clock during the profile; far below the boost clock, power or heat hold "
        "it back",
        source=f"{GUIDE}; device attribute clock_rate",
        counters=("smsp__cycles_elapsed.avg.per_second",),
        of=_counter("smsp__cycles_elapsed.avg.per_second", 1e-9),
        ceiling=_boost_ghz,
    ),
    Quantity(
        key="fma_pct",
        unit=_PCT,
        meaning="FP32 pipe busy",
        source=GUIDE,
        counters=(f"sm__pipe_fma_cycles_active{_ELAPSED}",),
        of=_counter(f"sm__pipe_fma_cycles_active{_ELAPSED}"),
        ceiling=_constant(100),
    ),
    Quantity(
        key="alu_pct",
        unit=_PCT,
        meaning="integer and logic pipe busy",
        source=GUIDE,
        counters=(f"sm__pipe_alu_cycles_active{_ELAPSED}",),
        of=_counter(f"sm__pipe_alu_cycles_active{_ELAPSED}"),
        ceiling=_constant(100),
    ),
    Quantity(
        key="xu_pct",
        unit=_PCT,
        meaning="special-function and conversion pipe busy (exp, rsqrt, sin, float to double)",
        source=GUIDE,
        counters=(f"sm__inst_executed_pipe_xu{_ELAPSED}",),
        of=_counter(f"sm__inst_executed_pipe_xu{_ELAPSED}"),
        ceiling=_constant(100),
        predictable=True,
    ),
    Quantity(
        key="fp64_pct",
        unit=_PCT,
        meaning="FP64 pipe busy",
        source=GUIDE,
        counters=(f"sm__pipe_fp64_cycles_active{_ELAPSED}",),
        of=_counter(f"sm__pipe_fp64_cycles_active{_ELAPSED}"),
        ceiling=_constant(100),
        predictable=True,
    ),
    Quantity(
        key="tensor_pct",
        unit=_PCT,
        meaning="tensor pipe busy; shown only where matrix instructions were executed",
        source=f"{GUIDE}; confirmed by sass__inst_executed_per_opcode",
        counters=(f"sm__pipe_tensor_cycles_active{_ELAPSED}",),
        of=lambda report: (
            report.counters.get(f"sm__pipe_tensor_cycles_active{_ELAPSED}")
            if tensor_instructions(report)
            else None
        ),
        ceiling=_constant(100),
        better="higher",
        predictable=True,
    ),
    Quantity(
        key="tensor_instructions",
        unit="instructions",
        meaning="executed matrix instructions, counted by opcode",
        source=f"{GUIDE}, sass__inst_executed_per_opcode",
        of=tensor_instructions,
        pool="sum",
        predictable=True,
    ),
)

STALL_ROWS = tuple(
    Quantity(
        key=f"stall_{reason}_pct",
        unit=_PCT,
        meaning=f"share of a warp's time in which it waited for {waits_for}",
        source=f"{GUIDE}, warp stall reasons",
        counters=(stall_counter(reason),),
        of=_stall(reason),
        predictable=reason not in {"selected", "not_selected", "misc"},
        better="neither" if reason in {"selected", "not_selected"} else "lower",
    )
    for reason, waits_for in STALLS.items()
)

CPU_ROWS = (
    Quantity(
        key="cpu_gbps",
        unit="GB/s",
        meaning="bytes the operation needs over the call's time, against the measured copy",
        source="FakeTensor count; the judge's timing",
        better="higher",
        predictable=True,
    ),
    Quantity(
        key="cpu_gflops",
        unit="GFLOP/s",
        meaning="operations the reference asks for over the call's time, against a library matmul",
        source="FlopCounterMode; the judge's timing",
        better="higher",
        predictable=True,
    ),
    Quantity(
        key="threads_used",
        unit="threads",
        meaning="threads that worked: with a fifth or more of the busiest one's CPU time",
        source="clock_gettime of each thread; CPU time over wall time where threads come and go",
        better="higher",
        predictable=True,
    ),
    Quantity(
        key="page_faults",
        unit="faults",
        meaning="page faults of one call: memory that is new to the process when it is touched",
        source="getrusage(2): ru_minflt and ru_majflt",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="system_pct",
        unit=_PCT,
        meaning="share of the CPU time spent in the kernel",
        source="getrusage(2): ru_stime",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="vectorised_loops",
        unit="loops",
        meaning="loops of the candidate that the compiler vectorised",
        source="g++ -fopt-info-vec",
        better="higher",
        predictable=True,
    ),
    Quantity(
        key="scalar_loops",
        unit="loops",
        meaning="loops of the candidate that it did not",
        source="g++ -fopt-info-vec-missed",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="ipc",
        unit="instructions/cycle",
        meaning="instructions retired per CPU cycle",
        source="perf_event_open, user space",
        better="higher",
        predictable=True,
    ),
    Quantity(
        key="cache_misses_m",
        unit="million",
        meaning="last-level cache misses of one call",
        source="perf_event_open, user space",
        better="lower",
        predictable=True,
    ),
    Quantity(
        key="spill_bytes",
        unit="B/thread",
        meaning="bytes ptxas spills per thread, stores plus loads, in the worst kernel",
        source="nvcc -Xptxas -v",
        better="lower",
        predictable=True,
    ),
)

TABLE: tuple[Quantity, ...] = CALL_ROWS + KERNEL_ROWS + STALL_ROWS + CPU_ROWS
BY_KEY = {quantity.key: quantity for quantity in TABLE}

# Read besides the table's own: limiters, launch facts and device attributes that the text cites.
ALSO_READ = (
    "launch__grid_size",
    "launch__block_size",
    "launch__shared_mem_per_block_static",
    "launch__shared_mem_per_block_dynamic",
    "launch__shared_mem_per_block_allocated",
    "launch__sm_count",
    "launch__occupancy_limit_registers",
    "launch__occupancy_limit_shared_mem",
    "launch__occupancy_limit_warps",
    "launch__occupancy_limit_blocks",
    "launch__occupancy_limit_barriers",
    "sm__maximum_warps_per_active_cycle_pct",
    "dram__bytes.sum.peak_sustained",
    "dram__cycles_elapsed.avg.per_second",
    _FUSED_PEAK,
    "smsp__thread_inst_executed_pred_on_per_inst_executed.ratio",
    "l1tex__data_pipe_lsu_wavefronts.avg.pct_of_peak_sustained_elapsed",
    "lts__d_atomic_input_cycles_active.avg.pct_of_peak_sustained_elapsed",
    "smsp__sass_inst_executed_op_global_ld.sum",
    "smsp__sass_inst_executed_op_global_st.sum",
    "smsp__sass_inst_executed_op_shared_ld.sum",
    "smsp__sass_inst_executed_op_shared_st.sum",
    "smsp__pcsamp_sample_count",
    "device__attribute_multiprocessor_count",
    "device__attribute_compute_capability_major",
    "device__attribute_compute_capability_minor",
    "device__attribute_l2_cache_size",
    "device__attribute_clock_rate",
    "device__attribute_memory_clock_rate",
    "device__attribute_global_memory_bus_width",
    "device__attribute_max_shared_memory_per_block_optin",
    "device__attribute_max_shared_memory_per_multiprocessor",
    "device__attribute_max_warps_per_multiprocessor",
)


def needed_counters() -> tuple[str, ...]:
    """Return every Nsight Compute name that the table, the findings or the page read, once."""
    names = [name for row in TABLE for name in row.counters]
    names += ALSO_READ
    names += [sampled_counter(reason) for reason in STALLS]
    return tuple(dict.fromkeys(names))


def glossary() -> str:
    """Return the table as Markdown, one row per number, for `README.md`."""
    head = "| key | unit | what it is | better | counters | source |\n|---|---|---|---|---|---|\n"
    return head + "\n".join(_row(quantity) for quantity in TABLE) + "\n"


def _row(quantity: Quantity) -> str:
    names = ", ".join(f"`{name}`" for name in quantity.counters) or "none"
    meaning = f"{quantity.meaning}. {quantity.note}".rstrip(". ")
    better = "neither" if quantity.better == "neither" else quantity.better
    cells = (f"`{quantity.key}`", quantity.unit, meaning, better, names, quantity.source)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
