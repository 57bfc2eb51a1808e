"""torchvision's ResNets give the same features here; `.pth` files in every form. Skipped without PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.config import BackboneConfig, Config, ModelConfig
from lsts_jax.errors import UserError
from lsts_jax.models.detector import Detector, build_detector
from lsts_jax.models.resnet import Unit
from lsts_jax.structs import Frame
from lsts_jax.training.pretrained import import_weights, open_weights
from tests.training.test_pretrained import UNITS, batch_config, torchvision_arrays, torchvision_shapes

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")


def random_network(depth: int) -> torch.nn.Module:
    """With statistics that are not those of a new network, and the dilated last stage of a detector."""
    torch.manual_seed(depth)
    network = getattr(torchvision.models, f"resnet{depth}")(num_classes=10)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values, low, high in (
                (module.weight, 0.5, 1.0),
                (module.bias, -0.2, 0.2),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 2.0),
            ):
                torch.nn.init.uniform_(values, low, high)
    for module in network.layer4.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.stride = (1, 1)
            if module.kernel_size == (3, 3):
                module.dilation = module.padding = (2, 2)
    return network.eval()


def stages(network: torch.nn.Module, pixels: np.ndarray) -> list[np.ndarray]:
    """Outputs of the last three stages [h w C] for RGB pixels [H W 3], normalised as torchvision does."""
    x = torch.from_numpy(pixels).float() / 255
    x = (x - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    x = x.permute(2, 0, 1)[None]
    found = []
    with torch.no_grad():
        x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
        for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
            x = layer(x)
            found.append(x[0].permute(1, 2, 0).numpy())
    return found[1:]


def check(file, depth: int, height: int, width: int) -> None:
    network = random_network(depth)
    torch.save(network.state_dict(), file)
    split = 4 if depth >= 34 else 1
    config = Config(
        model=ModelConfig(
            backbone=BackboneConfig(depth=depth, split=split), feature_channels=16, temporal="none"
        )
    )
    config, variables, _ = import_weights(file, open_weights(file), config)
    pixels = np.random.default_rng(depth).integers(0, 256, (height, width, 3), np.uint8)
    canvas = np.zeros((-(-height // 16) * 16, -(-width // 16) * 16, 3), np.uint8)
    canvas[:height, :width] = pixels
    frame = Frame(jnp.asarray(canvas), jnp.array([height, width], jnp.int32), jnp.float32(1))
    detector = build_detector(config.model, 30)

    @jax.jit
    def units(frame):
        _, state = detector.apply(
            variables,
            frame,
            method=Detector.key,
            capture_intermediates=lambda module, _: isinstance(module, Unit),
        )
        return state["intermediates"]["low_level"] | state["intermediates"]["high_level"]

    found = units(frame)
    for stage, expected in zip((3, 4, 5), stages(network, pixels), strict=True):
        sums = found[f"res{stage}_{UNITS[depth][stage - 2]}"]["__call__"][0]
        ours = np.maximum(sums, 0)[: expected.shape[0], : expected.shape[1]]
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4 * expected.max())
        assert expected.std() > 0.01 * expected.max()


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_features_equal_torchvision(tmp_path, depth):
    check(tmp_path / "x.pth", depth, 75, 100)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_features_of_a_whole_frame_equal_torchvision(tmp_path, depth):
    check(tmp_path / "x.pth", depth, 600, 1000)


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_the_names_of_the_other_tests_are_torchvisions(depth):
    with torch.device("meta"):
        state = getattr(torchvision.models, f"resnet{depth}")(num_classes=10).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == torchvision_shapes(depth)


@pytest.mark.parametrize(
    "wrap, options",
    [
        (lambda state: state, {}),
        (lambda state: state, {"_use_new_zipfile_serialization": False}),
        (lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}}, {}),
        (lambda state: {"model": {f"module.{name}": tensor for name, tensor in state.items()}}, {}),
        (lambda state: {name: tensor.half() for name, tensor in state.items()}, {}),
        (lambda state: {name: torch.nn.Parameter(t) for name, t in state.items() if t.ndim}, {}),
    ],
    ids=["plain", "old format", "among other things", "wrapped", "half precision", "parameters"],
)
def test_state_dicts_in_every_form(tmp_path, wrap, options):
    arrays = torchvision_arrays()
    state = wrap({name: torch.from_numpy(array) for name, array in arrays.items()})
    torch.save(state, tmp_path / "x.pth", **options)
    _, variables, _ = import_weights("x.pth", open_weights(tmp_path / "x.pth"), batch_config())
    np.testing.assert_allclose(
        variables["params"]["high_level"]["res5_1"]["shortcut_conv"]["conv"]["kernel"],
        arrays["layer4.0.downsample.0.weight"].transpose(2, 3, 1, 0),
        atol=1e-3,
    )


class Unknown:
    """What a pickle may not hold."""


DAMAGED = {
    "empty": lambda file: file.write_bytes(b""),
    "no archive": lambda file: file.write_bytes(bytes(500)),
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:-2000]),
    "cut in an old format": lambda file: (
        torch.save({"conv1.weight": torch.ones(8, 3)}, file, _use_new_zipfile_serialization=False),
        file.write_bytes(file.read_bytes()[:-20]),
    ),
    "a whole model": lambda file: torch.save(torch.nn.Linear(2, 2), file),
    "code to be run": lambda file: torch.save({"conv1.weight": Unknown()}, file),
    "a list": lambda file: torch.save([torch.ones(2)], file),
    "no tensors": lambda file: torch.save({"epoch": 3}, file),
    "a sparse tensor": lambda file: torch.save({"conv1.weight": torch.ones(8, 3, 7, 7).to_sparse()}, file),
    "one number for a petabyte": lambda file: torch.save(
        {"conv1.weight": torch.ones(1).expand(1 << 20, 1 << 28)}, file
    ),
    "complex numbers": lambda file: torch.save(
        {"conv1.weight": torch.ones(8, 3, 7, 7, dtype=torch.complex64)}, file
    ),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_pth_is_one_clear_line(tmp_path, what):
    file = tmp_path / "x.pth"
    torch.save({"conv1.weight": torch.ones(8, 3, 7, 7)}, file)
    DAMAGED[what](file)
    absent = ["low_level/res", "low_level/norm", "high_level"]
    with pytest.raises(UserError) as error:
        import_weights(file, open_weights(file), batch_config(), allow_missing=absent)
    assert str(error.value).startswith(f"{file}: ") and "\n" not in str(error.value)
