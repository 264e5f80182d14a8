"""One recording session: where programs are built, run and profiled, and the log of what failed.

What is recorded, and in which order, is `record.py`'s business.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from refine_agent.profiling import ncu
from tests.profiling.zoo.animals import Animal, Variant

NVCC = os.environ.get("NVCC", "nvcc")
FLAGS = ("-O3", "-std=c++17", "-lineinfo")
# One program takes 3 to 6 seconds under the profiler; what takes longer hangs.
SECONDS = 30
BUILD_SECONDS = 90


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended: its code (None: it was stopped), what it printed, how long it took."""

    exit_code: int | None
    printed: str
    said: str
    seconds: float


def bounded(command: Sequence[str], *, seconds: float) -> Ended:
    """Run a program and everything it starts for at most that long."""
    start = time.monotonic()
    try:
        running = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return Ended(exit_code=127, printed="", said=str(error), seconds=0.0)
    with running:
        try:
            printed, said = running.communicate(timeout=seconds)
            code: int | None = running.returncode
        except subprocess.TimeoutExpired:
            # A profiler's child outlives the profiler, and holds the pipe that we would wait on.
            os.killpg(running.pid, signal.SIGKILL)
            printed, said = running.communicate()
            code = None
    return Ended(exit_code=code, printed=printed, said=said, seconds=time.monotonic() - start)


class Studio:
    """The folder of one recording session, and its log."""

    def __init__(self, folder: Path, arch: str, tool: ncu.Tool | None, *, seconds: float) -> None:
        self.folder = folder
        self.arch = arch
        self.tool = tool
        self.log_path = folder / "log.txt"
        self.until = time.monotonic() + seconds
        for part in ("bin", "reports", "recorded"):
            (folder / part).mkdir(parents=True)

    def log(self, words: str) -> None:
        """Write one line to the log and the terminal."""
        print(words, flush=True)  # noqa: T201  (a script)
        with self.log_path.open("a") as log:
            log.write(words + "\n")

    def left(self) -> float:
        """Return the seconds that are left to this session, at least one."""
        return max(1.0, self.until - time.monotonic())

    def binary(self, animal: Animal, variant: Variant) -> Path:
        """Return where that program is built."""
        return self.folder / "bin" / f"{animal.name}-{variant.name}"

    def build(self, source: Path, binary: Path, flags: tuple[str, ...]) -> bool:
        """Compile one program; False, and a line in the log, if the compiler refused."""
        command = [NVCC, f"-arch={self.arch}", *FLAGS, *flags, "-o", str(binary), str(source)]
        done = bounded([*command, "-ldl"], seconds=min(BUILD_SECONDS, self.left()))
        if done.exit_code != 0:
            self.log(f"BUILD FAILED {binary.name}: {done.said.strip()[-400:]}")
        return done.exit_code == 0

    def timeline(self, animal: Animal, variant: Variant) -> str | None:
        """Return torch.profiler's rows of one call as JSON, or None, and a line in the log."""
        library = self.binary(animal, variant).with_suffix(".so")
        flags = (*variant.flags, "-shared", "-Xcompiler", "-fPIC")
        if not self.build(animal.source, library, flags):
            return None
        script = Path(__file__).with_name("timeline.py")
        return self.run([sys.executable, str(script), str(library)])

    def run(self, command: list[str]) -> str | None:
        """Return what a program printed, or None, and a line in the log, if it failed."""
        done = bounded(command, seconds=min(SECONDS, self.left()))
        if done.exit_code == 0:
            return done.printed
        how = "TIMED OUT" if done.exit_code is None else "FAILED"
        self.log(f"{how} {' '.join(command)[-120:]}: {done.said.strip()[-300:]}")
        return None

    def profile(self, binary: Path, collect: tuple[str, ...] = ()) -> tuple[Path, float] | None:
        """Run the exact command of a page around a program; its report and the seconds it took."""
        report = self.folder / "reports" / f"{binary.name}.ncu-rep"
        log = self.folder / "bin" / f"{binary.name}.log"
        command = ncu.command(
            [str(binary)],
            report=report,
            log=log,
            tool=self.tool.path if self.tool else "ncu",
            collect=collect,
        )
        done = bounded(command, seconds=min(SECONDS, self.left()))
        text = log.read_text(errors="replace") if log.exists() else ""
        if not report.exists():
            refused = ncu.refusal(text, done.exit_code)
            why = refused.sentence() if refused else f"no report, exit code {done.exit_code}"
            self.log(f"NOT PROFILED {binary.name}: {why}\n{text[-800:]}")
            return None
        return report, done.seconds
