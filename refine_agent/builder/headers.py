"""Owns which light header answers each name under which torch's headers can be included.

A candidate sees through a name what it would see through torch's own, and no more: what compiled
only here would fail in the sealed rebuild. What the light headers say is left to them.
"""

import re
import shutil
from pathlib import Path

_LIGHT = Path(__file__).parent / "light"
# torch's second include folder, below the first.
_API = "torch/csrc/api/include"

# Light headers, and the names of torch's that they answer.
_ANSWERED = {
    ("extension.h",): """
        torch/extension.h torch/torch.h torch/all.h torch/script.h torch/python.h torch/utils.h
        torch/cuda.h torch/enum.h torch/csrc/api/include/torch/torch.h""",
    ("version.h",): "torch/version.h torch/headeronly/version.h",
    ("modules.h",): "pybind11/pybind11.h pybind11/stl.h torch/csrc/utils/pybind.h",
    ("torch.h",): """
        torch/types.h torch/csrc/api/include/torch/types.h torch/csrc/autograd/variable.h
        torch/serialize/tensor.h
        torch/headeronly/core/ScalarType.h torch/headeronly/core/TensorAccessor.h
        torch/headeronly/macros/Macros.h torch/headeronly/util/BFloat16.h
        torch/headeronly/util/Exception.h torch/headeronly/util/Half.h
        torch/headeronly/util/HeaderOnlyArrayRef.h

        ATen/ATen.h ATen/CPUFunctions.h ATen/CUDAFunctions.h ATen/Context.h ATen/Device.h
        ATen/DeviceGuard.h ATen/Dispatch.h ATen/ExpandUtils.h ATen/Formatting.h ATen/Functions.h
        ATen/InitialTensorOptions.h ATen/Layout.h ATen/MemoryOverlap.h ATen/NativeFunctions.h
        ATen/Scalar.h ATen/ScalarOps.h ATen/ScalarType.h ATen/Tensor.h ATen/TensorIndexing.h
        ATen/TensorOperators.h ATen/TensorOptions.h ATen/TensorUtils.h ATen/Utils.h
        ATen/WrapDimUtils.h ATen/core/DeprecatedTypeProperties.h ATen/core/Generator.h
        ATen/core/Reduction.h ATen/core/Scalar.h ATen/core/ScalarType.h ATen/core/Tensor.h
        ATen/core/TensorAccessor.h ATen/core/TensorBase.h ATen/core/TensorBody.h
        ATen/core/grad_mode.h ATen/core/ivalue.h ATen/native/Resize.h
        ATen/native/TensorFactories.h

        c10/core/DefaultDtype.h c10/core/Device.h c10/core/DeviceGuard.h c10/core/DeviceType.h
        c10/core/GradMode.h c10/core/InferenceMode.h c10/core/Layout.h c10/core/MemoryFormat.h
        c10/core/Scalar.h c10/core/ScalarType.h c10/core/TensorImpl.h c10/core/TensorOptions.h
        c10/util/Float8_e4m3fnuz.h c10/util/Float8_e5m2fnuz.h c10/util/Float8_e8m0fnu.h
        c10/util/Float4_e2m1fn_x2.h torch/headeronly/util/Float8_e4m3fn.h
        torch/headeronly/util/Float8_e5m2.h torch/headeronly/util/Float8_e4m3fnuz.h
        torch/headeronly/util/Float8_e5m2fnuz.h torch/headeronly/util/Float8_e8m0fnu.h
        torch/headeronly/util/Float4_e2m1fn_x2.h
        c10/core/WrapDimMinimal.h c10/macros/Export.h c10/macros/Macros.h c10/util/ArrayRef.h
        c10/util/BFloat16.h c10/util/Deprecated.h c10/util/Exception.h c10/util/Float8_e4m3fn.h
        c10/util/Float8_e5m2.h c10/util/Half.h c10/util/Load.h c10/util/Logging.h
        c10/util/MaybeOwned.h c10/util/Optional.h c10/util/OptionalArrayRef.h
        c10/util/SmallVector.h c10/util/StringUtil.h c10/util/TypeCast.h c10/util/accumulate.h
        c10/util/irange.h c10/util/string_view.h c10/util/typeid.h

        ATen/CPUGeneratorImpl.h ATen/DimVector.h ATen/core/DimVector.h ATen/core/List.h
        ATen/ArrayRef.h ATen/Generator.h ATen/Storage.h
        ATen/core/Formatting.h c10/core/Allocator.h c10/core/Storage.h c10/util/Metaprogramming.h
        c10/util/C++17.h""",
    ("torch.h", "parallel.h"): """
        ATen/Parallel.h ATen/ParallelNative.h ATen/ParallelOpenMP.h""",
    ("torch.h", "numeric.h"): """
        ATen/AccumulateType.h ATen/NumericUtils.h ATen/OpMathType.h ATen/ceil_div.h
        c10/util/MathConstants.h""",
    ("torch.h", "dispatch_v2.h"): """
        ATen/Dispatch_v2.h torch/headeronly/core/Dispatch_v2.h""",
    ("torch.h", "cuda.h"): """
        ATen/cuda/CUDADevice.h c10/cuda/CUDACachingAllocator.h c10/cuda/CUDAException.h
        c10/cuda/CUDAFunctions.h c10/cuda/CUDAGuard.h c10/cuda/CUDAMacros.h
        c10/cuda/CUDAMiscFunctions.h c10/cuda/CUDAStream.h c10/cuda/impl/CUDAGuardImpl.h""",
    ("torch.h", "cuda.h", "cuda_context.h"): """
        ATen/cuda/ATenCUDAGeneral.h ATen/cuda/CUDABlas.h ATen/cuda/CUDAContext.h
        ATen/cuda/CUDAContextLight.h ATen/cuda/CUDAEvent.h ATen/cuda/CUDAGuard.h
        ATen/cuda/CUDAUtils.h ATen/cuda/EmptyTensor.h ATen/cuda/Exceptions.h
        ATen/cuda/PeerToPeerAccess.h ATen/cuda/detail/CUDAHooks.h""",
    ("torch.h", "cuda.h", "generator.h"): "ATen/cuda/CUDAGeneratorImpl.h",
    ("torch.h", "cuda.h", "cuda_graph.h"): """
        ATen/cuda/CUDAGraph.h c10/cuda/CUDAGraphsC10Utils.h""",
    ("torch.h", "cuda.h", "cuda_context.h", "generator.h", "cuda_graph.h", "capture.h"): """
        ATen/cuda/CUDAGraphsUtils.cuh""",
    ("torch.h", "cuda.h", "cuda_context.h", "apply.h"): "ATen/cuda/CUDAApplyUtils.cuh",
    ("torch.h", "cudnn.h"): "ATen/cudnn/Handle.h",
    ("torch.h", "index_math.h"): "ATen/native/CanUse32BitIndexMath.h",
}
# Header-only code of torch's that compiles against the light headers as it is.
_COPIED = """
    ATen/cuda/ApplyGridUtils.cuh ATen/cuda/AsmUtils.cuh ATen/cuda/Atomic.cuh
    ATen/cuda/DeviceUtils.cuh ATen/cuda/NumericLimits.cuh ATen/cuda/PhiloxCudaState.h
    ATen/cuda/PhiloxUtils.cuh ATen/cuda/ScanUtils.cuh ATen/cuda/ThrustAllocator.h
    ATen/cuda/detail/IndexUtils.cuh ATen/cuda/detail/IntegerDivider.cuh
    ATen/cuda/detail/KernelUtils.h ATen/cuda/detail/PhiloxCudaStateRaw.cuh
    ATen/cuda/detail/TensorInfo.cuh ATen/cuda/detail/UnpackRaw.cuh ATen/CollapseDims.h
    ATen/core/Array.h ATen/core/MT19937RNGEngine.h ATen/core/PhiloxRNGEngine.h
    ATen/detail/FunctionTraits.h ATen/native/SharedReduceOps.h ATen/native/cuda/DeviceSqrt.cuh
    ATen/native/cuda/block_reduce.cuh c10/cuda/CUDAMathCompat.h c10/util/complex.h
    c10/util/complex_math.h c10/util/complex_utils.h torch/headeronly/util/complex.h"""
