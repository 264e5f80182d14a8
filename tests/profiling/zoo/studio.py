"""One recording session: where programs are built, run and profiled, and the log of what failed.

What is recorded, and in which order, is `record.py`'s business.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from refine_agent.profiling import ncu
from tests.profiling.zoo.animals import Animal, Variant

NVCC = os.environ.get("NVCC", "nvcc")
FLAGS = ("-O3", "-std=c++17", "-lineinfo")
SECONDS = 60


class Studio:
    """The folder of one recording session, and its log."""

    def __init__(self, folder: Path, arch: str, tool: ncu.Tool | None) -> None:
        self.folder = folder
        self.arch = arch
        self.tool = tool
        self.log_path = folder / "log.txt"
        for part in ("bin", "reports", "recorded"):
            (folder / part).mkdir(parents=True)

    def log(self, words: str) -> None:
        """Write one line to the log and the terminal."""
        print(words, flush=True)  # noqa: T201  (a script)
        with self.log_path.open("a") as log:
            log.write(words + "\n")

    def binary(self, animal: Animal, variant: Variant) -> Path:
        """Return where that program is built."""
        return self.folder / "bin" / f"{animal.name}-{variant.name}"

    def build(self, source: Path, binary: Path, flags: tuple[str, ...]) -> bool:
        """Compile one program; False, and a line in the log, if the compiler refused."""
        command = [NVCC, f"-arch={self.arch}", *FLAGS, *flags, "-o", str(binary), str(source)]
        done = subprocess.run([*command, "-ldl"], capture_output=True, text=True, check=False)
        if done.returncode:
            self.log(f"BUILD FAILED {binary.name}: {done.stderr.strip()[-400:]}")
        return done.returncode == 0

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
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            self.log(f"TIMED OUT {' '.join(command)[-120:]}")
            return None
        if done.returncode:
            self.log(f"FAILED {' '.join(command)[-120:]}: {done.stderr.strip()[-300:]}")
            return None
        return done.stdout

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
        start = time.monotonic()
        try:
            code: int | None = subprocess.run(
                command, capture_output=True, timeout=SECONDS, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
        seconds = time.monotonic() - start
        text = log.read_text(errors="replace") if log.exists() else ""
        if not report.exists():
            refused = ncu.refusal(text, code)
            why = refused.sentence() if refused else f"no report, exit code {code}"
            self.log(f"NOT PROFILED {binary.name}: {why}\n{text[-800:]}")
            return None
        return report, seconds
