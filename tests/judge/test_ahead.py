"""Questions prepared while a candidate is built: for its source alone, and as good as any."""

import threading
import time

import pytest
import torch

from refine_agent.judge import cases
from refine_agent.judge.settled import Known
from refine_agent.judge.trial import FEW_STRESSES, House
from refine_agent.profiling.records import Ceilings

PROBLEM = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(256)

    def forward(self, x):
        return self.norm(x)

def get_inputs():
    return [torch.randn(2048, 256)]

def get_init_inputs():
    return []
"""
LONG_ENOUGH_S = 60.0


@pytest.fixture(scope="module")
def house() -> House:
    return House(PROBLEM, device="cpu", known=Known(ceilings=Ceilings(device="CPU")))


def prepare(house: House, source: str, *, some: int = 2) -> int:
    """Prepare as while a compiler runs; return how many questions there are."""
    house.ahead.begin(source)
    began = time.monotonic()
    while len(house.ahead._ready) < some and time.monotonic() - began < LONG_ENOUGH_S:
        time.sleep(0.01)
    house.ahead.rest()
    house.ahead.open("nobody's")
    house.ahead.close()
    return len(house.ahead._ready)


def asked(house: House, source: str) -> list[bool]:
    """Ask a trial's questions until none of those that were prepared is left; were they there?"""
    left = []
    house.ahead.open(source)
    for case in (cases.NOMINAL, *house.stresses):
        while (question := house.ahead.take(case)) is not None:
            again = house.reference.answer(house.reference.replant(question.tensors))
            left.append(question.case is case and torch.equal(question.expected[0], again[0]))
    house.ahead.close()
    return left


def test_what_was_prepared_for_a_source_is_asked_once_and_answered_right(house: House) -> None:
    prepared = prepare(house, "one")

    assert prepared >= 2
    assert asked(house, "one") == [True] * prepared
    assert asked(house, "one") == []


def test_what_was_prepared_for_one_source_is_never_asked_of_another(house: House) -> None:
    prepare(house, "one")

    assert asked(house, "another") == []

    prepare(house, "another", some=1)
    assert asked(house, "one") == []
    assert all(asked(house, "another"))


def test_no_two_questions_are_the_same(house: House) -> None:
    prepare(house, "one")
    house.ahead.open("one")
    first, second = house.question(cases.NOMINAL), house.question(cases.NOMINAL)
    house.ahead.close()

    assert not torch.equal(first.tensors[0], second.tensors[0])


def test_a_key_that_was_prepared_is_the_one_that_would_be_found(house: House) -> None:
    prepare(house, "one")
    house.ahead.open("one")
    question = house.question(cases.NOMINAL)
    prepared = house.ahead.key(question)
    found = house.find_key(question)
    house.ahead.close()

    assert prepared is not None
    assert found is not None
    assert torch.equal(prepared.exact[0], found.exact[0])
    assert prepared.limits == found.limits


def test_questions_are_not_asked_of_other_parameters_than_they_were_answered_with(
    house: House,
) -> None:
    prepare(house, "one")
    house.ahead.open("one")
    with house.reference.untouched():
        house.reference.reseed_as_constructed()
        others = house.ahead.take(cases.NOMINAL)
    own = house.ahead.take(cases.NOMINAL)
    house.ahead.close()

    assert others is None
    assert own is not None


def test_a_check_asks_first_the_stresses_that_are_prepared_with_their_keys(house: House) -> None:
    nominal = max(2, house.cadence.calls)
    prepare(house, "one", some=nominal + len(house.stresses) + 1)
    house.ahead.open("one")
    stresses = house.ahead.stresses()
    questions = [house.ahead.take(case) for case in stresses]
    keys = [house.ahead.key(question) for question in questions if question is not None]
    house.ahead.close()

    assert {case.name for case in stresses} == {case.name for case in house.stresses}
    assert len(keys) == len(stresses)
    assert None not in keys


@pytest.mark.parametrize("sealed", [False, True])
def test_where_a_turn_looks_quickly_only_a_sealing_is_prepared_with_all_keys(
    house: House, monkeypatch: pytest.MonkeyPatch, *, sealed: bool
) -> None:
    monkeypatch.setattr(house, "many_bytes", True)
    wanted = max(2, house.cadence.calls) + (len(house.stresses) if sealed else FEW_STRESSES)
    house.ahead.begin(f"sealed: {sealed}", sealed=sealed)
    began = time.monotonic()
    while len(house.ahead._ready) < wanted and time.monotonic() - began < LONG_ENOUGH_S:
        time.sleep(0.01)
    house.ahead.finish()
    keyed = [prepared.key is not None for prepared in house.ahead._ready[:wanted]]
    house.ahead.open(f"sealed: {sealed}")
    house.ahead.close()

    assert keyed == [True] + [sealed] * (wanted - 1)


def test_which_stresses_a_check_asks_first_is_drawn_anew_for_every_source(house: House) -> None:
    orders = set()
    for number in range(8):
        prepare(house, f"one of many {number}", some=1)
        house.ahead.open(f"one of many {number}")
        orders.add(tuple(case.name for case in house.ahead.stresses()))
        house.ahead.close()

    assert len(orders) > 4


def test_no_more_is_prepared_than_there_is_room_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refine_agent.judge.ahead.MOST_BYTES", 4 * house.layout.slot_bytes)
    house.ahead.begin("one")
    house.ahead._thread.join(LONG_ENOUGH_S)  # type: ignore[union-attr]

    assert len(house.ahead._ready) == 1
    assert asked(house, "one") == [True]


def test_a_trial_may_begin_while_a_key_is_still_prepared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Limits of a few numbers take other questions of their kind, which are none of the trial's.
    few = PROBLEM.replace("return self.norm(x)", "return self.norm(x).sum(0)[:4]")
    house = House(few, device="cpu", known=Known(ceilings=Ceilings(device="CPU")))
    house._sensitivity.clear()
    begun, opened, find = threading.Event(), threading.Event(), house._sensitivity_of
    died: list[object] = []

    def find_slowly(tensors: list[torch.Tensor], exact: list[torch.Tensor]) -> tuple[float, ...]:
        begun.set()
        opened.wait(LONG_ENOUGH_S)
        return find(tensors, exact)

    monkeypatch.setattr(house, "_sensitivity_of", find_slowly)
    monkeypatch.setattr(threading, "excepthook", died.append)
    house.ahead.begin("one")
    assert begun.wait(LONG_ENOUGH_S)
    house.ahead.open("one")
    opened.set()
    question = house.question(cases.NOMINAL)
    prepared = house.ahead.key(question)
    house.ahead.close()

    assert not died
    assert prepared is not None


def test_preparing_leaves_torch_its_threads(house: House) -> None:
    before = torch.get_num_threads()
    prepare(house, "one")

    assert torch.get_num_threads() == before
