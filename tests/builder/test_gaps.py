"""A mistake of the candidate is never answered with torch's own build; a gap of ours always is."""

import tempfile
from pathlib import Path

import pytest

from refine_agent.builder import BuildRequest, Toolchain
from refine_agent.builder.flags import Flags
from refine_agent.builder.gaps import gap_before_building, gap_in
from refine_agent.builder.job import Job
from refine_agent.builder.light_build import compile_lightly
from refine_agent.builder.run import run_plainly
from refine_agent.builder.sources import calls_for_pybind11

_GAPS = {
    "torch::linalg::inv(x)": "uses torch::linalg",
    "torch::fft::fft(x)": "uses torch::fft",
    'c10::demangle("f")': "lacks demangle",
    "at::show_config()": "lacks show_config",
    "x.options().computeDispatchKey()": "lacks c10::TensorOptions::computeDispatchKey",
    "x.register_hook([](torch::Tensor g) {})": "lacks at::Tensor::register_hook",
    "x.unsafeGetTensorImpl()->numel()": "lacks c10::TensorImpl",
    "at::detail::getCUDAHooks()": "lacks getCUDAHooks",  # the light headers have a detail too
    "x.sym_size(0).guard_int(__FILE__, __LINE__)": "uses guard_int",
    "sizeof(struct stat)": "lacks stat",
    "gettimeofday(nullptr, nullptr)": "lacks gettimeofday",
    "std::mt19937()()": "lacks std::mt19937",
}
_MISTAKES = {
    "x.rows()": "no member",  # torch mentions rows, but not as a method
    "x.softmax_with_temperature(2)": "no member",
    "torch::fused_everything(x)": "member",
    "torch::kFloat33": "member",
    "y + x": "y",
    "torch::zeros(x, x, x)": "convert",
    "torch::Tensor(x.size(0))": "",
    "at::cuda::getCurrentCUDAStream()": "getCurrentCUDAStream",  # not included
    'x.sum("rows")': "sum",
    "TORCH_CHECK_CUDA(x)": "TORCH_CHECK_CUDA",
    "x + FLT_MAX": "<cfloat>",  # no header of torch's brings it in C++
}  # fmt: skip


def _request(expression: str, device: str) -> BuildRequest:
    source = f"#include <torch/extension.h>\nvoid f(torch::Tensor x) {{ (void)({expression}); }}\n"
    declared = "#include <torch/extension.h>\nvoid f(torch::Tensor x);"
    return BuildRequest(
        name="ext",
        cpp_sources=(declared if device == "cuda" else source,),
        cuda_sources=(source,) if device == "cuda" else (),
        functions={"f": "f"},
    )


def _judged(request: BuildRequest, toolchain: Toolchain) -> tuple[str | None, str]:
    """The gap, and what the author would hear."""
    if (gap := gap_before_building(request, toolchain)) is not None:
        return gap, ""
    flags = Flags(host=(), device=(), linker=(), include_paths=())
    job = Job(request=request, flags=flags, toolchain=toolchain, run=run_plainly, deadline_s=60)
    with tempfile.TemporaryDirectory() as folder:
        compiled = compile_lightly(job, Path(folder), home=Path(folder))
    assert not compiled.built
    return gap_in(compiled.log, toolchain, job.unforeseen_headers()), compiled.told


@pytest.mark.parametrize(("expression", "gap"), _GAPS.items())
def test_what_torch_has_and_the_light_headers_lack_is_a_gap(
    expression: str, gap: str, toolchain: Toolchain
) -> None:
    assert _judged(_request(expression, "cpu"), toolchain)[0] == gap


@pytest.mark.parametrize(("expression", "told"), _MISTAKES.items())
def test_what_torch_would_refuse_too_is_a_mistake(
    expression: str, told: str, toolchain: Toolchain
) -> None:
    gap, heard = _judged(_request(expression, "cpu"), toolchain)
    assert gap is None
    assert "cpp_source:2" in heard
    assert told in heard


@pytest.mark.slow
@pytest.mark.parametrize(("expression", "gap"), list(_GAPS.items())[2:5])
def test_nvcc_words_it_otherwise_and_is_understood_about_gaps(
    expression: str, gap: str, cuda_toolchain: Toolchain
) -> None:
    assert _judged(_request(expression, "cuda"), cuda_toolchain)[0] == gap


@pytest.mark.slow
@pytest.mark.parametrize("expression", list(_MISTAKES)[:6])
def test_nvcc_words_it_otherwise_and_is_understood_about_mistakes(
    expression: str, cuda_toolchain: Toolchain
) -> None:
    gap, heard = _judged(_request(expression, "cuda"), cuda_toolchain)
    assert gap is None
    assert "cuda_source:2" in heard


def test_a_header_that_nobody_foresaw_excuses_what_is_missing(toolchain: Toolchain) -> None:
    source = "#include <ATen/native/Pool.h>\nvoid f(int64_t n) { (void)safe_downcast<int>(n); }\n"
    request = BuildRequest(name="e", cpp_sources=(source,), functions={"f": "f"})
    assert _judged(request, toolchain)[0] == "includes ATen/native/Pool.h"


