import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <stdexcept>

void fail(int64_t how, torch::Tensor x) {
    switch (how) {
        case 0: TORCH_CHECK(false, "plain ", 1, " ", 2.5, " ", x.sizes(), " ", x.dtype(), " ", x.device(), " ", true, ' ', std::string("s"));
        case 1: TORCH_CHECK(x.dim() == 99);
        case 2: TORCH_CHECK_INDEX(false, "index ", 3);
        case 3: TORCH_CHECK_VALUE(false, "value");
        case 4: TORCH_CHECK_TYPE(false, "type");
        case 5: TORCH_CHECK_NOT_IMPLEMENTED(false, "not implemented");
        case 6: AT_ERROR("at error ", x.dim());
        case 7: throw std::runtime_error("runtime");
        case 8: throw std::invalid_argument("invalid");
        case 9: throw std::out_of_range("range");
        case 10: throw c10::Error("c10", "");
        case 11: x.view({7, 7}); break;
        case 12: x.data_ptr<int64_t>(); break;
        case 13: x.size(9); break;
        case 14: torch::mm(x, x); break;
        case 15: x.to(torch::Device("nowhere")); break;
        case 16: TORCH_CHECK(false); break;
        case 17: x.item<float>(); break;
        case 18: x[100]; break;
        case 19: x.accessor<float, 3>(); break;
        case 20: std::vector<int>().at(3); break;
        case 21: throw 42;
        case 22: torch::Tensor().sizes(); break;
        case 23: torch::empty({-1}); break;
        case 24: TORCH_CHECK_EQ(x.dim(), 7); break;
        case 25: torch::cat({x, x.sum()}); break;
        case 26: x.stride(-5); break;
        case 27: TORCH_CHECK_LINALG(false, "singular"); break;
        case 28: try { torch::mm(x, x); } catch (const c10::Error& e) { throw std::logic_error(std::string("caught: ") + e.what_without_backtrace()); } break;
        case 29: try { torch::mm(x, x); } catch (const std::exception& e) { throw; } break;
        case 30: c10::IntArrayRef(x.sizes()).at(8); break;
        case 31: x.sum().item<bool>(); torch::softmax(x, 5); break;
        case 32: AT_DISPATCH_INTEGRAL_TYPES(x.scalar_type(), "my_kernel", [&] {}); break;
        case 33: torch::Scalar(3.5).to<int64_t>(); TORCH_CHECK(torch::Scalar(2).equal(2), "not equal"); torch::Scalar(1e300).toFloat(); break;
        case 34: x.index({torch::indexing::Slice(), 9}); break;
        default: break;
    }
}
'''
ext = load_inline(name="cpp_errors", cpp_sources=source.replace('throw c10::Error("c10", "");', 'TORCH_CHECK_ARG(false, 2, "c10");'), functions=["fail"])


class ModelNew(nn.Module):
    def forward(self, x):
        told = []
        for how in range(36):
            try:
                told.append((how, str(ext.fail(how, x))))
            except Exception as error:  # noqa: BLE001
                told.append((how, type(error).__name__, str(error)))
        return told


def get_inputs():
    return [torch.randn(2, 3)]


def get_init_inputs():
    return []
