"""Record the zoo on a GPU: compile every animal, time it, profile it as pages do, pack the results.

    python tests/profiling/zoo/record.py --out DIR/zoo.tar --what stale|animals|probes [--only NAME]

One command that ends after `--seconds` whatever hangs; a failing animal is logged and left out.
`stale` records the animals whose program has changed since, or that were never recorded. The tar
grows as they are recorded, so that a session cut short keeps what it had: recorded/*.json.xz (what
ships and what the tests read), reports/*.ncu-rep.xz, probes.json (what ncu's flags do and what
other metric lists cost) and the probes' reports, profile_page.json and log.txt. Where ncu-report is
not installed the recordings hold no launches; `unpack.py` reads the packed reports elsewhere.
"""

import argparse
import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import msgspec

from refine_agent.profiling import ncu, ncu_rep, roofline
from refine_agent.profiling.evidence import KernelReport
from refine_agent.profiling.records import Ceilings
from tests.profiling.zoo import probes
from tests.profiling.zoo.animals import (
    HERE,
    VARIANTS,
    Animal,
    Measured,
    Recording,
    Variant,
    animals,
    stale,
)
from tests.profiling.zoo.studio import Studio, bounded

BENCHMARK_SECONDS = 80
# Timing and profiling one program takes 3 to 6 seconds: with less left, none is begun.
LEAST_SECONDS = 8.0


def main() -> None:
    """Record what was asked for, within its seconds."""
    options = _options()
    # A session that is told to end keeps its log like one that ends by itself.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    with tempfile.TemporaryDirectory() as scratch:
        tool = ncu.available(version_output=_ncu_version())
        studio = Studio(Path(scratch) / "zoo", options.arch, tool, seconds=options.seconds)
        tar = _Tar(options.out, studio)
        studio.log(f"ncu {tool.version if tool else 'missing'}; {_device()}")
        chosen = [
            one
            for one in animals()
            if (not options.only or one.name in options.only)
            and (options.what != "stale" or stale(one))
        ]
        try:
            if options.what != "probes":
                _record_all(studio, chosen, tar)
            if tool and options.what in {"all", "probes"}:
                _probe_all(studio)
                for report in sorted((studio.folder / "probes").glob("*.ncu-rep")):
                    tar.add_report(report)
        finally:
            tar.close()


class _Tar:
    """The archive that grows: whatever was recorded before something failed is worth having."""

    def __init__(self, path: Path, studio: Studio) -> None:
        self.path = path
        self.studio = studio
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)

    def add(self, file: Path) -> None:
        """Append one file under the name it has in the studio."""
        with tarfile.open(self.path, "a") as tar:
            tar.add(file, arcname=f"zoo/{file.relative_to(self.studio.folder)}")

    def add_report(self, report: Path) -> None:
        """Append one report, packed."""
        packed = report.with_name(report.name + ".xz")
        packed.write_bytes(lzma.compress(report.read_bytes(), preset=1))
        report.unlink()
        self.add(packed)

    def close(self) -> None:
        """Append what belongs to no one animal."""
        for name in ("ceilings.json", "probes.json", "profile_page.json", "log.txt"):
            if (self.studio.folder / name).exists():
                self.add(self.studio.folder / name)
        print(f"packed {self.path} ({self.path.stat().st_size / 1e6:.1f} MB)")  # noqa: T201  (a script)


def _record_all(studio: Studio, chosen: list[Animal], tar: _Tar) -> None:
    _compile(studio, chosen)
    ceilings = _ceilings(studio)
    (studio.folder / "ceilings.json").write_bytes(msgspec.json.encode(ceilings))
    # All first variants before any second one: a session cut short has seen every animal.
    for variant in VARIANTS:
        for animal in chosen:
            if studio.left() < LEAST_SECONDS:
                studio.log(f"OUT OF TIME: {animal.name}-{variant.name} not recorded")
            else:
                _record(studio, animal, variant, ceilings, tar)


def _probe_all(studio: Studio) -> None:
    targets = {probes.TARGET, probes.SEVERAL, probes.THREE}
    for source in sorted(HERE.glob("*/*.cu")):
        if f"{source.stem}-{VARIANTS[0].name}" not in targets:
            continue
        binary = studio.folder / "bin" / f"{source.stem}-{VARIANTS[0].name}"
        if not binary.exists():
            studio.build(source, binary, VARIANTS[0].flags)
    # Seconds of a whole candidate come first: they are what the page promises.
    _benchmark(studio)
    probes.run(studio, _device())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--what", choices=("all", "stale", "animals", "probes"), default="all")
    parser.add_argument("--seconds", type=float, default=240, help="begin nothing after so long")
    return parser.parse_args()


