"""Deformable convolution: the numbers of the authors' operator, and both border rules by a slow reference."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.ops.deform_conv import _all_taps, _tap_by_tap, deform_conv


def hwc(array):
    return jnp.asarray(array.transpose(1, 2, 0))


@pytest.mark.parametrize("case", ["frac", "halves", "zero"])
def test_deform_conv_equals_the_authors_operator(authors_temporal, case):
    """Forward and in all three gradients; `halves` has samples on -1, -1/2, n - 1, n - 1/2 and n."""
    arrays = {
        name: authors_temporal[f"dcn/{case}/{name}"]
        for name in ("data", "offset", "weight", "out", "grad_out", "grad_data", "grad_offset", "grad_weight")
    }
    kernel = jnp.asarray(arrays["weight"].transpose(2, 3, 1, 0))
    size = jnp.array(arrays["data"].shape[2:], jnp.int32)

    @jax.jit
    def forward_and_backward(data, offset, kernel, grad):
        out, backward = jax.vjp(lambda *x: deform_conv(*x, size, dilation=2), data, offset, kernel)
        return out, *backward(grad)

    found = [
        forward_and_backward(hwc(data), hwc(offset), kernel, hwc(grad))
        for data, offset, grad in zip(arrays["data"], arrays["offset"], arrays["grad_out"], strict=True)
    ]
    for index, name in enumerate(("out", "grad_data", "grad_offset")):
        for ours, theirs in zip(found, arrays[name], strict=True):
            wanted = hwc(theirs)
            np.testing.assert_allclose(
                ours[index], wanted, atol=2e-5 * np.abs(arrays[name]).max(), err_msg=name
            )
    of_kernel = sum(ours[3] for ours in found)
    wanted = arrays["grad_weight"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(of_kernel, wanted, atol=2e-5 * np.abs(wanted).max())


def reference(features, offsets, kernel, size, dilation, border):
    """A sample at a time, from the definitions of the two rules, in float64."""
    side, _, channels, out_channels = kernel.shape
    groups = offsets.shape[-1] // (2 * side * side)
    height, width = size

    def at(y, x, channel):
        return features[y, x, channel] if 0 <= y < height and 0 <= x < width else 0.0

    def sample(y, x, channel):
        if border == "held":
            if not (0 <= y < height and 0 <= x < width):
                return 0.0
            y, x = min(y, height - 1), min(x, width - 1)
        top, left = int(np.floor(y)), int(np.floor(x))
        return sum(
            at(top + down, left + right, channel) * (1 - abs(y - top - down)) * (1 - abs(x - left - right))
            for down, right in itertools.product((0, 1), (0, 1))
        )

    out = np.zeros((height, width, out_channels))
    for y, x, tap, channel in itertools.product(range(height), range(width), range(side**2), range(channels)):
        row, column = divmod(tap, side)
        group = channel // (channels // groups)
        move = offsets[y, x, 2 * (group * side**2 + tap) :][:2]
        at_y = y + (row - side // 2) * dilation + move[0]
        at_x = x + (column - side // 2) * dilation + move[1]
        out[y, x] += sample(at_y, at_x, channel) * kernel[row, column, channel]
    return out


@pytest.fixture(scope="module")
def random_inputs():
    rng = np.random.default_rng(0)
    features, offsets = rng.normal(size=(5, 6, 4)), rng.uniform(-3, 3, (5, 6, 36))
    offsets[:2] = np.round(offsets[:2] * 2) / 2
    return [x.astype(np.float32) for x in (features, offsets, rng.normal(size=(3, 3, 4, 3)))]


@pytest.mark.parametrize("border", ["held", "zero"])
def test_both_border_rules_follow_their_definitions(random_inputs, border):
    """Two groups; the picture at its own size and on a larger canvas, whose cells outside hold anything."""
    features, offsets, kernel = random_inputs
    wanted = reference(features, offsets, kernel, (5, 6), 2, border)
    canvas = [np.pad(x, ((0, 2), (0, 3), (0, 0)), constant_values=7) for x in (features, offsets)]
    size = jnp.array([5, 6], jnp.int32)
    for data, moves in ((features, offsets), canvas):
        found = deform_conv(*map(jnp.asarray, (data, moves, kernel)), size, dilation=2, border=border)
        np.testing.assert_allclose(found[:5, :6], wanted, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("border", ["held", "zero"])
def test_all_taps_at_once_are_the_taps_one_by_one(random_inputs, border):
    """The form of GPUs against the form of CPUs, in two groups."""
    features, offsets, kernel = map(jnp.asarray, random_inputs)
    moves = jnp.moveaxis(offsets.reshape(5, 6, 2, 9, 2), 3, 0)
    places = jnp.asarray(2 * (np.indices((3, 3)).reshape(2, -1).T - 1), jnp.int32)
    inputs = features, moves, kernel.reshape(9, 4, 3), jnp.array([4, 6], jnp.int32), places
    of_cpus, of_gpus = _tap_by_tap(border, *inputs), _all_taps(border, *inputs)
    np.testing.assert_allclose(of_gpus, of_cpus, atol=1e-5)


def test_torchvision_has_the_rule_of_zero_borders(random_inputs):
    """Forward and all gradients, where torchvision is installed."""
    torch = pytest.importorskip("torch")
    operator = pytest.importorskip("torchvision").ops.deform_conv2d
    features, offsets, kernel = random_inputs
    theirs = [torch.tensor(x.transpose(2, 0, 1)[None], requires_grad=True) for x in (features, offsets)]
    weight = torch.tensor(kernel.transpose(3, 2, 0, 1), requires_grad=True)
    wanted = operator(*theirs, weight, padding=2, dilation=2)
    wanted.square().sum().backward()

    def loss(*inputs):
        out = deform_conv(*inputs, jnp.array([5, 6], jnp.int32), dilation=2, border="zero")
        return jnp.sum(out**2), out

    found, out = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(*map(jnp.asarray, random_inputs))
    wanted = [wanted.detach()[0].numpy(), *(x.grad[0].numpy() for x in theirs)]
    for ours, array in zip((out, *found[:2]), wanted, strict=True):
        np.testing.assert_allclose(ours, hwc(array), atol=2e-5 * np.abs(array).max())
    wanted = weight.grad.numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(found[2], wanted, atol=2e-5 * np.abs(wanted).max())


def test_offsets_that_fit_no_kernel_are_refused(random_inputs):
    features, offsets, kernel = map(jnp.asarray, random_inputs)
    with pytest.raises(ValueError, match="35 channels of offsets fit no 3x3 kernel on 4 channels"):
        deform_conv(features, offsets[..., :35], kernel, jnp.array([5, 6], jnp.int32))
