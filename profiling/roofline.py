"""Floors: how fast an operation could be, by datasheet (bound) and by measurement (ceiling).

The two are never mixed: faster than the bound is impossible, faster than the measured ceiling is
only suspicious. Counting bytes and operations is the judge's work, timing is too.
"""

from typing import Literal

import msgspec

from refine_agent.profiling.evidence import KernelReport
from refine_agent.profiling.metrics import dram_peak_gbps, fp32_peak_tflops
from refine_agent.profiling.records import Ceilings, Flops, Precision, Work

# An fp32 product can be split into three low-precision tensor-core products that keep fp32's
# accuracy or nearly so (3xTF32: CUTLASS example 28; bf16x3: cuBLAS emulation), so for the bound,
# which must never accuse an honest kernel, fp32 matrices may run at a third of the tensor peak.
SPLIT_PRODUCTS = 3


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """The least time of an operation, what sets it, and that sentence in words."""

    us: float
    by: Literal["bytes", "operations"]
    text: str
    caveats: tuple[str, ...] = ()


class Floors(msgspec.Struct, frozen=True, kw_only=True):
    """Both floors; None where a rate is not known."""

    bound: Floor | None
    ceiling: Floor | None


def floors(work: Work, ceilings: Ceilings) -> Floors:
    """Return the datasheet's bound and the measured ceiling for `work` on that device."""
    return Floors(bound=bound(work, ceilings), ceiling=measured_ceiling(work, ceilings))


def bound(work: Work, ceilings: Ceilings) -> Floor | None:
    """Return the time below which no kernel can be right: faster is impossible.

    Operations of different pipes may overlap, so the slowest pipe counts and not their sum.
    """
    candidates = [_bytes_bound(work, ceilings)]
    candidates += [_operations_bound(flops, ceilings) for flops in work.flops]
    return _slowest(candidates, _caveats(work, ceilings))


def measured_ceiling(work: Work, ceilings: Ceilings) -> Floor | None:
    """Return the time at rates that a library reached on this device: faster wants evidence.

    Where a library's rate was not measured the datasheet's stands in, so that the ceiling is never
    below the bound. It is None where neither is known for a part of the work, and where nothing at
    all was measured.
    """
    measured = [bytes_ceiling(work, ceilings)]
    measured += [_operations_ceiling(flops, ceilings) for flops in work.flops]
    stated = [_bytes_bound(work, ceilings)]
    stated += [_operations_bound(flops, ceilings) for flops in work.flops]
    least = [ours or theirs for ours, theirs in zip(measured, stated, strict=True)]
    if not any(measured) or not all(least):
        return None
    return _slowest(least, _caveats(work, ceilings))


def _slowest(candidates: list[Floor | None], caveats: tuple[str, ...]) -> Floor | None:
    known = [floor for floor in candidates if floor is not None]
    if not known:
        return None
    return msgspec.structs.replace(max(known, key=lambda floor: floor.us), caveats=caveats)


def _caveats(work: Work, ceilings: Ceilings) -> tuple[str, ...]:
    if ceilings.l2_bytes and work.bytes_needed < ceilings.l2_bytes:
        size, cache = _mb(work.bytes_needed), _mb(ceilings.l2_bytes)
        fits = f"{size} fit the {cache} L2: holds only for cold caches"
        return (*work.caveats, fits)
    return work.caveats


def _bytes_bound(work: Work, ceilings: Ceilings) -> Floor | None:
    rate = ceilings.dram_peak_gbps
    if rate is None:
        return None
    text = f"{_mb(work.bytes_needed)} at {_bandwidth(rate)} peak"
    return Floor(us=work.bytes_needed / rate / 1e3, by="bytes", text=text)


