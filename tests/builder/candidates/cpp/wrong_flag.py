from torch.utils.cpp_extension import load_inline

source = "torch::Tensor run(torch::Tensor x) { return x; }"
ext = load_inline(name="cpp_wrong_flag", cpp_sources=source, functions=["run"], extra_cflags=["-O3", "-fplugin=/tmp/evil.so"])
# expected: -fplugin=/tmp/evil.so
