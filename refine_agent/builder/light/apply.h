// Owns what <ATen/cuda/CUDAApplyUtils.cuh> brings along. Leaves CUDA_tensor_apply itself, which
// needs functions of torch_cuda's own, to torch's build.
#pragma once
#include <ATen/cuda/ApplyGridUtils.cuh>
#include <ATen/cuda/Atomic.cuh>
#include <ATen/cuda/detail/IndexUtils.cuh>
