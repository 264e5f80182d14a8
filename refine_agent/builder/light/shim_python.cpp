// Owns the shim's conversions between Python and C++, and the modules and functions of extensions.
// Part of shim.cpp, which includes it; leaves tensors and operators to that.

namespace {

PyObject* object(void* p) { return static_cast<PyObject*>(p); }

// pybind11 3 writes "@what an argument may be@what a result is@".
std::string spelled(const char* text, bool is_result) {
  std::string in(text), out;
  for (size_t at = 0; at < in.size();) {
    if (in[at] != '@') {
      out += in[at++];
      continue;
    }
    const auto middle = in.find('@', at + 1);
    const auto end = middle == std::string::npos ? middle : in.find('@', middle + 1);
    if (end == std::string::npos) return in;
    out += is_result ? in.substr(middle + 1, end - middle - 1) : in.substr(at + 1, middle - at - 1);
    at = end + 1;
  }
  return out;
}

template <class T>
std::string leaf(bool is_result) {
  return spelled(py::detail::make_caster<T>::name.text, is_result);
}

std::string described(const char*& code, bool is_result) {
  constexpr bool modern = PYBIND11_VERSION_MAJOR >= 3;
  switch (*code++) {
    case 'T':
      return leaf<at::Tensor>(is_result);
    case 'b':
      return leaf<bool>(is_result);
    case 'i':
      return leaf<int>(is_result);
    case 'f':
      return leaf<double>(is_result);
    case 's':
      return leaf<std::string>(is_result);
    case 'I':
      return leaf<at::IntArrayRef>(is_result);
    case 'S':
      return leaf<c10::Scalar>(is_result);
    case 'd':
      return leaf<at::Device>(is_result);
    case 't':
      return leaf<at::ScalarType>(is_result);
    case 'l':
      return leaf<c10::Layout>(is_result);
    case 'm':
      return leaf<at::MemoryFormat>(is_result);
    case 'G':
      return leaf<at::Generator>(is_result);
    case 'c':
      return leaf<c10::complex<double>>(is_result);
    case 'L':
      return "c10::ArrayRef<at::Tensor>";
    case 'O':
      return "c10::OptionalArrayRef<long>";
    case '?': {
      const auto inner = described(code, is_result);
      return modern ? inner + " | None" : "Optional[" + inner + "]";
    }
    case '[': {
      const auto inner = described(code, is_result);
      ++code;
      if (!modern) return "List[" + inner + "]";
      return (is_result ? "list[" : "collections.abc.Sequence[") + inner + "]";
    }
    case 'A': {
      const auto inner = described(code, is_result);
      const auto size = std::to_string(std::strtol(code, const_cast<char**>(&code), 10));
      ++code;
      if (!modern) return "Annotated[List[" + inner + "], FixedSize(" + size + ")]";
      return std::string("typing.Annotated[") +
             (is_result ? "list[" : "collections.abc.Sequence[") + inner + "], \"FixedSize(" +
             size + ")\"]";
    }
    case '(': {
      std::string items;
      while (*code != ')') items += (items.empty() ? "" : ", ") + described(code, is_result);
      ++code;
      return (modern ? "tuple[" : "Tuple[") + items + "]";
    }
    case '{': {
      const auto key = described(code, is_result);
      const auto item = described(code, is_result);
      ++code;
      if (!modern) return "Dict[" + key + ", " + item + "]";
      return (is_result ? "dict[" : "collections.abc.Mapping[") + key + ", " + item + "]";
    }
    default:
      return "None";
  }
}

std::string shown(PyObject* value) {
  try {
    return py::repr(value);
  } catch (py::error_already_set&) {
    return "<repr raised Error>";
  }
}

std::string signature_of(const ra_function& function) {
  const char* code = function.signature;
  std::string out = "(";
  for (int index = 0; *code != '>'; ++index) {
    const bool named = function.names != nullptr;
    out += index ? ", " : "";
    out += named ? function.names[index] : "arg" + std::to_string(index);
    out += ": " + described(code, false);
    if (named && function.defaults[index] != nullptr)
      out += " = " + shown(object(function.defaults[index]));
  }
  return out + ") -> " + described(++code, true);
}

void* refuse(const ra_function& function, void* const* arguments, int64_t count, void* keywords) {
  std::string text =
      std::string(function.name) +
      "(): incompatible function arguments. The following argument types are supported:\n    1. " +
      signature_of(function) + "\n\nInvoked with: ";
  for (int64_t i = 0; i < count; ++i) text += (i ? ", " : "") + shown(object(arguments[i]));
  const auto named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(object(keywords));
  if (named > 0) text += count > 0 ? "; kwargs: " : "kwargs: ";
  for (Py_ssize_t i = 0; i < named; ++i) {
    const std::string key = py::str(py::handle(PyTuple_GET_ITEM(object(keywords), i)));
    text += (i ? ", " : "") + key + "=" + shown(object(arguments[count + i]));
  }
  PyErr_SetString(PyExc_TypeError, text.c_str());
  return nullptr;
}

// A converter of torch's that threw rather than said no: pybind11 lets that through.
thread_local std::exception_ptr failed_conversion;

void* raise_failed_conversion() {
  try {
    std::rethrow_exception(std::exchange(failed_conversion, nullptr));
  } catch (py::error_already_set& e) {
    e.restore();
  } catch (python_error& e) {
    e.restore();
  } catch (const std::exception&) {
    torch::translate_exception_to_python(std::current_exception());
  }
  return nullptr;
}

template <class T>
bool load(PyObject* object, T& out) {
  py::detail::make_caster<T> caster;
  if (!caster.load(object, /*convert=*/true)) return false;
  out = py::detail::cast_op<T>(caster);
  return true;
}

template <class T>
bool load_integer(PyObject* object, ra_value* out) {
  T value{};
  if (!load(object, value)) return false;
  *out = {RA_INT, {static_cast<int64_t>(value)}, {0}};
  return true;
}

bool load_scalar(PyObject* object, ra_value* out) {
  c10::Scalar s;
  if (!load(object, s)) return false;
  *out = result(s.isFloatingPoint() ? c10::IValue(s.toDouble())
                : s.isBoolean()     ? c10::IValue(s.toBool())
                : s.isComplex()     ? c10::IValue(s.toComplexDouble())
                                    : c10::IValue(s.toLong()));
  return true;
}

bool load_value(ra_kind kind, PyObject* o, ra_value* out) {
  switch (kind) {
    case RA_PY_TENSOR: {
      at::Tensor t;
      if (!load(o, t)) return false;
      *out = {RA_TENSOR, {}, {0}};
      out->p = give(std::move(t));
      return true;
    }
    case RA_PY_BOOL:
      return load_integer<bool>(o, out);
    case RA_PY_I8:
      return load_integer<signed char>(o, out);
    case RA_PY_U8:
      return load_integer<unsigned char>(o, out);
    case RA_PY_I16:
      return load_integer<int16_t>(o, out);
    case RA_PY_U16:
      return load_integer<uint16_t>(o, out);
    case RA_PY_I32:
      return load_integer<int32_t>(o, out);
    case RA_PY_U32:
      return load_integer<uint32_t>(o, out);
    case RA_PY_I64:
      return load_integer<int64_t>(o, out);
    case RA_PY_U64:
      return load_integer<uint64_t>(o, out);
    case RA_PY_FLOAT: {
      float f = 0;
      if (!load(o, f)) return false;
      *out = {RA_DOUBLE, {}, {0}};
      out->d = f;
      return true;
    }
    case RA_PY_DOUBLE: {
      double d = 0;
      if (!load(o, d)) return false;
      *out = {RA_DOUBLE, {}, {0}};
      out->d = d;
      return true;
    }
    case RA_PY_STRING: {
      std::string s;
      if (!load(o, s)) return false;
      *out = {RA_STRING, {}, {static_cast<int64_t>(s.size())}};
      out->p = copy_text(s);
      return true;
    }
    case RA_PY_INTS: {
      py::detail::make_caster<at::IntArrayRef> caster;
      if (!caster.load(o, true)) return false;
      const auto items = py::detail::cast_op<at::IntArrayRef>(caster).vec();
      *out = {RA_INTS, {}, {static_cast<int64_t>(items.size())}};
      out->p = copy_items(items);
      return true;
    }
    case RA_PY_SCALAR:
      return load_scalar(o, out);
    case RA_PY_DEVICE: {
      c10::Device d(c10::kCPU);
      py::detail::make_caster<at::Device> caster;
      if (!caster.load(o, true)) return false;
      d = py::detail::cast_op<at::Device&>(caster);
      *out = {RA_DEVICE, {static_cast<int64_t>(d.type())}, {d.index()}};
      return true;
    }
    case RA_PY_DTYPE:
      return load_integer<at::ScalarType>(o, out);
    case RA_PY_LAYOUT:
      return load_integer<c10::Layout>(o, out);
    case RA_PY_MEMORY_FORMAT:
      return load_integer<at::MemoryFormat>(o, out);
    case RA_PY_GENERATOR: {
      at::Generator g;
      if (!load(o, g)) return false;
      *out = {RA_GENERATOR, {}, {0}};
      out->p = g.unsafeReleaseGeneratorImpl();
      return true;
    }
    case RA_PY_COMPLEX: {
      c10::complex<double> z;
      if (!load(o, z)) return false;
      *out = {RA_COMPLEX, {}, {0}};
      out->d = z.real();
      out->e = z.imag();
      return true;
    }
  }
  return false;
}

py::object python_value(ra_kind kind, const ra_value& v) {
  switch (kind) {
    case RA_PY_TENSOR: {
      auto* p = static_cast<Impl*>(const_cast<void*>(v.p));
      return py::reinterpret_steal<py::object>(
          THPVariable_Wrap(p == nullptr ? at::Tensor() : at::Tensor(Pointer::reclaim(p))));
    }
    case RA_PY_BOOL:
      return py::cast(v.i != 0);
    case RA_PY_FLOAT:
    case RA_PY_DOUBLE:
      return py::cast(v.d);
    case RA_PY_STRING:
      return py::cast(std::string(static_cast<const char*>(v.p), v.n));
    case RA_PY_U64:
      return py::cast(static_cast<uint64_t>(v.i));
    case RA_PY_INTS: {
      const at::IntArrayRef items(static_cast<const int64_t*>(v.p), v.n);
      return py::cast(items);
    }
    case RA_PY_SCALAR:
      if (v.tag == RA_DOUBLE) return py::cast(c10::Scalar(v.d));
      if (v.tag == RA_BOOL) return py::cast(c10::Scalar(v.i != 0));
      if (v.tag == RA_COMPLEX) return py::cast(c10::Scalar(c10::complex<double>(v.d, v.e)));
      return py::cast(c10::Scalar(v.i));
    case RA_PY_COMPLEX:
      return py::cast(c10::complex<double>(v.d, v.e));
    case RA_PY_DEVICE:
      return py::cast(device_of(v));
    case RA_PY_DTYPE:
      return py::cast(static_cast<at::ScalarType>(v.i));
    case RA_PY_LAYOUT:
      return py::cast(static_cast<c10::Layout>(v.i));
    case RA_PY_MEMORY_FORMAT:
      return py::cast(static_cast<at::MemoryFormat>(v.i));
    default:
      return py::cast(v.i);
  }
}

// Initialised in two phases, as pybind11 does: every import makes a module of its own, and two
// extensions may have one name.
struct Definition {
  PyModuleDef python;  // first: Python hands this pointer back
  PyModuleDef_Slot slots[2];
  std::vector<const ra_function*> functions;
  int (*fill)(void* module);  // the module's own way to define them
};

int fill_by_itself(PyObject* module) {
  const auto* definition = reinterpret_cast<Definition*>(PyModule_GetDef(module));
  try {
    if (definition->fill(module) == 0) return 0;
    PyErr_SetString(PyExc_ImportError, last_error.message.c_str());
    last_error = {};
  } catch (py::error_already_set& e) {
    e.restore();
  }
  return -1;
}

int fill_module(PyObject* module) {
  const auto* definition = reinterpret_cast<Definition*>(PyModule_GetDef(module));
  auto title = py::reinterpret_steal<py::object>(PyModule_GetNameObject(module));
  for (const auto* function : definition->functions) {
    const auto doc =
        std::string(function->name) + signature_of(*function) + "\n\n" + function->doc + "\n";
    auto* method = new PyMethodDef{function->name, reinterpret_cast<PyCFunction>(function->entry),
                                   METH_FASTCALL | METH_KEYWORDS, copy_text(doc)};
    auto bound = py::reinterpret_steal<py::object>(PyCFunction_NewEx(method, nullptr, title.ptr()));
    if (!bound || PyObject_SetAttrString(module, function->name, bound.ptr()) < 0) return -1;
  }
  return 0;
}

// The same wording and the same Python types as torch::wrap_pybind_function.
void* translate(torch::PyWarningHandler& warnings) {
  warnings.set_in_exception();
  const auto error = last_error.kind == RA_KEPT ? last_error.kept
                                                : as_exception(last_error.kind, last_error.message);
  if (last_error.kind == RA_UNKNOWN_EXCEPTION) {
    PyErr_SetString(PyExc_RuntimeError, "Caught an unknown exception!");
  } else {
    torch::translate_exception_to_python(error);
  }
  last_error = {};
  return nullptr;
}

// The arguments in their order, by place, by name or by default; none where they do not add up.
std::optional<std::vector<void*>> arranged(const ra_function& function, PyObject* const* arguments,
                                           int64_t count, PyObject* keywords) {
  const auto named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  if (count > function.arity || (named > 0 && function.names == nullptr)) return std::nullopt;
  std::vector<void*> out(arguments, arguments + count);
  Py_ssize_t used = 0;
  for (int64_t i = count; i < function.arity; ++i) {
    void* found = function.defaults == nullptr ? nullptr : function.defaults[i];
    for (Py_ssize_t k = 0; k < named; ++k) {
      if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, k), function.names[i]) != 0)
        continue;
      found = arguments[count + k];
      ++used;
    }
    if (found == nullptr) return std::nullopt;
    out.push_back(found);
  }
  if (used != named) return std::nullopt;
  return out;
}

