"""The conformance suite: accepts or rejects a backend, whoever wrote it.

``check(backend)`` runs every kernel of the contract on every case, dtype and memory layout and returns what went wrong.
With pytest: ``@pytest.mark.parametrize("trial", trials(), ids=str)`` and ``trial.run(backend)``.
"""

from .cases import Case
from .suite import CASES, Failure, Trial, check, trials

__all__ = ["CASES", "Case", "Failure", "Trial", "check", "trials"]
