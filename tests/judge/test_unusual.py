"""Problems and candidates that are honest and unusual: judged as meant, or refused in words."""

from typing import Any

import pytest
import torch
from torch import nn

from refine_agent import wire
from refine_agent.judge import cases, tolerance, unsteady, work
from refine_agent.judge.reference import ProblemFault, Reference
from refine_agent.judge.settled import Known
from refine_agent.judge.trial import House
from refine_agent.profiling.records import Ceilings
from refine_agent.worker import stub

HEAD = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n"
EDGES = "[torch.randn(64), torch.rand(5).cumsum(0).flip(0)]"
BFLOATS = "[torch.randn(512, 2048).bfloat16(), torch.randn(512, 2048).bfloat16()]"
INPUT = "[torch.randn(8, 16)]"
KNOWN = Known(ceilings=Ceilings(device="a test's"))


def problem(forward: str, inputs: str = "[torch.randn(8, 16)]", init: str = "pass") -> str:
    return f"""{HEAD}
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        {init}
    def forward(self, *given):
        x = given[0]
        {forward}
def get_inputs():
    return {inputs}
def get_init_inputs():
    return []
"""


def reference(*parts: str) -> Reference:
    return Reference(problem(*parts), device="cpu", seed=1)


def house(*parts: str) -> House:
    return House(problem(*parts), device="cpu", known=KNOWN)


# --- what cannot be judged is refused -------------------------------------------------------------


@pytest.mark.parametrize(
    ("forward", "init", "said"),
    [
        ("return F.dropout(x, 0.5, training=True)", "pass", "another way the second time"),
        (
            "self.h = torch.tanh(x + self.h)\n        return self.h",
            "self.h = torch.zeros(8, 16)",
            "keeps something from call to call",
        ),
        ("return x.to_sparse()", "pass", "make it dense"),
        ("return None", "pass", "returns no tensor.*NoneType"),
    ],
)
def test_a_reference_that_no_candidate_could_answer_for_is_refused(
    forward: str, init: str, said: str
) -> None:
    with pytest.raises(ProblemFault, match=said):
        reference(forward, "[torch.randn(8, 16)]", init)


@pytest.mark.parametrize(
    ("forward", "inputs", "who"),
    [
        ("return x.float()", "[torch.randn(8).to(torch.float8_e4m3fn)]", "get_inputs"),
        ("return x.to(torch.float8_e5m2)", "[torch.randn(8)]", "Model.forward"),
    ],
)
def test_types_without_arithmetic_are_refused_with_what_to_do(
    forward: str, inputs: str, who: str
) -> None:
    with pytest.raises(ProblemFault, match=rf"{who}.*float8.*hand over bfloat16"):
        reference(forward, inputs)


def test_shapes_that_depend_on_values_are_refused() -> None:
    with pytest.raises(ProblemFault, match="masks instead of boolean indexing"):
        house("return x[x > 0]", "[torch.randn(500)]")


# --- what was not judged once, and is -------------------------------------------------------------


def test_inputs_outside_of_a_references_domain_are_left_out() -> None:
    found = house("return F.binary_cross_entropy(x, x.flip(0))", "[torch.rand(64, 64)]")

    assert "shifted by five" in found.fitness.dropped
    assert "a thousandth" in found.fitness.cases
    for _ in range(20):
        found.changed(found.question(cases.NOMINAL))


def test_results_that_are_infinite_by_design_leave_every_kind_of_input() -> None:
    found = house(
        "return x.masked_fill(given[1], -torch.inf)",
        "[torch.randn(8, 16), torch.rand(8, 16) > 0.5]",
    )

    assert not found.fitness.dropped


def test_an_answer_that_overflows_its_type_is_held_against_nobody() -> None:
    found = house("return torch.cumprod(3 + x, 1)", "[torch.rand(8, 64)]")

    assert "ten times larger" in found.fitness.dropped


def test_what_looks_at_values_is_counted_all_the_same() -> None:
    looks = reference("n = int(x.abs().sum().item())\n        return x * min(n, 3)")

    assert work.count(looks, looks.draw(seed=1)).bytes_needed == 2 * 8 * 16 * 4


