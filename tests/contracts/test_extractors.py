"""What every registered extractor must keep: causal, of one size, and without memory of a batch."""

import pytest
import torch

from ml.fitter.extractor import EXTRACTORS, HIDDEN

NAMES = EXTRACTORS.names()
INPUTS = 11


def extractor_of(name: str):
    torch.manual_seed(0)
    return EXTRACTORS.get(name)(INPUTS, dropout=0.1).eval()


def windows(count: int = 3, sessions: int = 90) -> torch.Tensor:
    return torch.randn(count, sessions, INPUTS, generator=torch.Generator().manual_seed(1))


def test_both_are_there():
    assert {"conv_lstm", "tcn"} <= set(NAMES)


def test_they_are_of_one_size():
    sizes = [sum(p.numel() for p in extractor_of(name).parameters()) for name in NAMES]
    assert max(sizes) < 1.2 * min(sizes)


@pytest.mark.parametrize("name", NAMES)
class TestExtractor:
    def test_shape(self, name: str):
        out = extractor_of(name)(windows(), torch.tensor([5, 40, 89]))
        assert out.shape == (3, 3, HIDDEN)
        assert torch.isfinite(out).all()

    def test_a_session_sees_none_after_it(self, name: str):
        network, x, at = extractor_of(name), windows(), torch.tensor([10, 59])
        changed = x.clone()
        changed[:, 60:] = 7.0
        with torch.no_grad():
            assert torch.equal(network(x, at), network(changed, at))
            assert not torch.equal(
                network(x, torch.tensor([60])), network(changed, torch.tensor([60]))
            )

    def test_a_session_sees_those_before_it(self, name: str):
        network, x = extractor_of(name), windows()
        changed = x.clone()
        changed[:, 30] += 3.0
        with torch.no_grad():
            gap = network(x, torch.tensor([50])) - network(changed, torch.tensor([50]))
        assert gap.abs().max() > 1e-4

    def test_one_alone_is_one_of_many(self, name: str):
        network, x, at = extractor_of(name), windows(), torch.tensor([70, 89])
        with torch.no_grad():
            together = network(x, at)
            for k in range(len(x)):
                torch.testing.assert_close(network(x[k : k + 1], at)[0], together[k])

    def test_asking_about_others_changes_no_answer(self, name: str):
        network, x = extractor_of(name), windows()
        with torch.no_grad():
            both = network(x, torch.tensor([20, 80]))
            torch.testing.assert_close(network(x, torch.tensor([80])), both[:, 1:])

    def test_it_overfits_a_tiny_batch(self, name: str):
        network = extractor_of(name)
        head = torch.nn.Linear(HIDDEN, 1)
        x, at = windows(4), torch.tensor([89])
        wanted = torch.tensor([[1.0], [-1.0], [0.5], [2.0]])
        optimiser = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=3e-3)
        for _ in range(120):
            loss = (head(network(x, at))[:, 0] - wanted).pow(2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert loss < 0.01
