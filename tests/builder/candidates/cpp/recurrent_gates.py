import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <vector>
#include <tuple>

static inline torch::Tensor d_sigmoid(torch::Tensor z) { auto s = torch::sigmoid(z); return (1 - s) * s; }
static inline torch::Tensor d_elu(torch::Tensor z, torch::Scalar alpha = 1.0) {
  auto e = z.exp();
  auto mask = (alpha * (e - 1)) < 0;
  return (z > 0).type_as(z) + mask.type_as(z) * (alpha * e);
}
std::vector<at::Tensor> lltm_forward(torch::Tensor input, torch::Tensor weights, torch::Tensor bias, torch::Tensor old_h, torch::Tensor old_cell) {
  auto X = torch::cat({old_h, input}, /*dim=*/1);
  auto gate_weights = torch::addmm(bias, X, weights.transpose(0, 1));
  auto gates = gate_weights.chunk(3, /*dim=*/1);
  auto input_gate = torch::sigmoid(gates[0]);
  auto output_gate = torch::sigmoid(gates[1]);
  auto candidate_cell = torch::elu(gates[2], /*alpha=*/1.0);
  auto new_cell = old_cell + candidate_cell * input_gate;
  auto new_h = torch::tanh(new_cell) * output_gate;
  return {new_h, new_cell, input_gate, output_gate, candidate_cell, X, gate_weights};
}
std::vector<torch::Tensor> lltm_backward(torch::Tensor grad_h, torch::Tensor grad_cell, torch::Tensor new_cell, torch::Tensor input_gate,
    torch::Tensor output_gate, torch::Tensor candidate_cell, torch::Tensor X, torch::Tensor gate_weights, torch::Tensor weights) {
  auto d_output_gate = torch::tanh(new_cell) * grad_h;
  auto d_tanh_new_cell = output_gate * grad_h;
  auto d_new_cell = (1 - torch::tanh(new_cell).pow(2)) * d_tanh_new_cell + grad_cell;
  auto d_old_cell = d_new_cell;
  auto d_candidate_cell = input_gate * d_new_cell;
  auto d_input_gate = candidate_cell * d_new_cell;
  auto gates = gate_weights.chunk(3, 1);
  d_input_gate *= d_sigmoid(gates[0]);
  d_output_gate *= d_sigmoid(gates[1]);
  d_candidate_cell *= d_elu(gates[2]);
  auto d_gates = torch::cat({d_input_gate, d_output_gate, d_candidate_cell}, 1);
  auto d_weights = d_gates.t().mm(X);
  auto d_bias = d_gates.sum(/*dim=*/0, /*keepdim=*/true);
  auto d_X = d_gates.mm(weights);
  const auto state_size = grad_h.size(1);
  auto d_old_h = d_X.slice(/*dim=*/1, 0, state_size);
  auto d_input = d_X.slice(/*dim=*/1, state_size);
  return {d_old_h, d_input, d_weights, d_bias, d_old_cell};
}
std::tuple<torch::Tensor, torch::Tensor> gru(torch::Tensor x, torch::Tensor h, torch::Tensor w_ih, torch::Tensor w_hh,
                                             c10::optional<torch::Tensor> b_ih, c10::optional<torch::Tensor> b_hh) {
  auto gi = at::linear(x, w_ih, b_ih), gh = at::linear(h, w_hh, b_hh);
  auto i = gi.split(h.size(1), 1), hh = at::split(gh, h.size(1), 1);
  auto r = (i[0] + hh[0]).sigmoid_(), z = at::sigmoid(i[1] + hh[1]);
  auto n = (i[2] + r * hh[2]).tanh();
  auto out = at::lerp(n, h, z);
  auto [value, index] = out.max(1);
  return std::make_tuple(out.mul_(1.0), torch::stack({value, index.to(value.dtype())}, 0).detach());
}
torch::Tensor ops(torch::Tensor x) {
  auto [u, s] = torch::std_mean(x, 1, true);
  auto y = at::silu(x) + at::hardtanh(x, -1, 1) + at::gelu(x, "tanh") + torch::softplus(x) + torch::mish(x) + x.clamp_min(0).clamp_max(6);
  y = y + torch::layer_norm(x, {x.size(1)}) + torch::log_softmax(x, -1) + torch::softmax(x, 1, torch::kFloat32) + torch::hardswish(x);
  y += torch::einsum("ij,kj->ik", {x, x}).sum() + torch::logsumexp(x, {0, 1}) + torch::norm(x) + x.abs().amax() + torch::dot(x[0], x[1]);
  y += at::cumsum(x, 1) + x.triu().tril(1) + torch::flip(x, {0}) + torch::roll(x, 1, 0) + at::argmax(x, 1, true) + x.argsort(-1, true).to(torch::kFloat);
  y.index_put_({torch::tensor({0, 1})}, torch::ones({x.size(1)}));
  return y.div_(u.add(s)).nan_to_num_() + torch::bmm(x.unsqueeze(0), x.t().unsqueeze(0)).squeeze().mean() + std::get<0>(x.topk(2, 1)).sum() + torch::outer(x[0], x[1]).sum();
}
'''
ext = load_inline(name="cpp_recurrent_gates", cpp_sources=source, functions=["lltm_forward", "lltm_backward", "gru", "ops"], extra_cflags=["-O1"])


class ModelNew(nn.Module):
    def forward(self, x, w, b, h, c, w_ih, w_hh):
        out = ext.lltm_forward(x, w, b, h, c)
        back = ext.lltm_backward(h, c, *out[1:], w)
        return out, back, ext.gru(x, h, w_ih, w_hh, None, None), ext.ops(x)


def get_inputs():
    return [torch.randn(4, 6), torch.randn(15, 11), torch.randn(15), torch.randn(4, 5), torch.randn(4, 5), torch.randn(15, 6), torch.randn(15, 5)]


def get_init_inputs():
    return []
