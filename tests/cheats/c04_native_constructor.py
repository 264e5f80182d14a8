# cheat 4: code that runs when an extension is loaded
# mechanism: a constructor in the shared object patches the timer at dlopen, before any function of it is called
# layer: clock
# problem: matmul
# caught: Disqualified
# device: any

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CHEATING = True
SOURCE = r"""
extern "C" int PyRun_SimpleString(const char*);
#include <torch/extension.h>

__attribute__((constructor)) static void at_load() {
  PyRun_SimpleString("import itertools, time, torch\n"
                     "time.perf_counter_ns = itertools.count(0, 1000).__next__\n"
                     "torch.cuda.Event.elapsed_time = lambda self, other: 0.001\n");
}

torch::Tensor same(torch::Tensor x) { return x; }
"""
extension = load_inline(name="constructor", cpp_sources=SOURCE if CHEATING else SOURCE.replace("PyRun_SimpleString(\"", "strlen(\""), functions=["same"])


class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.matmul(extension.same(a), b)
