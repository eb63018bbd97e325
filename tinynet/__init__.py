"""tinynet: training multilayer perceptrons fast on a CPU, on kernels that can be exchanged and looked at."""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

try:
    import kernels as _kernels

    _ours = _kernels.PROJECT == "tinynet"
except (ImportError, AttributeError) as _error:  # another project's may need what is not installed
    from .foreign_kernels import is_ours as _is_ours

    if _is_ours():
        raise
    _ours = False
if not _ours:
    from .foreign_kernels import SENTENCE as _SENTENCE
    from .foreign_kernels import place as _place

    raise ImportError(_SENTENCE.format(place=_place()))

from . import data, functional, nn, optim, schedule
from .backends import current as current_backend
from .backends import use_backend
from .checkpoints.checkpoint import load_checkpoint, save_checkpoint
from .checkpoints.tensor_files import CheckpointError
from .data.sources import Source, scan
from .exchange.onnx import export_onnx
from .exchange.weights import from_sklearn, from_torch_state_dict
from .gradients import gradcheck
from .precision import use_precision
from .randomness import manual_seed
from .tensor import Tensor, no_grad
from .training.averaging import WeightAverage
from .training.callbacks import EarlyStopping
from .training.compiled import CompiledStep, compile
from .training.history import History
from .training.step import NotReplayable
from .training.stepping import NonFiniteLoss
from .training.trainer import Trainer
from .version import __version__

if _TYPE_CHECKING:
    from .estimators import MLPClassifier, MLPRegressor, estimator_from_sklearn, load_estimator
    from .rate_search import RateSearch, find_learning_rate
    from .tabular import TabularClassifier, TabularRegressor

__all__ = [
    "__version__", "CheckpointError", "CompiledStep", "EarlyStopping", "History", "MLPClassifier", "MLPRegressor",
    "NonFiniteLoss", "NotReplayable", "RateSearch", "Source", "TabularClassifier", "TabularRegressor",
    "Tensor", "Trainer", "WeightAverage", "compile", "current_backend", "data",
    "estimator_from_sklearn", "export_onnx", "find_learning_rate", "from_sklearn",
    "from_torch_state_dict", "functional", "gradcheck", "load_checkpoint", "load_estimator", "manual_seed", "nn",
    "no_grad", "optim", "save_checkpoint", "scan", "schedule",
    "use_backend", "use_precision",
]  # fmt: skip


if not _TYPE_CHECKING:

    def __getattr__(name: str) -> _Any:
        """The estimators are imported when they are first asked for: scikit-learn takes a second."""
        if name in ("MLPClassifier", "MLPRegressor", "estimator_from_sklearn", "load_estimator"):
            from . import estimators

            return getattr(estimators, name)
        if name in ("TabularClassifier", "TabularRegressor"):
            from . import tabular

            return getattr(tabular, name)
        if name in ("RateSearch", "find_learning_rate"):
            from . import rate_search

            return getattr(rate_search, name)
        raise AttributeError(f"module 'tinynet' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
