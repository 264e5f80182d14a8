"""Owns which light header answers each name under which torch's headers can be included.

A candidate sees through a name what it would see through torch's own, and no more: what only compiled
here would fail in the sealed rebuild. What the light headers say is left to them.
"""

import re
import shutil
from pathlib import Path

_LIGHT = Path(__file__).parent / "light"

# Light headers, and the names of torch's that they answer.
_ANSWERED = {
    ("extension.h",): """
        torch/extension.h torch/torch.h torch/all.h torch/script.h torch/python.h torch/utils.h torch/cuda.h
        torch/csrc/api/include/torch/torch.h torch/csrc/autograd/autograd.h torch/enum.h torch/nn.h""",
    ("torch.h",): """
        torch/types.h torch/library.h torch/csrc/api/include/torch/types.h torch/csrc/autograd/variable.h
        ATen/ATen.h ATen/Tensor.h ATen/Functions.h ATen/TensorUtils.h ATen/TensorOperators.h ATen/NativeFunctions.h
        ATen/TensorIndexing.h ATen/Dispatch.h ATen/ScalarOps.h ATen/Scalar.h ATen/ScalarType.h ATen/Device.h
        ATen/DeviceGuard.h ATen/TensorOptions.h ATen/WrapDimUtils.h ATen/Context.h ATen/Utils.h ATen/ExpandUtils.h
        ATen/Layout.h ATen/Formatting.h ATen/MemoryOverlap.h ATen/InitialTensorOptions.h ATen/CPUFunctions.h
        ATen/CUDAFunctions.h ATen/core/Tensor.h ATen/core/TensorBody.h ATen/core/TensorBase.h ATen/core/TensorAccessor.h
        ATen/core/ScalarType.h ATen/core/Scalar.h ATen/core/Reduction.h ATen/core/grad_mode.h ATen/core/Generator.h
        ATen/core/DeprecatedTypeProperties.h ATen/core/ivalue.h ATen/native/Resize.h ATen/native/TensorFactories.h
        c10/core/Device.h c10/core/DeviceType.h c10/core/ScalarType.h c10/core/Scalar.h c10/core/TensorOptions.h
        c10/core/MemoryFormat.h c10/core/Layout.h c10/core/DeviceGuard.h c10/core/GradMode.h c10/core/DefaultDtype.h
        c10/core/WrapDimMinimal.h c10/core/TensorImpl.h c10/macros/Macros.h c10/macros/Export.h c10/util/Exception.h
        c10/util/Optional.h c10/util/ArrayRef.h c10/util/Half.h c10/util/BFloat16.h c10/util/irange.h
        c10/util/StringUtil.h c10/util/string_view.h c10/util/SmallVector.h c10/util/OptionalArrayRef.h
        c10/util/TypeCast.h c10/util/Logging.h c10/util/Float8_e4m3fn.h c10/util/Float8_e5m2.h c10/util/accumulate.h
        c10/util/MaybeOwned.h c10/util/Deprecated.h c10/util/typeid.h c10/util/Load.h
        torch/headeronly/util/Half.h torch/headeronly/util/BFloat16.h torch/headeronly/core/ScalarType.h
        torch/headeronly/macros/Macros.h torch/headeronly/util/Exception.h torch/headeronly/util/HeaderOnlyArrayRef.h
        torch/headeronly/core/TensorAccessor.h torch/headeronly/util/TypeSafeSignMath.h""",
    ("torch.h", "parallel.h"): "ATen/Parallel.h ATen/ParallelOpenMP.h ATen/ParallelNative.h",
    ("torch.h", "numeric.h"): """
        ATen/OpMathType.h ATen/AccumulateType.h ATen/NumericUtils.h ATen/ceil_div.h c10/util/MathConstants.h""",
    ("torch.h", "dispatch_v2.h"): "ATen/Dispatch_v2.h torch/headeronly/core/Dispatch_v2.h",
    ("torch.h", "cuda.h"): """
        c10/cuda/CUDAGuard.h c10/cuda/CUDAStream.h c10/cuda/CUDAException.h c10/cuda/CUDAFunctions.h
        c10/cuda/CUDAMacros.h c10/cuda/CUDACachingAllocator.h c10/cuda/CUDAMiscFunctions.h c10/cuda/impl/CUDAGuardImpl.h
        ATen/cuda/CUDADevice.h""",
    ("torch.h", "cuda.h", "cuda_context.h"): """
        ATen/cuda/CUDAContext.h ATen/cuda/CUDAContextLight.h ATen/cuda/Exceptions.h ATen/cuda/CUDAUtils.h
        ATen/cuda/CUDAEvent.h ATen/cuda/CUDAGuard.h ATen/cuda/ATenCUDAGeneral.h ATen/cuda/CUDABlas.h""",
}  # fmt: skip
# Header-only device code of torch's that compiles against the light headers as it is.
_COPIED = """
    ATen/cuda/Atomic.cuh ATen/cuda/DeviceUtils.cuh ATen/cuda/detail/KernelUtils.h ATen/cuda/AsmUtils.cuh
    ATen/cuda/NumericLimits.cuh c10/cuda/CUDAMathCompat.h c10/util/complex.h c10/util/complex_math.h
    c10/util/complex_utils.h torch/headeronly/util/complex.h"""
