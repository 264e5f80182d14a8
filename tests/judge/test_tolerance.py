"""How near an answer must come: by the reference's own error, and nothing is a wildcard."""

import pytest
import torch

from refine_agent.judge.tolerance import CHUNK, Limits, compare, error_map, is_finite, limits, near

torch.manual_seed(0)
AT_ONCE = CHUNK["cpu"] // 8  # elements in float64
A = torch.randn(96, 512, dtype=torch.float64)
B = torch.randn(512, 128, dtype=torch.float64)
EXACT = A.float().double() @ B.float().double()
NATIVE = A.float() @ B.float()
ALLOWED = limits(NATIVE, EXACT)


def verdict(got: torch.Tensor, allowed: Limits = ALLOWED) -> str | None:
    return compare(got, EXACT, allowed).reason


def test_the_reference_itself_is_right() -> None:
    assert verdict(NATIVE) is None


def test_another_order_of_summation_is_right() -> None:
    halves = A[:, :256].float() @ B[:256].float() + A[:, 256:].float() @ B[256:].float()

    assert verdict(halves) is None


def test_inputs_rounded_to_half_precision_are_not() -> None:
    rounded = A.half().float() @ B.half().float()

    assert "norm-wise" in (verdict(rounded) or "")


def test_one_row_left_unwritten_is_seen() -> None:
    spoiled = NATIVE.clone()
    spoiled[-1] = 0

    assert verdict(spoiled) is not None


def test_one_element_off_is_seen_and_named() -> None:
    spoiled = NATIVE.clone()
    spoiled[40, 7] += 0.5

    found = compare(spoiled, EXACT, ALLOWED)

    assert found.reason is not None
    assert found.where is not None
    assert found.where.startswith("[40, 7]")


def test_nan_is_never_a_wildcard() -> None:
    spoiled = NATIVE.clone()
    spoiled[3, 3] = float("nan")

    assert "NaN or infinite" in (verdict(spoiled) or "")


def test_nan_is_right_exactly_where_the_reference_has_it() -> None:
    exact, native = EXACT.clone(), NATIVE.clone()
    exact[0, 0] = native[0, 0] = float("nan")
    allowed = limits(native, exact)

    assert compare(native, exact, allowed).reason is None
    assert compare(NATIVE, exact, allowed).reason is not None


def test_a_large_element_may_be_off_by_a_rounding_of_its_own_size() -> None:
    exact = torch.ones(64, 64, dtype=torch.float64)
    exact[5, 5] = 1e4
    got = exact.float()
    got[5, 5] += 0.01  # ten units in the last place of 1e4

    assert compare(got, exact, limits(exact.float(), exact)).reason is None


def test_integers_must_be_exact() -> None:
    exact = torch.arange(12).reshape(3, 4)
    wrong = exact.clone()
    wrong[2, 1] += 1

    assert compare(exact, exact, ALLOWED).reason is None
    assert "1 of 12 elements differ" in (compare(wrong, exact, ALLOWED).reason or "")


def test_comparing_leaves_both_sides_as_they_were() -> None:
    got, exact = NATIVE.clone(), EXACT.clone()

    compare(got, exact, ALLOWED)

    assert torch.equal(got, NATIVE)
    assert torch.equal(exact, EXACT)


def test_the_error_map_is_dark_where_the_error_is() -> None:
    spoiled = NATIVE.clone()
    spoiled[:8, :8] = 0

    rows = error_map(spoiled, EXACT).splitlines()[1:]

    assert rows[0][1] in "%@"
    assert not set(rows[-1]) & set("*#%@")


@pytest.mark.parametrize("at", [0, AT_ONCE - 1, AT_ONCE, 2 * AT_ONCE + 4])
def test_one_element_off_is_named_wherever_a_large_tensor_is_cut(at: int) -> None:
    exact = torch.ones(2 * AT_ONCE + 5, dtype=torch.float64)
    got = exact.float()
    allowed = limits(got, exact)
    got[at] = 1.01

    found = compare(got, exact, allowed)

    assert found.where is not None
    assert found.where.startswith(f"[{at}]")
    assert not near(got, exact.float())


def test_a_row_is_measured_by_itself_however_many_there_are() -> None:
    exact = torch.ones(3000, 400, dtype=torch.float64)
    got = exact.float()
    allowed = limits(got, exact)
    got[2500] += 3e-4  # of the whole, a fiftieth of that

    assert "within one row" in (compare(got, exact, allowed).reason or "")


