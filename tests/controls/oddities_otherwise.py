# control: other algorithms for all of them, lazy views, a buffer of its own, and no counter of calls
# problem: oddities
# device: cpu

import cmath

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.register_buffer("temperature", torch.tensor(options["temperature"]))
        self.register_buffer("scratch", torch.empty(16, 32))
        self.lazy = nn.LazyLinear(options["widths"][0])

    @torch.inference_mode()
    def forward(self, wave, edges, chance, x, lengths):
        even, odd = torch.fft.fft(wave[:, ::2]), torch.fft.fft(wave[:, 1::2])
        turns = torch.tensor([cmath.exp(-2j * cmath.pi * k / 64) for k in range(32)])
        turned = turns.to(wave.device) * odd
        other = chance.flip(0)
        surprise = -(other * chance.log() + (1 - other) * (1 - chance).log()).sum() / chance.numel()
        logits = self.lazy(x) * (1 / self.temperature)
        self.scratch.copy_((logits - logits.amax(-1, keepdim=True)).exp())
        return {
            "spectrum": torch.cat([even + turned, even - turned], -1),
            "mirrored": wave.conj(),
            "place": (edges[:, None, :] < x[:, :, None]).sum(-1),
            "surprise": float(surprise),
            "mixed": self.scratch / self.scratch.sum(-1, keepdim=True),
            "mask": torch.arange(16, device=x.device) < lengths.max(),
            "rest": [None, x.new_empty(0, 64), x[:1].repeat(4, 1)],
        }
