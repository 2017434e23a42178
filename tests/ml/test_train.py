"""The training loop: the best state restored, going on after a stop, and what is not finite."""

import copy
import logging

import pytest
import torch
from torch import nn

from backtest.errors import ConfigError
from ml.train import Checkpoint, TrainConfig, train

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
Y = X @ torch.tensor([1.0, -2.0, 0.5, 0.0]) + 0.1 * torch.randn(
    64, generator=torch.Generator().manual_seed(2)
)


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.GELU(), nn.Linear(8, 1))


def batches(epoch: int, size: int) -> list[torch.Tensor]:
    order = torch.randperm(48, generator=torch.Generator().manual_seed(epoch))
    return list(order.split(size))


def loss(net: nn.Module, rows: torch.Tensor):
    value = (net(X[rows])[:, 0] - Y[rows]).pow(2).mean()
    return value, {"loss": float(value.detach())}


def validate(net: nn.Module) -> dict[str, float]:
    return {"loss": float((net(X[48:])[:, 0] - Y[48:]).pow(2).mean().detach())}


CONFIG = TrainConfig(epochs=30, batch=16, rate=0.02, patience=30)


def run(net: nn.Module, config: TrainConfig = CONFIG, **options) -> Checkpoint:
    given = {"batches": batches, "loss": loss, "validate": validate} | options
    rest = {k: v for k, v in given.items() if k not in ("batches", "loss", "validate")}
    return train(net, given["batches"], given["loss"], given["validate"], config, seed=5, **rest)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_it_learns_and_ends_in_its_best_state():
    net = network()
    done = run(net)
    losses = [row["valid_loss"] for row in done.history]
    assert done.best_loss == min(losses) == losses[done.best_epoch - 1]
    assert validate(net)["loss"] == pytest.approx(done.best_loss)
    assert done.best_loss < 0.2 * losses[0]
    assert not net.training


def test_the_best_state_is_a_copy_of_its_own():
    seen: list[Checkpoint] = []
    run(network(), keep=seen.append)
    assert not same(seen[0].weights, seen[5].weights)
    first = copy.deepcopy(seen[0].weights)
    assert same(first, seen[0].weights)


def test_the_same_seed_gives_the_same_weights():
    one, other = network(), network()
    run(one)
    torch.randn(7)  # the world's own random numbers do not matter
    run(other)
    assert same(one.state_dict(), other.state_dict())


@pytest.mark.parametrize("stop", [1, 7, 29])
def test_going_on_from_a_checkpoint_ends_in_the_same_weights(stop: int):
    whole, kept = network(), {}
    done = run(whole, keep=lambda c: kept.setdefault(c.epoch, c))
    again = network()
    resumed = run(again, resume=kept[stop])
    assert same(whole.state_dict(), again.state_dict())
    assert resumed.history == done.history


def test_patience_ends_it():
    done = run(network(), TrainConfig(epochs=200, batch=16, rate=0.05, patience=3))
    assert done.epoch == done.best_epoch + 3
    assert done.stopped == "no better validation in 3 epochs"


def test_the_rate_falls_where_validation_stays():
    stuck = {"validate": lambda _net: {"loss": 1.0}}
    config = TrainConfig(epochs=10, batch=16, rate=0.01, patience=20, calm=3, shrink=0.5)
    rates = [row["learning_rate"] for row in run(network(), config, **stuck).history]
    assert rates[:3] == [0.01] * 3
    assert rates[3] == rates[5] == 0.005
    assert rates[6] == 0.0025


def test_it_never_ends_worse_than_it_began():
    before = network()
    start = {name: value.clone() for name, value in before.state_dict().items()}
    harmful = {"validate": lambda net: {"loss": float((net[0].weight - start["0.weight"]).norm())}}
    done = run(before, TrainConfig(epochs=4, batch=16, rate=0.01), **harmful)
    assert (done.best_epoch, len(done.history)) == (0, 4)
    assert all(torch.equal(before.state_dict()[name], one) for name, one in start.items())


def test_gradients_are_clipped():
    def steep(net: nn.Module, rows: torch.Tensor):
        value, parts = loss(net, rows)
        return 1e6 * value, parts

    net, config = network(), TrainConfig(epochs=1, batch=48, rate=1e-3, clip=1.0)
    done = run(net, config, loss=steep)
    assert done.history[0]["gradient_norm"] > 1e3  # as it was before
    assert all(torch.isfinite(w).all() for w in net.state_dict().values())