@pytest.mark.parametrize("declared", ["default", "tf32"])
def test_a_convolution_on_a_cpu_is_never_work_in_tf32(declared: str) -> None:
    source = problem("return F.conv2d(x, torch.ones(4, 3, 3, 3))", "[torch.randn(1, 3, 8, 8)]")
    convolves = Reference(source, device="cpu", seed=1, precision=declared)
    counted = work.count(convolves, convolves.draw(seed=1))

    assert [each.precision for each in counted.flops if each.matrix] == ["fp32"]


def test_counting_leaves_nothing_in_what_a_module_keeps() -> None:
    keeps = reference(
        "self.last = x * 2\n        return self.last", "[torch.randn(4)]", "self.last = None"
    )
    work.count(keeps, keeps.draw(seed=1))

    assert type(keeps.model.last) is torch.Tensor


def test_lazy_modules_have_parameters_before_anyone_is_asked() -> None:
    lazy = reference("return self.f(x)", "[torch.randn(8, 16)]", "self.f = nn.LazyLinear(4)")

    assert lazy.model.state_dict()["f.weight"].shape == (4, 16)


def test_a_mask_of_infinities_stays_one() -> None:
    found = reference(
        "return torch.where(x > 0, x, self.neg)",
        INPUT,
        "self.register_buffer('neg', torch.tensor(float('-inf')))",
    )

    assert found.model.neg == -torch.inf


def test_constructors_that_draw_elsewhere_draw_the_same_under_a_seed() -> None:
    init = "import numpy, random; self.p = numpy.random.permutation(64), random.random()"
    first, second = reference("return x", INPUT, init), reference("return x", INPUT, init)

    assert str(first.model.p) == str(second.model.p)


def test_inputs_off_by_an_element_are_held_to_what_such_inputs_allow() -> None:
    found = house("return x.exp()", "[torch.randn(64, 64)]")
    small = next(case for case in found.stresses if case.name == "a thousandth")
    question = found.changed(found.question(small))
    others = [found.draw(question.case).tensors[0] for _ in range(8)]  # limits are of such draws

    assert question.case.name == "one element changed"
    assert question.case.kind != found.changed(found.question(cases.NOMINAL)).case.kind
    assert all(int((other.abs() > 0.02).sum()) <= 1 for other in others)


def test_an_answer_is_held_to_what_its_own_inputs_allow() -> None:
    found = house("return 1 / x.sum(1)", "[torch.randn(64, 16, dtype=torch.float64)]")
    question = found.draw(cases.NOMINAL)
    usual = found.find_key(question)
    question.tensors[0][3, 0] -= question.tensors[0][3].sum() * (1 - 1e-7)  # next to nothing
    question = found._asked(cases.NOMINAL, question.tensors)
    key = found.find_key(question)
    assert key is not None
    assert usual is not None

    assert found.nearer_key(question, key).limits[0].norm > 100 * usual.limits[0].norm


def test_a_small_constant_is_moved_in_proportion() -> None:
    moved = reference(
        "return x * self.t", "[torch.randn(4)]", "self.register_buffer('t', torch.tensor(1e-5))"
    )

    assert 0.7e-5 < float(moved.model.state_dict()["t"]) < 1.3e-5


def test_a_reference_that_writes_to_its_inputs_is_asked_about_copies() -> None:
    writes = reference("return F.relu(x, inplace=True) + 1")
    given = writes.draw(seed=1)
    before = given[0].clone()
    writes.answer(given)

    assert torch.equal(given[0], before)


def test_sorted_inputs_stay_sorted() -> None:
    tensors = [torch.randn(4, 32).sort(-1).values]
    promised = cases.structure(tensors)

    for case in cases.STRESSES:
        (changed,) = cases.transform(case, tensors, promised, seed=1)
        assert bool((changed[..., 1:] >= changed[..., :-1]).all()), case.name
    assert torch.equal(cases.nearly(tensors, promised, seed=1)[0], tensors[0])


def test_of_next_to_nothing_but_zeros_the_one_that_is_none_is_changed() -> None:
    tensors = [torch.zeros(1 << 22)]
    tensors[0][12_345] = 0.5
    promised = cases.structure(tensors)

    (changed,) = cases.nearly(tensors, promised, seed=1)

    assert (changed != tensors[0]).nonzero().tolist() == [[12_345]]


# --- complex numbers, plain numbers, masks --------------------------------------------------------


