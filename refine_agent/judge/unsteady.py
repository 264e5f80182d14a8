"""Answers that jump: a rounded quotient, the nearest of many, a mask, a rank, a route.

It owns whether a few elements that are off may stand, because the problem itself, asked about
inputs and parameters that differ by no more than sums may, answers what the candidate did; how near
every other element must come is ``tolerance``'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from refine_agent.judge import cases, tolerance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from refine_agent.judge.tolerance import Limits

# So many answers to nudged inputs are looked at: a tie breaks either way in one of two.
DRAWS = 16
# Of an output, so much may stand at most: where a kernel is at odds with the reference more often,
# it computes something else. One row, because a token that takes another route takes all of it.
MOST_PART, NATIVE_SLACK = 1e-4, 4


def may_stand(
    got: torch.Tensor,
    exact: torch.Tensor,
    native: torch.Tensor,
    allowed: Limits,
    *,
    moved: Callable[[], torch.Tensor | None],
) -> bool:
    """Whether what is wrong of an output is a few elements that rounding decides.

    ``moved`` returns the same output for nudged inputs, other ones each time.
    """
    got, exact, native = map(tolerance.as_real, (got, exact, native))
    wrong = _off(got, exact, allowed)
    jumps = int(_off(native, exact, allowed).sum())
    if int(wrong.sum()) > _most(got, jumps):
        return False
    open_ = wrong & _off(got, native, allowed)
    for _ in range(DRAWS):
        if not bool(open_.any()):
            break
        other = moved()
        if other is None or tolerance.as_real(other).shape != got.shape:
            return False
        open_ &= _off(got, tolerance.as_real(other), allowed)
    if bool(open_.any()):
        return False
    mended = torch.where(wrong, exact.to(got.dtype), got)
    return tolerance.compare(mended, exact, allowed, detail=False).reason is None


def nudge_of(tensors: Sequence[Any]) -> float:
    """Return how far inputs of these types are moved: by what their sums may be off."""
    floors = [tolerance.floor_of(t) for t in tensors if t.is_floating_point() or t.is_complex()]
    return max([tolerance.SENSITIVITY_SLACK * cases.NUDGE, *(f for f in floors if f > SINGLE)])


SINGLE = tolerance.NORM_FLOOR["float32"]


def _most(got: torch.Tensor, jumps: int) -> int:
    row = got.shape[-1] if got.dim() > 1 else 1
    return max(1, row, int(MOST_PART * got.numel()), NATIVE_SLACK * jumps)


def _off(got: torch.Tensor, wanted: torch.Tensor, allowed: Limits) -> torch.Tensor:
    """Mark the elements that are not what is wanted, or lie in a row that is not."""
    if not got.is_floating_point():
        return got != wanted.to(got.dtype)
    a, b = got.double(), wanted.double()
    size = b.abs().nan_to_num(nan=0.0, posinf=0.0)
    rms = torch.linalg.vector_norm(size) / max(1, b.numel()) ** 0.5
    near: torch.Tensor = (a - b).abs() <= allowed.element * (size + rms)
    same = (a == b) | (a.isnan() & b.isnan())
    off = ~(near | same)
    if tolerance.has_rows(got):
        off |= tolerance.row_errors(torch.where(same, 0.0, a - b), size) > allowed.row
    return off
