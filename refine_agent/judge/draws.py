"""Random numbers for large tensors: one generator for each block, as many blocks at once as cores.

It owns filling what is large and lies in a CPU's memory, where torch draws on one core; what is
drawn, and under which seed, is ``reference``'s and ``cases``'s business.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Elements per generator: milliseconds of one core's work. The numbers depend on this and the seed,
# not on how many cores there are.
BLOCK = 1 << 20


def normal(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw float32 normal numbers in the shape of a tensor."""
    if _on_one_core(like):
        return torch.randn(like.shape, generator=generator, device=like.device)
    return _filled(torch.empty(like.shape), torch.Tensor.normal_, generator)


def uniform(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw float32 numbers between 0 and 1 in the shape of a tensor."""
    if _on_one_core(like):
        return torch.rand(like.shape, generator=generator, device=like.device)
    return _filled(torch.empty(like.shape), torch.Tensor.uniform_, generator)


class SideBySide(TorchFunctionMode):
    """Within it, ``torch.randn`` and ``torch.rand`` draw large tensors on all cores of a CPU.

    They follow ``torch.manual_seed``, though not with the numbers that one core would draw.
    """

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401 - torch's signature
        types: Sequence[Any],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - torch's signature
        _ = types
        named = kwargs or {}
        fill = _FILLS.get(func)
        if fill is None or named.keys() - {"dtype", "device"}:
            return func(*args, **named)
        empty = torch.empty(*args, **named)
        if _on_one_core(empty) or not empty.is_floating_point():
            return func(*args, **named)
        return _filled(empty, fill, None)


_FILLS: dict[Any, Callable[..., torch.Tensor]] = {
    torch.randn: torch.Tensor.normal_,
    torch.rand: torch.Tensor.uniform_,
}


def _on_one_core(tensor: torch.Tensor) -> bool:
    return tensor.device.type != "cpu" or tensor.numel() <= BLOCK


def _filled(
    tensor: torch.Tensor,
    fill: Callable[..., torch.Tensor],
    generator: torch.Generator | None,
) -> torch.Tensor:
    blocks = tensor.view(-1).split(BLOCK)
    seeds = torch.randint(1 << 62, (len(blocks),), generator=generator, device="cpu").tolist()

    def draw(block: torch.Tensor, seed: int) -> None:
        fill(block, generator=torch.Generator().manual_seed(seed))

    with ThreadPoolExecutor(torch.get_num_threads()) as cores:
        list(cores.map(draw, blocks, seeds))
    return tensor
