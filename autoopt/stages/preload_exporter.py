"""What a fork server imports beside torch where networks go through torch's exporter.

It loads these at its first use: more than two seconds of each process that exports. Importing is all this does.
"""

import onnxscript.function_libs.torch_lib.ops
import torch.export._trace
import torch.onnx._internal.exporter._compat
import torch.onnx._internal.exporter._torchlib.ops
import torch.utils._sympy.numbers

PRELOADED = (onnxscript, torch)
"""The libraries that are in memory once this module is."""