// An exception of a function that the module itself defined: torch's kinds as torch wants them,
// the standard library's as pybind11 does.
PyObject* raise_as_pybind11() {
  const auto raise = [](PyObject* type) { PyErr_SetString(type, last_error.message.c_str()); };
  switch (last_error.kind) {
    case RA_STD_VALUE:
      raise(PyExc_ValueError);
      break;
    case RA_STD_INDEX:
      raise(PyExc_IndexError);
      break;
    case RA_STD_OVERFLOW:
      raise(PyExc_OverflowError);
      break;
    case RA_STD_MEMORY:
      raise(PyExc_MemoryError);
      break;
    case RA_STD_EXCEPTION:
      raise(PyExc_RuntimeError);
      break;
    case RA_UNKNOWN_EXCEPTION:
      PyErr_SetString(PyExc_RuntimeError, "Caught an unknown exception!");
      break;
    default:
      torch::translate_exception_to_python(last_error.kind == RA_KEPT
                                               ? last_error.kept
                                               : as_exception(last_error.kind, last_error.message));
  }
  last_error = {};
  return nullptr;
}

PyObject* enter_own(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                    PyObject* keywords) {
  const auto& function = *static_cast<ra_function*>(PyCapsule_GetPointer(self, nullptr));
  auto* const* given = reinterpret_cast<void* const*>(arguments);
  const auto all = arranged(function, arguments, count, keywords);
  if (!all) return object(refuse(function, given, count, keywords));
  void* out = nullptr;
  const int status = function.call(function.state, all->data(), &out);
  if (status == 0) return object(out);
  if (status == 2) return raise_as_pybind11();
  if (failed_conversion) return object(raise_failed_conversion());
  PyErr_Clear();
  return object(refuse(function, given, count, keywords));
}

