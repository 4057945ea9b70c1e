"""GPU ops. Tensors in, tensors out; `kernels.reference` is the specification of each."""
