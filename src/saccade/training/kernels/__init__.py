"""Kernels of our own, in C++: what PyTorch's are slow at in small networks on a processor.

`library` compiles them for the machine, once; twins run `layers` and `products`, optimizers take
`steps`.
"""