void* initialised(Definition* definition, const char* name, int (*fill)(PyObject*)) {
  definition->slots[0] = {Py_mod_exec, reinterpret_cast<void*>(fill)};
  definition->python = PyModuleDef{PyModuleDef_HEAD_INIT, copy_text(name), nullptr, 0,      nullptr,
                                   definition->slots,     nullptr,         nullptr, nullptr};
  return PyModuleDef_Init(&definition->python);
}

}  // namespace

RA_API void* ra_module(const char* name, const ra_function* const* functions, int64_t count) {
  auto* definition = new Definition{};
  definition->functions.assign(functions, functions + count);
  return initialised(definition, name, &fill_module);
}
RA_API void* ra_own_module(const char* name, int (*fill)(void* module)) {
  auto* definition = new Definition{};
  definition->fill = fill;
  return initialised(definition, name, &fill_by_itself);
}
RA_API int ra_define(void* module, const ra_function* function) {
  auto title = py::reinterpret_steal<py::object>(PyModule_GetNameObject(object(module)));
  auto doc = std::string(function->name) + signature_of(*function) + "\n";
  if (function->doc != nullptr) doc += std::string("\n") + function->doc + "\n";
  auto* method = new PyMethodDef{function->name, reinterpret_cast<PyCFunction>(&enter_own),
                                 METH_FASTCALL | METH_KEYWORDS, copy_text(doc)};
  auto self = py::reinterpret_steal<py::object>(
      PyCapsule_New(const_cast<ra_function*>(function), nullptr, nullptr));
  return ra_set_attribute(module, function->name,
                          PyCFunction_NewEx(method, self.ptr(), title.ptr()));
}
RA_API int ra_set_attribute(void* module, const char* name, void* value) {
  if (value == nullptr) throw py::error_already_set();
  const int status = PyObject_SetAttrString(object(module), name, object(value));
  Py_DECREF(object(value));
  if (status != 0) throw py::error_already_set();
  return 0;
}
RA_API void* ra_release_gil() { return PyEval_SaveThread(); }
RA_API void ra_restore_gil(void* thread) {
  PyEval_RestoreThread(static_cast<PyThreadState*>(thread));
}

