"""The input distributions a candidate is checked on, and the impostors that must fail on them.

It owns how nominal inputs are transformed and which wrong answers are tried on a problem before
anyone is judged; whether an answer is right is ``tolerance``'s business.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Literal

import msgspec
import torch

from refine_agent.judge import draws, tolerance

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from refine_agent.judge.reference import Reference


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What of the inputs is larger, every place as a share (from 0 to 1) of where it could lie."""

    number: float  # which of the inputs that are numbers and no labels
    shape: Literal["block", "comb", "one"]
    # Where a block starts or an element lies, by dimension, and last how large the element is. Of a
    # comb: which dimension, how far apart its indices are, the first.
    places: tuple[float, ...]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One way of drawing inputs."""

    name: str
    transform: str
    of: Case | None = None  # whose inputs these are, but for one element
    part: Part | None = None  # the one that is larger; drawn anew where nobody says

    @property
    def kind(self) -> str:
        """What its inputs have in common: those of which one is changed, more than that."""
        return self.name if self.of is None else f"{self.name}: {self.of.name}"


NOMINAL = Case(name="nominal", transform="as drawn")
PARTLY = Case(name="a part eight times larger", transform="part")
OUTWEIGHED = Case(name="one element that outweighs the others", transform="part")
STRESSES = (
    Case(name="ten times larger", transform="x10"),
    Case(name="shifted by five", transform="+5"),
    Case(name="heavy tails", transform="lognormal"),
    Case(name="hidden outliers", transform="outliers"),
    Case(name="rows that vary little", transform="rows"),
    Case(name="a thousandth", transform="x0.001"),
    Case(name="signs reversed", transform="-x"),
    PARTLY,
)
# Where a reference is linear in inputs like these, float32 is exact in any order of summation,
# and what rounds its operands to TF32, float16 or bfloat16 is not.
INTEGERS = Case(name="exact integers", transform="integers")
# A draw with more zeros than this has them by design.
STRUCTURAL_ZEROS = 0.1
# So many numbers in a row are not sorted by chance: one draw in 3.6 million is.
LEAST_SORTED = 10
# Two in a row are sorted in every other draw, by chance; in none of so many they are not.
DRAWS_TO_BE_SURE = 24
LARGEST_INTEGER, SMALL_INTEGER, TERMS = 8191, 15, 64
# Of all values so many are outliers, but so many at least, and so many times what is typical.
OUTLIERS, FEWEST_OUTLIERS, LARGE = 1e-4, 3, 30.0
# A part that matters more than the rest: this share of an input, so many times larger, mostly a
# block and otherwise indices that lie up to so many apart. What reads some of its input to know the
# rest does not know where that part lies.
PART, PART_FACTOR, BLOCKS, MOST_APART = 1 / 32, 8.0, 0.75, 14
# Where nominal inputs do not tell half of themselves from all, so many parts of each input (of so
# many inputs at most) are asked about, spread over it. Half of its elements, whichever, leave out
# half of the single ones; a half in one piece leaves out three of six, and no luck changes that.
APART: dict[Literal["block", "comb", "one"], int] = {"one": 6, "block": 3, "comb": 1}
MOST_APART_INPUTS = 4
# Places are spread along so many dimensions; a tensor has more of them only in theory.
MOST_DIMENSIONS = 8
# Above this the reference itself has lost the answer, and nothing can be held against a candidate.
UNSOUND = 2e-2
# Of so many elements of a row, hardly any are sorted or whole by accident.
_PIECE = 1024
# Two units in the last place of float32, relative.
NUDGE = 2.0**-22
# A unit in the last place of float64, in those of float32.
DOUBLE_UNIT = 2.0**-29
_DOUBLE = (torch.float64, torch.complex128)
# What two orders of summation in float64 differ by, norm-wise, at most.
ROUNDING = 1e-9
# The norm-wise error of TF32 products of normal inputs is 2.9e-4, whatever their length.
TF32_ERROR = 2e-4


class Structure(msgspec.Struct, frozen=True, kw_only=True):
    """What a problem promises of an input, and a kernel may build on, whatever its values."""

    sparse: bool = False  # zeros stay where they are: triangular, banded, masked
    symmetric: bool = False
    ordered: bool = False  # every row ascends
    falling: bool = False  # or descends
    labels: bool = False  # whole numbers: classes, signs, masks; these stay as drawn


def structure(
    tensors: Sequence[torch.Tensor],
    again: Callable[[], Sequence[torch.Tensor]] | None = None,
) -> tuple[Structure, ...]:
    """Read the structure off a draw of the inputs; off others where one may be an accident."""
    found = list(map(_structure, tensors))
    if again is None:
        return tuple(found)
    for falling in (False, True):
        short = [n for n, tensor in enumerate(tensors) if _is_short(tensor)]
        draw: Sequence[torch.Tensor] = tensors
        for _ in range(DRAWS_TO_BE_SURE):
            short = [n for n in short if _is_sorted(draw[n], falling=falling)]
            if not short:
                break
            draw = again()
        for number in short:
            found[number] = Structure(ordered=True, falling=falling)
    return tuple(found)


def _is_short(tensor: torch.Tensor) -> bool:
    """Whether its rows may be sorted by chance."""
    real = tensor.is_floating_point() and tensor.numel() and tensor.dim()
    return bool(real) and 1 < tensor.shape[-1] < LEAST_SORTED


def _structure(tensor: torch.Tensor) -> Structure:
    if tensor.is_complex() and tensor.numel():
        return Structure()
    if not tensor.is_floating_point() or not tensor.numel():
        return Structure(labels=True)
    if _all(lambda part: part == part.round(), tensor):
        return Structure(labels=True)
    if tensor.dim() and tensor.shape[-1] >= LEAST_SORTED:
        for falling in (False, True):
            if _is_sorted(tensor, falling=falling):
                return Structure(ordered=True, falling=falling)
    square = tensor.dim() > 1 and tensor.shape[-1] == tensor.shape[-2]
    return Structure(
        sparse=1 - int(tensor.count_nonzero()) / tensor.numel() > STRUCTURAL_ZEROS,
        symmetric=square and torch.equal(tensor, tensor.mT),
    )


def _is_sorted(tensor: torch.Tensor, *, falling: bool) -> bool:
    """Whether every row is."""
    if falling:
        return _all(lambda rows: rows[..., 1:] <= rows[..., :-1], tensor)
    return _all(lambda rows: rows[..., 1:] >= rows[..., :-1], tensor)


def _all(holds: Callable[[torch.Tensor], torch.Tensor], tensor: torch.Tensor) -> bool:
    """Whether it holds of every row; where it does not, a piece of the first mostly tells."""
    piece = tensor.reshape(-1, tensor.shape[-1])[:1, :_PIECE] if tensor.dim() else tensor
    return bool(holds(piece).all()) and bool(holds(tensor).all())


def transform(
    case: Case,
    tensors: Sequence[torch.Tensor],
    structures: Sequence[Structure],
    *,
    seed: int,
) -> list[torch.Tensor]:
    """Return the tensors as the case has them; what a problem promises of them still holds."""
    if case is NOMINAL:
        return list(tensors)
    generator = _generator(tensors, seed)
    if case is INTEGERS:
        changed = _integers(tensors, generator)
    elif case.transform == PARTLY.transform:
        changed = _partly(tensors, structures, case.part or _part(tensors, generator))
    else:
        change = _TRANSFORMS[case.transform]
        changed = [
            tensor if promised.labels else change(tensor, generator)
            for tensor, promised in zip(tensors, structures, strict=True)
        ]
    return [
        _restored(new, old, promised)
        for new, old, promised in zip(changed, tensors, structures, strict=True)
    ]


def nearly_of(case: Case) -> Case:
    """Return the case of inputs of a kind with one element changed, as ``nearly`` does."""
    return Case(name="one element changed", transform="as drawn", of=case.of or case)


def _restored(new: torch.Tensor, old: torch.Tensor, promised: Structure) -> torch.Tensor:
    if promised.labels:
        return old
    if promised.ordered:
        return new.sort(dim=-1, descending=promised.falling).values
    if promised.symmetric:
        new = new.triu() + new.triu(1).mT
    return torch.where(old == 0, old, new) if promised.sparse else new


def nearly(
    tensors: Sequence[torch.Tensor], structures: Sequence[Structure], *, seed: int
) -> list[torch.Tensor]:
    """Return copies that differ in one element of one tensor, and there by a lot."""
    generator = torch.Generator().manual_seed(seed)
    copies = [tensor.clone() for tensor in tensors]
    free = [
        copy
        for copy, promised in zip(copies, structures, strict=True)
        if not (promised.labels or promised.symmetric or promised.ordered)
    ]
    if not free:
        return copies
    flat = free[int(torch.randint(len(free), (), generator=generator))].view(-1)
    at = int(torch.randint(flat.numel(), (), generator=generator))
    if flat[at] == 0 and len(others := flat.nonzero().view(-1)):  # a zero may be a promised one
        at = int(others[int(torch.randint(len(others), (), generator=generator))])
    real = flat if flat.is_floating_point() or flat.is_complex() else flat.double()
    wide = torch.complex128 if real.is_complex() else torch.float64
    typical = float(torch.linalg.vector_norm(real, dtype=wide)) / flat.numel() ** 0.5
    flat[at] = flat[at] + 3 * typical + 1
    return copies


def _generator(tensors: Sequence[torch.Tensor], seed: int) -> torch.Generator:
    return torch.Generator(device=tensors[0].device if tensors else "cpu").manual_seed(seed)


def _integers(tensors: Sequence[torch.Tensor], generator: torch.Generator) -> list[torch.Tensor]:
    """Draw fourteen-bit integers for one operand; small, sparse ones for every other.

    Products then have at most 18 bits, and about 64 of them, of either sign, stay below 2^24.
    """
    drawn: list[torch.Tensor] = []
    wide = True
    for tensor in tensors:
        if not tensor.is_floating_point() or not tensor.numel():
            drawn.append(tensor)
            continue
        most = LARGEST_INTEGER if wide else SMALL_INTEGER
        values = torch.randint(
            -most, most + 1, tensor.shape, generator=generator, device=tensor.device
        )
        if not wide:
            kept = draws.uniform(tensor, generator)
            values = torch.where(kept < TERMS / max(tensor.shape, default=1), values, 0)
        drawn.append(values.to(tensor.dtype))
        wide = False
    return drawn


def _outliers(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A few large values at random places of nominal-looking inputs, however few those are."""
    count = max(min(FEWEST_OUTLIERS, tensor.numel() // 8), int(OUTLIERS * tensor.numel()))
    if not count:
        return tensor
    flat = tensor.flatten().clone()
    places = draws.uniform(torch.empty(count, device=tensor.device), generator) * len(flat)
    at = places.long().clamp(max=len(flat) - 1)
    size = flat[at].abs().double()
    typical = flat.abs().double().square().mean().sqrt()
    # Not a small value made usual: what is no zero becomes thirty times the typical one at least.
    factor = LARGE * torch.where(size > 0, typical / size, 1.0).clamp(min=1.0)
    flat[at] = (flat[at] * factor).to(tensor.dtype)
    return flat.view_as(tensor)


def parts_apart(inputs: int) -> list[Case]:
    """Return cases of parts unlike the rest that lie spread over each of so many free inputs.

    Drawn one by one, all of them might miss what a candidate does not read.
    """
    chance = random.SystemRandom()
    found: list[Case] = []
    for number in chance.sample(range(inputs), min(inputs, MOST_APART_INPUTS)):
        for shape, count in APART.items():
            case = OUTWEIGHED if shape == "one" else PARTLY
            spread = [_spread(count, chance) for _ in range(MOST_DIMENSIONS + 1)]
            found += [
                msgspec.structs.replace(
                    case, part=Part(number=(number + 0.5) / inputs, shape=shape, places=places)
                )
                for places in zip(*spread, strict=True)
            ]
    return found


def _spread(count: int, chance: random.Random) -> list[float]:
    """Draw numbers from 0 to 1 of which one lies in each stretch of ``1 / count``, shuffled."""
    drawn = [(stretch + chance.random()) / count for stretch in range(count)]
    chance.shuffle(drawn)
    return drawn


def _part(tensors: Sequence[torch.Tensor], generator: torch.Generator) -> Part:
    """Draw a part at random: none of the inputs stands for the others."""
    empty = torch.empty(2 + MOST_DIMENSIONS, device=tensors[0].device if tensors else "cpu")
    number, kind, *places = draws.uniform(empty, generator).tolist()
    return Part(number=number, shape="block" if kind < BLOCKS else "comb", places=tuple(places))


def free(tensors: Sequence[torch.Tensor], structures: Sequence[Structure]) -> list[int]:
    """Return the numbers of the inputs whose values are free, and several."""
    pairs = enumerate(zip(tensors, structures, strict=True))
    return [n for n, (tensor, promised) in pairs if not promised.labels and tensor.numel() > 1]


def _partly(
    tensors: Sequence[torch.Tensor], structures: Sequence[Structure], part: Part
) -> list[torch.Tensor]:
    """Make a part of one input larger."""
    numbers = free(tensors, structures)
    if not numbers:
        return list(tensors)
    number = numbers[int(part.number * len(numbers))]
    larger = tensors[number].clone(memory_format=torch.contiguous_format)
    if part.shape == "one":
        _outweigh(larger, part.places)
    else:
        (_comb if part.shape == "comb" else _block)(larger, part.places).mul_(PART_FACTOR)
    return [larger if n == number else tensor for n, tensor in enumerate(tensors)]


def _block(tensor: torch.Tensor, starts: Sequence[float]) -> torch.Tensor:
    """Return a view of a stretch of every dimension, ``PART`` of all elements together."""
    each = PART ** (1 / sum(size > 1 for size in tensor.shape))
    for dim, size in enumerate(tensor.shape):
        length = max(1, int(each * size))
        start = int(starts[dim % len(starts)] * (size - length + 1))
        tensor = tensor.narrow(dim, start, length)
    return tensor


def _comb(tensor: torch.Tensor, places: Sequence[float]) -> torch.Tensor:
    """Return a view of every so many-th index of one dimension."""
    which, apart, first = places[:3]
    long = [dim for dim, size in enumerate(tensor.shape) if size > 1]
    dim = long[int(which * len(long))]
    step = min(tensor.shape[dim], int(2 + MOST_APART * apart))
    narrowed = tensor.transpose(0, dim)[int(first * step) :: step]
    return narrowed.transpose(0, dim)


def _outweigh(tensor: torch.Tensor, places: Sequence[float]) -> None:
    """Make one element as large as its square is to all squares, at least, and to all at most."""
    *dims, size = places
    at = tuple(int(dims[dim % len(dims)] * length) for dim, length in enumerate(tensor.shape))
    count, old = tensor.numel(), tensor[at].item()
    typical = float(torch.linalg.vector_norm(tensor, dtype=_DOUBLE[tensor.is_complex()]))
    largest = torch.finfo(tensor.dtype).max / count**0.5
    direction = old / abs(old) if old else 1.0
    tensor[at] = direction * min(largest, typical * count ** (size / 2))


def _rows(tensor: torch.Tensor, _generator: torch.Generator) -> torch.Tensor:
    """Every row (last dimension) lies close around one value: a variance or epsilon shows."""
    return tensor[..., :1] + tensor * 0.05 if tensor.dim() else tensor


def _lognormal(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    factors = draws.normal(tensor, generator).exp_()
    return (factors.mul_(tensor) if tensor.is_floating_point() else factors * tensor).to(
        tensor.dtype
    )


def nudged(
    tensors: Sequence[torch.Tensor],
    *,
    seed: int,
    size: float = NUDGE,
    structures: Sequence[Structure] = (),
) -> list[torch.Tensor]:
    """Return float64 tensors that differ from these as another summation order might.

    With ``structures``, labels stay as they are.
    """
    generator = _generator(tensors, seed)

    def nudge(tensor: torch.Tensor) -> torch.Tensor:
        if not (tensor.is_floating_point() or tensor.is_complex()) or not tensor.numel():
            return tensor
        units = size * (DOUBLE_UNIT if tensor.dtype in _DOUBLE else 1.0)
        noise = draws.uniform(tensor, generator).mul_(2).sub_(1).double().mul_(units).add_(1)
        return noise.mul_(tensor) if tensor.is_floating_point() else noise * tensor

    fixed = [promised.labels for promised in structures] or [False] * len(tensors)
    return [
        tensor if as_drawn else nudge(tensor)
        for tensor, as_drawn in zip(tensors, fixed, strict=True)
    ]


_TRANSFORMS: dict[str, Callable[[torch.Tensor, torch.Generator], torch.Tensor]] = {
    "as drawn": lambda tensor, _generator: tensor,
    "x10": lambda tensor, _generator: tensor * 10,
    "x0.001": lambda tensor, _generator: tensor * 1e-3,
    "-x": lambda tensor, _generator: -tensor,
    "+5": lambda tensor, _generator: tensor + 5,
    "lognormal": _lognormal,
    "outliers": _outliers,
    "rows": _rows,
}


# --- impostors ------------------------------------------------------------------------------------


# What a reference that sums over much cannot tell from the whole, and the dimension that is halved.
HALVES = {"half of the inputs not read": -1, "half of the batch not read": 0}


class Impostor(msgspec.Struct, frozen=True, kw_only=True):
    """A wrong answer that a lax checker would take for right."""

    name: str
    results: list[torch.Tensor]


def impostors(  # noqa: PLR0913 - all that wrong answers are made of
    reference: Reference,
    tensors: list[torch.Tensor],
    exact: Sequence[torch.Tensor],
    stale: Sequence[torch.Tensor],
    *,
    allowed: float,
    known: Collection[str] = (),
) -> Iterator[Impostor]:
    """Yield wrong answers to one case: what cheats and bugs would return instead of ``exact``.

    ``allowed`` is the norm-wise limit on nominal inputs; it tells which input precision the policy
    lets through.
    ``known`` names those that need not be made again.
    """
    floating = [t for t in exact if (t.is_floating_point() or t.is_complex()) and t.numel()]
    if not floating:
        return
    cast = [getattr(torch, spec.dtype) for spec in reference.layout.outputs]
    for wrong in _wrong_answers(reference, tensors, exact, stale, allowed):
        results = None if wrong.name in known else wrong.make()
        if results is not None:
            as_given = [value.to(dtype) for value, dtype in zip(results, cast, strict=True)]
            yield Impostor(name=wrong.name, results=as_given)


class _WrongAnswer(msgspec.Struct, frozen=True):
    """A name, and how to make the answer: making it may cost as much as the reference."""

    name: str
    make: Callable[[], Sequence[torch.Tensor] | None]


def _wrong_answers(
    reference: Reference,
    tensors: list[torch.Tensor],
    exact: Sequence[torch.Tensor],
    stale: Sequence[torch.Tensor],
    allowed: float,
) -> Iterator[_WrongAnswer]:
    yield _WrongAnswer("zeros", lambda: [torch.zeros_like(t) for t in exact])
    # The mean of one element is the element: no impostor, and neither is its only tile.
    several = all(t.numel() > 1 for t in exact)
    if several:
        yield _WrongAnswer("the mean everywhere", lambda: [_mean(t) for t in exact])
    yield _WrongAnswer("a copy of an input", lambda: _input_copy(tensors, exact))
    yield _WrongAnswer("the answer to another call", lambda: stale)
    if several:
        yield _WrongAnswer("the last tile not written", lambda: [_unwritten(t) for t in exact])
    lower = _one_step_below(tensors, allowed)
    if lower is not None:
        name = f"inputs rounded to {str(lower).removeprefix('torch.')}"
        rounded = lambda: reference.oracle(reference.replant(_rounded(tensors, lower)))  # noqa: E731
        yield _WrongAnswer(name, rounded)
    for name, dim in HALVES.items():
        yield _WrongAnswer(name, partial(_half_read, reference, tensors, exact, dim))
    for name, _ in list(reference.model.named_parameters())[:8]:
        yield _WrongAnswer(f"{name} dropped", partial(_dropped, reference, tensors, exact, name))


def _mean(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_complex():
        return torch.full_like(tensor, tensor.mean().item())
    if not tensor.is_floating_point():
        return tensor
    return torch.full_like(tensor, float(tensor.double().mean()))


def _input_copy(
    tensors: list[torch.Tensor], exact: Sequence[torch.Tensor]
) -> list[torch.Tensor] | None:
    copied = []
    for wanted in exact:
        same = [
            t
            for t in tensors
            if t.shape == wanted.shape
            and (t.is_floating_point() or (t.is_complex() and wanted.is_complex()))
        ]
        if not same:
            return None
        copied.append(same[0].to(wanted.dtype))
    return copied


def _unwritten(tensor: torch.Tensor) -> torch.Tensor:
    """The last hundredth (at least one element) holds zeros instead of the answer."""
    spoiled = tensor.clone()
    flat = spoiled.view(-1)
    flat[-max(1, flat.numel() // 100) :] = 0
    return spoiled


def _half_read(
    reference: Reference, tensors: list[torch.Tensor], exact: Sequence[torch.Tensor], dim: int
) -> Sequence[torch.Tensor] | None:
    """The answer to inputs whose second half, along a dimension, repeats the first.

    A reference that does not look at it either makes no impostor of whoever does not.
    """
    if dim == 0 and all(tensor.dim() < 2 for tensor in tensors):  # noqa: PLR2004 - first and last
        return None
    repeated = [_repeated(tensor, dim) for tensor in tensors]
    answer = reference.oracle(reference.replant(repeated))
    return None if answer is None or _same(answer, exact) else answer


def _repeated(tensor: torch.Tensor, dim: int) -> torch.Tensor:
    half = tensor.shape[dim] // 2 if tensor.dim() and tensor.is_floating_point() else 0
    if not half:
        return tensor
    repeated = tensor.clone()
    repeated.narrow(dim, half, half).copy_(tensor.narrow(dim, 0, half))
    return repeated


def _one_step_below(tensors: list[torch.Tensor], allowed: float) -> torch.dtype | None:
    """Return the precision one step below what the limit lets through."""
    kinds = {t.dtype for t in tensors if t.is_floating_point()}
    if torch.float32 in kinds or torch.float64 in kinds:
        if allowed > tolerance.NORM_FLOOR["bfloat16"]:  # the reference rounds to it by itself
            return torch.float8_e4m3fn
        # TF32 has float16's mantissa: where the reference uses it, float16 inputs are no downgrade.
        return torch.float16 if allowed < TF32_ERROR else torch.bfloat16
    return torch.float8_e4m3fn if kinds else None


def _rounded(tensors: list[torch.Tensor], dtype: torch.dtype) -> list[torch.Tensor]:
    return [t.to(dtype).to(t.dtype) if t.is_floating_point() else t for t in tensors]


def _dropped(
    reference: Reference, tensors: list[torch.Tensor], exact: Sequence[torch.Tensor], name: str
) -> Sequence[torch.Tensor] | None:
    """The answer with one parameter left at zero or one, as if it had been forgotten.

    One that takes no part in the answer, as a bias before a normalisation, may be forgotten.
    """
    value = dict(reference.model.named_parameters())[name]
    neutral = 1.0 if name.rsplit(".", 1)[-1] == "weight" and value.dim() == 1 else 0.0
    kept = value.detach().clone()
    with torch.no_grad():
        value.fill_(neutral)
        answer = reference.oracle(reference.replant(tensors))
        value.copy_(kept)
    return None if answer is None or _same(answer, exact) else answer


def _same(answer: Sequence[torch.Tensor], exact: Sequence[torch.Tensor]) -> bool:
    """Whether two answers in float64 are one but for rounding."""
    return all(
        tolerance.distance(one, other) < ROUNDING
        if other.is_floating_point() or other.is_complex()
        else torch.equal(one, other)
        for one, other in zip(answer, exact, strict=True)
    )
