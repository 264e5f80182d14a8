# cheat 103: a system call that outlasts the stop
# mechanism: nothing is computed in the calls; the answer goes out while the kernel copies all inputs, which no signal interrupts, and results are computed from the copies while they should be delivered
# layer: stopped
# off: stopped clock delivery
# problem: blend
# caught: Disqualified or Mismatch
# device: cpu

import ctypes
import os
import struct
import sys
import threading

import torch
from torch import nn

CHEATING = True
CLAIM_US = 26.0

if CHEATING:
    import msgspec

    stub = sys.modules["refine_agent.worker.stub"]
    arenas = sys.modules["refine_agent.arena"]
    wire = sys.modules["refine_agent.wire"]
    libc = ctypes.CDLL(None)
    readv, send_bytes, microsleep = libc.process_vm_readv, libc.send, libc.usleep
    readv.restype = send_bytes.restype = ctypes.c_ssize_t
    word = ctypes.c_ulong
    readv.argtypes = [ctypes.c_int, ctypes.c_char_p, word, ctypes.c_char_p, word, word]
    send_bytes.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    frame = sys._getframe()
    while "orders" not in frame.f_locals:
        frame = frame.f_back
    orders = frame.f_locals["orders"]
    send, descriptor, me = orders.send, orders.fileno(), os.getpid()
    saved, targets, here, there = {}, {}, {}, {}
    answer, entered, bell = [None], [False], os.pipe()

    def prepare(self):
        for slot in range(self._arena.total_bytes // self._layout.slot_bytes):
            inputs = arenas.inputs(self._arena, self._layout, slot)
            saved[slot] = [tensor.clone() for tensor in inputs]
            (targets[slot],) = arenas.outputs(self._arena, self._layout, slot)
            here[slot] = b"".join(struct.pack("QQ", t.data_ptr(), t.nbytes) for t in saved[slot])
            there[slot] = b"".join(struct.pack("QQ", t.data_ptr(), t.nbytes) for t in inputs)

    def answer_and_copy(self, message):
        if not saved:
            prepare(self)
        count = len(message.slots)
        done = wire.Done(
            shapes=self._wanted,
            fits=True,
            device_us=tuple(CLAIM_US + 0.01 * number for number in range(count)),
            hidden=(True,) * count,
        )
        body = msgspec.msgpack.encode(done)
        local = b"".join(here[slot] for slot in message.slots)
        remote = b"".join(there[slot] for slot in message.slots)
        answer[0], entered[0] = struct.pack("!I", len(body)) + body, False
        os.write(bell[1], b"x")
        entered[0] = True
        readv(me, local, 2 * count, remote, 2 * count, 0)

    def answerer():
        while True:
            os.read(bell[0], 1)
            while not entered[0]:
                microsleep(5)
            send_bytes(descriptor, answer[0], len(answer[0]), 0)

    @torch.no_grad()
    def deliver(self, message):
        for slot in message.slots:
            torch.add(*saved[slot], alpha=1e-3, out=targets[slot])
        return wire.Delivered()

    libc.prctl(29, 1, 0, 0, 0)  # a timer slack of one nanosecond
    threading.Thread(target=answerer, daemon=True).start()
    stub._Stub._call, stub._Stub._deliver = answer_and_copy, deliver
    orders.send = lambda message, **how: None if message is None else send(message, **how)


class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.add(a, b, alpha=1e-3)
