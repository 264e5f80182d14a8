"""What ncu's flags really do, and what several collections cost, on the device at hand.

It runs variations of the page's own command around one healthy animal and writes probes.json; the
documentation and `ncu.refusal`'s patterns rest on these logs.
"""

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peer_metrics import CUDAFORGE, KERNELAGENT
from refine_agent.profiling import metrics, ncu
from tests.profiling.zoo.studio import Studio

TARGET = "copy-first"
SECONDS = 60
REPEATS = 1

# The counters alone, without the sections that exist for NVIDIA's rules and charts.
LEAN = (
    "--section",
    "SourceCounters",
    "--section",
    "LaunchStats",
    "--section",
    "Occupancy",
    "--section",
    "SpeedOfLight",
    "--section",
    "WarpStateStats",
    "--metrics",
    ",".join(
        name
        for name in metrics.needed_counters()
        if not name.startswith(("device__", "launch__", "profiler__", "derived__", "smsp__pcsamp"))
        and name not in {"inst_executed", "thread_inst_executed_true"}
        and not name.startswith(("memory_", "sass__"))
    ),
)
COLLECTIONS = {
    "page": tuple(ncu.default_collection()),
    "lean": LEAN,
    "set basic": ("--set", "basic"),
    "set detailed": ("--set", "detailed"),
    "set full": ("--set", "full"),
    "CudaForge's metrics": ("--metrics", ",".join(CUDAFORGE)),
    "KernelAgent's metrics": ("--metrics", ",".join(KERNELAGENT)),
}


def run(studio: Studio) -> None:
    """Run every probe; one that fails says so in its own entry."""
    target = studio.folder / "bin" / TARGET
    if not target.exists():
        studio.log("no probes: the target was not built")
        return
    found = {"flags": _flags(studio, target), "costs": _costs(studio, target)}
    (studio.folder / "probes.json").write_text(json.dumps(found, indent=1))


def _flags(studio: Studio, target: Path) -> dict[str, dict[str, object]]:
    report = studio.folder / "bin" / "probe.ncu-rep"
    plain = [str(target)]
    slow = [str(target), "time"]

    def page(around: Sequence[str], **changes: object) -> list[str]:
        return ncu.command(around, report=report, log=report.with_suffix(".log"), **changes)  # type: ignore[arg-type]

    without_kill = page(slow)
    at = without_kill.index("--kill")
    del without_kill[at : at + 2]
    probes = {
        "plain": page(plain),
        "killed after its only launch": page(slow, launch_count=1),
        "not killed": without_kill,
        "exec'd by env": page(["env", "ZOO=1", *plain]),
        "child of a shell": page(["sh", "-c", f"{target}; true"]),
        "no such range": page(plain, nvtx_range="elsewhere"),
        "no such kernel": page(plain, kernels=["no_such_kernel"]),
        "kernel by name": page(plain, kernels=["kernel"]),
        "no such section": page(plain, collect=("--section", "NoSuchSection")),
        "no such metric": page(plain, collect=("--metrics", "no__such_metric.sum")),
        "no such option": [*page(plain)[:1], "--no-such-option", *page(plain)[1:]],
        "program fails": page(["false"]),
        "no such program": page(["/no/such/program"]),
        "sass not imported": [*page(plain)[:1], "--import-sass", "no", *page(plain)[1:]],
        "version": ["ncu", "--version"],
    }
    found = {name: _probe(command, report) for name, command in probes.items()}
    found["two at once"] = _two_at_once(page(slow), report)
    for name, one in found.items():
        studio.log(f"probe {name}: exit {one['exit_code']}, {one['seconds']} s, {one['bytes']} B")
    return found


def _probe(command: Sequence[str], report: Path) -> dict[str, object]:
    report.unlink(missing_ok=True)
    log = report.with_suffix(".log")
    log.unlink(missing_ok=True)
    start = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        code, printed = done.returncode, done.stdout[-500:] + done.stderr[-500:]
    except subprocess.TimeoutExpired:
        code, printed = None, "timed out"
    except OSError as error:
        code, printed = None, str(error)
    return {
        "exit_code": code,
        "seconds": round(time.monotonic() - start, 2),
        "bytes": report.stat().st_size if report.exists() else None,
        "printed": printed,
        "log": log.read_text(errors="replace")[-2500:] if log.exists() else None,
    }


def _two_at_once(command: list[str], report: Path) -> dict[str, object]:
    """Start one profiler and, while it holds the counters, another."""
    other = report.with_name("other.ncu-rep")
    first = [
        part.replace(str(report.with_suffix("")), str(other.with_suffix(""))) for part in command
    ]
    with subprocess.Popen(first, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        time.sleep(0.7)
        found = _probe(command, report)
        running.wait(timeout=SECONDS)
    return found


def _costs(studio: Studio, target: Path) -> dict[str, dict[str, object]]:
    found = {}
    for name, collect in COLLECTIONS.items():
        report = studio.folder / "reports" / f"cost-{name.replace(' ', '-')}.ncu-rep"
        command = ncu.command(
            [str(target)], report=report, log=report.with_suffix(".log"), collect=collect
        )
        tries = [_probe(command, report) for _ in range(REPEATS)]
        log = str(tries[-1]["log"] or "")
        found[name] = {
            "seconds": [one["seconds"] for one in tries],
            "passes": ncu.passes(log),
            "bytes": tries[-1]["bytes"],
            "log": log[-1500:],
        }
        report.with_suffix(".log").unlink(missing_ok=True)
        studio.log(f"cost {name}: {found[name]['seconds']} s, {found[name]['passes']} passes")
    return found
