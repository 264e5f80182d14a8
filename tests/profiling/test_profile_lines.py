"""Which line an instruction belongs to: the call chains that a real report's cubin carries."""

import random
import struct
from pathlib import Path

import pytest

from refine_agent.profiling import lines, ncu_rep
from tests.profiling.evidence_on_file import report_file

KERNEL = "_Z6kernelPK6float4Pf"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_file(tmp_path_factory.mktemp("report"), "rereads")


def chain(known: lines.Chains, offset: int) -> list[str]:
    return [f"{one.path.rsplit('/', 1)[-1]}:{one.line}" for one in known.at(offset)]


def test_a_chain_leads_from_a_headers_line_to_the_kernels(real: Path) -> None:
    known = lines.chains(real.read_bytes())[KERNEL]
    # Loads of the third pass that the compiler moved among the arithmetic of the second and third.
    assert chain(known, 0x1730) == ["sm_32_intrinsics.hpp:183", "rereads.cu:37"]
    assert chain(known, 0x1880) == ["sm_32_intrinsics.hpp:183", "rereads.cu:37"]
    # A shuffle in a function of the program's own.
    assert chain(known, 0x1E00) == ["sm_30_intrinsics.hpp:449", "rereads.cu:14", "rereads.cu:42"]


def test_every_load_of_a_pass_is_told_by_the_line_that_asks_for_it(real: Path) -> None:
    (report,) = ncu_rep.read(real).kernels
    loads = [one for one in report.instructions if one.opcode.startswith("LDG")]
    assert [str(one.place) for one in loads] == [
        f"rereads.cu:{line}" for line in (24, 30, 37) for _ in range(5)
    ]


def test_what_waits_in_a_function_names_the_kernels_line_that_called_it(real: Path) -> None:
    (report,) = ncu_rep.read(real).kernels
    barriers = [one for one in report.instructions if one.opcode.startswith("BAR")]
    found = [f"{one.place} from {one.called_from}" for one in barriers]
    assert found == [
        f"rereads.cu:{line} from rereads.cu:{caller}"
        for caller in (27, 34, 42)
        for line in (10, 12)
    ]


def test_a_table_that_contradicts_nsight_compute_is_not_believed(
    real: Path, tmp_path: Path
) -> None:
    # The relocations of the line table change places: each function's lines are the other's.
    one, two = (
        struct.pack("<QQq", 0x101, 0xF << 32 | 2, 0),
        struct.pack("<QQq", 0x7AF, 16 << 32 | 2, 0),
    )
    swapped = one.replace(b"\x0f", b"\x10") + two.replace(b"\x10", b"\x0f")
    whole, other = real.read_bytes(), tmp_path / "other.ncu-rep"
    assert one + two in whole
    other.write_bytes(whole.replace(one + two, swapped))
    (report,) = ncu_rep.read(other).kernels
    guessed = {str(one.place) for one in report.instructions if one.opcode.startswith("LDG")}
    assert guessed != {"rereads.cu:24", "rereads.cu:30", "rereads.cu:37"}
    assert all(place.startswith("rereads.cu:") for place in guessed)


def test_a_report_without_line_info_has_no_chains(tmp_path: Path) -> None:
    assert lines.chains(report_file(tmp_path).read_bytes()) == {}


@pytest.mark.parametrize("seed", range(20))
def test_scribbled_tables_give_chains_or_none_and_no_error(real: Path, seed: int) -> None:
    whole = real.read_bytes()
    start = whole.index(b"\x7fELF")
    body, chance = bytearray(whole[start : start + 40_000]), random.Random(seed)  # noqa: S311  (repeatable scribbles)
    for _ in range(1 + seed * 8):
        body[chance.randrange(6, len(body))] = chance.randrange(256)
    for known in lines.chains(bytes(body[: chance.randrange(100, len(body))])).values():
        assert len(known.starts) == len(known.frames)


def test_a_call_that_calls_itself_ends(real: Path) -> None:
    # The call from row 5 becomes one from row 6, which is the callee's own.
    inside = real.read_bytes().replace(b"\0\3\x90\5\0", b"\0\3\x90\6\0")
    assert len(lines.chains(inside)[KERNEL].at(0x200)) == lines.MOST_DEPTH
