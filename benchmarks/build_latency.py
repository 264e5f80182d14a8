"""Owns the table of what a build costs: torch's own `load_inline` against the light headers.

    python -m benchmarks.build_latency --device cpu
    python -m benchmarks.build_latency --device cuda --compare --seconds 360

What callers see of the two flavours is left to `benchmarks.flavours`; --compare tells that too.
What was measured is saved as it comes, and --seconds ends it in time; --again compares the rest.
"""

import argparse
import datetime as dt
import os
import platform
import secrets
import statistics
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import msgspec

from refine_agent.builder import (
    Artifact,
    BuildRequest,
    Device,
    Flavour,
    Rejected,
    Toolchain,
    prepare,
)
from refine_agent.builder import build as build_once
from refine_agent.builder.run import run_plainly

_RESULTS = Path(__file__).parent / "results"
_REPEATS = 3
_STOCK_DEADLINE_S = 400.0
_OBSERVE_DEADLINE_S = 90.0
_STOCK_USUALLY_S = 60.0  # side by side; none is begun that would end after the time is over


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured."""

    device: str
    driver: str | None
    cores: int
    torch: str
    nvcc: str | None
    cxx: str
    date: str


class Row(msgspec.Struct, kw_only=True):
    """One candidate. Seconds are wall time of a build of a source that no cache has seen."""

    name: str
    light_s: list[float] = []
    """With no other build beside it, each with another salt; empty: built, but not timed."""
    stock_s: float | None = None
    stock_at_once: int = 1
    """How many stock builds ran side by side while this one was timed."""
    built: bool = False
    fell_back: str | None = None
    rejected: str | None = None
    stock_failed: str | None = None
    """Why there is nothing to compare with: what torch's own build or its process said."""
    calls_compared: int | None = None
    differences: list[str] = []
    out_of_time: bool = False
    """Not compared, because --seconds were over."""


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that does not compile: how soon its author hears of it."""

    name: str
    seconds: float
    says: str


class Report(msgspec.Struct, kw_only=True):
    """All that was measured in one run."""

    machine: Machine
    prepare_s: float
    """Once per torch: the shim, the wrappers and the names."""
    rows: list[Row]
    wrong: list[Wrong]


def main() -> None:
    """Measure, print the table, and save it with its numbers."""
    asked = _arguments()
    out = Path(asked.out or _RESULTS / f"build_latency-{asked.device}.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    bench = _Bench(
        cache=Path(mkdtemp(prefix="build_latency.")),
        device=asked.device,
        salt=secrets.token_hex(4),
        jobs=asked.jobs,
        until=time.monotonic() + asked.seconds,
        out=out,
    )
    if asked.again:
        report = bench.complete(msgspec.json.decode(out.read_bytes(), type=Report))
    else:
        report = bench.measure(timed=asked.timed, compare=asked.compare)
    print(table(report))
    print(f"saved to {out} and {out.with_suffix('.md')}")


class _Bench(msgspec.Struct, frozen=True, kw_only=True):
    """One cache that has seen nothing, and the order in which it is filled."""

    cache: Path
    device: Device
    salt: str
    jobs: int
    until: float
    out: Path

    def measure(self, *, timed: int, compare: bool) -> Report:
        from benchmarks.flavours import candidate_files  # noqa: PLC0415 - imports torch

        started = time.monotonic()
        toolchain = prepare(run=run_plainly, cache=self.cache, device=self.device)
        report = Report(
            machine=_machine(toolchain, self.device),
            prepare_s=time.monotonic() - started,
            rows=[],
            wrong=[],
        )
        files = candidate_files("cuda" if self.device == "cuda" else "cpp")
        for path in files:
            _captured(path)  # before threads ask
        right = [path for path in files if "wrong" not in path.stem]
        chosen = _spread(right, timed)
        rows = {path: Row(name=path.stem) for path in [*chosen, *right]}
        report.rows = list(rows.values())
        report.wrong = [self._wrong(path) for path in files if "wrong" in path.stem]
        for path in chosen:
            self._timed_lightly(path, rows[path], report)
        self._stock_alone(rows, chosen[:1] if compare else chosen, report)
        self._untimed_lightly({path: rows[path] for path in right if path not in chosen})
        self._save(report)
        if compare:
            self._compare(rows, report)
        return report

    def complete(self, report: Report) -> Report:
        """Compare what an earlier run on an equal machine had no time for; its times stay."""
        from benchmarks.flavours import candidate_files  # noqa: PLC0415 - imports torch

        here = _machine(prepare(run=run_plainly, cache=self.cache, device=self.device), self.device)
        if (here.device, here.torch) != (report.machine.device, report.machine.torch):
            raise SystemExit(
                f"{self.out} was measured on {report.machine.device} with torch "
                f"{report.machine.torch}, and this is {here.device} with {here.torch}; "
                "measure it anew, without --again"
            )
        left = {
            row.name: row
            for row in report.rows
            if row.calls_compared is None and not row.differences
        }
        files = candidate_files("cuda" if self.device == "cuda" else "cpp")
        rows = {path: left[path.stem] for path in files if path.stem in left}
        for path, row in rows.items():
            _captured(path)  # before threads ask
            row.out_of_time, row.stock_failed = False, None
        self._untimed_lightly(rows)
        self._compare(rows, report)
        return report

    def _save(self, report: Report) -> None:
        """Write what there is so far; whatever ends the rest, it stays."""
        written = msgspec.json.format(msgspec.json.encode(report), indent=1)
        self.out.write_bytes(written + b"\n")
        self.out.with_suffix(".md").write_text(table(report), encoding="utf-8")

    def _timed_lightly(self, path: Path, row: Row, report: Report) -> None:
        """Build alone; the salt of the last repeat is the one that --compare runs."""
        for repeat in reversed(range(_REPEATS)):
            seconds = self._lightly(path, row, salt=f"{self.salt}{repeat or ''}")
            if row.fell_back is None and row.rejected is None:
                row.light_s.append(seconds)
        told = f"{statistics.median(row.light_s):.2f} s" if row.light_s else ""
        print(f"light {row.name}: {row.fell_back or row.rejected or told}", flush=True)
        self._save(report)

    def _untimed_lightly(self, rows: dict[Path, Row]) -> None:
        """Build the rest side by side: whether they fall back is all that is asked."""
        with ThreadPoolExecutor(self.jobs) as pool:
            building = {
                row.name: pool.submit(self._in_time, path, row) for path, row in rows.items()
            }
            for name, told in building.items():
                print(f"light {name}: {told.result()}", flush=True)

    def _in_time(self, path: Path, row: Row) -> str:
        row.out_of_time = time.monotonic() > self.until
        if row.out_of_time:
            return "not built: the time is over"
        self._lightly(path, row, self.salt)
        return row.fell_back or row.rejected or "built"

    def _lightly(self, path: Path, row: Row, salt: str) -> float:
        seconds = 0.0
        for request in _requests(path, salt):
            built = self._build(request, "light")
            seconds += built.seconds
            _note(row, built)
        return seconds

    def _stock_alone(self, rows: dict[Path, Row], chosen: list[Path], report: Report) -> None:
        """With no other build beside it: every timed candidate, or one where --compare follows."""
        for path in chosen:
            if time.monotonic() > self.until:
                print("the time is over: some stock builds were not made", flush=True)
                return
            rows[path].stock_s = seconds = self._stock(path, rows[path])
            told = "does not build here" if seconds is None else f"{seconds:.1f} s"
            print(f"stock {rows[path].name}: {told}", flush=True)
            self._save(report)

    def _stock(self, path: Path, row: Row) -> float | None:
        """Seconds of torch's own build; None where it does not build."""
        seconds = 0.0
        for request in _requests(path, self.salt):
            built = self._build(request, "stock")
            if isinstance(built, Rejected):
                row.stock_failed = built.log.strip()[-300:] or "it ended without a word"
                return None
            seconds += built.seconds
        return seconds

    def _compare(self, rows: dict[Path, Row], report: Report) -> None:
        """Build all by torch, side by side, and look at both flavours in children meanwhile."""
        with (
            ThreadPoolExecutor(self.jobs) as compilers,
            ThreadPoolExecutor(max(4, self.jobs // 3)) as observers,
        ):
            seen: dict[Path, list[Future[Path | str]]] = {}
            for path, row in rows.items():
                stock = compilers.submit(self._stock_in_company, path, row)
                seen[path] = [
                    observers.submit(self._after, stock, path, row, "light"),
                    observers.submit(self._after, stock, path, row, "stock"),
                ]
            for path, (light, after) in seen.items():
                row, ours, theirs = rows[path], light.result(), after.result()
                if row.out_of_time:
                    continue
                row.stock_failed = row.stock_failed or _failed(theirs)
                if row.stock_failed is None:
                    row.calls_compared, row.differences = _compared(ours, theirs)
                told = row.differences or f"{row.calls_compared} calls alike"
                told = told if row.stock_failed is None else f"torch's own: {row.stock_failed}"
                print(f"both {row.name}: {told}", flush=True)
                self._save(report)

    def _stock_in_company(self, path: Path, row: Row) -> None:
        row.out_of_time = time.monotonic() > self.until - _STOCK_USUALLY_S
        if row.out_of_time:
            return
        seconds = self._stock(path, row)
        if row.stock_s is None and seconds is not None:
            row.stock_s, row.stock_at_once = seconds, self.jobs

    def _after(self, stock: Future[None], path: Path, row: Row, flavour: Flavour) -> Path | str:
        stock.result()
        row.out_of_time |= time.monotonic() > self.until
        return "" if row.out_of_time else self._observed(path, flavour)

    def _observed(self, path: Path, flavour: Flavour) -> Path | str:
        """What a child noted, or how it ended."""
        out = self.cache / f"{path.stem}.{flavour}.pt"
        argv = [sys.executable, "-m", "benchmarks.flavours", str(path), flavour, self.device]
        argv += [str(self.cache), str(out), self.salt]
        here = Path(__file__).parents[1]
        done = run_plainly(argv, cwd=here, env=os.environ, deadline_s=_OBSERVE_DEADLINE_S)
        if done.exit_code == 0:
            return out
        return f"the process ended with {done.exit_code}: {done.output.strip()[-300:]}"

    def _wrong(self, path: Path) -> Wrong:
        (request,) = _requests(path, self.salt)
        built = self._build(request, "light")
        says = built.log.strip().splitlines() if isinstance(built, Rejected) else ["it built"]
        errors = [line for line in says if "error" in line] or says
        print(f"wrong {path.stem}: {built.seconds:.2f} s, {errors[0][:90]}", flush=True)
        return Wrong(name=path.stem, seconds=built.seconds, says=errors[0])

    def _build(self, request: BuildRequest, flavour: Flavour) -> Artifact | Rejected:
        return build_once(
            request,
            run=run_plainly,
            cache=self.cache,
            device=self.device,
            flavour=flavour,
            deadline_s=_STOCK_DEADLINE_S,
        )


def table(report: Report) -> str:
    """The report as a page of Markdown."""
    machine = report.machine
    timed = [row for row in report.rows if row.light_s]
    both = [row for row in timed if row.stock_s is not None]
    built = [row for row in report.rows if row.rejected is None and row.built]
    without = sum(row.fell_back is None for row in built)
    where = f"{machine.device}, {machine.cores} cores, torch {machine.torch}, {machine.cxx}"
    where += f", nvcc {machine.nvcc}" if machine.nvcc else ""
    where += f", driver {machine.driver}" if machine.driver else ""
    conditions = (
        f"{machine.date} · {where}. Wall seconds of builds whose sources no cache has seen; each "
        f"light build with no other beside it, median of {_REPEATS}. "
        f"Once per torch: {report.prepare_s:.1f} s."
    )
    lines = [
        f"# What a build costs on {machine.device}, by torch itself and on the light headers",
        "",
        conditions,
        "",
        "| candidate | light, s | range | stock, s | at once | ratio | calls alike |",
        "|---|---|---|---|---|---|---|",
        *(_line(row) for row in report.rows if _has_news(row)),
        "",
        f"{without} of {len(built)} candidates built without falling back on torch's own headers.",
        *_told_of_comparing(report),
        _told("Light", [statistics.median(row.light_s) for row in timed], "s"),
        _told("Stock", [row.stock_s for row in both if row.stock_s is not None], "s"),
        _told("Ratio", [_ratio(row) for row in both], "times"),
        "",
        "| wrong candidate | seconds until its author hears | first error |",
        "|---|---|---|",
        *(f"| {w.name} | {w.seconds:.2f} | `{w.says[:90]}` |" for w in report.wrong),
    ]
    return "\n".join(lines) + "\n"


def _told_of_comparing(report: Report) -> list[str]:
    alike = [row for row in report.rows if row.calls_compared is not None and not row.differences]
    differing = [row for row in report.rows if row.differences]
    failed = [row for row in report.rows if row.stock_failed is not None]
    late = sum(row.out_of_time for row in report.rows)
    if not alike and not differing:
        return []
    calls = sum(row.calls_compared or 0 for row in alike)
    told = f"Run under both builds: {len(alike)} candidates alike in all {calls} calls, "
    told += f"{len(differing)} that differ, {late} not compared for want of time"
    if failed:
        told += f", {len(failed)} because torch's own build or its process failed there"
    return [f"{told}."]


def _has_news(row: Row) -> bool:
    compared = row.calls_compared is not None or bool(row.differences or row.stock_failed)
    return bool(row.light_s) or compared or row.fell_back is not None or row.rejected is not None


def _line(row: Row) -> str:
    light = f"{statistics.median(row.light_s):.2f}" if row.light_s else "–"
    spread = f"{min(row.light_s):.2f}–{max(row.light_s):.2f}" if row.light_s else "–"
    stock = "–" if row.stock_s is None else f"{row.stock_s:.1f}"
    ratio = f"{_ratio(row):.1f}" if row.light_s and row.stock_s is not None else "–"
    alike = "–" if row.calls_compared is None else f"{row.calls_compared}"
    alike = "; ".join(row.differences)[:200].replace("|", "/") if row.differences else alike
    if row.stock_failed is not None:
        alike = f"torch's own: {row.stock_failed[:100]}".replace("|", "/").replace("\n", " ")
    name = row.name if row.fell_back is None else f"{row.name} ({row.fell_back})"
    name = name if row.rejected is None else f"{row.name} (does not build here)"
    return f"| {name} | {light} | {spread} | {stock} | {row.stock_at_once} | {ratio} | {alike} |"


def _told(what: str, values: list[float], unit: str) -> str:
    if not values:
        return f"{what}: not measured."
    low, high = min(values), max(values)
    middle = statistics.median(values)
    return f"{what}: median {middle:.2f} {unit}, {low:.2f}–{high:.2f}, {len(values)} candidates."


def _ratio(row: Row) -> float:
    return (row.stock_s or 0) / statistics.median(row.light_s)


def _note(row: Row, built: Artifact | Rejected) -> None:
    if isinstance(built, Rejected):
        row.rejected = built.log[:500]
        return
    row.built = True
    row.fell_back = built.why_stock or row.fell_back


def _requests(path: Path, salt: str) -> list[BuildRequest]:
    from benchmarks.flavours import salted  # noqa: PLC0415 - imports torch

    return [salted(request, salt) for request in _captured(path)]


@cache
def _captured(path: Path) -> list[BuildRequest]:
    """What a file asks to build; asked for once, because asking takes load_inline's place."""
    from benchmarks.flavours import captured_requests  # noqa: PLC0415 - imports torch

    return captured_requests(path)


def _failed(stock: Path | str) -> str | None:
    return stock if isinstance(stock, str) else None


def _compared(light: Path | str, stock: Path | str) -> tuple[int | None, list[str]]:
    """How many calls were compared, and one sentence for each that differs."""
    if isinstance(light, str) or isinstance(stock, str):
        return None, [f"light: {light}"]
    import torch  # noqa: PLC0415 - seconds, and only --compare needs it

    ours = torch.load(light, weights_only=False).seen
    theirs = torch.load(stock, weights_only=False).seen
    if len(ours) != len(theirs):
        return None, [f"{len(ours)} calls against {len(theirs)}"]
    pairs = zip(ours, theirs, strict=True)
    return len(ours), [told for a, b in pairs if (told := a.differs_from(b)) is not None]


def _spread(paths: list[Path], count: int) -> list[Path]:
    """That many, evenly over the list, so that styles mix."""
    count = min(count, len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


def _machine(toolchain: Toolchain, device: Device) -> Machine:
    nvcc = None if toolchain.nvcc is None else _says([toolchain.nvcc, "--version"]).splitlines()[-2]
    gpu = _says(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"])
    name, _, driver = gpu.splitlines()[0].partition(", ") if gpu else ("", "", "")
    return Machine(
        device=name if device == "cuda" and name else _processor(),
        driver=driver or None,
        cores=os.cpu_count() or 0,
        torch=toolchain.facts.torch,
        nvcc=nvcc,
        cxx=_says([toolchain.cxx, "--version"]).splitlines()[0],
        date=dt.datetime.now(tz=dt.UTC).date().isoformat(),
    )


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _says(argv: list[str]) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--timed", type=int, default=14, help="candidates to time")
    parser.add_argument("--compare", action="store_true", help="run both flavours and compare")
    parser.add_argument("--again", action="store_true", help="compare what --out has not compared")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 2),
                        help="stock builds side by side while comparing")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=3600,
                        help="begin nothing that would end later than this")  # fmt: skip
    parser.add_argument("--out", help="the JSON file; the page goes beside it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
