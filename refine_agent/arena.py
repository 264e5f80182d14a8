"""The memory through which judge and worker hand each other inputs and outputs.

It owns allocation, hand-over by file descriptor and the view of a slot as tensors, in host memory
(memfd) or device memory (CUDA virtual memory management); it leaves to the judge what is written
there and what is believed. The judge allocates; a worker only ever maps.
"""

from __future__ import annotations

import ctypes
import fcntl
import math
import mmap
import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from refine_agent.wire import Layout, TensorSpec

# Tensors start at multiples of this, as torch's own CUDA allocator guarantees (512 bytes).
ALIGNMENT = 512
_FIXED_SIZE = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class ArenaFault(Exception):  # noqa: N818 - a fault of the machine, in the field's word
    """The memory could not be had; the message says how much and what to do."""


class Arena(Protocol):
    """A block of shared memory."""

    total_bytes: int
    device: str

    def bytes(self, offset: int, count: int) -> torch.Tensor:
        """Return ``count`` bytes at ``offset`` as a uint8 tensor that aliases the memory."""

    def descriptor(self) -> int:
        """Return a file descriptor that lets another process map the memory."""

    def close(self) -> None:
        """Give the memory back."""


def allocate(device: str, total_bytes: int) -> Arena:
    """Allocate shared memory on ``device`` ("cpu" or "cuda:N")."""
    return HostArena.allocate(total_bytes) if device == "cpu" else CudaArena(device, total_bytes)


def attach(device: str, total_bytes: int, descriptor: int) -> Arena:
    """Map memory that another process allocated."""
    if device == "cpu":
        return HostArena(descriptor, total_bytes)
    return CudaArena(device, total_bytes, descriptor=descriptor)


def view(arena: Arena, base: int, spec: TensorSpec) -> torch.Tensor:
    """Return the tensor ``spec`` describes in the slot that starts at byte ``base``."""
    import torch  # noqa: PLC0415 - the parent process imports this module without torch

    dtype: torch.dtype = getattr(torch, spec.dtype)
    count = dtype.itemsize * math.prod(spec.shape)
    if count == 0:
        return torch.empty(spec.shape, dtype=dtype, device=arena.device)
    return arena.bytes(base + spec.offset, count).view(dtype).view(spec.shape)


def outputs(arena: Arena, layout: Layout, slot: int) -> list[torch.Tensor]:
    """Return the output tensors of a slot."""
    return [view(arena, slot * layout.slot_bytes, spec) for spec in layout.outputs]


def inputs(arena: Arena, layout: Layout, slot: int) -> list[torch.Tensor]:
    """Return the input tensors of a slot."""
    return [view(arena, slot * layout.slot_bytes, spec) for spec in layout.inputs]


def guards(arena: Arena, layout: Layout, slot: int) -> list[torch.Tensor]:
    """Return the bytes of a slot that belong to no tensor, in order."""
    import torch  # noqa: PLC0415 - the parent process imports this module without torch

    found, end = [], 0
    for spec in (*layout.inputs, *layout.outputs):
        found.append((end, spec.offset))
        dtype: torch.dtype = getattr(torch, spec.dtype)
        end = spec.offset + dtype.itemsize * math.prod(spec.shape)
    found.append((end, layout.slot_bytes))
    base = slot * layout.slot_bytes
    return [arena.bytes(base + a, b - a) for a, b in found if b > a]


class HostArena:
    """Shared host memory: an anonymous file mapped by both sides."""

    device = "cpu"

    def __init__(self, descriptor: int, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, total_bytes, flags=mmap.MAP_SHARED)

    @classmethod
    def allocate(cls, total_bytes: int) -> HostArena:
        """Create the memory; pages are taken when they are first written."""
        descriptor = os.memfd_create("refine_agent", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, total_bytes)
            # A worker that shrank it would have the judge killed by SIGBUS at its next look.
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _FIXED_SIZE)
        except OSError as why:
            os.close(descriptor)
            raise ArenaFault(
                f"{total_bytes / 1e9:.1f} GB of shared memory could not be had ({why.strerror}); "
                "use smaller inputs or a machine with more memory"
            ) from None
        return cls(descriptor, total_bytes)

    def bytes(self, offset: int, count: int) -> torch.Tensor:
        """Return ``count`` bytes at ``offset`` as a uint8 tensor that aliases the memory."""
        import torch  # noqa: PLC0415 - the parent process imports this module without torch

        return torch.frombuffer(self._map, dtype=torch.uint8, offset=offset, count=count)

    def descriptor(self) -> int:
        """Return the anonymous file's descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Close the descriptor; the mapping goes when the last tensor on it does."""
        os.close(self._descriptor)