@pytest.mark.parametrize("what", ["the loss is not finite", "a gradient is not finite"])
def test_what_is_not_finite_stops_at_that_step_and_keeps_the_last_good_state(what: str):
    kept: list[Checkpoint] = []

    def broken(net: nn.Module, rows: torch.Tensor):
        value, parts = loss(net, rows)
        if len(kept) == 3:
            value = value * torch.nan if "loss" in what else _nan_gradient(value)
        return value, parts

    net = network()
    done = run(net, loss=broken, keep=kept.append)
    assert done.stopped == what
    assert done.epoch == 3
    assert same(net.state_dict(), kept[-1].best)
    assert all(torch.isfinite(w).all() for w in net.state_dict().values())


class _Poison(torch.autograd.Function):
    @staticmethod
    def forward(_ctx, x):
        return x.clone()

    @staticmethod
    def backward(_ctx, gradient):
        return gradient * torch.nan


def _nan_gradient(value: torch.Tensor) -> torch.Tensor:
    return _Poison.apply(value)


def test_out_of_memory_halves_the_batch_and_says_so(caplog: pytest.LogCaptureFixture):
    sizes: list[int] = []

    def narrow(net: nn.Module, rows: torch.Tensor):
        sizes.append(len(rows))
        if len(rows) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return loss(net, rows)

    with caplog.at_level(logging.WARNING, logger="ml.train"):
        done = run(network(), TrainConfig(epochs=2, batch=16), loss=narrow)
    assert done.epoch == 2
    assert sizes[:3] == [16, 8, 4]
    assert [r.getMessage() for r in caplog.records] == [
        "out of GPU memory: the batch shrinks from 16 to 8 samples",
        "out of GPU memory: the batch shrinks from 8 to 4 samples",
    ]


def test_out_of_memory_amid_an_epoch_leaves_nothing_of_it():
    """What was stepped before the fault is undone, in the first epoch, too."""
    half, faulty = network(), network()
    plain = run(half, TrainConfig(epochs=2, batch=8))
    seen: list[int] = []

    def full(net: nn.Module, rows: torch.Tensor):
        seen.append(len(rows))
        if seen.count(16) == 2:
            seen.append(16)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(net, rows)

    done = run(faulty, TrainConfig(epochs=2, batch=16), loss=full)
    assert same(done.weights, plain.weights)


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_validation_that_is_not_finite_ends_it(epoch: int):
    asked: list[int] = []

    def lost(net: nn.Module) -> dict[str, float]:
        asked.append(1)
        return {"loss": float("nan") if len(asked) == epoch + 1 else validate(net)["loss"]}

    done = run(network(), validate=lost)
    assert done.fault == done.stopped == "a validation is not finite"
    assert done.epoch == len(done.history) == epoch - 1


def test_a_memory_that_holds_no_sample_is_one_line():
    def never(_net: nn.Module, _rows: torch.Tensor):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ConfigError, match="E_DEVICE: the GPU's memory does not hold"):
        run(network(), TrainConfig(epochs=1, batch=2), loss=never)


def test_half_width_learns_the_same_thing_less_exactly():
    plain, half = network(), network()
    exact = run(plain, TrainConfig(epochs=15, batch=16, rate=0.02))
    short = run(half, TrainConfig(epochs=15, batch=16, rate=0.02, bf16=True))
    assert all(one.dtype == torch.float32 for one in half.state_dict().values())
    assert short.best_loss == pytest.approx(exact.best_loss, rel=0.2)
    assert not same(exact.weights, short.weights)


@pytest.mark.slow
def test_a_compiled_network_learns_the_same():
    plain, quick = network(), network()
    plain[1].p = quick[1].p = 0.0  # what is left out is drawn elsewhere once it is compiled
    exact = run(plain, TrainConfig(epochs=3, batch=16, rate=0.02))
    compiled = run(quick, TrainConfig(epochs=3, batch=16, rate=0.02, compiled=True))
    assert compiled.best_loss == pytest.approx(exact.best_loss, rel=1e-4)