def _ncu_version() -> str:
    if shutil.which("ncu") is None:
        return ""
    return subprocess.run(["ncu", "--version"], capture_output=True, text=True, check=False).stdout


@cache
def _device() -> str:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=False).stdout
        return next(iter(said.splitlines()), "no device")
    except FileNotFoundError:
        return "no nvidia-smi"


def _compile(studio: Studio, chosen: list[Animal]) -> None:
    start = time.monotonic()
    jobs: list[tuple[Path, Path, tuple[str, ...]]] = [
        (HERE / "ceilings.cu", studio.folder / "bin" / "ceilings", ())
    ]
    jobs += [
        (animal.source, studio.binary(animal, variant), variant.flags)
        for animal in chosen
        for variant in VARIANTS
    ]
    with ThreadPoolExecutor(max_workers=max(1, (os.cpu_count() or 2) - 1)) as pool:
        built = list(pool.map(lambda job: studio.build(*job), jobs))
    studio.log(f"compiled {sum(built)} of {len(jobs)} in {time.monotonic() - start:.1f} s")


def _ceilings(studio: Studio) -> Ceilings:
    """Measure the device's ceilings; the datasheet's peaks come with each report."""
    printed = studio.run([str(studio.folder / "bin" / "ceilings")])
    rates = json.loads(printed) if printed else {}
    studio.log(f"ceilings {rates}")
    return Ceilings(
        device=_device().split(",")[0],
        arch=studio.arch,
        # The library's copy may beat ours: the ceiling is the better of the two.
        copy_gbps=max(rates.get("copy_gbps", 0), rates.get("memcpy_gbps", 0)) or None,
        read_gbps=rates.get("read_gbps"),
        write_gbps=rates.get("write_gbps"),
        fp32_matmul_tflops=rates.get("fp32_tflops"),
        sources=("tests/profiling/zoo/ceilings.cu, medians of 20 with a cold L2",),
    )


def _record(
    studio: Studio, animal: Animal, variant: Variant, ceilings: Ceilings, tar: _Tar
) -> None:
    binary = studio.binary(animal, variant)
    printed = studio.run([str(binary), "time"]) if binary.exists() else None
    profiled = studio.profile(binary) if printed else None
    if printed is None or profiled is None:
        return
    report, seconds = profiled
    rows = studio.timeline(animal, variant) if animal.timeline else None
    measured = msgspec.json.decode(printed.strip().splitlines()[-1], type=Measured)
    try:
        reports = ncu_rep.read(report).kernels
    except (ImportError, ncu_rep.UnreadableReport) as error:
        studio.log(f"NOT READ {binary.name}: {error}")
        reports = ()
    known = with_peaks(ceilings, reports)
    recording = Recording(
        animal=animal.name,
        variant=variant.name,
        device=ceilings.device,
        ncu_version=studio.tool.version if studio.tool else None,
        ncu_seconds=round(seconds, 2),
        ceilings=known,
        measured=measured,
        rows=rows,
        reports=reports,
        source_digest=animal.digest,
        recorded_on=datetime.now(UTC).date().isoformat(),
        driver=_device().split(",")[-1].strip(),
    )
    packed = lzma.compress(msgspec.json.encode(recording), preset=9)
    shipped = studio.folder / "recorded" / f"{binary.name}.json.xz"
    shipped.write_bytes(packed)
    size = report.stat().st_size >> 10
    tar.add(shipped)
    tar.add_report(report)
    studio.log(
        f"{binary.name}: {measured.time_us:.1f} us, ncu {seconds:.1f} s, report "
        f"{size} KB, recording {len(packed)} B, {len(reports)} launches"
    )


def with_peaks(measured: Ceilings, reports: tuple[KernelReport, ...]) -> Ceilings:
    """Add the peaks that a report states about its device to ceilings measured on it."""
    if not reports:
        return measured
    peaks = roofline.from_report(reports[0])
    found = {
        field: value
        for field in measured.__struct_fields__
        if (value := getattr(measured, field)) is not None
    }
    sources = (*peaks.sources, *measured.sources)
    return msgspec.structs.replace(peaks, **{**found, "sources": sources})


def _benchmark(studio: Studio) -> None:
    """Measure a whole candidate's page, torch and all, next to other metric lists."""
    script = HERE.parents[2] / "benchmarks" / "profile_page.py"
    out = studio.folder / "profile_page.json"
    budget = min(BENCHMARK_SECONDS, studio.left())
    command = [sys.executable, str(script), "--live", "--out", str(out), "--budget", str(budget)]
    done = bounded(command, seconds=budget + 5)
    studio.log(f"profile_page.py: {done.printed.strip()[-3000:]} {done.said.strip()[-600:]}")


if __name__ == "__main__":
    main()
