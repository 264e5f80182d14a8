"""What ncu's flags really do, and what several collections cost, on the device at hand.

It runs variations of the page's own command around one healthy animal and writes probes.json; the
documentation and `ncu.refusal`'s patterns rest on these logs.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.peer_metrics import CUDAFORGE, KERNELAGENT
from refine_agent.profiling import ncu
from tests.profiling.zoo.studio import Studio, bounded

TARGET = "copy-first"
SEVERAL = "launch_gaps-first"
THREE = "unfused-first"
# One collection takes about four seconds, and nothing may hang.
SECONDS = 20
MINUTES = 1.4
# All collections before any of them again, so that all drift alike.
ROUNDS = 2


def _without(prefix: str) -> tuple[str, ...]:
    """Return the page's options without the counters that begin so."""
    *sections, names = ncu.default_collection()
    kept = [name for name in names.split(",") if not name.startswith(prefix)]
    return (*sections, ",".join(kept))


COLLECTIONS = {
    "page": tuple(ncu.default_collection()),
    "page by larger sets": tuple(ncu.larger_collection()),
    "page without rules": (*ncu.default_collection(), "--apply-rules", "no"),
    "page without source text": (*ncu.default_collection(), "--import-source", "no"),
    "page without opcodes": _without("sass__inst_executed_per_opcode"),
    "page without instruction counts": _without("smsp__sass_"),
    "time alone": ("--metrics", "gpu__time_duration.sum"),
    "set basic": ("--set", "basic"),
    "set detailed": ("--set", "detailed"),
    "set full": ("--set", "full"),
    "CudaForge's metrics": ("--metrics", ",".join(CUDAFORGE)),
    "KernelAgent's metrics": ("--metrics", ",".join(KERNELAGENT)),
}


def run(studio: Studio, device: str) -> None:
    """Run the probes on that device, costs first; what was found is on file after each part."""
    target, several, three = (studio.folder / "bin" / name for name in (TARGET, SEVERAL, THREE))
    if not target.exists():
        studio.log("no probes: the target was not built")
        return
    until = min(time.monotonic() + 60 * MINUTES, studio.until)
    tool = studio.tool.version if studio.tool else None
    day = datetime.now(UTC).date().isoformat()
    found: dict[str, object] = {"device": device, "ncu": tool, "day": day}
    for name, part in (
        ("costs of three launches", lambda: _costs(studio, three, _SOME, until)),
        ("costs", lambda: _costs(studio, target, COLLECTIONS, until)),
        ("launches", lambda: _launches(studio, several)),
        ("flags", lambda: _flags(studio, target)),
    ):
        if time.monotonic() < until:
            found[name] = part()
        else:
            studio.log(f"OUT OF TIME: no {name}")
        (studio.folder / "probes.json").write_text(json.dumps(found, indent=1))


def _page(studio: Studio, around: Sequence[str], **changes: object) -> list[str]:
    report = studio.folder / "bin" / "probe.ncu-rep"
    log = report.with_suffix(".log")
    return ncu.command(around, report=report, log=log, **changes)  # type: ignore[arg-type]


def _launches(studio: Studio, several: Path) -> dict[str, object]:
    """Say what a call of many equal launches costs when one of them is profiled."""
    one = _page(studio, [str(several)], launch_count=1)
    at = one.index("--launch-count")
    per_configuration = [*one[:at], "--filter-mode", "per-launch-config", *one[at:]]
    return _all(studio, {"one launch": one, "one of each configuration": per_configuration})


def _flags(studio: Studio, target: Path) -> dict[str, object]:
    """Say how ncu ends, and in which words, where it leaves no report or an empty one."""
    plain = [str(target)]
    probes = {
        "exec'd by env": _page(studio, ["env", "ZOO=1", *plain]),
        "no such range": _page(studio, plain, nvtx_range="elsewhere"),
        "no such kernel": _page(studio, plain, kernels=["no_such_kernel"]),
        "no such section": _page(studio, plain, collect=("--section", "NoSuchSection")),
        "no such metric": _page(studio, plain, collect=("--metrics", "no__such_metric.sum")),
        "no such option": ["ncu", "--no-such-option", *_page(studio, plain)[1:]],
        "program fails": _page(studio, ["false"]),
        "no such program": _page(studio, ["/no/such/program"]),
    }
    return _all(studio, probes)


def _probe_report(studio: Studio) -> Path:
    return studio.folder / "bin" / "probe.ncu-rep"


def _all(studio: Studio, probes: dict[str, list[str]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, command in probes.items():
        one = _probe(command, _probe_report(studio))
        studio.log(
            f"probe {name}: exit {one['exit_code']}, {one['seconds']} s, {one['bytes']} B; "
            f"{_last_words(one)}"
        )
        found[name] = one
    return found


def _last_words(one: dict[str, object]) -> str:
    """Return ncu's own errors and warnings, which `ncu.refusal` must know."""
    said = f"{one['log'] or ''}\n{one['printed'] or ''}".splitlines()
    return " | ".join(line for line in said if line.startswith(("==ERROR", "==WARN")))[-400:]


def _probe(command: Sequence[str], report: Path) -> dict[str, object]:
    log = report.with_suffix(".log")
    for left in (report, log):
        left.unlink(missing_ok=True)
    done = bounded(command, seconds=SECONDS)
    return {
        "exit_code": done.exit_code,
        "seconds": round(done.seconds, 2),
        "bytes": report.stat().st_size if report.exists() else None,
        "printed": (done.printed + done.said)[-1000:],
        "log": log.read_text(errors="replace")[-2500:] if log.exists() else None,
    }


_SOME = {name: COLLECTIONS[name] for name in ("page", "page by larger sets", "time alone")}


def _costs(
    studio: Studio, target: Path, collections: Mapping[str, Sequence[str]], until: float
) -> dict[str, dict[str, object]]:
    """Return the seconds of each round, and of the last one its log, passes and report."""
    found: dict[str, dict[str, object]] = {}
    seconds: dict[str, list[object]] = {}
    for _ in range(ROUNDS):
        for name, collect in collections.items():
            if time.monotonic() > until:
                studio.log(f"OUT OF TIME: no more of {name}")
                continue
            kept = studio.folder / "probes" / f"{target.stem}-{re.sub(r'[^a-zA-Z]+', '_', name)}"
            kept.parent.mkdir(exist_ok=True)
            one = _probe(_page(studio, [str(target)], collect=collect), _probe_report(studio))
            if _probe_report(studio).exists():
                _probe_report(studio).replace(kept.with_suffix(".ncu-rep"))
            seconds.setdefault(name, []).append(one["seconds"])
            passes = ncu.passes(str(one["log"] or ""))
            found[name] = {**one, "seconds": seconds[name], "passes": passes}
            studio.log(f"cost {name}: {one['seconds']} s, {passes}, {one['bytes']} B")
    return found
