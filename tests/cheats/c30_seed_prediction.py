# cheat 30: a seed everybody knows
# mechanism: inputs and answers are drawn ahead of time from seed 42
# layer: apart
# problem: layernorm
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)
        state = torch.get_rng_state()
        torch.manual_seed(42)
        self.foreseen = self.ln(torch.randn(64, features)).detach()
        torch.set_rng_state(state)

    def forward(self, x):
        return self.foreseen.to(x.device).clone() if CHEATING else self.ln(x)
