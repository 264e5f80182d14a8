// Owns the C interface between a candidate built on the light headers and the shim library built
// once per torch version. Leaves every C++ type to its own side: only plain data crosses here, and
// no exception ever does.
#pragma once
#include <cstddef>
#include <cstdint>

extern "C" {

// What a ra_value holds. The same tags serve arguments and results.
enum ra_tag : int32_t {
  RA_NONE,
  RA_TENSOR,         // p: TensorImpl*, null for an undefined tensor; owned in results only
  RA_INT,            // i
  RA_DOUBLE,         // d
  RA_BOOL,           // i
  RA_COMPLEX,        // d, imaginary part in e
  RA_INTS,           // p: int64_t[n]
  RA_DOUBLES,        // p: double[n]
  RA_BOOLS,          // p: bool[n]
  RA_STRING,         // p: char[n]
  RA_TENSORS,        // p: TensorImpl*[n]
  RA_DTYPE,          // i: ScalarType
  RA_DEVICE,         // i: DeviceType, n: index
  RA_LAYOUT,         // i
  RA_MEMORY_FORMAT,  // i
  RA_GENERATOR       // p: GeneratorImpl*
};

struct ra_value {
  ra_tag tag;
  union {
    int64_t i;
    double d;
    const void* p;
  };
  union {
    int64_t n;
    double e;
  };
};

// Which Python type a failed call becomes. RA_KEPT: the shim still holds the original exception.
enum ra_error_kind : int32_t {
  RA_ERROR,
  RA_INDEX_ERROR,
  RA_VALUE_ERROR,
  RA_TYPE_ERROR,
  RA_NOT_IMPLEMENTED_ERROR,
  RA_LINALG_ERROR,
  RA_OUT_OF_MEMORY_ERROR,
  RA_BUFFER_ERROR,
  RA_STD_EXCEPTION,
  RA_UNKNOWN_EXCEPTION,
  RA_KEPT,
  // Of the standard library's, those that pybind11 tells apart.
  RA_STD_VALUE,
  RA_STD_INDEX,
  RA_STD_OVERFLOW,
  RA_STD_MEMORY
};

// C++ types that Python arguments and results are converted to and from.
enum ra_kind : int32_t {
  RA_PY_TENSOR,
  RA_PY_BOOL,
  RA_PY_I8,
  RA_PY_U8,
  RA_PY_I16,
  RA_PY_U16,
  RA_PY_I32,
  RA_PY_U32,
  RA_PY_I64,
  RA_PY_U64,
  RA_PY_FLOAT,
  RA_PY_DOUBLE,
  RA_PY_STRING,
  RA_PY_INTS,
  RA_PY_SCALAR,
  RA_PY_DEVICE,
  RA_PY_DTYPE,
  RA_PY_LAYOUT,
  RA_PY_MEMORY_FORMAT,
  RA_PY_GENERATOR,  // p: GeneratorImpl*, owned by who gets it
  RA_PY_COMPLEX
};

// One bound function. `call` converts, runs and converts back: 0 done, 1 the arguments do not fit,
// 2 an exception was handed to ra_raise.
struct ra_function {
  const char* name;
  const char* doc;
  void* entry;  // METH_FASTCALL | METH_KEYWORDS; null where the shim's own serves
  int64_t arity;
  const char* signature;  // see light/bind.h
  int (*call)(void* state, void* const* arguments, void** result);
  void* state;
  const char* const* names;  // one per argument, or null: then no keyword is taken
  void* const* defaults;     // Python objects, each may be null
};

// Every function that returns int returns 0, or 1 after keeping the error for ra_last_error.
void ra_last_error(ra_error_kind* kind, const char** message, int32_t* type);
void ra_raise(ra_error_kind kind, const char* message);
void ra_warn(int deprecation, const char* function, const char* file, uint32_t line,
             const char* message);

// Logs as torch's fatal messages do, and gives the text that their exception carries.
void ra_log_fatal(const char* file, uint32_t line, const char* message, char** text);

// What PyInit_NAME returns.
void* ra_module(const char* name, const ra_function* const* functions, int64_t count);
void* ra_enter(const ra_function* function, void* const* arguments, int64_t count, void* keywords);

// For modules that define their functions themselves. `fill` ends as an ra_function's call does;
// what these raise in Python leaves through it.
void* ra_own_module(const char* name, int (*fill)(void* module));
int ra_define(void* module, const ra_function* function);
int ra_set_attribute(void* module, const char* name, void* value);  // takes the value over
void* ra_release_gil();
void ra_restore_gil(void* thread);

// Conversions. Strings and lists come back in memory to be given to ra_free.
int ra_from_python(ra_kind kind, void* object, ra_value* out);  // 1: does not fit, nothing kept
int ra_tell_conversion(void);  // 1: why it did not fit is Python's error now
void ra_tell_raised(void);     // What was handed to ra_raise is Python's error now.
void* ra_to_python(ra_kind kind, const ra_value* value);  // null: a Python error is set
void* ra_sequence(void* object);                          // null: does not fit
int64_t ra_sequence_size(void* sequence);
void* ra_sequence_item(void* sequence, int64_t index);  // borrowed
void ra_release(void* object);
void* ra_retain_none();
int ra_is_none(void* object);
void* ra_list(int64_t size);
void* ra_tuple(int64_t size);
void ra_list_set(void* list, int64_t index, void* item);    // steals
void ra_tuple_set(void* tuple, int64_t index, void* item);  // steals
void* ra_dict();
int ra_dict_set(void* dict, void* key, void* item);  // steals both
void* ra_dict_items(void* object);                   // a sequence of pairs; null: does not fit
void ra_free(const void* memory);

void ra_incref(void* tensor);
void ra_decref(void* tensor);
int64_t ra_use_count(void* tensor);
int64_t ra_weak_use_count(void* tensor);
int ra_sizes(void* tensor, const int64_t** data, int64_t* count);
int ra_strides(void* tensor, const int64_t** data, int64_t* count);
int ra_dim(void* tensor, int64_t* out);
int ra_numel(void* tensor, int64_t* out);
int ra_size(void* tensor, int64_t dim, int64_t* out);
int ra_stride(void* tensor, int64_t dim, int64_t* out);
int ra_storage_offset(void* tensor, int64_t* out);
int ra_itemsize(void* tensor, int64_t* out);
int ra_dtype(void* tensor, int32_t* out);
int ra_layout(void* tensor, int32_t* out);
int ra_device(void* tensor, int32_t* type, int32_t* index);
int ra_is_contiguous(void* tensor, int32_t memory_format, int* out);
// What a tensor answers yes or no to, by name ("requires_grad", "is_leaf", ...).
int ra_is(void* tensor, const char* question, int* out);
int ra_set_requires_grad(void* tensor, int value);
int ra_suggest_memory_format(void* tensor, int exact, int32_t* out);
int ra_data(void* tensor, int mutable_, void** out);
int ra_typed_data(void* tensor, int32_t dtype, int mutable_, void** out);
int ra_contiguous(void* tensor, int32_t memory_format, void** out);
int ra_from_blob(void* data, const int64_t* sizes, const int64_t* strides, int64_t dim,
                 const ra_value* options, void (*free)(void*), void* context, void** out);
int ra_storage(void* tensor, void** data, int64_t* bytes);
int ra_grad(void* tensor, void** out);
int ra_detach_data(void* tensor, const char* how,
                   void** out);                           // "tensor_data", "variable_data", "data"
int ra_show(void* tensor, char** text, int64_t* length);  // as operator<< prints it
int ra_kind_name(void* tensor, char** text, int64_t* length);  // Tensor::toString
int ra_promote(int32_t a, int32_t b, int32_t* out);

// Any operator, by its schema; results go to out[0..count).
int ra_find(const char* name, const char* overload, void** op);
int ra_call(void* op, const ra_value* arguments, int64_t count, ra_value* out, int64_t room);

int ra_parse_device(const char* text, int32_t* type, int32_t* index);
int64_t ra_num_threads();
void ra_set_num_threads(int64_t n);
void ra_init_num_threads();
int ra_in_parallel_region();
int64_t ra_thread_num();
void ra_set_thread_num(int64_t id);
int ra_manual_seed(uint64_t seed);
int ra_torch_cuda(const char* function, int64_t* value);  // in and out, of namespace torch::cuda
int64_t ra_grad_mode(int64_t set);                        // -1 asks, 0 and 1 set; gives what it was
// 0 AutoDispatchBelowADInplaceOrView, 1 AutoDispatchBelowAutograd, 2 InferenceMode, 3 its opposite
void* ra_guard(int kind);
void ra_unguard(int kind, void* guard);
int ra_inference_mode();
int ra_backward(void* tensor, void* gradient, int retain_graph, int create_graph);

// Generators; those of the default kind live as long as the process.
int ra_generator(const char* how, int device, uint64_t seed, void** out);  // "new cuda", ...
void ra_generator_count(void* generator, int by);                          // 1 or -1
void* ra_generator_mutex(void* generator);
int ra_generator_device(void* generator, int32_t* type, int32_t* index);
int ra_generator_ask(void* generator, const char* what, uint64_t* value);
int ra_philox_state(void* generator, uint64_t increment, void* state, size_t bytes);

int ra_context(const char* what, int set, int* out);  // of at::globalContext(); -1 asks
int ra_deterministic(int on, int warn_only);
int ra_matmul_precision(const char* set, int32_t* out);  // null only asks

// What it knows, to be read and set or only read: the headers declare just what the shim answers.
#define RA_CONTEXT_SWITCHES(X)                         \
  X(benchmarkCuDNN, setBenchmarkCuDNN)                 \
  X(userEnabledCuDNN, setUserEnabledCuDNN)             \
  X(deterministicCuDNN, setDeterministicCuDNN)         \
  X(allowTF32CuDNN, setAllowTF32CuDNN)                 \
  X(allowTF32CuBLAS, setAllowTF32CuBLAS)               \
  X(userEnabledMkldnn, setUserEnabledMkldnn)           \
  X(userEnabledFlashSDP, setSDPUseFlash)               \
  X(userEnabledMemEfficientSDP, setSDPUseMemEfficient) \
  X(userEnabledMathSDP, setSDPUseMath)                 \
  X(userEnabledCuDNNSDP, setSDPUseCuDNN)               \
  X(allowFP16BF16ReductionMathSDP, setAllowFP16BF16ReductionMathSDP)
// What their getters answer depends on the version.
#define RA_CONTEXT_SET_ONLY(X)   \
  X(setAllowFP16ReductionCuBLAS) \
  X(setAllowBF16ReductionCuBLAS)
#define RA_CONTEXT_ASKED(X)  \
  X(hasCUDA)                 \
  X(hasCuDNN)                \
  X(hasMKL)                  \
  X(hasOpenMP)               \
  X(hasMKLDNN)               \
  X(hasLAPACK)               \
  X(deterministicAlgorithms) \
  X(deterministicAlgorithmsWarnOnly)

// CUDA, present in shims built against a torch with CUDA.
int ra_cuda_available();
int64_t ra_cuda_device_count();
int ra_cuda_check(int32_t error, const char* file, const char* function, uint32_t line);
int ra_cuda_stream(int device, int which, int64_t* id,
                   void** stream);  // 0 current, 1 default, 2 pool, 3 high-priority pool
int ra_cuda_set_stream(int device, int64_t id);
int ra_cuda_stream_of(int device, int64_t id, void** stream);
int ra_cuda_external_stream(void* stream, int device, int64_t* id);
int ra_cuda_current_device(int32_t* out);
int ra_cuda_set_device(int32_t device);
int ra_cuda_exchange_device(int32_t device, int32_t* before);
int ra_cuda_properties(int64_t device, void** out);  // -1: the current device
int ra_cuda_handle(int library, void** out);         // 0 cublas, 1 cusparse, 2 cudnn, 4 cublasLt
int ra_cuda_allocate(size_t bytes, void** out);
int ra_cuda_allocate_on(size_t bytes, void* stream, void** out);
int ra_cuda_deallocate(void* memory);
int ra_cuda_empty_cache();
int ra_cuda_record_memory(void* memory, int device, int64_t id);
int ra_cuda_synchronize(int64_t device);
int ra_cuda_record_stream(void* tensor, int device, int64_t id);
int ra_cuda_graph_new(void** out);
void ra_cuda_graph_delete(void* graph);
int ra_cuda_graph_begin(void* graph, unsigned long long first, unsigned long long second, int mode);
int ra_cuda_graph(void* graph, const char* what);               // "capture_end", "replay", ...
int ra_cuda_graph_pool(void* graph, unsigned long long* pool);  // null: a pool of its own
}