def test_a_header_that_torch_has_not_is_a_mistake(toolchain: Toolchain) -> None:
    source = "#include <torch/extensions.h>\nvoid f() {}\n"
    request = BuildRequest(name="e", cpp_sources=(source,), functions={"f": "f"})
    gap, heard = _judged(request, toolchain)
    assert gap is None
    assert "cpp_source:1" in heard


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("py::object f();", "uses py::object"),
        ("#include <pybind11/numpy.h>", "uses pybind11/numpy.h"),
        ("PyObject* f();", "uses PyObject"),
        ('extern "C" int PyRun_SimpleString(const char*);', None),
        ("using namespace pybind11;", "uses using namespace pybind11"),
        ("PYBIND11_MAKE_OPAQUE(std::vector<int>);", "uses PYBIND11_MAKE_OPAQUE"),
        ('m.def("f", &f, py::arg("x").noconvert())', "uses noconvert"),
        ('auto g = m.def("f", &a).def("f", &b);', "defines overloads of a function"),
        ("// py::object", None),
        ("struct Py { float y; }; float f(Py p);", None),
        ('PYBIND11_MODULE(e, m) { m.def("f", &f, py::arg("x") = py::none()); }', None),
    ],
)  # fmt: skip
def test_code_that_talks_to_python_itself_gets_pybind11_and_no_other_does(
    source: str, wanted: str | None, toolchain: Toolchain
) -> None:
    asked = BuildRequest(name="e", cpp_sources=(source,))

    assert calls_for_pybind11(asked) == wanted
    assert gap_before_building(asked, toolchain) is None


@pytest.mark.parametrize(
    ("source", "gap"),
    [
        ("auto f = [](int x) { return x; };", "binds f, which is an object"),
        ("static const std::function<int(int)> f{g};", "binds f, which is an object"),
        ("int f(int x) {\n  auto f = [&] { return x; };\n  return f();\n}", None),
        ("auto g = [](int x) { return x; };\nint f(int x) { return g(x); }", None),
    ],
)
def test_a_function_that_is_an_object_is_left_to_torch(
    source: str, gap: str | None, toolchain: Toolchain
) -> None:
    asked = BuildRequest(name="e", cpp_sources=(source,), functions={"f": ""})

    assert gap_before_building(asked, toolchain) == gap


@pytest.mark.parametrize(
    ("source", "gap"),
    [
        ('char c = \'"\'; at::fft::f(x); auto s = "";', "uses at::fft"),
        ("char c = '\\''; at::fft::f(x); auto s = \"it's\";", "uses at::fft"),
        ("int n = 1'000'000, m = 0xF'F; at::fft::f('n');", "uses at::fft"),
        ("char c = u8'\"'; at::fft::f(L'\"');", "uses at::fft"),
        ("#error don't\nat::fft::f('n');", "uses at::fft"),
        ('auto s = R"(at::fft " at::nn)";', None),
        ('auto s = R"x(at::fft )" at::nn)x";', None),
        ("// the next line too \\\nat::fft", None),
    ],
)
def test_names_in_comments_strings_and_characters_call_for_nothing_and_all_others_do(
    source: str, gap: str | None, toolchain: Toolchain
) -> None:
    assert gap_before_building(BuildRequest(name="e", cpp_sources=(source,)), toolchain) == gap


@pytest.mark.parametrize("source", ["TORCH_LIBRARY(a, m) {}", "PyObject* PyInit_a() {}"])
def test_what_only_torch_can_register_is_left_to_it(source: str, toolchain: Toolchain) -> None:
    gap = gap_before_building(BuildRequest(name="e", cpp_sources=(source,)), toolchain)

    assert gap is not None
    assert gap.startswith("explicit ")


@pytest.mark.parametrize(
    ("definition", "gap"),
    [
        ('m.add_object("f", nullptr)', "lacks pybind11::module_::add_object"),
        ('m.def("f", [](float* p) {})', "the stand-in itself"),
    ],
)
def test_what_a_module_wants_of_pybind11_beyond_the_light_part_is_a_gap(
    definition: str, gap: str, toolchain: Toolchain
) -> None:
    source = "#include <torch/extension.h>\nvoid f(torch::Tensor x) {}\n"
    source += f"PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {{ {definition}; }}\n"
    found, _ = _judged(BuildRequest(name="e", cpp_sources=(source,)), toolchain)
    assert found is not None
    assert found.startswith(gap)


@pytest.mark.parametrize(
    "source",
    [
        'PYBIND11_MODULE(e, m) {\n  m.def("f", [](py::list x) { return missing(x); });\n}\n',
        "py::object f(py::object x) {\n  return missing(x);\n}\n",
    ],
)  # fmt: skip
def test_a_mistake_beside_python_objects_is_told_by_its_line(
    source: str, toolchain: Toolchain
) -> None:
    own = "PYBIND11_MODULE" in source
    asked = BuildRequest(
        name="e",
        cpp_sources=("#include <torch/extension.h>\n" + source,),
        functions=None if own else {"f": "f"},
    )
    gap, heard = _judged(asked, toolchain)
    assert gap is None
    assert "cpp_source:3" in heard
    assert "missing" in heard


def test_a_mistake_in_a_module_of_its_own_is_told_by_its_line(toolchain: Toolchain) -> None:
    source = "#include <torch/extension.h>\nPYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {\n"
    source += '  m.def("f", &missing, "no such function");\n}\n'
    gap, heard = _judged(BuildRequest(name="e", cpp_sources=(source,)), toolchain)
    assert gap is None
    assert "cpp_source:3" in heard
    assert "missing" in heard
