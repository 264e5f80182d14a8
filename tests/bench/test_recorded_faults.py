"""What was recorded where a GPU is: misbehaviours had their verdicts, and left the GPU clean."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.bench.__main__ import Table, troubles

RECORDED = Path(__file__).parent / "recorded" / "faults-cuda.json"


def recorded() -> Table:
    return msgspec.json.decode(RECORDED.read_bytes(), type=Table)


def test_every_misbehaviour_on_a_gpu_had_its_verdict() -> None:
    due = dict(troubles("cuda"))
    told = {each.name: each.kind for each in recorded().seen}
    wrong = {name for name, kind in told.items() if kind not in due[name].expected}

    assert set(told) == set(due)
    assert not wrong
    assert len(told) >= 60


def test_none_of_them_left_a_process_or_memory_behind_or_spoilt_the_next_trial() -> None:
    seen = recorded().seen

    assert [each.name for each in seen if not each.clean] == []
    assert sum(each.honest_after is not None for each in seen) >= 15
    assert seen[-1].name == "is honest, after all of them"


def test_the_record_says_where_and_when_it_was_taken() -> None:
    table = recorded()

    assert "H200" in table.device
    assert table.driver
    assert table.date
    assert not table.not_reached
