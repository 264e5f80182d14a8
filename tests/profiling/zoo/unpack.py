"""Turn a recorded zoo.tar into the recordings that ship: read its reports with the present reader.

    python tests/profiling/zoo/unpack.py DIR/zoo.tar

Writes recorded/*.json.xz beside this file, and keeps what the tar says about times and ceilings.
Recordings of a program that has changed since are left out: their lines would lie. Of the probes'
reports it says what each lacks of what pages read.
"""

import lzma
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import msgspec

from refine_agent.profiling import metrics, ncu_rep
from tests.profiling.zoo.animals import RECORDED, Recording, animals
from tests.profiling.zoo.record import with_peaks


def main() -> None:
    """Unpack the tar named on the command line."""
    RECORDED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, tarfile.open(sys.argv[1]) as tar:
        tar.extractall(scratch, filter="data")
        folder = Path(scratch) / "zoo"
        for packed in sorted((folder / "recorded").glob("*.json.xz")):
            report = folder / "reports" / f"{packed.name.removesuffix('.json.xz')}.ncu-rep.xz"
            print(_reread(packed, report))  # noqa: T201  (a script)
        for report in sorted((folder / "probes").glob("*.ncu-rep.xz")):
            print(f"{report.name}: {_lacks(report)}")  # noqa: T201  (a script)


def _unpacked(report: Path) -> Path:
    plain = report.with_suffix("")
    plain.write_bytes(lzma.decompress(report.read_bytes()))
    return plain


def _lacks(report: Path) -> str:
    """Say what a probe's report lacks of what pages read: its way to collect is no page's then."""
    found = ncu_rep.read(_unpacked(report)).kernels
    if all(map(metrics.complete, found)):
        return "complete"
    absent = sorted({name for one in found for name in one.absent})
    rest = "opcodes and instructions are there"
    if not all(one.opcodes and one.instructions for one in found):
        rest = "no opcodes or no instructions"
    return f"lacks {len(absent)} counters ({', '.join(absent[:12])}); {rest}"


def _reread(packed: Path, report: Path) -> str:
    # What an older reader made of the report may no longer decode; the report itself is read anew.
    told = msgspec.json.decode(lzma.decompress(packed.read_bytes()))
    recording = msgspec.convert({**told, "reports": []}, type=Recording)
    digests = {animal.name: animal.digest for animal in animals()}
    if recording.source_digest != digests.get(recording.animal):
        return f"{packed.name}: left out, {recording.animal}.cu has changed since"
    reports = ncu_rep.read(_unpacked(report)).kernels
    recording = msgspec.structs.replace(
        recording, reports=reports, ceilings=with_peaks(recording.ceilings, reports)
    )
    body = lzma.compress(msgspec.json.encode(recording), preset=9)
    (RECORDED / packed.name).write_bytes(body)
    return f"{packed.name}: {len(reports)} launches, {len(body)} bytes"


if __name__ == "__main__":
    main()
