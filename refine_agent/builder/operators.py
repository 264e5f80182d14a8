"""Owns the wrappers of ATen's operators, taken word for word from the installed torch's headers.

What a wrapper does when it is called is left to `light/call.h` and the shim behind it.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

# Types that the light headers do not model; overloads that mention them stay with the stock build.
_UNMODELLED = re.compile(
    r"SymInt|Dimname|at::Storage|at::Stream|c10::Stream|QScheme|ArrayRef<at::Scalar>|intrusive_ptr|"
    r"TensorOptions \w+(?:={})?, at::TensorOptions"
)
# Methods that `light/tensor.h` writes out itself.
_HANDWRITTEN = re.compile(
    r"backward|contiguous|data|grad|is_complex|is_conj|is_floating_point|is_inference|is_leaf"
    r"|is_neg|is_signed|item|output_nr|requires_grad_|retain_grad|retains_grad|set_data|size|stride"
    r"|_version"
)
_SCHEMA = r"// aten::(?P<op>\w+)(?:\.(?P<overload>\w+))?(?P<schema>\(.*)\n"
_FUNCTION = re.compile(
    _SCHEMA + r"inline (?P<returns>[^\n]+?) ?\b(?P<name>\w+)\((?P<params>[^\n]*)\) \{\n"
    r"    return at::_ops::\w+::call\((?P<call>[^\n]*)\);\n\}"
)
_METHOD = re.compile(
    _SCHEMA
    + r"inline (?P<returns>[^\n]+?) ?\bTensor::(?P<name>\w+)\((?P<params>[^\n]*)\) const \{\n"
    r"    return at::_ops::\w+::call\((?P<call>[^\n]*)\);\n\}"
)
_DECLARED_METHOD = re.compile(
    r"^  (?P<returns>[\w:<>,& ]+?) ?\b(?P<name>\w+)\((?P<params>.*)\) const;$", re.MULTILINE
)
# What torch writes by hand in terms of the rest: var(int dim), so that 0 is not taken for a bool.
_PLAIN_METHOD = re.compile(
    r"^  (?P<signature>Tensor (?P<name>var|std)\(int dim\) const) \{\n"
    r"    (?P<body>return [^\n]*)\n  \}",
    re.MULTILINE,
)
_PLAIN_FUNCTION = re.compile(
    r"^inline (?P<signature>[\w:<>, ]+? (?P<name>\w+)\(const Tensor& \w+(?:, \w+ \w+)?\)) \{\n"
    r"  (?P<body>return [^\n]*)\n\}",
    re.MULTILINE,
)
_FACTORY = re.compile(
    r"inline at::Tensor (?P<name>\w+)\((?P<params>[^\n]*)\) \{\n"
    r"  at::AutoDispatchBelowADInplaceOrView guard;\n"
    r"  return autograd::make_variable\((?P<call>[^\n]*), /\*requires_grad=\*/(?P<grad>[^\n]*)\);"
    r"\n\}"
)
_WRITTEN_ARGUMENT = re.compile(r"Tensor\(\w+!\)(?:\[\])? (\w+)")
_NAME = re.compile(r"[A-Za-z_]\w*")
_PASTED_AFTER = re.compile(r"##\s*(\w+)")
_PASTED_BEFORE = re.compile(r"(\w+)\s*##")


class Operators(msgspec.Struct, frozen=True, kw_only=True):
    """C++ text for every operator the installed torch declares, by the name candidates use."""

    methods: dict[str, str]
    functions: dict[str, str]
    factories: dict[str, str]

    def wrappers(self, names: Iterable[str]) -> "Wrappers":
        """The text of those operators, and only those, that are named."""
        wanted = sorted(set(names))
        return Wrappers(
            methods=_joined(self.methods, wanted),
            functions="namespace at {\n" + _joined(self.functions, wanted) + "}\n",
            factories=_joined(self.factories, wanted),
        )


class Wrappers(msgspec.Struct, frozen=True, kw_only=True):
    """The three files that `light/tensor.h` and `light/torch.h` include from the candidate."""

    methods: str
    functions: str
    factories: str


def read_operators(torch_include: Path) -> Operators:
    """Read every operator's C++ declaration from the headers of one torch.

    Raises:
        ValueError: the headers do not look like any torch this was written for.
    """
    methods = _methods((torch_include / "ATen/core/TensorBody.h").read_text(encoding="utf-8"))
    functions: dict[str, str] = {}
    for header in sorted((torch_include / "ATen/ops").glob("*.h")):
        if not header.stem.endswith(("_ops", "_native", "_dispatch", "_meta")):
            _add(functions, _functions(header.read_text(encoding="utf-8")))
    _add(functions, _plain_functions((torch_include / "ATen/Functions.h").read_text("utf-8")))
    factories: dict[str, str] = {}
    generated = torch_include / "torch/csrc/autograd/generated/variable_factories.h"
    _add(factories, _factories(generated.read_text(encoding="utf-8")))
    if len(methods) < 300 or len(functions) < 1000 or "empty" not in factories:  # noqa: PLR2004 - torch 2.6 has 600 and 2000
        raise ValueError(
            f"the headers in {torch_include} declare {len(methods)} methods and {len(functions)} "
            "functions in the form expected; this torch is too different from those known"
        )
    return Operators(methods=methods, functions=functions, factories=factories)


def names_in(source: str) -> set[str]:
    """Every identifier of a C++ source, and those that its macros may paste together."""
    names = set(_NAME.findall(source))
    ends, beginnings = _PASTED_AFTER.findall(source), _PASTED_BEFORE.findall(source)
    pasted = {name + end for name in names for end in set(ends)}
    return names | pasted | {beginning + name for name in names for beginning in set(beginnings)}


def _joined(texts: dict[str, str], names: list[str]) -> str:
    return "".join(texts[name] for name in names if name in texts)


def _add(texts: dict[str, str], pairs: Iterable[tuple[str, str]]) -> None:
    for name, text in pairs:
        texts[name] = texts.get(name, "") + text


def _functions(header: str) -> Iterator[tuple[str, str]]:
    for found in _FUNCTION.finditer(header):
        if not _UNMODELLED.search(found["params"] + found["returns"]):
            signature = f"inline {found['returns']} {found['name']}({found['params']})"
            yield found["name"], f"{signature} {{ {_body(found, owner='self')} }}\n"


def _plain_functions(header: str) -> Iterator[tuple[str, str]]:
    for found in _PLAIN_FUNCTION.finditer(header):
        yield found["name"], f"inline {found['signature']} {{ {found['body']} }}\n"


def _methods(header: str) -> dict[str, str]:
    defaults = {
        (d["name"], _without_defaults(d["params"])): d["params"]
        for d in _DECLARED_METHOD.finditer(header)
    }
    methods: dict[str, str] = {}
    for found in _METHOD.finditer(header):
        if _HANDWRITTEN.fullmatch(found["name"]) or _UNMODELLED.search(
            found["params"] + found["returns"]
        ):
            continue
        params = defaults.get((found["name"], _without_defaults(found["params"])), found["params"])
        signature = f"{found['returns']} {found['name']}({params}) const"
        _add(methods, [(found["name"], f"{signature} {{ {_body(found, owner='*this')} }}\n")])
    for found in _PLAIN_METHOD.finditer(header):
        _add(methods, [(found["name"], f"{found['signature']} {{ {found['body']} }}\n")])
    return methods


def _factories(header: str) -> Iterator[tuple[str, str]]:
    for found in _FACTORY.finditer(header):
        if _UNMODELLED.search(found["params"]):
            continue
        body = (
            f"auto ra_out = {found['call']}; "
            f"if ({found['grad']}) ra_out.set_requires_grad(true); return ra_out;"
        )
        signature = f"inline at::Tensor {found['name']}({found['params']})"
        yield found["name"], f"{signature} {{ {body} }}\n"


def _body(found: re.Match[str], *, owner: str) -> str:
    """Call the operator; a result that is a reference is the argument it was written into."""
    returns = found["returns"].strip()
    arguments = found["call"].replace("const_cast<Tensor&>(*this)", "*this")
    op = f'"aten::{found["op"]}", "{found["overload"] or ""}"'
    comma = ", " if arguments else ""
    if returns == "void":
        return f"RA_RUN({op}{comma}{arguments});"
    if "&" not in returns:
        return f"RA_CALL(RA_TYPE({returns}), {op}{comma}{arguments});"
    written = [
        owner if name == "self" else name
        for name in _WRITTEN_ARGUMENT.findall(_arguments(found["schema"]))
    ]
    kept = ", ".join(f"const_cast<at::Tensor&>({name})" for name in written)
    result = kept if "tuple" not in returns else f"{returns}({kept})"
    return f"RA_RUN({op}{comma}{arguments}); return {result};"


def _arguments(schema: str) -> str:
    return schema.rpartition(" -> ")[0]


def _without_defaults(params: str) -> str:
    return re.sub(r"=(?:\{[^}]*\}|[^,]*)(?=,|$)", "", params)