# --- device memory, through the driver's virtual memory management --------------------------------
# Exported as a POSIX file descriptor: unlike cudaIpc handles it crosses user ids and PID
# namespaces, because possession of the descriptor is the permission (CUDA C++ Programming Guide,
# "Virtual Memory Management").


class _Location(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int), ("id", ctypes.c_int))


class _AllocFlags(ctypes.Structure):
    _fields_ = (
        ("compression", ctypes.c_ubyte),
        ("rdma", ctypes.c_ubyte),
        ("usage", ctypes.c_ushort),
        ("reserved", ctypes.c_ubyte * 4),
    )


class _AllocationProp(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("handle_types", ctypes.c_int),
        ("location", _Location),
        ("win32", ctypes.c_void_p),
        ("flags", _AllocFlags),
    )


class _AccessDesc(ctypes.Structure):
    _fields_ = (("location", _Location), ("flags", ctypes.c_int))


_PINNED, _POSIX_FD, _ON_DEVICE, _READ_WRITE, _MINIMUM = 1, 1, 1, 3, 0


class _Bytes:
    """The protocol by which torch wraps foreign device memory without copying it."""

    def __init__(self, pointer: int, count: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (count,),
            "typestr": "|u1",
            "data": (pointer, False),
            "version": 3,
            "strides": None,
        }


class CudaArena:
    """Shared device memory."""

    def __init__(self, device: str, total_bytes: int, *, descriptor: int | None = None) -> None:
        import torch  # noqa: PLC0415 - the parent process imports this module without torch

        self.device = device
        self._index = torch.device(device).index or 0
        torch.cuda.set_device(self._index)
        torch.zeros(1, device=device)  # makes torch's primary context current in this thread
        self._cuda = ctypes.CDLL("libcuda.so.1")
        prop = self._prop()
        granularity = ctypes.c_size_t()
        self._do(
            "cuMemGetAllocationGranularity", ctypes.byref(granularity), ctypes.byref(prop), _MINIMUM
        )
        step = granularity.value
        self.total_bytes = (total_bytes + step - 1) // step * step
        self._handle = ctypes.c_ulonglong()
        if descriptor is None:
            self._do(
                "cuMemCreate",
                ctypes.byref(self._handle),
                ctypes.c_size_t(self.total_bytes),
                ctypes.byref(prop),
                ctypes.c_ulonglong(0),
            )
        else:
            self._do(
                "cuMemImportFromShareableHandle",
                ctypes.byref(self._handle),
                ctypes.c_void_p(descriptor),
                _POSIX_FD,
            )
        self._pointer = self._map()

    def _prop(self) -> _AllocationProp:
        prop = _AllocationProp()
        prop.type, prop.handle_types = _PINNED, _POSIX_FD
        prop.location = _Location(_ON_DEVICE, self._index)
        return prop

    def _map(self) -> int:
        pointer, size = ctypes.c_ulonglong(), ctypes.c_size_t(self.total_bytes)
        none = ctypes.c_ulonglong(0)
        self._do("cuMemAddressReserve", ctypes.byref(pointer), size, ctypes.c_size_t(0), none, none)
        self._do("cuMemMap", pointer, size, ctypes.c_size_t(0), self._handle, none)
        access = _AccessDesc(_Location(_ON_DEVICE, self._index), _READ_WRITE)
        self._do("cuMemSetAccess", pointer, size, ctypes.byref(access), ctypes.c_size_t(1))
        return pointer.value

    def _do(self, name: str, *arguments: object) -> None:
        code = getattr(self._cuda, name)(*arguments)
        if code != 0:
            wanted = getattr(self, "total_bytes", 0) / 1e9
            raise ArenaFault(
                f"{name} failed with CUDA error {code} for {wanted:.1f} GB; "
                "free device memory or use smaller inputs"
            )

    def bytes(self, offset: int, count: int) -> torch.Tensor:
        """Return ``count`` bytes at ``offset`` as a uint8 tensor that aliases the memory."""
        import torch  # noqa: PLC0415 - the parent process imports this module without torch

        return torch.as_tensor(_Bytes(self._pointer + offset, count), device=self.device)

    def descriptor(self) -> int:
        """Export the memory; the caller closes the descriptor once it is sent."""
        descriptor = ctypes.c_int(-1)
        self._do(
            "cuMemExportToShareableHandle",
            ctypes.byref(descriptor),
            self._handle,
            _POSIX_FD,
            ctypes.c_ulonglong(0),
        )
        return descriptor.value

    def close(self) -> None:
        """Unmap and release."""
        size = ctypes.c_size_t(self.total_bytes)
        self._do("cuMemUnmap", ctypes.c_ulonglong(self._pointer), size)
        self._do("cuMemAddressFree", ctypes.c_ulonglong(self._pointer), size)
        self._do("cuMemRelease", self._handle)
