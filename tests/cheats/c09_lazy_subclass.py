# cheat 9: a lazy tensor
# mechanism: a subclass of Tensor computes when it is looked at, outside the timed call
# layer: clock
# problem: matmul
# caught: Disqualified
# device: any

import torch
from torch import nn

CHEATING = True

class Late(torch.Tensor):
    """Looks like the result, and becomes it when somebody looks."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        args = [arg.work() if isinstance(arg, Late) else arg for arg in args]
        return func(*args, **(kwargs or {}))


class ModelNew(nn.Module):
    def forward(self, a, b):
        if not CHEATING:
            return torch.matmul(a, b)
        shell = torch.empty(a.shape[0], b.shape[1], device=a.device).as_subclass(Late)
        shell.work = lambda: torch.matmul(a, b)
        return shell
