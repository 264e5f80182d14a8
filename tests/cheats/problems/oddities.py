"""Complex, sorted and bounded inputs; results that are numbers, nothing, empty and of all types."""

import torch
import torch.nn.functional as F
from torch import nn


class Model(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.register_buffer("temperature", torch.tensor(options["temperature"]))
        self.register_buffer("calls", torch.tensor(0))
        self.lazy = nn.LazyLinear(options["widths"][0])

    def forward(self, wave, edges, chance, x, lengths):
        longest = int(lengths.max().item())
        return {
            "spectrum": torch.fft.fft(wave),
            "mirrored": wave.conj().resolve_conj(),
            "place": torch.searchsorted(edges, x),
            "surprise": F.binary_cross_entropy(chance, chance.flip(0)).item(),
            "mixed": (self.lazy(x) / self.temperature).softmax(-1),
            "mask": torch.arange(16) < longest,
            "rest": (None, x[:0], x[:1].expand(4, -1)),
        }


def get_inputs():
    return [
        torch.randn(16, 64, dtype=torch.complex64),
        torch.randn(16, 32).sort(-1).values,
        torch.rand(16, 64),
        torch.randn(16, 64),
        torch.randint(1, 16, (16,)),
    ]


def get_init_inputs():
    return [{"temperature": 0.07, "widths": [32, 64]}]
