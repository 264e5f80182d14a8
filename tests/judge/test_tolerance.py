"""How near an answer must come: by the reference's own error, and nothing is a wildcard."""

import torch

from refine_agent.judge.tolerance import Limits, compare, error_map, limits

torch.manual_seed(0)
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
