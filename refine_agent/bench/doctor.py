"""What of compiler, GPU, counters, key and fence works here, and what to do about the rest.

It owns looking without measuring; nothing here starts a run.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from refine_agent.bench import machine, sanitizer
from refine_agent.loop import BenchFault
from refine_agent.profiling import ncu
from refine_agent.worker import fence

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = (
    "ANTHROPIC_API_KEY",
    "OPENAI_API_KEY",
    "GEMINI_API_KEY",
    "DEEPSEEK_API_KEY",
    "OPENROUTER_API_KEY",
)
_TORCH = (
    "import torch; cuda = torch.version.cuda; "
    "print(torch.__version__, f'for CUDA {cuda}' if cuda else 'without CUDA')"
)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at; ``ok`` is ``None`` where it is absent and not needed."""

    name: str
    ok: bool | None
    found: str
    advice: str | None = None


def doctor() -> Iterator[Check]:
    """Look at everything a run may need, and tell of each as soon as it is known."""
    for look in (
        _python,
        _torch,
        _compiler,
        _ninja,
        _gpu,
        _nvcc,
        _ncu,
        _counters,
        _sanitizer,
        _fence,
        _key,
        _cache,
    ):
        yield look()


def _python() -> Check:
    return Check(name="python", ok=True, found=sys.version.split()[0])


def _torch() -> Check:
    said = machine.output_of([sys.executable, "-c", _TORCH], seconds=60)
    if said is None:
        return Check(name="torch", ok=False, found="not importable", advice="pip install torch")
    return Check(name="torch", ok=True, found=said)


def _compiler() -> Check:
    said = machine.compiler_version(cuda=False)
    if said is None:
        return Check(
            name="C++ compiler",
            ok=False,
            found="g++ is not on the PATH",
            advice="install g++ (on Debian: apt-get install g++), or set CXX",
        )
    return Check(name="C++ compiler", ok=True, found=said)


def _ninja() -> Check:
    found = shutil.which(
        "ninja",
        path=os.pathsep.join((os.environ.get("PATH", ""), str(Path(sys.executable).parent))),
    )
    if found is None:
        return Check(
            name="ninja",
            ok=False,
            found="not found; torch's own builds (the sealed rebuild) need it",
            advice="pip install ninja",
        )
    return Check(name="ninja", ok=True, found="there")


def _gpu() -> Check:
    said = machine.output_of(
        ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    )
    if not said:
        return Check(
            name="GPU",
            ok=None,
            found="none seen; runs use the CPU and C++ candidates",
            advice="for CUDA, install NVIDIA's driver and a CUDA build of torch",
        )
    return Check(name="GPU", ok=True, found="; ".join(said.splitlines()))


def _nvcc() -> Check:
    said = machine.compiler_version(cuda=True)
    if said is None:
        return Check(
            name="CUDA compiler",
            ok=None,
            found="nvcc is not on the PATH",
            advice="install the CUDA toolkit that torch.version.cuda names",
        )
    return Check(name="CUDA compiler", ok=True, found=said)


def _ncu() -> Check:
    tool = ncu.available()
    if tool is None:
        return Check(
            name="Nsight Compute",
            ok=None,
            found="ncu is not on the PATH; pages stop at torch.profiler",
            advice="install Nsight Compute for hardware counters",
        )
    return Check(
        name="Nsight Compute", ok=True, found=machine.ncu_version() or tool.version or "there"
    )


def _counters() -> Check:
    try:
        params = Path("/proc/driver/nvidia/params").read_text(encoding="utf-8")
    except OSError:
        return Check(name="GPU counters", ok=None, found="no NVIDIA driver")
    if ncu.counters_restricted(params) and os.geteuid() != 0:
        return Check(
            name="GPU counters",
            ok=False,
            found="only administrators may read them (RmProfilingAdminOnly: 1)",
            advice="load the driver with NVreg_RestrictProfilingToAdminUsers=0, "
            "or pass --profile torch",
        )
    return Check(name="GPU counters", ok=True, found="open")


def _sanitizer() -> Check:
    tool = sanitizer.available()
    if tool is None:
        return Check(
            name="compute-sanitizer",
            ok=None,
            found="not on the PATH; crashes on a GPU are told without their line",
            advice="it comes with the CUDA toolkit",
        )
    return Check(name="compute-sanitizer", ok=True, found=tool)


def _fence() -> Check:
    abi, root = fence.landlock_abi(), os.geteuid() == 0
    user = "candidates get user ids of their own" if root else "candidates run as this user"
    if abi == 0:
        return Check(
            name="fence",
            ok=None,
            found=f"no Landlock in this kernel; {user}",
            advice="use Linux 6.12 or later with landlock among its LSMs, "
            "or a container of your own",
        )
    weak = "" if abi >= fence.FULL_LANDLOCK else " (signals are confined from ABI 6 on)"
    return Check(name="fence", ok=True, found=f"Landlock ABI {abi}{weak}; {user}")


def _key() -> Check:
    found = [name for name in KEYS if os.environ.get(name)]
    if not found:
        return Check(
            name="model",
            ok=None,
            found="no API key in the environment",
            advice=f"set one of {', '.join(KEYS)} and pass --model, or --api-base for a server of "
            "your own; the examples with a recording run without",
        )
    return Check(name="model", ok=True, found=", ".join(found))


def _cache() -> Check:
    try:
        folder = machine.cache_folder()
    except BenchFault as why:
        return Check(name="cache", ok=False, found=str(why))
    free = shutil.disk_usage(folder).free / 1e9
    if free < 1:
        return Check(
            name="cache",
            ok=False,
            found=f"{folder}: {free:.1f} GB free",
            advice="free some space, or set REFINE_AGENT_CACHE to another disk",
        )
    return Check(name="cache", ok=True, found=f"{folder}, {free:.0f} GB free on its disk")
