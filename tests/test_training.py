"""Training that ends at the same network on other processors: batches, rounding, one update."""

from itertools import chain

import numpy as np
import pytest
import torch

from helpers import training


def gradient(seed=0):
    """Of (9, 8); the largest entry is -2.5, so the power of two is 2 and a step is 2**-15."""
    values = np.random.default_rng(seed).uniform(-1, 2, (9, 8))
    values[0, 0] = -2.5
    return torch.from_numpy(values)


class TestPrecise:
    def test_double_precision_on_a_processor_and_single_on_a_gpu(self):
        assert training.precise("cpu") == torch.float64
        assert training.precise(torch.device("cuda")) == torch.float32
        assert training.precise("mps") == torch.float32


class TestFirstWeights:
    def network(self):
        return torch.nn.Sequential(
            torch.nn.Conv2d(4, 300, 2), torch.nn.BatchNorm2d(300), torch.nn.Linear(9, 200)
        )

    def test_uniform_within_one_over_the_root_of_the_inputs_and_no_bias(self):
        net = training.first_weights(self.network(), np.random.default_rng(0))
        for layer, inputs in ((net[0], 16), (net[2], 9)):
            bound = inputs**-0.5
            values = layer.weight.detach() / bound
            assert 0.99 < values.abs().max() <= 1
            assert values.std() == pytest.approx(3**-0.5, rel=0.05)
            assert not layer.bias.any()
        assert (net[1].weight == 1).all()

    def test_they_follow_from_the_generator_alone(self):
        rng = np.random.default_rng(1)
        one = training.first_weights(self.network(), np.random.default_rng(1))
        two, three = (training.first_weights(self.network(), rng) for _ in range(2))
        assert torch.equal(one[2].weight, two[2].weight)
        assert not torch.equal(one[2].weight, three[2].weight)
        wanted = np.random.default_rng(1).uniform(-0.25, 0.25, (300, 4, 2, 2))
        assert np.array_equal(one[0].weight.detach().numpy(), wanted.astype(np.float32))


class TestBatches:
    def test_every_image_comes_once_before_any_comes_again(self):
        drawn = list(training.batches(10, 4, 5, np.random.default_rng(3)))
        assert [len(part) for part in drawn] == [4] * 5
        order = [int(i) for i in chain(*drawn)]
        assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
        assert order[:10] != order[10:]

    def test_a_batch_may_be_larger_than_all_images(self):
        (part,) = training.batches(3, 7, 1, np.random.default_rng(0))
        assert sorted(part.tolist())[:2] == [0, 0]
        assert len(part) == 7

    def test_one_seed_gives_the_same_batches_and_the_generator_moves_on(self):
        a, b = np.random.default_rng(1), np.random.default_rng(1)
        first = torch.stack(list(training.batches(9, 3, 3, a)))
        assert torch.equal(first, torch.stack(list(training.batches(9, 3, 3, b))))
        assert not torch.equal(first, torch.stack(list(training.batches(9, 3, 3, a))))

    @pytest.mark.parametrize(("arguments", "name"), [((0, 4, 1), "count"), ((5, 0, 1), "size")])
    def test_nothing_to_draw_is_said_at_once(self, arguments, name):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
            training.batches(*arguments, np.random.default_rng(0))


class TestRounded:
    def test_to_the_nearest_multiple_of_a_step_of_the_largest_entry(self):
        g, step = gradient(), 2.0**-15
        found = training.rounded(g)
        assert not torch.equal(found, g)
        assert (found / step == (found / step).round()).all()
        assert (found - g).abs().max() <= step / 2

    def test_a_last_digit_does_not_count(self):
        g = gradient()
        assert torch.equal(training.rounded(g + 1e-14), training.rounded(g))

    @pytest.mark.parametrize("factor", [8.0, 2.0**-9, -1.0])
    def test_it_follows_the_size_of_the_gradient(self, factor):
        g = gradient()
        assert torch.equal(training.rounded(factor * g), factor * training.rounded(g))

    def test_the_noise_of_a_gradient_of_zero_is_not_enlarged(self):
        noise = gradient() * 1e-13
        assert not training.rounded(noise).any()
        assert not training.rounded(torch.zeros(3)).any()


class TestUpdate:
    def test_one_step_down_the_rounded_gradient(self):
        weight = torch.tensor([1.0, 1 / 3], dtype=torch.float64, requires_grad=True)
        idle = torch.ones(1, requires_grad=True)
        sgd = torch.optim.SGD([weight, idle], lr=0.5)
        weight.grad = torch.full_like(weight, 100.0)  # of an earlier loss
        value = training.update(sgd, (weight**2).sum())
        assert value == pytest.approx(10 / 9)
        step = 2.0**-15  # the largest entry of the gradient is 2
        wanted = 1 / 3 - 0.5 * round(2 / 3 / step) * step
        assert weight.tolist() == [0.0, wanted]
        assert idle.item() == 1

    def test_a_loss_that_is_not_finite_changes_nothing(self):
        weight = torch.tensor([2.0], requires_grad=True)
        sgd = torch.optim.SGD([weight], lr=0.1)
        with pytest.raises(ValueError, match="the loss is nan"):
            training.update(sgd, (weight * float("nan")).sum())
        assert weight.item() == 2

    def test_two_orders_of_summing_train_the_same_network(self):
        """The reason for all of it: what differs in the last digit ends at the same weights."""
        x = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 12)))
        ends = []
        for order in (torch.arange(64), torch.arange(63, -1, -1)):
            torch.manual_seed(0)
            net = torch.nn.Sequential(
                torch.nn.Linear(12, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
            ).double()
            adam = torch.optim.Adam(net.parameters(), 0.05)
            for _ in range(60):
                training.update(adam, ((net(x[order])[:, 0] - x[order, 0]) ** 2).mean())
            ends.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
        assert torch.allclose(*ends, rtol=0, atol=1e-9)
