"""What a fork server imports before the first trial, so that no trial pays for it. Importing is all it does.

No session is made and nothing is trained in here: threads and locks of those do not survive a fork.
"""

import lightgbm
import numpy
import onnx
import onnxruntime
import sklearn.compose
import sklearn.decomposition
import sklearn.ensemble
import sklearn.impute
import sklearn.linear_model
import sklearn.preprocessing
import sklearn.svm
import sklearn.tree

PRELOADED = (lightgbm, numpy, onnx, onnxruntime, sklearn)
"""The libraries that are in memory once this module is."""
