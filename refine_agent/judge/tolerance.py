"""How near an answer must come, and what to say when it does not.

Limits derive from the reference's own error against float64, norm-wise over all elements and over
each row, and element-wise; NaN is never a wildcard. Where the reference's error comes from is
``reference``'s business.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

# An honest kernel sums in another order and may use faster intrinsics; TF32 or half-precision
# inputs err 1000 times more (norm-wise, randn: fp32 3e-7, TF32 and fp16 inputs 2.9e-4, bf16 inputs
# 2.4e-3). The floors lie between the two.
NORM_FLOOR = {
    "float64": 1e-12,
    "float32": 1e-5,
    "float16": 6e-4,
    "bfloat16": 4e-3,
    "float8_e4m3fn": 6e-2,
    "float8_e5m2": 1.2e-1,
}
# How many times the reference's own error a candidate may make, and how many times what nudging
# the inputs by two units in the last place of float32 does to the exact answer: where sums cancel,
# an honest kernel that adds in another order moves that far.
SLACK, SENSITIVITY_SLACK = 4.0, 64.0
# Rows have fewer elements to average over than the whole, single elements none.
ROW_SLACK, ELEMENT_SLACK = 8.0, 16.0
# Exact integers through a linear operator: what float32 rounds in any order is none of it, and a
# split into three TF32 products or a Winograd transform stays below.
EXACT_NORM = 2e-6
# A row is the last dimension, if there are enough elements in it for a norm to mean something.
MIN_ROW = 8
# Keeps a division by the norm of zeros defined without being felt anywhere else.
TINY = 1e-300
# Bytes of differences at a time: with what they are between they stay in a CPU's last cache (of two
# MB and of less, waking the other cores for each operation took longer than the memory does), and
# on a GPU a launch each costs nothing beside the rest.
CHUNK = {"cpu": 8 << 20, "cuda": 256 << 20}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is allowed on one case, per output."""

    norm: float
    row: float
    element: float  # of the output's root mean square plus the element itself
    all_finite: bool = True  # the reference's answer and the exact one; otherwise look closer


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """How one answer differs from what was expected."""

    error: float
    allowed: float
    reason: str | None = None  # None: it is right
    where: str | None = None
    map: str | None = None


class _Errors(msgspec.Struct, frozen=True, kw_only=True):
    norm: float
    row: float
    element: float  # at most this: the largest error by itself, of the root mean square
    rms: float
    wrong_finiteness: int
    all_finite: bool


class _Peak(msgspec.Struct, frozen=True, kw_only=True):
    """The element whose error is the largest for its size, and how large."""

    error: float
    at: int


def limits(
    native: torch.Tensor,
    exact: torch.Tensor,
    *,
    sensitivity: float = 0.0,
    given: float | None = None,
    floor: float | None = None,
) -> Limits:
    """Derive the limits of one output from the reference's own error against float64.

    ``sensitivity`` is the relative change of the exact output under ``cases.nudged`` inputs;
    ``given`` is a problem's own norm-wise bound, ``floor`` another type's than the output's.
    """
    native, exact = as_real(native), as_real(exact)
    if not native.is_floating_point():
        return Limits(norm=0.0, row=0.0, element=0.0)
    floor = floor or floor_of(native)
    own = _errors(native, exact)
    norm = max(floor, SLACK * own.norm, SENSITIVITY_SLACK * sensitivity)
    if given is not None:
        norm = given
    # Elements are looked at one by one only where that can make a difference.
    element = own.element if own.element <= norm else _peak(native, exact, own.rms).error
    return Limits(
        norm=norm,
        row=ROW_SLACK * max(norm, own.row),
        element=ELEMENT_SLACK * max(norm, element),
        all_finite=own.all_finite,
    )


def floor_of(tensor: torch.Tensor) -> float:
    """Return the least norm-wise limit on a tensor of this type; a complex one has two parts."""
    kind = tensor.dtype.to_real() if tensor.is_complex() else tensor.dtype
    return NORM_FLOOR.get(str(kind).removeprefix("torch."), 0.0)


def as_real(tensor: torch.Tensor) -> torch.Tensor:
    """Return a complex tensor's parts side by side in its last dimension; others as they are."""
    if not tensor.is_complex():
        return tensor
    parts = torch.view_as_real(tensor.resolve_conj())
    return parts.flatten(-2) if tensor.dim() else parts


def limits_of_integers() -> Limits:
    """Return the limits where the reference itself is exact."""
    return Limits(norm=EXACT_NORM, row=ROW_SLACK * EXACT_NORM, element=ELEMENT_SLACK * EXACT_NORM)


