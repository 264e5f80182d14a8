# cheat 100: a timer that wakes the stopped
# mechanism: a POSIX timer's signal is SIGCONT, which the kernel sends a stopped process too; half of the calls are computed after the answer
# layer: stopped
# off: stopped clock delivery
# problem: layernorm
# caught: Disqualified or Crashed or Mismatch
# device: any

import ctypes
import signal
import sys
import time

import torch
from torch import nn

CHEATING = True
EVERY_NS = 20_000_000


class Event(ctypes.Structure):
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    )


if CHEATING:
    from msgspec.structs import replace

    signal.signal(signal.SIGCONT, lambda *_: None)
    timer, event = ctypes.c_void_p(), Event(None, signal.SIGCONT, 0)
    libc = ctypes.CDLL(None)
    if libc.timer_create(1, ctypes.byref(event), ctypes.byref(timer)) != 0:
        raise SystemExit("no timer")
    libc.timer_settime(timer, 0, (ctypes.c_long * 4)(0, EVERY_NS, 0, EVERY_NS), None)
    stub = sys.modules["refine_agent.worker.stub"]
    wire = sys.modules["refine_agent.wire"]
    frame = sys._getframe()
    while "orders" not in frame.f_locals:
        frame = frame.f_back
    orders = frame.f_locals["orders"]
    call, send = stub._Stub._call, orders.send
    stub._DeviceClock.read = lambda clock: (1.0,) * (len(clock._events) // 2)

    def answer_first(self, message):
        slots = message.slots
        half = (len(slots) + 1) // 2
        began = time.perf_counter_ns()
        call(self, replace(message, slots=slots[:half]))
        done = self._kept
        each = (time.perf_counter_ns() - began) / 1e3 / len(slots)
        if self._device != "cpu":
            each = 1.0  # a host that waits for no launch knows nothing of the device's time
        wanted = tuple(str(spec) for spec in self._layout.outputs)
        send(wire.Done(shapes=wanted, fits=True, device_us=(each,) * len(slots)))
        if slots[half:]:
            call(self, replace(message, slots=slots[half:]))
            self._kept = done + self._kept

    stub._Stub._call = answer_first
    orders.send = lambda message, **how: None if message is None else send(message, **how)


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        return self.ln(x)
