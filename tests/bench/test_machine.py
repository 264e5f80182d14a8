"""What the bench makes of the machine: which GPU is meant, and what a candidate left in a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from refine_agent.bench import machine, profiles
from refine_agent.bench.processes import environment
from refine_agent.loop import BenchFault, aside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIG = "MIG-5f0b1a2c-93d1-5b1e-9c5e-0a1b2c3d4e5f"


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """Each test is a process that no run has begun in."""
    machine._mask.cache_clear()
    yield
    machine._mask.cache_clear()


@pytest.mark.parametrize(
    ("mask", "asked", "chosen"),
    [
        ("4,5", "cuda:1", "5"),
        ("4,5", "cuda:0", "4"),
        (f"GPU-8932f937, {MIG}", "cuda:1", MIG),
        ("4,5", "cuda", None),
        (None, "cuda:1", "1"),
        (None, None, None),
    ],
)
def test_a_number_counts_the_devices_that_are_shown_as_torch_does(
    mask: str | None, asked: str | None, chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    masked(monkeypatch, mask)

    assert machine.visible_device(asked) == chosen


def test_a_bench_that_starts_anew_chooses_the_same_device(monkeypatch: pytest.MonkeyPatch) -> None:
    masked(monkeypatch, "4,5")
    for _ in range(2):
        chosen = machine.visible_device("cuda:1")
        assert chosen == "5"
        masked(monkeypatch, chosen)  # for the children, and so for whoever asks again


@pytest.mark.parametrize("mask", ["4", "4,-1,5", ""])
def test_a_device_that_is_masked_is_refused_and_not_another_one_taken(
    mask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    masked(monkeypatch, mask)

    with pytest.raises(BenchFault, match=f"CUDA_VISIBLE_DEVICES={mask} shows"):
        machine.visible_device("cuda:1")


def test_children_count_devices_in_the_order_that_their_user_chose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")

    assert environment()["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def masked(monkeypatch: pytest.MonkeyPatch, mask: str | None) -> None:
    if mask is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)


# --- what a candidate left in a file --------------------------------------------------------------


def test_of_a_plain_file_a_mebibyte_is_read_whatever_its_bytes_are(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff" + b"a" * (2 << 20))

    text = machine.text_in(tmp_path / "log")

    assert text is not None
    assert text[:2] == "\ufffda"
    assert len(text) == 1 << 20


@pytest.mark.parametrize("what", ["pipe", "endless", "link", "folder", "nothing"])
def test_what_is_no_plain_file_is_neither_waited_for_nor_read(what: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    if what == "pipe":
        os.mkfifo(log)
    elif what == "endless":
        log.symlink_to("/dev/zero")
    elif what == "link":
        (tmp_path / "secret").write_text("key")
        log.symlink_to(tmp_path / "secret")
    elif what == "folder":
        log.mkdir()

    assert machine.text_in(log) is None


def test_a_pipe_in_place_of_a_profilers_log_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ncu.log")

    assert aside(lambda: profiles._text(tmp_path / "ncu.log")).result(timeout=20.0) == ""