# Likewise, but in one file, without what they include of torch's.
_GATHERED = {
    "float8_types.h": """
        Float8_fnuz_cvt Float8_e4m3fn Float8_e5m2 Float8_e4m3fnuz Float8_e5m2fnuz Float8_e8m0fnu
        Float4_e2m1fn_x2"""
}
_OF_UTIL = ("torch/headeronly/util/{}.h", "c10/util/{}.h", "c10/util/{}-inl.h")
_OWN_INCLUDE = re.compile(
    r"^[ \t]*#[ \t]*(?:include[ \t]*<(?:torch|c10)/|pragma once\b)[^\n]*\n", re.MULTILINE
)
INCLUDE = re.compile(
    r'^[ \t]*#[ \t]*include[ \t]*[<"]((?:torch|ATen|c10|caffe2)/[^>"\n]+)[>"]', re.MULTILINE
)
# Definitions with their continuation lines, the conditions around them, and named constants.
_DIRECTIVE = re.compile(
    r"^[ \t]*#[ \t]*(?:define|undef|if|ifdef|ifndef|elif|else|endif)\b(?:[^\n]*\\\n)*[^\n]*\n"
    r"|^constexpr [^\n;{(]*;\n",
    re.MULTILINE,
)
# Macro headers, taken from torch's own; which of these exist depends on the version.
_MACROS = {
    "macros.h": """
        torch/headeronly/macros/Export.h torch/headeronly/macros/Macros.h c10/macros/Export.h
        c10/macros/Macros.h c10/util/Deprecated.h""",
    "version.h": "torch/headeronly/version.h torch/csrc/api/include/torch/version.h",
    "dispatch.h": "torch/headeronly/core/Dispatch.h ATen/Dispatch.h",
    "dispatch_v2.h": "torch/headeronly/core/Dispatch_v2.h ATen/Dispatch_v2.h",
}
_MACROS_BEFORE = {"dispatch_v2.h": '#include "dispatch.h"\n'}
_MACROS_AFTER = {
    "dispatch.h": "#undef AT_PRIVATE_CHECK_SELECTIVE_BUILD\n"
    "#define AT_PRIVATE_CHECK_SELECTIVE_BUILD(type)\n"
}


