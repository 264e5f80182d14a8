import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

cpp_source = """
torch::Tensor swish_forward(torch::Tensor input);
torch::Tensor swish_backward(torch::Tensor grad_output, torch::Tensor input);
"""
impl = """
torch::Tensor swish_forward(torch::Tensor input) {
    torch::NoGradGuard no_grad;
    return input.mul(input.sigmoid());
}
torch::Tensor swish_backward(torch::Tensor grad_output, torch::Tensor input) {
    const auto s = input.sigmoid();
    return grad_output.contiguous() * (s * (1 + input * (1 - s)));
}
"""
swish_ext = load_inline(name="cpp_python_function", cpp_sources=[cpp_source, impl], functions={"swish_forward": "Swish forward", "swish_backward": "its gradient"})


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return swish_ext.swish_forward(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return swish_ext.swish_backward(grad, x)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, x):
        y = Swish.apply(self.linear(x))
        y.sum().backward()
        return y, self.linear.weight.grad, swish_ext.swish_backward.__doc__


def get_inputs():
    return [torch.randn(4, 6)]


def get_init_inputs():
    return []
