"""What a training asks of a device, as far as a machine without a GPU can see it."""

import os

import pytest
import torch

from ml.gpu import Speed, half_width, repeatable


def test_algorithms_that_repeat_are_asked_for_and_given_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)

    def fails():
        with repeatable("cuda", wanted=True):
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.backends.cudnn.benchmark
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark


@pytest.mark.parametrize(("device", "wanted"), [("cpu", True), ("cuda", False)])
def test_otherwise_nothing_is_changed(device: str, wanted: bool):
    with repeatable(device, wanted=wanted):
        assert not torch.are_deterministic_algorithms_enabled()


def test_half_width_is_of_products_only():
    one = torch.nn.Linear(3, 2)
    with half_width("cpu", wanted=True):
        assert one(torch.ones(1, 3)).dtype == torch.bfloat16
    with half_width("cpu", wanted=False):
        assert one(torch.ones(1, 3)).dtype == torch.float32
    assert one.weight.dtype == torch.float32


def test_a_lap_tells_samples_by_the_second(monkeypatch: pytest.MonkeyPatch):
    clock = iter([10.0, 12.0, 12.5])
    monkeypatch.setattr("ml.gpu.time.perf_counter", lambda: next(clock))
    speed = Speed("cpu")
    assert speed.lap(5000) == "2,500 samples per second"
    assert speed.lap(100) == "200 samples per second"


def test_on_a_gpu_a_lap_tells_how_busy_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3 * 2**29)
    monkeypatch.setattr(torch.cuda, "utilization", lambda: 64)
    assert Speed("cuda").lap(10).endswith("GPU 64 % busy, 1.5 GiB of its memory at most")

    def unknown():
        raise ModuleNotFoundError("pynvml")

    monkeypatch.setattr(torch.cuda, "utilization", unknown)
    assert "GPU's utilisation unknown (ModuleNotFoundError)" in Speed("cuda").lap(10)
