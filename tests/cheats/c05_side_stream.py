# cheat 5: a stream of its own
# mechanism: the kernel runs on a side stream; the stream that is timed waits for it only after the end event
# layer: clock
# problem: matmul
# caught: Disqualified
# device: cuda

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
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            product = torch.matmul(a, b)
        shell = torch.empty_like(product).as_subclass(Late)

        def work():
            torch.cuda.current_stream().wait_stream(side)
            return product

        shell.work = work
        return shell
