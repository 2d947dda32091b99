"""What do the parts of a transformer cost? Attention, MLP, norms, embeddings and heads as blocks, in closed form.

Lengths are polynomials as well: ``TOKENS`` is the workload's length, ``always(n)`` is n whatever the workload says. So
one formula serves encoders, decoders of a fixed length, and images.

FLOPs are those of matrix products and convolutions, a multiply-add counting two, as torch's FlopCounterMode. Attention
is the full square of tokens also where it is causal: PyTorch's math attention computes all of it. A fused kernel's
second computation of the scores in the backward pass is not counted.

Stashes are what PyTorch's autograd saves in FP32 when Hugging Face's modules run in training, once per tensor. Left
out is what does not grow with samples: position ids, rotary tables, T5's bucket numbers. With dropout, each dropped
tensor adds a mask of one byte per number, as CUDA's fused dropout saves it (on the CPU PyTorch saves floats instead).

Bytes touched are what every operation of these modules reads and writes, as if no cache kept anything: a matrix product
its two sides and its result, weights once forward and, with their gradients, twice backward.
"""
