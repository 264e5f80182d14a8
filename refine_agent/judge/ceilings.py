"""What this device can do: datasheet peaks, and ceilings that a library was seen to reach.

It owns measuring copy, read and write bandwidth and library matrix products, once per device, and
never sets a clock; comparing a kernel with them is profiling's business.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from msgspec.structs import replace

from refine_agent.profiling.records import Ceilings
from refine_agent.profiling.roofline import from_properties

if TYPE_CHECKING:
    from collections.abc import Callable

# Large enough to leave every cache behind, small enough for any card.
GPU_BYTES = 1 << 30
CPU_BYTES = 128 << 20
REPEATS = 9


def measure(device: str) -> Ceilings:
    """Measure the device's ceilings; about a second on a GPU, two on a CPU."""
    return _gpu(device) if device.startswith("cuda") else _cpu()


def _best_seconds(work: Callable[[], object], *, cuda: bool) -> float:
    """The median of a few runs after one to warm up."""
    taken = []
    for _ in range(REPEATS + 1):
        if cuda:
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            work()
            end.record()
            torch.cuda.synchronize()
            taken.append(start.elapsed_time(end) / 1e3)
        else:
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
    return float(sorted(taken[1:])[REPEATS // 2])


def _gpu(device: str) -> Ceilings:
    torch.cuda.set_device(device)
    properties = torch.cuda.get_device_properties(device)
    source = torch.empty(GPU_BYTES // 4, device=device).normal_()
    target = torch.empty_like(source)
    copy = 2 * GPU_BYTES / _best_seconds(partial(target.copy_, source), cuda=True)
    read = GPU_BYTES / min(_best_seconds(each, cuda=True) for each in _reads(source))
    write = GPU_BYTES / _best_seconds(partial(target.fill_, 1.0), cuda=True)
    del source, target
    return replace(
        _datasheet(properties),
        copy_gbps=copy / 1e9,
        read_gbps=read / 1e9,
        write_gbps=write / 1e9,
        fp32_matmul_tflops=_matmul(device, torch.float32, 4096),
        tf32_matmul_tflops=_matmul(device, torch.float32, 8192, tf32=True),
        fp16_matmul_tflops=_matmul(device, torch.float16, 8192),
        bf16_matmul_tflops=_matmul(device, torch.bfloat16, 8192),
        sources=(
            *_datasheet(properties).sources,
            "measured: copy, fill and the fastest of three reads of 1 GiB, square torch.matmul",
        ),
    )


def _reads(source: torch.Tensor) -> tuple[Callable[[], object], ...]:
    """Three of the library's ways to read every byte once; none is the fastest on every device."""
    half = source.numel() // 2
    rows = source.view(-1, 8192)
    ones = torch.ones(rows.shape[1], device=source.device)
    return (
        source.sum,
        partial(torch.dot, source[:half], source[half:]),
        partial(torch.mv, rows, ones),
    )


def _matmul(device: str, dtype: torch.dtype, n: int, *, tf32: bool = False) -> float:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        a = torch.randn(n, n, device=device, dtype=dtype)
        b = torch.randn(n, n, device=device, dtype=dtype)
        return 2 * n**3 / _best_seconds(lambda: a @ b, cuda=True) / 1e12
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _datasheet(properties: Any) -> Ceilings:  # noqa: ANN401 - torch's device properties have no type
    """Peaks from what the driver says about the device."""
    memory_khz = getattr(properties, "memory_clock_rate", None)
    return from_properties(
        properties.name,
        arch=f"sm_{properties.major}{properties.minor}",
        sms=properties.multi_processor_count,
        clock_mhz=getattr(properties, "clock_rate", 0) / 1e3,
        l2_bytes=properties.L2_cache_size,
        memory_clock_mhz=memory_khz / 1e3 if memory_khz else None,
        bus_bits=getattr(properties, "memory_bus_width", None),
    )


def _cpu() -> Ceilings:
    source = torch.empty(CPU_BYTES // 4).normal_()
    target = torch.empty_like(source)
    copy = 2 * CPU_BYTES / _best_seconds(partial(target.copy_, source), cuda=False)
    read = CPU_BYTES / min(_best_seconds(each, cuda=False) for each in _reads(source))
    write = CPU_BYTES / _best_seconds(partial(target.fill_, 1.0), cuda=False)
    return Ceilings(
        device=_cpu_name(),
        threads=torch.get_num_threads(),
        copy_gbps=copy / 1e9,
        read_gbps=read / 1e9,
        write_gbps=write / 1e9,
        # Half precision goes unmeasured: without instructions for it one product may take a second.
        fp64_matmul_tflops=_product(torch.float64, 768),
        fp32_matmul_tflops=_product(torch.float32, 1024),
        sources=(
            "measured: copy, fill and the fastest of three reads of 128 MiB, torch.matmul 1024³",
            "measured: torch.matmul 768³ in float64",
        ),
    )


def _product(dtype: torch.dtype, n: int) -> float:
    a, b = torch.randn(n, n, dtype=dtype), torch.randn(n, n, dtype=dtype)
    return 2 * n**3 / _best_seconds(lambda: a @ b, cuda=False) / 1e12


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - /proc, not a path
            names = [
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else "CPU"
