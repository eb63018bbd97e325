"""The stub that editors read says what the declarations say."""

import ast
import inspect

from backends import loaded

from kernels import DECLARATIONS
from kernels.contract import stub


def test_it_is_as_the_declarations_are():
    assert stub.PATH.read_text() == stub.stub(), "run python -m kernels.contract.stub"


def test_methods_take_what_it_says():
    (methods,) = [node for node in ast.parse(stub.stub()).body if isinstance(node, ast.ClassDef)]
    functions = {node.name: node for node in methods.body if isinstance(node, ast.FunctionDef)}
    assert list(functions) == list(DECLARATIONS)
    for name, function in functions.items():
        told = [argument.arg for argument in [*function.args.args[1:], *function.args.kwonlyargs]]
        assert told == list(inspect.signature(getattr(loaded("numpy"), name)).parameters), name
        assert ast.get_docstring(function) == DECLARATIONS[name].doc


def test_a_backend_lists_its_kernels():
    assert {"softmax_cross_entropy", "matmul", "load"} & set(dir(loaded("numpy"))) == {
        "softmax_cross_entropy",
        "matmul",
    }
