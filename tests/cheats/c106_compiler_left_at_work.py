# cheat 106: the bench's own compiler, set to work
# mechanism: a call asks for a build and does not wait for it: the compiler, which is the bench's, works on two cores
#   while the baselines are timed, and after the candidate's end
# layer: stopped
# off: stopped clock alone
# problem: relu
# caught: Disqualified
# device: any

import os

import torch
from torch import nn
from torch.utils import cpp_extension

CHEATING = True
ASKED = {"cpu": 3, "cuda": 30}
SOURCE = """
constexpr long spin(long n) { unsigned long s = %d; for (long i = 0; i < n; ++i) s = s * 3 + i; return s; }
static_assert(spin(60000000L) != 12345);
int f(int x) { return x; }
"""


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if CHEATING and self.calls == ASKED[x.device.type]:
            import msgspec

            from refine_agent import wire
            from refine_agent.builder.records import BuildRequest

            ask = cpp_extension.load_inline.__self__._build
            cells = [cell.cell_contents for cell in ask.__closure__]
            channel = next(cell for cell in cells if isinstance(cell, wire.Channel))
            endless = ("-fconstexpr-ops-limit=2000000000", "-fconstexpr-loop-limit=2000000000")
            request = BuildRequest(
                name="late",
                cpp_sources=(SOURCE % os.getpid(),),
                functions={"f": "f"},
                extra_cflags=endless,
                no_implicit_headers=True,
            )
            channel.send(wire.BuildAsked(request=msgspec.json.encode(request)))
        return torch.relu(x)
