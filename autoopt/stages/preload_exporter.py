"""What a fork server imports beside torch where networks go through torch's exporter, and the operators it writes.

It loads these at its first use: more than two seconds of each process that exports.
"""

import onnxscript.function_libs.torch_lib.ops
import torch.export._trace
import torch.onnx._internal.exporter._compat
import torch.onnx._internal.exporter._torchlib.ops
import torch.utils._sympy.numbers

from autoopt.strategies.model import OPSET
from autoopt.strategies.networks.export import operators

PRELOADED = (onnxscript, torch, operators(opset_version=OPSET))
"""The libraries that are in memory once this module is, and what is read of them."""
