"""The judge: a trusted process that owns seeds, inputs, reference outputs, clock and verdict.

It never imports candidate code and believes nothing a worker says: bytes are verified against its
own reference, times against its own clock. Starting and killing workers is the bench's business.
"""
