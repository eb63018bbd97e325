"""erf.

Below the limit x + x P(x**2). Above it 1 - exp(-G(|x|)), G a polynomial for -log(erfc), after N. Juffa's erff: an error
of G counts only in proportion to erfc.
"""

from .arithmetic import copysign, fast_minimum, floats, multiply_add, power_of_two, select
from .coefficients import ERF_DOUBLE, ERF_SINGLE, ERFC_DOUBLE, ERFC_SINGLE
from .evaluation import polynomial
from .exponential import exp_of_rest, reduce_by_ln2
from .staging import staged

# bits: limit between the polynomials, where erf is 1, coefficients near 0 and beyond
PIECES = {32: (0.9268, 3.95, ERF_SINGLE, ERFC_SINGLE), 64: (1.0, 5.95, ERF_DOUBLE, ERFC_DOUBLE)}


@staged
def erf(x):
    """2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x."""
    limit, end, near, far = PIECES[floats(x).type.bits]
    size = fast_minimum(end, abs(x))
    small = multiply_add(x, polynomial(x * x, near), x)
    _, n, r = reduce_by_ln2(-polynomial(size, far))
    complement = exp_of_rest(r) * power_of_two(n, x.type)
    return select(size < limit, small, copysign(1.0 - complement, x))
