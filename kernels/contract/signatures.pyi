"""The kernels as methods. ``python -m kernels.contract.stub`` writes this from the declarations."""

from typing import Any

from numpy import ndarray

Array = ndarray[Any, Any]

class Kernels:
    def relu(self, x: Array, *, out: Array | None = None) -> Array:
        """out = max(x, 0); NaN stays NaN."""
        ...

    def relu_gradient(self, grad: Array, y: Array, *, out: Array | None = None) -> Array:
        """out = grad where y > 0, else 0; y = relu(x)."""
        ...

    def leaky_relu(self, x: Array, slope: float = 0.01, *, out: Array | None = None) -> Array:
        """out = x where x > 0, else slope * x; slope >= 0."""
        ...

    def leaky_relu_gradient(self, grad: Array, y: Array, slope: float = 0.01, *, out: Array | None = None) -> Array:
        """out = grad where y > 0, else slope * grad; y = leaky_relu(x, slope), which has the sign of x as slope >= 0."""
        ...

    def elu(self, x: Array, alpha: float = 1.0, *, out: Array | None = None) -> Array:
        """out = x where x > 0, else alpha * (e**x - 1); alpha >= 0 (Clevert et al. 2015, arXiv 1511.07289)."""
        ...

    def elu_gradient(self, grad: Array, y: Array, alpha: float = 1.0, *, out: Array | None = None) -> Array:
        """out = grad where y > 0, else grad * (y + alpha); y = elu(x, alpha)."""
        ...

    def selu(self, x: Array, *, out: Array | None = None) -> Array:
        """out = scale * elu(x, alpha), alpha = 1.6733, scale = 1.0507 (Klambauer et al. 2017, arXiv 1706.02515)."""
        ...

    def selu_gradient(self, grad: Array, y: Array, *, out: Array | None = None) -> Array:
        """out = scale * grad where y > 0, else grad * (y + scale * alpha); y = selu(x)."""
        ...

    def gelu(self, x: Array, *, out: Array | None = None) -> Array:
        """out = x / 2 * (1 + erf(x / sqrt 2)): the exact GELU (Hendrycks and Gimpel 2016, arXiv 1606.08415)."""
        ...

    def gelu_gradient(self, grad: Array, x: Array, *, out: Array | None = None) -> Array:
        """out = grad * (Phi(x) + x phi(x)), Phi and phi the normal distribution function and density."""
        ...

    def gelu_tanh(self, x: Array, *, out: Array | None = None) -> Array:
        """out = x / 2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x**3))): GELU's tanh approximation (same paper)."""
        ...

    def gelu_tanh_gradient(self, grad: Array, x: Array, *, out: Array | None = None) -> Array:
        """out = grad * ((1 + t) / 2 + x / 2 * (1 - t**2) * sqrt(2/pi) * (1 + 3 * 0.044715 x**2)), t gelu_tanh's tanh."""
        ...

    def sigmoid(self, x: Array, *, out: Array | None = None) -> Array:
        """out = 1 / (1 + e**-x)."""
        ...

    def sigmoid_gradient(self, grad: Array, y: Array, *, out: Array | None = None) -> Array:
        """out = grad * y * (1 - y), y = sigmoid(x)."""
        ...

    def tanh(self, x: Array, *, out: Array | None = None) -> Array:
        """out = tanh x."""
        ...

    def tanh_gradient(self, grad: Array, y: Array, *, out: Array | None = None) -> Array:
        """out = grad * (1 - y**2), y = tanh x."""
        ...

    def silu(self, x: Array, *, out: Array | None = None) -> Array:
        """out = x * sigmoid(x), also called swish."""
        ...

    def silu_gradient(self, grad: Array, x: Array, *, out: Array | None = None) -> Array:
        """out = grad * s * (1 + x * (1 - s)), s = sigmoid(x)."""
        ...

    def mish(self, x: Array, *, out: Array | None = None) -> Array:
        """out = x * tanh(softplus(x)) (Misra 2019, arXiv 1908.08681)."""
        ...

    def mish_gradient(self, grad: Array, x: Array, *, out: Array | None = None) -> Array:
        """out = grad * (t + x * sigmoid(x) * (1 - t**2)), t = tanh(softplus(x))."""
        ...

    def softplus(self, x: Array, *, out: Array | None = None) -> Array:
        """out = ln(1 + e**x), computed as max(x, 0) + ln(1 + e**-|x|) so that nothing overflows."""
        ...

    def softplus_gradient(self, grad: Array, x: Array, *, out: Array | None = None) -> Array:
        """out = grad * sigmoid(x)."""
        ...

    def add(self, a: Array | float, b: Array | float, *, out: Array | None = None) -> Array:
        """out = a + b."""
        ...

    def subtract(self, a: Array | float, b: Array | float, *, out: Array | None = None) -> Array:
        """out = a - b."""
        ...

    def multiply(self, a: Array | float, b: Array | float, *, out: Array | None = None) -> Array:
        """out = a * b."""
        ...

    def divide(self, a: Array | float, b: Array | float, *, out: Array | None = None) -> Array:
        """out = a / b; division by zero gives an infinity or NaN, as IEEE 754 says."""
        ...

    def power(self, a: Array | float, b: Array | float, *, out: Array | None = None) -> Array:
        """out = a**b; NaN where a < 0 and b is not whole. 0**0 = 1, 1**NaN = 1."""
        ...

    def maximum(self, a: Array | float, b: Array | float, *, out: Array | None = None) -> Array:
        """out = max(a, b); NaN where either is NaN."""
        ...

    def minimum(self, a: Array | float, b: Array | float, *, out: Array | None = None) -> Array:
        """out = min(a, b); NaN where either is NaN."""
        ...

    def greater(self, a: Array | float, b: Array | float, *, out: Array | None = None) -> Array:
        """out = 1 where a > b, else 0; a comparison with NaN is false."""
        ...

    def where(self, condition: Array | float, a: Array | float, b: Array | float, *, out: Array | None = None) -> Array:
        """out = a where condition is not 0 (NaN is not), else b."""
        ...

    def lerp(self, start: Array | float, end: Array | float, weight: Array | float, *, out: Array | None = None) -> Array:
        """out = start + weight (end - start)."""
        ...

    def lerp_gradient(self, grad: Array, start: Array, end: Array, weight: Array, *, out: Array | None = None, end_gradient: Array | None = None, weight_gradient: Array | None = None) -> tuple[Array, Array, Array]:
        """out_ij = (1 - weight_j) grad_ij; end_gradient_ij = weight_j grad_ij.

        weight_gradient_j = sum_i grad_ij (end_ij - start_ij): the gradients of lerp with one weight a column.
        """
        ...

    def cast(self, x: Array, *, out: Array) -> Array:
        """out = x, rounded to the dtype of out, which must be given. With equal dtypes this is a copy."""
        ...

    def fill(self, value: float, *, out: Array) -> Array:
        """out = value everywhere. out must be given."""
        ...

    def negative(self, x: Array, *, out: Array | None = None) -> Array:
        """out = -x."""
        ...

    def exp(self, x: Array, *, out: Array | None = None) -> Array:
        """out = e**x."""
        ...

    def expm1(self, x: Array, *, out: Array | None = None) -> Array:
        """out = e**x - 1, accurate near 0."""
        ...

    def log(self, x: Array, *, out: Array | None = None) -> Array:
        """out = ln x; -inf at 0, NaN below."""
        ...

    def log1p(self, x: Array, *, out: Array | None = None) -> Array:
        """out = ln(1 + x), accurate near 0; -inf at -1, NaN below."""
        ...

    def sqrt(self, x: Array, *, out: Array | None = None) -> Array:
        """out = sqrt(x); NaN below 0."""
        ...

    def sin(self, x: Array, *, out: Array | None = None) -> Array:
        """out = sin x, x in radians; NaN at the infinities."""
        ...

    def cos(self, x: Array, *, out: Array | None = None) -> Array:
        """out = cos x, x in radians; NaN at the infinities."""
        ...

    def erf(self, x: Array, *, out: Array | None = None) -> Array:
        """out = 2 / sqrt(pi) * integral of e**(-t**2) for t from 0 to x."""
        ...

    def absolute(self, x: Array, *, out: Array | None = None) -> Array:
        """out = |x|."""
        ...

    def sign(self, x: Array, *, out: Array | None = None) -> Array:
        """out = -1, 0 or 1 as x is negative, zero or positive; NaN at NaN."""
        ...

    def softmax_cross_entropy(self, logits: Array, labels: Array, weights: Array | None = None, smoothing: float = 0.0, scale: float = 1.0, *, out: Array | None = None, gradient: Array | None = None) -> tuple[Array, Array]:
        """out_i = -sum_j t_ij ln softmax(logits)_ij, t_ij = (1 - smoothing) [j = labels_i] + smoothing / c.

        gradient_ij = softmax(logits)_ij - t_ij.
        """
        ...

    def sigmoid_cross_entropy(self, logits: Array, target: Array, weights: Array | None = None, scale: float = 1.0, *, out: Array | None = None, gradient: Array | None = None) -> tuple[Array, Array]:
        """out_i = sum_j softplus(z_ij) - t_ij z_ij, z the logits, t the targets in [0, 1].

        gradient_ij = sigmoid(z_ij) - t_ij.
        """
        ...

    def squared_error(self, prediction: Array, target: Array, weights: Array | None = None, scale: float = 1.0, *, out: Array | None = None, gradient: Array | None = None) -> tuple[Array, Array]:
        """out_i = sum_j d_ij**2, d = prediction - target. gradient_ij = 2 d_ij."""
        ...

    def absolute_error(self, prediction: Array, target: Array, weights: Array | None = None, scale: float = 1.0, *, out: Array | None = None, gradient: Array | None = None) -> tuple[Array, Array]:
        """out_i = sum_j |d_ij|, d = prediction - target. gradient_ij = sign d_ij."""
        ...

    def quantile_error(self, prediction: Array, target: Array, weights: Array | None = None, scale: float = 1.0, quantile: float = 0.5, *, out: Array | None = None, gradient: Array | None = None) -> tuple[Array, Array]:
        """out_i = sum_j max((1 - q) d_ij, -q d_ij), q the quantile in (0, 1), d = prediction - target.

        gradient_ij = 1 - q where d_ij > 0, -q where d_ij < 0, 0 where it is 0. The mean is least where the prediction is
        the target's quantile (Koenker and Bassett 1978, doi 10.2307/1913643).
        """
        ...

    def huber(self, prediction: Array, target: Array, weights: Array | None = None, scale: float = 1.0, delta: float = 1.0, *, out: Array | None = None, gradient: Array | None = None) -> tuple[Array, Array]:
        """out_i = sum_j d_ij**2 / 2 where |d_ij| <= delta, else delta (|d_ij| - delta / 2); d = prediction - target.

        delta > 0. gradient_ij = d_ij clipped to [-delta, delta] (Huber 1964, doi 10.1214/aoms/1177703732).
        """
        ...

    def poisson_nll(self, log_rate: Array, target: Array, weights: Array | None = None, scale: float = 1.0, *, out: Array | None = None, gradient: Array | None = None) -> tuple[Array, Array]:
        """out_i = sum_j e**z_ij - t_ij z_ij, z the logarithm of the expected count, t >= 0 the counts; without ln t!.

        gradient_ij = e**z_ij - t_ij.
        """
        ...

    def layer_norm(self, x: Array, gain: Array, bias: Array, eps: float = 1e-05, *, out: Array | None = None, mean: Array | None = None, rstd: Array | None = None) -> tuple[Array, Array, Array]:
        """out_ij = gain_j x_hat_ij + bias_j, mean_i and variance_i over row i (Ba et al. 2016, arXiv 1607.06450)."""
        ...

    def layer_norm_gradient(self, grad: Array, x: Array, gain: Array, mean: Array, rstd: Array, *, out: Array | None = None, gain_gradient: Array | None = None, bias_gradient: Array | None = None) -> tuple[Array, Array, Array]:
        """out_ij = rstd_i (h_ij - mean_j h_ij - x_hat_ij mean_j(h_ij x_hat_ij)), h_ij = gain_j grad_ij.

        gain_gradient_j = sum_i grad_ij x_hat_ij; bias_gradient_j = sum_i grad_ij. mean and rstd are layer_norm's.
        """
        ...

    def batch_norm(self, x: Array, gain: Array, bias: Array, running_mean: Array, running_variance: Array, momentum: float = 0.1, eps: float = 1e-05, *, out: Array | None = None, mean: Array | None = None, rstd: Array | None = None) -> tuple[Array, Array, Array]:
        """out_ij = gain_j x_hat_ij + bias_j, mean_j and variance_j over column j.

        Ioffe and Szegedy 2015, arXiv 1502.03167. Updates the running statistics: running <- (1 - momentum) running +
        momentum batch, with the unbiased variance (divided by r - 1, for r = 1 by 1), as PyTorch does.
        """
        ...

    def batch_norm_gradient(self, grad: Array, x: Array, gain: Array, mean: Array, rstd: Array, *, out: Array | None = None, gain_gradient: Array | None = None, bias_gradient: Array | None = None) -> tuple[Array, Array, Array]:
        """out_ij = gain_j rstd_j (grad_ij - mean_i grad_ij - x_hat_ij mean_i(grad_ij x_hat_ij)).

        gain_gradient_j = sum_i grad_ij x_hat_ij; bias_gradient_j = sum_i grad_ij. mean and rstd are batch_norm's.
        """
        ...

    def batch_norm_inference(self, x: Array, gain: Array, bias: Array, running_mean: Array, running_variance: Array, eps: float = 1e-05, *, out: Array | None = None) -> Array:
        """out_ij = gain_j (x_ij - running_mean_j) / sqrt(running_variance_j + eps) + bias_j."""
        ...

    def sgd(self, parameter: Array, gradient: Array, velocity: Array, hyper: Array) -> None:
        """v <- momentum v + g; p <- p - lr v, or with Nesterov p <- p - lr (g + momentum v); g = gradient + weight_decay p.

        hyper: lr, momentum, weight_decay, nesterov (0 or 1). Formulas: PyTorch's SGD without dampening; Sutskever et al.
        2013 for Nesterov.
        """
        ...

    def rmsprop(self, parameter: Array, gradient: Array, square: Array, velocity: Array, hyper: Array) -> None:
        """s <- alpha s + (1 - alpha) g**2; v <- momentum v + g / (sqrt(s) + eps); p <- p - lr v.

        g = gradient + weight_decay p. hyper: lr, alpha, eps, weight_decay, momentum. Tieleman and Hinton 2012;
        PyTorch's RMSprop, not centred.
        """
        ...

    def adam(self, parameter: Array, gradient: Array, first: Array, second: Array, hyper: Array, decoupled: bool = False) -> None:
        """m <- beta1 m + (1 - beta1) g; s <- beta2 s + (1 - beta2) g**2; p <- p - lr m_hat / (sqrt(s_hat) + eps).

        m is first, s is second; m_hat = m / (1 - beta1**step), s_hat = s / (1 - beta2**step); g = gradient + weight_decay p
        (Kingma and Ba 2014, arXiv 1412.6980). With decoupled, g = gradient and p <- (1 - lr weight_decay) p comes first:
        AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101).
        hyper: lr, beta1, beta2, eps, weight_decay, step.
        """
        ...

    def radam(self, parameter: Array, gradient: Array, first: Array, second: Array, hyper: Array) -> None:
        """m <- beta1 m + (1 - beta1) g; s <- beta2 s + (1 - beta2) g**2; p <- p - lr m_hat r / (sqrt(s) + eps).

        m is first, s is second; m_hat = m / (1 - beta1**step); g = gradient + weight_decay p. s is an average of about
        n = n_inf - 2 step beta2**step / (1 - beta2**step) gradients, in the end of n_inf = 2 / (1 - beta2) - 1; with f(n) =
        (n - 4) (n - 2) / n, r = sqrt((1 - beta2**step) f(n) / f(n_inf)). While n <= 5, s says too little: p <- p - lr m_hat
        (Liu et al. 2019, arXiv 1908.03265). eps as in PyTorch's RAdam, added before s is corrected, unlike Adam's.
        hyper: lr, beta1, beta2, eps, weight_decay, step.
        """
        ...

    def matmul(self, a: Array, b: Array, transpose_a: bool = False, transpose_b: bool = False, precision: str = 'full', *, out: Array | None = None) -> Array:
        """out = A B, where A is a or, with transpose_a, its transpose; B likewise.

        precision: "bfloat16" rounds both factors to bfloat16; sums and the result are of the arrays' dtype.
        Error: |out - exact| <= 16 eps (|A| |B|) for k <= 1024, sqrt(k) eps (|A| |B|) beyond, exact being the product of
        the factors as they are rounded; rounding adds 2^-8 (|A| |B|) at most.
        """
        ...

    def dot(self, a: Array, b: Array, *, out: Array | None = None) -> Array:
        """out = sum_i a_i b_i, an array of one element."""
        ...

    def outer(self, a: Array, b: Array, *, out: Array | None = None) -> Array:
        """out_ij = a_i b_j."""
        ...

    def linear(self, x: Array, weight: Array, bias: Array | None = None, activation: str = 'identity', precision: str = 'full', *, out: Array | None = None) -> Array:
        """out = activation(x weight + bias), the product as matmul's of this precision."""
        ...

    def matmul_gradient(self, a: Array, b: Array, y: Array, activation: str = 'relu', transpose_a: bool = False, transpose_b: bool = False, precision: str = 'full', *, out: Array | None = None) -> Array:
        """out = (A B) f'(z) elementwise, y = f(z) and f the activation; A, B and precision as in matmul.

        The gradient with respect to what went into an activation, from that of the layer after it.
        """
        ...

    def sum(self, x: Array, axis: int | None = None, *, out: Array | None = None) -> Array:
        """out = sum of x over axis; 0 over an empty one."""
        ...

    def max(self, x: Array, axis: int | None = None, *, out: Array | None = None) -> Array:
        """out = largest x over axis, NaN if any is NaN; the axis must not be empty."""
        ...

    def argmax(self, x: Array, axis: int | None = None, *, out: Array | None = None) -> Array:
        """out = position of the largest x over axis, the first where several are, the first NaN if there is one; int64."""
        ...

    def mean(self, x: Array, axis: int | None = None, *, out: Array | None = None) -> Array:
        """out = sum of x over axis / number of elements summed; NaN over an empty axis."""
        ...

    def sum_of_squares(self, x: Array, *, out: Array | None = None) -> Array:
        """out = sum of x**2 over everything, an array of one element."""
        ...

    def softmax(self, x: Array, *, out: Array | None = None) -> Array:
        """out_ij = e**x_ij / sum_j e**x_ij, computed from x_ij - max_j x_ij so that nothing overflows."""
        ...

    def softmax_gradient(self, grad: Array, y: Array, *, out: Array | None = None) -> Array:
        """out_ij = y_ij (grad_ij - sum_j grad_ij y_ij), y = softmax(x)."""
        ...

    def log_softmax(self, x: Array, *, out: Array | None = None) -> Array:
        """out_ij = x_ij - ln sum_j e**x_ij, computed from x_ij - max_j x_ij."""
        ...

    def log_softmax_gradient(self, grad: Array, y: Array, *, out: Array | None = None) -> Array:
        """out_ij = grad_ij - e**y_ij sum_j grad_ij, y = log_softmax(x)."""
        ...

    def gather_rows(self, table: Array, indices: Array, *, out: Array | None = None) -> Array:
        """out_i = table row indices_i."""
        ...

    def gather_labels(self, labels: Array, indices: Array, *, out: Array | None = None) -> Array:
        """out_i = labels_k, k = indices_i."""
        ...

    def scatter_add_rows(self, rows: Array, indices: Array, *, out: Array) -> Array:
        """out_k = sum of rows_i over all i with indices_i = k, in the order of i: the gradient of gather_rows."""
        ...

    def transpose(self, x: Array, *, out: Array | None = None) -> Array:
        """out_ji = x_ij. Products need no transposed copy: matmul takes flags."""
        ...

    def one_hot(self, labels: Array, *, out: Array) -> Array:
        """out_ij = 1 where j = labels_i, else 0."""
        ...

    def dropout_mask(self, counter: Array, seed: int, rate: float, *, out: Array) -> Array:
        """out_i = 0 with probability rate, else 1 / (1 - rate).

        Element i (in row order) is dropped where ``random_bits(seed, counter, i) < floor(rate * 2**32)``; the random bits
        are those of ``kernels.contract.random``, so every backend, dtype and number of threads draws the same mask. seed is
        an unsigned 64-bit number; counter, a whole number, is the draw's position in the seed's sequence.
        """
        ...

    def scheduled_dropout_mask(self, counter: Array, rate: Array, seed: int, *, out: Array) -> Array:
        """out = dropout_mask(counter, seed, rate_0): the probability, in [0, 1), may change from step to step."""
        ...

    def to_indices(self, x: Array, limit: int, *, out: Array | None = None) -> Array:
        """out_i = x_i where that is a whole number in [0, limit), else limit."""
        ...

    def watch_finite(self, x: Array, flag: Array) -> None:
        """flag_0 <- NaN if any element of x is infinite or NaN; otherwise flag_0 stays as it is."""
        ...

    def watch_within(self, x: Array, flag: Array, low: float, high: float) -> None:
        """flag_0 <- NaN unless every element of x is a finite number in [low, high]; else flag_0 stays as it is."""
        ...

    def watch_below(self, indices: Array, flag: Array, limit: int) -> None:
        """flag_0 <- NaN if any index is outside [0, limit); otherwise flag_0 stays as it is."""
        ...