def test_few_sorted_inputs_stay_sorted_and_few_that_happen_to_be_need_not() -> None:
    sorted_ = house("return torch.bucketize(x, given[1].flip(0))", EDGES)
    random = house("return x.sum() + given[1]", "[torch.randn(64), torch.randn(2)]")

    assert [s.ordered for s in sorted_._structures] == [False, True]
    assert sorted_._structures[1].falling
    for case in sorted_.stresses:
        edges = sorted_.question(case).tensors[1]
        assert bool((edges[1:] <= edges[:-1]).all()), case.name
    assert not any(s.ordered for s in random._structures)


def test_a_reference_without_an_oracle_is_not_exact_by_comparison_with_itself() -> None:
    single = house("return x.float() @ self.w.float()", INPUT, "self.w = torch.randn(16, 4)")
    product = house("return x @ given[1]", "[torch.randn(8, 16), torch.randn(16, 4)]")

    assert not single.exact_in_integers
    assert product.exact_in_integers


@pytest.mark.parametrize(
    ("forward", "init"),
    [
        ("return x @ self.b", "self.b = torch.randn(16, 32)"),  # neither parameter nor buffer
        (
            "return self.f(x.to(torch.bfloat16)).float()",
            "self.f = nn.Linear(16, 32).bfloat16()",
        ),
        # Made in forward, or kept in a list.
        (
            "h = torch.zeros(8, 16)\n        return torch.tanh(h @ self.w + x) @ self.w",
            "self.w = nn.Parameter(torch.randn(16, 16))",
        ),
        ("return x @ self.all[0]", "self.all = [torch.randn(16, 32)]"),
    ],
)
def test_an_oracle_sees_plain_tensors_and_casts_in_float64_too(forward: str, init: str) -> None:
    found = reference(forward, "[torch.randn(8, 16)]", init)
    given = found.draw(seed=3)
    exact = found.oracle(given)

    assert exact is not None
    assert exact[0].dtype == torch.float64
    off = tolerance.distance(found.answer(given)[0], exact[0])
    assert 0 < off < 1e-2


def test_a_reference_that_rounds_inside_leaves_a_candidate_as_much() -> None:
    found = house(
        "return self.f(x.to(torch.bfloat16)).float()",
        "[torch.randn(8, 16)]",
        "self.f = nn.Linear(16, 32).bfloat16()",
    )

    assert found.fitness.allowed_error is not None
    assert found.fitness.allowed_error > tolerance.NORM_FLOOR["bfloat16"]
    assert not found.fitness.weak


def test_what_takes_no_part_in_the_answer_makes_no_problem_weak() -> None:
    found = house(
        "return F.instance_norm(self.f(x))",
        "[torch.randn(2, 3, 8, 8)]",
        "self.f = nn.Conv2d(3, 4, 3); self.unused = nn.Linear(2, 2)",
    )

    assert not found.fitness.weak


def test_a_reference_that_differentiates_is_counted_without_products() -> None:
    forces = reference(
        "with torch.enable_grad():\n"
        "            y = x.detach().requires_grad_()\n"
        "            return torch.autograd.grad((y @ y.T).square().sum(), y)[0]"
    )

    assert work.count(forces, forces.draw(seed=1)).bytes_needed == 2 * 8 * 16 * 4


def test_half_of_many_numbers_is_not_all_of_them() -> None:
    loss = house("return F.mse_loss(x, given[1])", BFLOATS)
    told = house("return F.softmax(x, 1)", "[torch.randn(32, 64)]")

    rows = house(
        "return x.abs().mean(0)", "[(torch.randn(1 << 16, 16) * torch.arange(1, 17)).bfloat16()]"
    )

    assert loss.tells_no_half
    assert not loss.fitness.weak  # a part that is larger tells
    assert not told.tells_no_half
    # Each column has an answer of its own; of rows nobody misses half, but where a part is larger.
    assert rows.tells_no_half
    assert "half of the inputs not read" not in rows.fitness.blind_to
    assert "half of the batch not read" in rows.fitness.rejected


def test_what_holds_of_a_first_row_alone_is_promised_of_none() -> None:
    whole, rising, falling = torch.randn(3, 50, 20).unbind()
    whole[0] = torch.arange(20.0)
    rising[0] = rising[0].sort().values
    falling[0] = falling[0].sort(descending=True).values
    rows = [each[:1] for each in (whole, rising, falling)]
    long = torch.arange(3000.0)
    long[-1] = 0.5

    assert cases.structure([whole, rising, falling, long]) == (cases.Structure(),) * 4
    assert cases.structure(rows) == (
        cases.Structure(labels=True),
        cases.Structure(ordered=True),
        cases.Structure(ordered=True, falling=True),
    )
    assert cases.structure([long.sort().values]) == (cases.Structure(ordered=True),)


