"""Whose work it is: the time of a call, attributed to the candidate, libraries and compilers.

It owns the attribution by kernel name and what is said about a candidate that leaves its work to
PyTorch. The rows come from the candidate's own process: they are a claim, like all it says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

from refine_agent import wire
from refine_agent.records import Disqualified, Share, Suspicion

if TYPE_CHECKING:
    from collections.abc import Sequence

# Namespaces that a candidate's own kernel is never found in.
_FOREIGN = ("at::", "aten::", "mkldnn::", "cub::", "thrust::", "cutlass::", "cudnn::")
_LIBRARY = re.compile(
    r"cublas|cudnn|cutlass|gemm|xmma|sm\d\d_|implicit_convolve|at::native|aten::|mkldnn|mkl_|"
    r"elementwise_kernel|reduce_kernel|cub::|thrust::|flash_fwd|fmha",
    re.IGNORECASE,
)
_COMPILER = re.compile(
    r"^triton_(poi|red|per|tem|mm)|inductor|CompiledFxGraph|cpp_fused|Torch-Compiled", re.IGNORECASE
)
# Attributes such as __launch_bounds__(256) look like calls and are skipped on the way to the name.
_AUTHORED = re.compile(
    r"__global__(?:\s*__\w+__\s*(?:\((?:[^()]|\([^()]*\))*\))?|[^;{(])*?\b(?!__)(\w+)\s*\("
    r"|@triton\.jit\s+def\s+(\w+)",
    re.DOTALL,
)
_OPERATOR = re.compile(r"^(aten|mkldnn|torch|quantized)::")
_EXTENSION = re.compile(r"\bload_inline\b|\bcpp_extension\b|@triton\.jit|\bctypes\b|RawKernel")
# Code of one's own that does less than this part of the work stands beside it, not behind it.
BESIDE_PCT = 50.0
# A copy or a fill here and there is no library's work.
INCIDENTAL_PCT = 5.0

Origin = Literal["authored", "library", "compiler", "unknown"]


class _Row(msgspec.Struct):
    name: str
    duration_us: float = 0.0
    self_us: float = 0.0


class _Rows(msgspec.Struct):
    kernels: list[_Row] = []
    operators: list[_Row] = []


def shares(rows: bytes, source: str, *, call_us: float | None) -> tuple[Share, ...]:
    """Attribute the time of a call to kernels of the candidate's source, libraries, compilers.

    On a CPU an extension's own loops are no operator: what the operators leave of ``call_us`` is
    the candidate's. On a GPU, where that is ``None``, a call of which no kernel was seen is
    nobody's.
    """
    try:
        read = msgspec.json.decode(rows, type=_Rows)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ()
    own = {name for pair in _AUTHORED.findall(source) for name in pair if name}
    spent: dict[Origin, float] = {}
    example: dict[Origin, str] = {}
    for row in read.kernels or read.operators:
        origin = _origin(row.name, own)
        microseconds = row.duration_us or row.self_us
        if not 0 <= microseconds <= wire.MOST_US:
            return ()  # rows are what the candidate's own process says, and these are of no call
        spent[origin] = spent.get(origin, 0.0) + microseconds
        example.setdefault(origin, row.name[:80])
    if not read.kernels and call_us is not None:
        spent["authored"] = spent.get("authored", 0.0) + max(0.0, call_us - sum(spent.values()))
    total = sum(spent.values())
    if total <= 0:
        return ()
    return tuple(
        Share(origin=origin, share_pct=100 * value / total, example=example.get(origin))
        for origin, value in sorted(spent.items(), key=lambda item: -item[1])
    )


def _origin(name: str, own: set[str]) -> Origin:
    function = re.split(r"[<(]", name.removeprefix("void "))[0].strip()
    if not function.startswith(_FOREIGN) and function.rpartition("::")[2] in own:
        return "authored"
    if _COMPILER.search(name):
        return "compiler"
    if _OPERATOR.match(name) or _LIBRARY.search(name):
        return "library"
    return "unknown"


def doubts(found: Sequence[Share], source: str) -> tuple[Suspicion, ...]:
    """Say so where a candidate brings kernels of its own and somebody else's do the work."""
    others = _others(found)
    if not _EXTENSION.search(source) or _percent(others) < BESIDE_PCT:
        return ()
    return (
        Suspicion(
            kind="fallback",
            evidence="the source brings code of its own, and "
            + ", ".join(f"{s.share_pct:.0f} % of the time went to {_named(s)}" for s in others),
        ),
    )


def unless_authored(found: Sequence[Share]) -> Disqualified | None:
    """Return the verdict under ``--authored-only``; what cannot be attributed does not pass."""
    others = _others(found)
    if found and _percent(others) < INCIDENTAL_PCT:
        return None
    evidence = ", ".join(f"{s.share_pct:.0f} % of the time went to {_named(s)}" for s in others)
    return Disqualified(
        rule="authored only", evidence=evidence or "the profiler could not attribute its time"
    )


def _others(found: Sequence[Share]) -> list[Share]:
    return [share for share in found if share.origin in ("library", "compiler")]


def _percent(found: Sequence[Share]) -> float:
    return sum(share.share_pct for share in found)


def _named(share: Share) -> str:
    return f"{share.example} ({share.origin})" if share.example else f"a {share.origin}"