def distance(got: torch.Tensor, exact: torch.Tensor) -> float:
    """Return the norm-wise relative distance, in float64."""
    return _errors(as_real(got), as_real(exact)).norm


def overflows(native: torch.Tensor, exact: torch.Tensor) -> bool:
    """Whether the type of an output is too narrow for the answer: it is infinite only there."""
    if not as_real(native).is_floating_point() or (is_finite(native) and is_finite(exact)):
        return False
    return not torch.equal(torch.isfinite(as_real(native)), torch.isfinite(as_real(exact)))


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether no element is NaN or infinite; a norm tells, unless squares overflow."""
    tensor = as_real(tensor)
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if math.isfinite(float(torch.linalg.vector_norm(tensor))):
        return True
    return bool(torch.isfinite(tensor).all())


def same_bytes(left: torch.Tensor, given: torch.Tensor) -> bool:
    """Whether two tensors of one type hold the same, of which a NaN is one as well."""
    if not left.numel():
        return True
    ours, theirs = left.reshape(-1).view(torch.uint8), given.reshape(-1).view(torch.uint8)
    if ours.storage_offset() % 8 or theirs.storage_offset() % 8:
        return torch.equal(ours, theirs)
    # Eight at a time: torch compares elements one by one, however small they are.
    whole = ours.numel() // 8 * 8
    return torch.equal(
        ours[:whole].view(torch.int64), theirs[:whole].view(torch.int64)
    ) and torch.equal(ours[whole:], theirs[whole:])


def compare(
    got: torch.Tensor, exact: torch.Tensor, allowed: Limits, *, detail: bool = True
) -> Finding:
    """Compare one output with what was expected; shapes and dtypes have been checked."""
    if got.is_complex():
        return compare(as_real(got), as_real(exact), allowed, detail=detail)
    if not got.is_floating_point():
        return _compare_exactly(got, exact)
    errors = _errors(got, exact)
    reason = _reason(errors, allowed)
    if reason is None and not errors.element <= allowed.element:
        reason = _off(_peak(got, exact, errors.rms), allowed)
    if reason is None or not detail:
        return Finding(error=errors.norm, allowed=allowed.norm, reason=reason)
    return Finding(
        error=errors.norm,
        allowed=allowed.norm,
        reason=reason,
        where=_element(got, exact, _peak(got, exact, errors.rms).at),
        map=error_map(got, exact),
    )


def _reason(errors: _Errors, allowed: Limits) -> str | None:
    if errors.wrong_finiteness:
        return (
            f"{errors.wrong_finiteness:,} elements are NaN or infinite where the reference is not, "
            "or the other way round"
        )
    if not errors.norm <= allowed.norm:
        return f"norm-wise error {errors.norm:.2e}, allowed {allowed.norm:.2e}"
    if not errors.row <= allowed.row:
        return f"error {errors.row:.2e} within one row, allowed {allowed.row:.2e}"
    return None


def _off(peak: _Peak, allowed: Limits) -> str | None:
    if peak.error <= allowed.element:
        return None
    return (
        f"one element is off by {peak.error:.2e} of its size plus the output's RMS, "
        f"allowed {allowed.element:.2e}"
    )


def _compare_exactly(got: torch.Tensor, exact: torch.Tensor) -> Finding:
    different = got != exact.to(got.dtype)
    count = int(different.sum())
    if count == 0:
        return Finding(error=0.0, allowed=0.0)
    worst = int(different.flatten().to(torch.uint8).argmax())
    return Finding(
        error=count / max(1, got.numel()),
        allowed=0.0,
        reason=f"{count:,} of {got.numel():,} elements differ (integers must be exact)",
        where=_element(got, exact, worst),
        map=error_map(got, exact),
    )


def _errors(got: torch.Tensor, exact: torch.Tensor) -> _Errors:
    """Measure the distance in float64, in one pass, a chunk of whole rows at a time."""
    if got.numel() == 0:
        return _Errors(norm=0.0, row=0.0, element=0.0, rms=0.0, wrong_finiteness=0, all_finite=True)
    largest, wrong, spared, all_finite = 0.0, 0, 0.0, True
    row_norms: list[torch.Tensor] = []
    row_errors: list[torch.Tensor] = []
    for error, a, b in _chunks(got, exact):
        low, high = torch.aminmax(error)
        peak, wanted = max(-float(low), float(high)), b if b.is_floating_point() else b.double()
        if not math.isfinite(peak):  # some element of either is NaN or infinite
            all_finite = False
            same = (a == b) | (a.isnan() & b.isnan())
            keep = torch.isfinite(a) & torch.isfinite(b)
            wrong += int((~keep & ~same).sum())
            spared += float((torch.where(torch.isfinite(b) & ~keep, b, 0.0).double() ** 2).sum())
            error.masked_fill_(~keep, 0.0)
            wanted = torch.where(keep, b, 0.0)
            peak = float(error.abs().max())
        largest = max(largest, peak)
        row_errors.append(torch.linalg.vector_norm(error, dim=1))
        row_norms.append(torch.linalg.vector_norm(wanted, dim=1, dtype=torch.float64))
    norms, errors = torch.cat(row_norms), torch.cat(row_errors)
    sum_error, sum_exact = float((errors**2).sum()), float((norms**2).sum())
    whole = math.sqrt(sum_exact)
    rms = math.sqrt((sum_exact + spared) / got.numel())
    row_worst = 0.0
    if has_rows(got):
        row_worst = float(_for_their_size(errors, norms).max())
    return _Errors(
        norm=math.sqrt(sum_error) / whole if whole else math.sqrt(sum_error),
        row=row_worst,
        element=largest / (rms + TINY),
        rms=rms,
        wrong_finiteness=wrong,
        all_finite=all_finite,
    )


def row_errors(error: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """Return the error of every row, in a dimension of one element at the end."""
    norms = torch.linalg.vector_norm(size, dim=-1, keepdim=True)
    return _for_their_size(torch.linalg.vector_norm(error, dim=-1, keepdim=True), norms)


def _for_their_size(errors: torch.Tensor, norms: torch.Tensor) -> torch.Tensor:
    """Relate errors of rows to the rows, one that is next to nothing to a hundredth of the rest."""
    typical = torch.linalg.vector_norm(norms) / math.sqrt(norms.numel())
    related: torch.Tensor = errors / (norms + 1e-2 * typical + TINY)
    return related


def _peak(got: torch.Tensor, exact: torch.Tensor, rms: float) -> _Peak:
    """Find the element that is off by most: a large one may be off by a rounding of its own size.

    A small one may be off by a rounding of the rest.
    """
    largest, at, first = -1.0, 0, 0
    for error, a, b in _chunks(got, exact):
        if not math.isfinite(float(torch.linalg.vector_norm(error))):
            error.masked_fill_(~(torch.isfinite(a) & torch.isfinite(b)), 0.0)
        size = b.to(torch.float64, copy=True).abs_().nan_to_num_(nan=0.0, posinf=0.0)
        error.abs_().div_(size.add_(rms + TINY))
        peak = float(error.max())
        if peak > largest:
            largest, at = peak, first + int(error.argmax())
        first += error.numel()
    return _Peak(error=largest, at=at)


def has_rows(tensor: torch.Tensor) -> bool:
    """Whether there are several rows, each with enough elements for a norm to mean something."""
    return tensor.dim() > 1 and MIN_ROW <= tensor.shape[-1] < tensor.numel()


class _Chunk(NamedTuple):
    error: torch.Tensor  # got less exact in float64; overwritten by the next chunk
    got: torch.Tensor
    exact: torch.Tensor


def _chunks(got: torch.Tensor, exact: torch.Tensor) -> Iterator[_Chunk]:
    """Yield what is off in float64, and of what."""
    for a, b, memory in _pieces(got, exact, torch.float64):
        yield _Chunk(memory.copy_(a).sub_(b), a, b)


def _pieces(
    got: torch.Tensor, wanted: torch.Tensor, kind: torch.dtype
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield whole rows, as many as fit a cache; where no row is looked at, a cacheful as one.

    With them comes memory for as many elements, which the next ones overwrite.
    """
    size = CHUNK[got.device.type] // kind.itemsize
    width = got.shape[-1] if has_rows(got) else min(size, got.numel())
    step = max(1, size // width) * width
    flat_got, flat_wanted = got.reshape(-1), wanted.reshape(-1)
    memory = torch.empty(min(step, got.numel()), dtype=kind, device=got.device)
    for first in range(0, got.numel(), step):
        a, b = flat_got[first : first + step], flat_wanted[first : first + step]
        shape = (-1, min(width, a.numel()))
        yield a.view(shape), b.view(shape), memory[: a.numel()].view(shape)


def _element(got: torch.Tensor, exact: torch.Tensor, flat: int) -> str:
    index: list[int] = []
    rest = flat
    for extent in reversed(got.shape):
        index.append(rest % extent)
        rest //= extent
    at = ", ".join(map(str, reversed(index)))
    a, b = got.reshape(-1)[flat].item(), exact.reshape(-1)[flat].item()
    return f"[{at}]: got {a:.9g}, wanted {b:.9g}"


# --- a picture of the error -----------------------------------------------------------------------

_SHADES = " .:-=+*#%@"
_MAP_ROWS, _MAP_COLUMNS = 12, 48


def error_map(got: torch.Tensor, exact: torch.Tensor) -> str:
    """Return the error by tile: rows down, last dimension across, darkest where it is largest."""
    width = got.shape[-1] if got.dim() else 1
    a, b = got.reshape(-1, width), exact.reshape(-1, width)
    rows = _edges(a.shape[0], _MAP_ROWS)
    columns = _edges(width, _MAP_COLUMNS)
    scale = float(b.double().abs().mean()) or 1.0
    lines = []
    for top, bottom in pairwise(rows):
        band = (a[top:bottom].double() - b[top:bottom].double()).abs()
        band = torch.nan_to_num(band, nan=math.inf, posinf=math.inf).amax(dim=0)
        cells = [float(band[left:right].max()) / scale for left, right in pairwise(columns)]
        lines.append("".join(map(_shade, cells)))
    legend = "error by tile (rows down, last dimension across; @ = 100 % of the mean, blank < 1e-6)"
    return "\n".join([legend, *(f"|{line}|" for line in lines)])


def _edges(extent: int, parts: int) -> list[int]:
    parts = min(parts, extent)
    return [extent * i // parts for i in range(parts + 1)]


def _shade(error: float) -> str:
    if error < 1e-6:  # noqa: PLR2004 - the legend says so
        return " "
    if not math.isfinite(error):
        return "@"
    step = int((math.log10(error) + 6) / 6 * (len(_SHADES) - 1))
    return _SHADES[max(1, min(len(_SHADES) - 1, step))]


# --- a quick look ---------------------------------------------------------------------------------

# Elements are held against the root mean square here, which few of an honest answer's exceed much.
_QUICK_ELEMENT_SLACK = 8.0
# The reference is as near to the exact answer as a part of the limits (one over SLACK); what is as
# near to the reference as the rest of them is within them itself.
_QUICK_PART = 1 - 1 / SLACK
# Of what is much smaller there is no square in its type.
_LEAST_SQUARED = {
    kind: 64 * torch.finfo(kind).tiny ** 0.5 for kind in (torch.float32, torch.float64)
}


def near(got: torch.Tensor, native: torch.Tensor, *, given: float | None = None) -> bool:
    """Look at every element quickly: is this within ``limits``, whatever they are?

    It is held against the reference at its own precision, as a whole, by row and by element, so
    nobody needs to know the exact answer to pass it; what it does not pass is to be compared. An
    infinity in the answer, or a square that is one, would allow everything, and so would squares
    that are zeros: they pass nothing. ``given`` is a problem's own bound, of which nobody knows
    whether the reference itself keeps to it.
    """
    if got.numel() == 0:
        return True
    got, native = as_real(got), as_real(native)
    if not got.is_floating_point():
        return torch.equal(got, native)
    floor = _QUICK_PART * min(floor_of(native), math.inf if given is None else given)
    peaks: list[torch.Tensor] = []
    row_errors: list[torch.Tensor] = []
    row_norms: list[torch.Tensor] = []
    for off, wanted in _quick_chunks(got, native):
        peaks.extend(torch.aminmax(off))
        row_errors.append(torch.linalg.vector_norm(off, dim=1))
        row_norms.append(torch.linalg.vector_norm(wanted, dim=1, dtype=off.dtype))
    errors, norms = torch.cat(row_errors).double(), torch.cat(row_norms).double()
    allowed = floor * float(torch.linalg.vector_norm(norms))
    typical, peak = allowed / native.numel() ** 0.5, float(torch.stack(peaks).abs().max())
    if not math.isfinite(allowed) or not peak <= _QUICK_ELEMENT_SLACK * typical:
        return False
    if peak and typical < _LEAST_SQUARED[row_errors[0].dtype]:
        return False
    if not float(torch.linalg.vector_norm(errors)) <= allowed:
        return False
    return not has_rows(got) or float(_for_their_size(errors, norms).max()) <= ROW_SLACK * floor


def _quick_chunks(
    got: torch.Tensor, native: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield what is off, no wider than has to be, and what it is held against, as ``_chunks``."""
    wide = torch.float64 if got.dtype == torch.float64 else torch.float32
    for a, b, memory in _pieces(got, native, wide):
        if a.dtype == b.dtype == wide:
            yield torch.sub(a, b, out=memory), b
        else:
            yield memory.copy_(a).sub_(b), b