def lay_out_headers(include: Path, *, torch_include: Path) -> None:
    """Fill a folder so that `-isystem` of it stands in for torch's include folders."""
    light = include / "light"
    light.mkdir(parents=True)
    for header in _LIGHT.glob("*.h"):
        shutil.copyfile(header, light / header.name)
    for name in _MACROS:
        (light / name).write_text(_macros(name, torch_include), encoding="utf-8")
    for name in _GATHERED:
        (light / name).write_text(_gathered(name, torch_include), encoding="utf-8")
    for answers, names in _ANSWERED.items():
        for name in names.split():
            _write(include / name, _including(answers))
    for name in _COPIED.split():
        if (torch_include / name).exists():
            _write(include / name, _copied(name, torch_include))


def unforeseen_headers(source: str, *, include: Path, torch_include: Path) -> dict[str, str]:
    """Headers of torch's that a source includes and the light ones do not name, with stand-ins.

    Such a header is most often included and not used, or used for what torch.h has anyway.
    """
    foreign = (name for name in INCLUDE.findall(source) if not (include / name).exists())
    return {name: _general(name) for name in foreign if is_of_torch(name, torch_include)}


def is_of_torch(name: str, torch_include: Path) -> bool:
    """Whether an include of that name finds a header of torch's, in either of its folders."""
    return any((folder / name).is_file() for folder in (torch_include, torch_include / _API))


def _general(name: str) -> str:
    answers = ("torch.h", "cuda.h", "cuda_context.h") if "cuda" in name.lower() else ("torch.h",)
    return _including(answers)


def _including(answers: tuple[str, ...]) -> str:
    return "#pragma once\n" + "".join(f"#include <light/{answer}>\n" for answer in answers)


def _macros(name: str, torch_include: Path) -> str:
    """The macros of torch's own, and nothing else of the headers that define them."""
    sources = [torch_include / header for header in _MACROS[name].split()]
    directives = (
        _DIRECTIVE.findall(path.read_text(encoding="utf-8")) for path in sources if path.exists()
    )
    return "".join(
        [
            "// Owns macros of torch's, word for word as the installed torch defines them.\n",
            "#pragma once\n",
            _MACROS_BEFORE.get(name, ""),
            *(line for lines in directives for line in lines),
            _MACROS_AFTER.get(name, ""),
        ]
    )


def _gathered(name: str, torch_include: Path) -> str:
    texts = ["// Owns types of torch's, word for word as the installed torch defines them.\n"]
    texts.append("#pragma once\n")
    for part in _GATHERED[name].split():
        found = [torch_include / place.format(part) for place in _OF_UTIL]
        found = [path for path in found if path.exists()]
        texts += [f"#define RA_HAS_{part} 1\n"] if found else []
        texts += [_OWN_INCLUDE.sub("", path.read_text(encoding="utf-8")) for path in found]
    return "".join(texts)


def _copied(name: str, torch_include: Path) -> str:
    text = (torch_include / name).read_text(encoding="utf-8")
    # The ones of ATen use what their own includes would have brought along, Philox's state nothing.
    plain = not name.startswith("ATen") or "Philox" in name
    return text if plain else f"#include <light/numeric.h>\n{text}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
