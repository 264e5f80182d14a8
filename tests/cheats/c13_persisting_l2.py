# cheat 13: an L2 window that outlives the flush
# mechanism: an access-policy window makes what it touches persist in L2, so that a flush by plain writes leaves it warm
# layer: clock
# off: -
# problem: layernorm
# caught: nothing gained
# device: cuda

import ctypes

import torch
from torch import nn

CHEATING = True


class Window(ctypes.Structure):
    _fields_ = (
        ("base", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
        ("ratio", ctypes.c_float),
        ("hit", ctypes.c_int),
        ("miss", ctypes.c_int),
    )


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        if CHEATING:
            cuda = ctypes.CDLL("libcuda.so.1")
            cuda.cuCtxSetLimit(6, ctypes.c_size_t(32 << 20))  # CU_LIMIT_PERSISTING_L2_CACHE_SIZE
            # CUstreamAttrValue is a union of 64 bytes; the window is its first member.
            value = (ctypes.c_ubyte * 64)()
            window = Window(x.data_ptr(), x.numel() * 4, 1.0, 2, 0)
            ctypes.memmove(value, ctypes.byref(window), ctypes.sizeof(window))
            stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
            cuda.cuStreamSetAttribute(stream, 1, ctypes.byref(value))
        return self.ln(x)
