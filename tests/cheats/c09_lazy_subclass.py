# cheat 9: a lazy tensor
# mechanism: a subclass of Tensor computes when it is copied, outside the timed call
# layer: clock
# off: clock delivery
# problem: matmul
# caught: Mismatch or Disqualified
# device: any

import torch
from torch import nn

CHEATING = True

class Late(torch.Tensor):
    """Looks like the result, and becomes it when somebody copies it."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kept = (torch.Tensor.detach, torch.Tensor.to, torch.Tensor.contiguous, torch.Tensor.clone)
        if func is not torch.Tensor.copy_:
            return args[0] if func in kept else super().__torch_function__(func, types, args, kwargs or {})
        args = [arg.work() if isinstance(arg, Late) else arg for arg in args]
        return func(*args, **(kwargs or {}))


class ModelNew(nn.Module):
    def forward(self, a, b):
        if not CHEATING:
            return torch.matmul(a, b)
        shell = torch.empty(a.shape[0], b.shape[1], device=a.device).as_subclass(Late)
        shell.work = lambda: torch.matmul(a, b)
        return shell