# Definitions with their continuation lines, and the conditions around them.
_DIRECTIVE = re.compile(
    r"^[ \t]*#[ \t]*(?:define|undef|if|ifdef|ifndef|elif|else|endif)\b(?:[^\n]*\\\n)*[^\n]*\n",
    re.MULTILINE,
)
_MACROS = {
    "macros.h": (
        "torch/headeronly/macros/Export.h", "torch/headeronly/macros/Macros.h",
        "c10/macros/Export.h", "c10/macros/Macros.h", "c10/util/Deprecated.h",
    ),
    "dispatch.h": ("torch/headeronly/core/Dispatch.h", "ATen/Dispatch.h"),
    "dispatch_v2.h": ("torch/headeronly/core/Dispatch_v2.h", "ATen/Dispatch_v2.h"),
}  # fmt: skip

_REPLACED = {"dispatch.h": {"AT_PRIVATE_CHECK_SELECTIVE_BUILD": "(type)"}}


def lay_out_headers(include: Path, *, torch_include: Path) -> None:
    """Fill a folder so that `-isystem` of it stands in for torch's include folders."""
    light = include / "light"
    light.mkdir(parents=True)
    for header in _LIGHT.glob("*.h"):
        shutil.copyfile(header, light / header.name)
    for name, taken_from in _MACROS.items():
        (light / name).write_text(_macros(name, taken_from, torch_include), encoding="utf-8")
    for answers, names in _ANSWERED.items():
        text = "".join(["#pragma once\n", *(f"#include <light/{answer}>\n" for answer in answers)])
        for name in names.split():
            _write(include / name, text)
    for name in _COPIED.split():
        if (torch_include / name).exists():
            text = (torch_include / name).read_text(encoding="utf-8")
            _write(
                include / name,
                f"#include <light/numeric.h>\n{text}" if name.startswith("ATen") else text,
            )


def _macros(name: str, taken_from: tuple[str, ...], torch_include: Path) -> str:
    """torch's own macros, and nothing else of the headers that define them."""
    text = f"// Owns torch's macros of {taken_from[0]} and its like, as the installed torch defines them.\n"
    text += "#pragma once\n"
    text += '#include "dispatch.h"\n' if name == "dispatch_v2.h" else ""
    for header in taken_from:
        if (torch_include / header).exists():
            text += "".join(_DIRECTIVE.findall((torch_include / header).read_text(encoding="utf-8")))
    return text + "".join(f"#undef {macro}\n#define {macro}{meaning}\n" for macro, meaning in _REPLACED.get(name, {}).items())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