def bytes_ceiling(work: Work, ceilings: Ceilings) -> Floor | None:
    """Return the time of the bytes: balanced ones at the copy's rate, the rest at one-way rates."""
    copy = ceilings.copy_gbps
    if copy is None:
        return None
    read, written = work.bytes_read, work.bytes_written
    if read is None or written is None:
        return _at_copy_rate(work.bytes_needed, copy)
    rest = abs(read - written)
    rate = ceilings.read_gbps if read > written else ceilings.write_gbps
    if rate is None:
        return _at_copy_rate(work.bytes_needed, copy)
    micros = (2 * min(read, written) / copy + rest / rate) / 1e3
    mixed = work.bytes_needed / micros / 1e3 if micros else 0.0
    text = f"{_mb(work.bytes_needed)} at {_bandwidth(mixed)} measured"
    return Floor(us=micros, by="bytes", text=text)


def _at_copy_rate(needed: int, copy: float) -> Floor:
    text = f"{_mb(needed)} at {_bandwidth(copy)} measured copy"
    return Floor(us=needed / copy / 1e3, by="bytes", text=text)


def _operations_bound(flops: Flops, ceilings: Ceilings) -> Floor | None:
    rate = peak_tflops(flops.precision, ceilings, matrix=flops.matrix)
    if rate is None:
        return None
    peak = _PEAK if rate == _plain_peak(flops.precision, ceilings) else _SPLIT_PEAK
    text = f"{_tera(flops.count)} {flops.precision} operations at {_speed(rate)} {peak}"
    return Floor(us=flops.count / rate / 1e6, by="operations", text=text)


def _operations_ceiling(flops: Flops, ceilings: Ceilings) -> Floor | None:
    rate = matmul_tflops(flops.precision, ceilings)
    if rate is None:
        return None
    text = f"{_tera(flops.count)} {flops.precision} operations at {_speed(rate)} measured matmul"
    return Floor(us=flops.count / rate / 1e6, by="operations", text=text)


def matmul_tflops(precision: Precision, ceilings: Ceilings) -> float | None:
    """Return the rate at which a library's matrix product of that precision was seen to run."""
    suffix = "matmul_tops" if precision == "int8" else "matmul_tflops"
    rate: float | None = getattr(ceilings, f"{precision}_{suffix}")
    return rate


# What `mma` takes; fp64 and plain fp32 products have no faster pipe everywhere.
TENSOR_PRECISIONS = {"tf32", "fp16", "bf16", "fp8", "int8"}
# Four products of bytes are one instruction without tensor cores as well (dp4a, from sm_61 on).
_PACKED_BYTES = 4


def needs_tensor_cores(work: Work, ceilings: Ceilings) -> bool | None:
    """Tell whether matrix products would take longer than the bytes without tensor cores.

    Where operations set the floor they do so by far. None where a rate is unknown.
    """
    moved = bytes_ceiling(work, ceilings) or _bytes_bound(work, ceilings)
    rate = ceilings.fp32_tflops or ceilings.fp32_matmul_tflops
    if moved is None or rate is None:
        return None
    micros = [
        flops.count / (rate * (_PACKED_BYTES if flops.precision == "int8" else 1)) / 1e6
        for flops in work.flops
        if flops.matrix and flops.precision in TENSOR_PRECISIONS
    ]
    return max(micros, default=0.0) > moved.us


def peak_tflops(precision: Precision, ceilings: Ceilings, *, matrix: bool) -> float | None:
    """Return the highest rate at which operations of that precision can run on the device."""
    plain = _plain_peak(precision, ceilings)
    if precision != "fp32" or not matrix or plain is None:
        return plain
    tensor = [rate for rate in (ceilings.tf32_tflops, ceilings.bf16_tflops) if rate]
    return max([plain, *(rate / SPLIT_PRODUCTS for rate in tensor)])


_PEAK = "peak at the boost clock"
_SPLIT_PEAK = f"{_PEAK}, a third of the tensor cores' as in split products"


