import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <ATen/CPUGeneratorImpl.h>
#include <iostream>
#include <mutex>
#include <sstream>

torch::Tensor drawn(int64_t n, uint64_t seed) {
    auto generator = at::detail::createCPUGenerator(seed);
    auto a = at::rand({n}, generator);
    auto b = at::randn({n}, torch::make_generator<at::CPUGeneratorImpl>(seed));
    auto* impl = at::check_generator<at::CPUGeneratorImpl>(generator);
    { std::lock_guard<std::mutex> lock(impl->mutex_); impl->set_current_seed(seed + 1); }
    return a + b + torch::bernoulli(torch::full({n}, 0.5), generator) + torch::empty({n}).uniform_(0, 1, generator) + (double)(impl->current_seed() % 97);
}
torch::Tensor dropped(torch::Tensor x, double p, c10::optional<at::Generator> generator) {
    auto* impl = at::get_generator_or_default<at::CPUGeneratorImpl>(generator, at::detail::getDefaultCPUGenerator());
    return torch::full({}, static_cast<double>(impl->random() % 1000)) + 0 * x.mean() + p;
}
std::vector<int64_t> freed(int64_t n) {
    int64_t deleted = 0;
    { auto* memory = new float[n + 1](); auto t = torch::from_blob(memory, {n}, [&deleted](void* p) { delete[] static_cast<float*>(p); ++deleted; }, torch::kFloat); t.add_(1); if (t.sum().item<float>() != n) deleted += 10; }
    std::vector<double> kept(4, 2.0);
    auto s = torch::from_blob(kept.data(), {2, 2}, {1, 2}, [&deleted](void*) { deleted += 100; }, torch::dtype(torch::kDouble)).clone();
    return {deleted, s.size(0)};
}
std::string told(torch::Tensor x) { std::ostringstream out; out << x.sizes().vec() << ' ' << x.options() << ' ' << x.is_contiguous() << std::vector<double>{1.5, 2}; return out.str(); }
c10::complex<double> squared(c10::complex<double> z) { return z * z; }
torch::Tensor never(at::TensorList tensors) { return tensors[0]; }
torch::Tensor neither(torch::Tensor x, at::OptionalIntArrayRef dims) { return x.sum(dims); }
bool switches() { auto before = at::globalContext().deterministicCuDNN(); at::globalContext().setDeterministicCuDNN(true); bool now = at::globalContext().deterministicCuDNN(); at::globalContext().setDeterministicCuDNN(before); return now && !at::globalContext().hasCUDA(); }
torch::Tensor replaced(torch::Tensor x, torch::Tensor y) { c10::InferenceMode off(false); auto z = x.clone(); z.set_data(y); return z; }
'''
ext = load_inline(name="cpp_generators_and_deleters", cpp_sources=source, functions=["drawn", "dropped", "freed", "told", "squared", "never", "neither", "switches", "replaced"])


def caught(f, *args):
    try:
        return f(*args)
    except Exception as e:
        return f"{type(e).__name__}: {e}"


class ModelNew(nn.Module):
    def forward(self, x):
        return [
            ext.drawn(5, 3), ext.dropped(x, 0.5, torch.Generator().manual_seed(4)), ext.freed(3), ext.told(x), ext.told(x.t().double()),
            str(ext.squared(1 + 2j)), str(ext.squared(3)), caught(ext.squared, "1"), caught(ext.never, [x]), caught(ext.neither, x, [0]),
            caught(ext.neither, x, None), caught(ext.dropped, x, 0.5, 3), ext.switches(), ext.replaced(x, x + 1),
        ]


def get_inputs():
    return [torch.arange(6.0).view(2, 3)]


def get_init_inputs():
    return []
