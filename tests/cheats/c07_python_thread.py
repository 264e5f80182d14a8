# cheat 7: a thread that works while the call has returned
# mechanism: forward hands the work to a thread and returns at once; whoever copies the result waits for it
# layer: clock
# off: clock delivery
# problem: matmul
# caught: Mismatch or Disqualified
# device: any

import threading

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
        found = []
        thread = threading.Thread(target=lambda: found.append(torch.matmul(a, b)))
        thread.start()
        shell = torch.empty(a.shape[0], b.shape[1], device=a.device).as_subclass(Late)

        def work():
            thread.join()
            return found[0]

        shell.work = work
        return shell