def _plain_peak(precision: Precision, ceilings: Ceilings) -> float | None:
    suffix = "tops" if precision == "int8" else "tflops"
    rate: float | None = getattr(ceilings, f"{precision}_{suffix}")
    return rate


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Dense operations per SM and clock, a multiply-add counting two; None: no such instruction."""

    fp32: int
    fp64: int
    tf32: int
    bf16: int
    fp8: int | None
    int8: int


# CUDA C++ Programming Guide, "Arithmetic Instructions" for the plain pipes; NVIDIA's architecture
# white papers (A100, GA102, AD102, H100, Blackwell) for dense tensor rates without sparsity. sm_90
# agrees with the peaks in Nsight Compute's own reports (33792 fp32, 540672 bf16 per clock of 132
# SMs). Where boards of one architecture differ (GeForce halves accumulation in fp32) the fastest
# counts: a bound may be loose but must not be wrong.
RATES = {
    "sm_80": Rates(fp32=128, fp64=128, tf32=1024, bf16=2048, fp8=None, int8=4096),
    "sm_86": Rates(fp32=256, fp64=4, tf32=512, bf16=1024, fp8=None, int8=2048),
    "sm_89": Rates(fp32=256, fp64=4, tf32=512, bf16=1024, fp8=2048, int8=2048),
    "sm_90": Rates(fp32=256, fp64=256, tf32=2048, bf16=4096, fp8=8192, int8=8192),
    "sm_100": Rates(fp32=256, fp64=256, tf32=4096, bf16=8192, fp8=16384, int8=16384),
    "sm_120": Rates(fp32=256, fp64=4, tf32=512, bf16=1024, fp8=2048, int8=2048),
}


def from_properties(  # noqa: PLR0913  (they are the device's own properties, each named)
    device: str,
    *,
    arch: str,
    sms: int,
    clock_mhz: float,
    l2_bytes: int,
    memory_clock_mhz: float | None = None,
    bus_bits: int | None = None,
) -> Ceilings:
    """Return datasheet peaks from what the driver says about a device; nothing is measured.

    `arch` is "sm_90" and the like; an unknown one leaves the arithmetic peaks None. Measured
    ceilings are added by whoever measures them (`msgspec.structs.replace`).
    """
    double_rate = 2
    dram = (
        double_rate * memory_clock_mhz * 1e6 * bus_bits / 8 / 1e9
        if memory_clock_mhz and bus_bits
        else None
    )
    known = Ceilings(
        device=device,
        arch=arch,
        sms=sms,
        l2_bytes=l2_bytes,
        dram_peak_gbps=dram,
        sources=(f"driver: {sms} SMs at {clock_mhz:.0f} MHz",),
    )
    rates = RATES.get(arch)
    if rates is None:
        return known
    tera = sms * clock_mhz / 1e6
    return msgspec.structs.replace(
        known,
        fp64_tflops=rates.fp64 * tera,
        fp32_tflops=rates.fp32 * tera,
        tf32_tflops=rates.tf32 * tera,
        fp16_tflops=rates.bf16 * tera,
        bf16_tflops=rates.bf16 * tera,
        fp8_tflops=None if rates.fp8 is None else rates.fp8 * tera,
        int8_tops=rates.int8 * tera,
    )


def from_report(report: KernelReport) -> Ceilings:
    """Return the peaks that a report states about its own device."""
    counters = report.counters
    sms = int(counters.get("device__attribute_multiprocessor_count", 0))
    clock = counters.get("device__attribute_clock_rate", 0.0) / 1e3
    known = from_properties(
        report.device,
        arch=report.arch,
        sms=sms,
        clock_mhz=clock,
        l2_bytes=int(counters.get("device__attribute_l2_cache_size", 0)),
    )
    return msgspec.structs.replace(
        known,
        dram_peak_gbps=dram_peak_gbps(report),
        fp32_tflops=fp32_peak_tflops(report) or known.fp32_tflops,
        sources=("the report's own device attributes and peak counters",),
    )


GB_PER_TB = 1000


def _bandwidth(gbps: float) -> str:
    return f"{gbps / GB_PER_TB:.2f} TB/s" if gbps >= GB_PER_TB else f"{gbps:.1f} GB/s"


def _speed(tflops: float) -> str:
    return f"{tflops:.0f} TFLOP/s" if tflops >= 1 else f"{1e3 * tflops:.0f} GFLOP/s"


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count < 10**8 else f"{count / 1e6:.0f} MB"


def _tera(count: int) -> str:
    return f"{count / 1e12:.2f} T" if count >= 10**12 else f"{count / 1e9:.2f} G"