RA_API void* ra_enter(const ra_function* function, void* const* arguments, int64_t count,
                      void* keywords) {
  const auto named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(object(keywords));
  if (count != function->arity || named != 0) return refuse(*function, arguments, count, keywords);
  void* out = nullptr;
  int status = 0;
  try {
    torch::PyWarningHandler warnings;
    status = function->call(function->state, arguments, &out);
    if (status == 2) return translate(warnings);
  } catch (py::error_already_set& e) {  // a warning that was turned into an error
    Py_XDECREF(object(out));
    e.restore();
    return nullptr;
  } catch (python_error& e) {
    Py_XDECREF(object(out));
    e.restore();
    return nullptr;
  }
  if (status == 1) {
    if (failed_conversion) return raise_failed_conversion();
    PyErr_Clear();
    return refuse(*function, arguments, count, keywords);
  }
  return out;
}

RA_API int ra_from_python(ra_kind kind, void* o, ra_value* out) {
  try {
    return load_value(kind, object(o), out) ? 0 : 1;
  } catch (...) {
    failed_conversion = std::current_exception();
    return 1;
  }
}
RA_API int ra_tell_conversion() {
  if (failed_conversion) {
    raise_failed_conversion();
    return 1;
  }
  PyErr_Clear();
  return 0;
}
RA_API void ra_tell_raised() { raise_as_pybind11(); }
RA_API void* ra_to_python(ra_kind kind, const ra_value* value) {
  try {
    return python_value(kind, *value).release().ptr();
  } catch (py::error_already_set& e) {
    e.restore();
  } catch (python_error& e) {
    e.restore();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  }
  return nullptr;
}
RA_API void* ra_sequence(void* o) {
#if PYBIND11_VERSION_MAJOR >= 3
  if (!py::detail::object_is_convertible_to_std_vector(object(o))) return nullptr;
#else
  if (!PySequence_Check(object(o)) || PyUnicode_Check(object(o)) || PyBytes_Check(object(o)))
    return nullptr;
#endif
  auto* sequence = PySequence_Fast(object(o), "");
  if (sequence == nullptr) PyErr_Clear();
  return sequence;
}
RA_API int64_t ra_sequence_size(void* sequence) {
  return PySequence_Fast_GET_SIZE(object(sequence));
}
RA_API void* ra_sequence_item(void* sequence, int64_t index) {
  return PySequence_Fast_GET_ITEM(object(sequence), index);
}
RA_API void ra_release(void* o) { Py_XDECREF(object(o)); }
RA_API void* ra_retain_none() {
  Py_INCREF(Py_None);
  return Py_None;
}
RA_API int ra_is_none(void* o) { return object(o) == Py_None; }
RA_API void* ra_list(int64_t size) { return PyList_New(size); }
RA_API void* ra_tuple(int64_t size) { return PyTuple_New(size); }
RA_API void ra_list_set(void* list, int64_t index, void* item) {
  PyList_SET_ITEM(object(list), index, object(item));
}
RA_API void ra_tuple_set(void* tuple, int64_t index, void* item) {
  PyTuple_SET_ITEM(object(tuple), index, object(item));
}
RA_API void* ra_dict() { return PyDict_New(); }
RA_API int ra_dict_set(void* dict, void* key, void* item) {
  const int status = PyDict_SetItem(object(dict), object(key), object(item));
  Py_DECREF(object(key));
  Py_DECREF(object(item));
  return status;
}
RA_API void* ra_dict_items(void* o) {
  if (!PyDict_Check(object(o))) return nullptr;
  return PyDict_Items(object(o));
}
