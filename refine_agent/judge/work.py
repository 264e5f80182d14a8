"""What the operation needs: bytes and operations, counted without running it.

It owns counting under FakeTensor; what device does how much of it per second is ``ceilings``'s.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from refine_agent.profiling.records import Flops, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from refine_agent.judge.reference import Reference

# Operators that read only part of what they are given.
_PARTIAL = ("embedding", "gather", "index", "take", "nll_loss", "slice", "select")
# What running on tensors without values may raise: torch's own errors, and whatever comes of a
# stand-in that is no array, no number and of no known length.
_NOT_TO_BE_FAKED = (
    RuntimeError,
    TypeError,
    ValueError,
    AttributeError,
    NotImplementedError,
    AssertionError,
    IndexError,
)
_PRECISION = {
    torch.float64: "fp64",
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.int8: "int8",
}


def count(reference: Reference, arguments: Sequence[Any]) -> Work:
    """Count bytes that must move and operations that must be done; nothing is allocated.

    A reference that looks at values (``item()``, NumPy, TorchScript) is run once for it instead.
    """
    tensors = reference.tensors(arguments)
    model = _sharing(reference.model)
    try:
        return _counted(reference, tensors, lambda: _run_fake(reference, model, tensors))
    except _NOT_TO_BE_FAKED:
        copies = reference.replant([tensor.clone() for tensor in tensors])
        model = _sharing(reference.model)
        try:
            return _counted(reference, tensors, lambda: model(*copies))
        except _NOT_TO_BE_FAKED:  # a reference that differentiates leaves nobody to count products
            answer = partial(reference.answer, arguments)
            return _counted(reference, tensors, answer, products=False)


def _counted(
    reference: Reference,
    tensors: list[torch.Tensor],
    run: Callable[[], Any],
    *,
    products: bool = True,
) -> Work:
    counter = _Counter()
    # The flash kernel for CPU has no FLOP formula; the plain one has.
    with (
        torch.no_grad(),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) if products else nullcontext() as flops,
        counter,
    ):
        result = run()
    outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
    read = _unique_bytes([*tensors, *reference.model.parameters(), *reference.model.buffers()])
    written = _unique_bytes(outputs)
    return Work(
        bytes_needed=read + written,
        bytes_read=read,
        bytes_written=written,
        unfused_bytes=counter.moved,
        flops=_flops(
            reference,
            tensors,
            flops.get_total_flops() if flops is not None else 0,
            counter.elements,
            convolves=counter.convolves,
        ),
        caveats=tuple(counter.caveats(read + written)),
    )


def _run_fake(reference: Reference, model: torch.nn.Module, tensors: Sequence[torch.Tensor]) -> Any:  # noqa: ANN401 - the reference's own tree
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        weights: dict[str, torch.Tensor] = {
            name: mode.from_tensor(value.detach()) for name, value in named.items()
        }
        fake = reference.replant([mode.from_tensor(tensor) for tensor in tensors])
        return functional_call(model, weights, tuple(fake))


def _sharing(model: torch.nn.Module) -> torch.nn.Module:
    """Return a copy that has the same parameters: what it keeps of a call is not the model's."""
    shared = {id(value): value for value in (*model.parameters(), *model.buffers())}
    try:
        return copy.deepcopy(model, shared)
    except (RuntimeError, TypeError):
        return model


def _flops(
    reference: Reference,
    tensors: list[torch.Tensor],
    products: int,
    elements: int,
    *,
    convolves: bool,
) -> tuple[Flops, ...]:
    kinds = [t.dtype for t in (*tensors, *reference.model.parameters()) if t.is_floating_point()]
    # The narrowest floating type is what the matrix units may be given.
    dtype = min(kinds, key=lambda kind: kind.itemsize, default=torch.float32)
    precision: Any = _PRECISION.get(dtype, "fp32")
    if precision == "fp32" and _may_be_tf32(reference, convolves=convolves):
        precision = "tf32"
    found = []
    if products:
        found.append(Flops(precision=precision, count=products, matrix=True))
    if elements:
        found.append(Flops(precision="fp32" if precision != "fp64" else "fp64", count=elements))
    return tuple(found)


def _may_be_tf32(reference: Reference, *, convolves: bool) -> bool:
    """Tell whether fp32 products may be rounded to TF32, which only a GPU's tensor cores know.

    By default PyTorch allows it in convolutions and not in matrix products.
    """
    if not reference.device.startswith("cuda"):
        return False
    return reference.precision == "tf32" or (convolves and reference.precision == "default")


def _unique_bytes(tensors: Sequence[torch.Tensor]) -> int:
    """Bytes of the tensors, each storage once, dimensions of stride 0 once."""
    seen: dict[int, int] = {}
    for tensor in tensors:
        key = tensor.untyped_storage()._cdata  # noqa: SLF001 - torch offers no public identity of a storage
        seen[key] = max(seen.get(key, 0), _extent(tensor))
    return sum(seen.values())


def _extent(tensor: torch.Tensor) -> int:
    count = tensor.element_size()
    for extent, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= extent if stride != 0 else 1
    return count


class _Counter(TorchDispatchMode):
    """Counts, operator by operator, what one kernel each would move."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.moved = 0
        self.elements = 0
        self._names: set[str] = set()

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's signature
        types: Any,  # noqa: ANN401 - torch's signature
        args: Any = (),  # noqa: ANN401 - torch's signature
        kwargs: Any = None,  # noqa: ANN401 - torch's signature
    ) -> Any:  # noqa: ANN401 - torch's signature
        result = func(*args, **(kwargs or {}))
        returns = func._schema.returns  # noqa: SLF001 - torch offers no public schema
        if any(r.alias_info is not None and not r.alias_info.is_write for r in returns):
            return result  # views move nothing
        taken = [t for t in tree_leaves((args, kwargs or {})) if isinstance(t, torch.Tensor)]
        given = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
        if taken:
            self._names.add(func._schema.name)  # noqa: SLF001 - likewise
            self.moved += sum(map(_extent, taken)) + sum(map(_extent, given))
            self.elements += max(t.numel() for t in (*taken, *given))
        return result

    @property
    def convolves(self) -> bool:
        """Whether a convolution was among the operators."""
        return any("conv" in name for name in self._names)

    def caveats(self, needed: int) -> list[str]:
        found = []
        partial = sorted(n for n in self._names if any(word in n for word in _PARTIAL))
        if partial:
            found.append(
                f"{partial[0]} may read only part of an input, so the bytes are an upper bound"
            )
        if any("tril" in n or "triu" in n or "masked" in n for n in self._names):
            found.append("a triangular or masked operand: half the operations may be skipped")
        if needed < 64 << 20:
            found.append(
                "the data fit the L2 cache of large GPUs; a warm run may beat the DRAM floor"
            )
        return found