@pytest.mark.parametrize("shape", [(64,), (8, 16), (2, 3, 4, 5), (1, 7)])
def test_a_part_of_one_input_is_larger_and_nothing_else(shape: tuple[int, ...]) -> None:
    tensors = [torch.randn(shape), torch.randn(shape), torch.arange(9.0)]
    promised = cases.structure(tensors)
    parts = set()
    for seed in range(40):
        new = cases.transform(cases.PARTLY, tensors, promised, seed=seed)
        changed = [number for number in range(3) if not torch.equal(new[number], tensors[number])]
        assert len(changed) == 1
        number = changed[0]
        off = new[number] != tensors[number]
        assert number != 2  # labels stay as they are
        assert 0 < int(off.sum()) < off.numel()
        assert torch.equal(new[number][off], tensors[number][off] * cases.PART_FACTOR)
        parts.add(tuple(off.flatten().tolist()))
    assert len(parts) > 5


@pytest.mark.parametrize("shape", [(64,), (8, 16), (2, 4, 6, 8)])
def test_no_half_of_an_input_is_left_out_by_luck(shape: tuple[int, ...]) -> None:
    tensors = [torch.randn(shape), torch.arange(9.0), torch.randn(shape).bfloat16()]
    promised = cases.structure(tensors)
    asked = cases.parts_apart(len(cases.free(tensors, promised)))

    assert len(set(asked)) == len(asked)
    for number in (0, 2):
        larger = []
        for case in asked:
            new = cases.transform(case, tensors, promised, seed=1)
            assert torch.equal(new[1], tensors[1])  # labels stay as they are
            larger.append((case, new[number] != tensors[number]))
        single = [off for case, off in larger if case.name == cases.OUTWEIGHED.name and off.any()]
        assert [int(off.sum()) for off in single] == [1] * 6
        for dim, size in enumerate(shape):
            for first in (0, size // 2):
                assert sum(int(off.narrow(dim, first, size // 2).any()) for off in single) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.complex64])
def test_one_element_outweighs_all_others_and_is_finite(dtype: torch.dtype) -> None:
    tensors = [torch.randn(64, 512, dtype=dtype)]
    promised = cases.structure(tensors)
    for case in cases.parts_apart(len(cases.free(tensors, promised))):
        (new,) = cases.transform(case, tensors, promised, seed=1)
        assert bool(torch.isfinite(new).all())
        if case.name == cases.OUTWEIGHED.name:
            off = new != tensors[0]
            others = tensors[0].abs().double().square().sum()
            assert float(new[off].abs().double().square()) > 0.9 * float(others)


def test_complex_results_need_not_be_exact_and_may_not_be_wrong() -> None:
    exact = torch.randn(16, 64, dtype=torch.complex128)
    native = exact.to(torch.complex64)
    allowed = tolerance.limits(native, exact)

    assert tolerance.compare(native, exact, allowed).reason is None
    assert tolerance.compare(native * (1 + 1e-6j), exact, allowed).reason is None
    assert tolerance.compare(native * (1 + 1e-3j), exact, allowed).reason is not None
    assert tolerance.compare(native.conj(), exact, allowed).reason is not None


def test_a_plain_number_is_as_good_as_the_tensor_it_came_from() -> None:
    found = house("return x.square().mean().item()")
    question = found.draw(cases.NOMINAL)
    key = found.find_key(question)

    assert key is not None
    assert key.limits[0].norm >= tolerance.NORM_FLOOR["float32"]


def test_a_mask_must_be_exact() -> None:
    exact = torch.arange(32) < 9
    allowed = tolerance.limits(exact, exact)

    assert tolerance.compare(exact.clone(), exact, allowed).reason is None
    assert tolerance.compare(torch.arange(32) < 10, exact, allowed).reason is not None


# --- answers that jump ----------------------------------------------------------------------------

ROUNDED = "return torch.round(x * 10).to(torch.int32)"


def _jump(found: House, change: int, *, at_a_tie: bool) -> bool:
    """Whether a result may stand that is off by ``change``, where a quotient is a tie or none."""
    question = found.draw(cases.NOMINAL)
    value = 0.25 if at_a_tie else 0.23
    question.tensors[0][3, 5] = value * (1 + 1e-7)
    question = found._asked(cases.NOMINAL, question.tensors)
    key = found.find_key(question)
    assert key is not None
    got = question.expected[0].clone()
    got[3, 5] += change
    return found.may_stand(question, 0, got, key)


def test_where_rounding_breaks_a_tie_it_may_break_either_way() -> None:
    found = house(ROUNDED, "[torch.randn(64, 64)]")
    exact = 3 if round(0.25 * (1 + 1e-7) * 10) == 3 else 2

    assert _jump(found, 2 + 3 - 2 * exact, at_a_tie=True)


def test_elsewhere_it_may_not_nor_by_more() -> None:
    found = house(ROUNDED, "[torch.randn(64, 64)]")

    assert not _jump(found, 1, at_a_tie=False)
    assert not _jump(found, 7, at_a_tie=True)


def test_where_one_quantum_flips_a_row_of_products_may_follow_it() -> None:
    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(1)).double()
    quanta = torch.arange(64 * 16).view(64, 16) % 127.0
    flipped = quanta.clone()
    flipped[7, 3] += 1
    exact, got = quanta.double() @ weight, (flipped.double() @ weight).float()
    wrong = (quanta.double() @ weight * (1 + 0.02 * (torch.arange(64) == 9)[:, None])).float()
    allowed = tolerance.limits(exact.float(), exact)

    assert unsteady.may_stand(got, exact, exact.float(), allowed, moved=got.double)
    assert not unsteady.may_stand(wrong, exact, exact.float(), allowed, moved=got.double)


def test_many_elements_are_no_matter_of_rounding() -> None:
    exact = torch.arange(64 * 64, dtype=torch.int32).view(64, 64)
    got = exact + 1
    nothing = tolerance.limits(exact, exact)

    assert not unsteady.may_stand(got, exact, exact, nothing, moved=lambda: got)


# --- parameters and results -----------------------------------------------------------------------


def test_a_candidate_may_keep_buffers_of_its_own_and_leave_out_counters() -> None:
    judged = nn.BatchNorm1d(4)
    state = {name: value + 1 for name, value in judged.state_dict().items()}
    own = nn.BatchNorm1d(4)
    del own.num_batches_tracked
    own.num_batches_tracked = None
    own.register_buffer("scratch", torch.zeros(9))

    assert stub._set_state(own, state)[0] == "by name"
    assert torch.equal(own.weight, state["weight"])


class _Fused(nn.Module):
    """Keeps in one what the reference has in two, and loads them by a hook: torch's own idiom."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Linear(4, 8)
        self.register_load_state_dict_pre_hook(self._fuse)  # type: ignore[no-untyped-call]

    @staticmethod
    def _fuse(_: object, state: dict[str, torch.Tensor], prefix: str, *_more: object) -> None:
        for name in ("weight", "bias"):
            parts = [state.pop(f"{prefix}{part}.{name}") for part in "ab"]
            state[f"{prefix}both.{name}"] = torch.cat(parts)


def test_a_candidate_that_fuses_parameters_by_a_hook_is_given_them() -> None:
    state = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}).state_dict()
    own = _Fused()

    assert stub._set_state(own, state)[0] == "by name"
    assert torch.equal(own.both.weight[4:], state["b.weight"])


def test_a_candidate_may_rename_parameters_beside_buffers_of_its_own() -> None:
    state = nn.Linear(4, 3).state_dict()
    own = nn.Sequential(nn.Linear(4, 3))
    own.register_buffer("scratch", torch.zeros(9))

    assert stub._set_state(own, state)[0] == "by order"
    assert torch.equal(own.get_parameter("0.weight"), state["weight"])


def test_the_keys_of_a_result_need_not_be_comparable() -> None:
    assert len(stub.harvest({1: torch.ones(2), "a": torch.zeros(3)})) == 2


def test_a_candidate_that_leaves_out_a_parameter_is_not_given_the_others_by_name() -> None:
    state = nn.Linear(4, 4).state_dict()

    assert stub._set_state(nn.Linear(4, 4, bias=False), state)[0] == "seeded"


def test_results_are_described_as_one_would_write_them() -> None:
    tree: Any = {"dict": {"a": {"t": 0}, "b": [{"t": 1}, None]}}

    assert (
        wire.described(tree, ["float32[2]", "bool[]"]) == "{'a': float32[2], 'b': [bool[], None]}"
    )