def test_a_quick_look_passes_only_what_is_within_the_limits() -> None:
    assert near(NATIVE, EXACT.float())
    assert not near(A.half().float() @ B.half().float(), EXACT.float())
    spoiled = NATIVE.clone()
    spoiled[3, 3] = float("nan")
    assert not near(spoiled, EXACT.float())


def test_a_quick_look_weighs_a_few_elements_that_are_off_with_all_the_others() -> None:
    typical = 1e-5  # of float32, where all elements are 1
    wanted = torch.ones(2 * AT_ONCE + 1000)
    a_few, all_of_them, far = wanted.clone(), wanted + 2 * typical, wanted.clone()
    a_few[-1] += 4 * typical
    far[-1] += 9 * typical

    assert near(wanted + 0.5 * typical, wanted)
    assert near(a_few, wanted)
    assert not near(all_of_them, wanted)
    assert not near(far, wanted)


def test_a_quick_look_is_as_strict_as_the_problem_itself() -> None:
    wanted = torch.randn(64, 512)

    assert near(wanted * (1 + 7e-6), wanted)
    assert not near(wanted * (1 + 7e-6), wanted, given=1e-6)
    assert near(wanted, wanted, given=1e-6)
    assert not near(wanted * (1 + 7e-5), wanted, given=1e-2)


@pytest.mark.parametrize("size", [1e-17, 3e-19, 1e-22])
def test_a_quick_look_passes_nothing_whose_squares_are_zeros(size: float) -> None:
    wanted = size * torch.ones(64, 512)

    assert near(wanted, wanted)
    assert not near(wanted * (1 + 5e-5), wanted)


def test_a_quick_look_weighs_every_row_by_itself() -> None:
    wanted = torch.ones(3000, 400)
    wanted[7] = 1e-2
    off = wanted.clone()
    off[7] += 2e-5  # two typical errors of all elements, and a five hundredth of its own

    assert near(wanted * (1 + 0.5e-5), wanted)
    assert not near(off, wanted)


@pytest.mark.parametrize("own", [1e-7, 3e-6, 1e-4])
@pytest.mark.parametrize("shape", [(64, 512), (512, 4), (4096,)])
def test_what_passes_a_quick_look_is_within_limits_that_nobody_knew(
    own: float, shape: tuple[int, ...]
) -> None:
    exact = torch.randn(shape, dtype=torch.float64) * torch.rand(shape[0], *[1] * (len(shape) - 1))
    native = (exact + own * exact.std() * torch.randn(shape)).float()
    allowed = limits(native, exact)
    passed = 0
    for size in torch.logspace(-7, -4, 60):
        for kind in (torch.randn(shape), torch.ones(shape), native - exact.float()):
            off = native + kind * (size * float(native.std()) / float(kind.std().nan_to_num() + 1))
            if near(off, native):
                passed += 1
                assert compare(off, exact, allowed).reason is None
    assert passed > 60


@pytest.mark.parametrize("large", [-torch.inf, 1e25])
def test_a_quick_look_passes_nothing_where_a_norm_is_infinite(large: float) -> None:
    wanted = torch.randn(64, 64)
    wanted[3, 5] = large

    assert not near(torch.zeros(64, 64), wanted)


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_limits_tell_whether_every_answer_they_are_derived_from_is_finite(value: float) -> None:
    exact = torch.ones(3, 400, dtype=torch.float64)
    native, spoiled = exact.float(), exact.clone()
    spoiled[2, 7] = value

    assert limits(native, exact).all_finite
    assert not limits(native, spoiled).all_finite
    assert not limits(spoiled.float(), exact).all_finite
    assert not limits(spoiled.float(), spoiled).all_finite


def test_large_values_are_finite_and_their_squares_need_not_be() -> None:
    assert is_finite(torch.full((9,), 1e200, dtype=torch.float64))
    assert not is_finite(torch.tensor([1.0, float("inf")], dtype=torch.float64))
    assert not is_finite(torch.tensor([1.0, float("nan")]))


def test_outputs_of_whole_numbers_have_limits_too() -> None:
    whole = torch.arange(-5, 5).view(2, 5)

    assert compare(whole, whole, limits(whole, whole)).reason is None
    assert compare(whole + 1, whole, limits(whole, whole)).reason is not None
    assert compare(whole + 1, whole, limits(whole + 1, whole)).reason is not None
