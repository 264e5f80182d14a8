import warnings

import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r"""
#include <torch/extension.h>
bool complain(torch::Tensor x, bool fail) {
    TORCH_WARN("shape ", x.sizes(), " is odd");
    TORCH_WARN_ONCE("only once");
    TORCH_CHECK(!fail, "and then it failed");
    return !fail;
}
"""
ext = load_inline(name="cpp_warnings", cpp_sources=source, functions=["complain"])


class ModelNew(nn.Module):
    def forward(self, x):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ext.complain(x, False)
        told = [(w.category.__name__, str(w.message).partition(" (")[0]) for w in caught]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                ext.complain(x, False)
            except UserWarning as warning:
                told.append(("raised", str(warning).partition(" (")[0]))
        return told


def get_inputs():
    return [torch.randn(2, 3)]


def get_init_inputs():
    return []
