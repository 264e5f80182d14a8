"""Looking into another process's memory: what lies there, what does not, and what changed since."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from refine_agent.judge.glimpse import BYTES, PLACES, Glimpse, Memory, glimpses

if TYPE_CHECKING:
    from collections.abc import Iterator

# A process that holds 4096 floats and overwrites all of them when it is told to.
HOLDER = """
import sys, torch
held = torch.arange(4096, dtype=torch.float32)
print(held.data_ptr(), flush=True)
for _ in sys.stdin:
    held.neg_()
    print("done", flush=True)
"""


@pytest.fixture(scope="module")
def holder() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def address(holder: subprocess.Popen[str]) -> int:
    assert holder.stdout is not None
    return int(holder.stdout.readline())


@pytest.fixture
def memory(holder: subprocess.Popen[str]) -> Iterator[Memory]:
    opened = Memory(holder.pid)
    if not opened.readable:
        pytest.skip("this kernel lets no process read another's memory")
    yield opened
    opened.close()


def test_results_that_lie_where_they_are_said_to_are_those_delivered(
    memory: Memory, address: int
) -> None:
    delivered = torch.arange(4096, dtype=torch.float32)

    seen = list(glimpses(memory, (address,), [delivered], slot=3))

    assert len(seen) == PLACES
    assert all(each.slot == 3 and 0 < len(each.seen) <= BYTES for each in seen)
    assert all(each.is_of(delivered) for each in seen)


def test_results_that_are_computed_after_the_look_are_not(
    memory: Memory, address: int, holder: subprocess.Popen[str]
) -> None:
    assert holder.stdin is not None
    assert holder.stdout is not None
    before = torch.arange(4096, dtype=torch.float32)
    seen = list(glimpses(memory, (address,), [before], slot=0))
    holder.stdin.write("overwrite\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "done\n"

    assert not any(each.is_of(-before) for each in seen)
    holder.stdin.write("and back\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "done\n"


def test_true_is_any_byte_but_0_as_it_is_to_whoever_copies_it() -> None:
    seen = Glimpse(slot=0, output=0, offset=1, seen=bytes([255, 0, 7]))

    assert seen.is_of(torch.tensor([False, True, False, True]))
    assert not seen.is_of(torch.tensor([True, True, True, True]))
    assert not Glimpse(slot=0, output=0, offset=1, seen=b"").is_of(torch.tensor([True] * 4))


@pytest.mark.parametrize("nowhere", [8, (1 << 47) - 8, (1 << 63) - 1, 1 << 64, -8])
def test_nothing_lies_at_an_address_that_is_none(memory: Memory, nowhere: int) -> None:
    seen = list(glimpses(memory, (nowhere,), [torch.zeros(4)], slot=0))

    assert all(each.seen == b"" for each in seen)
    assert not any(each.is_of(torch.zeros(4)) for each in seen)


def test_empty_results_and_those_that_are_an_input_are_not_looked_at(memory: Memory) -> None:
    outputs = [torch.zeros(4), torch.zeros(0)]

    assert list(glimpses(memory, (0, 4096), outputs, slot=0)) == []


def test_a_process_that_is_gone_cannot_be_looked_at() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    assert not Memory(gone.pid).readable
    assert Memory(gone.pid).read(4096, 8) == b""
