"""The sweep on a GPU: its kernels against the CPU's engines, and what happens without a GPU."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from backtest.engine import device
from backtest.engine.books import sweep_book
from backtest.engine.sweep import stream_metrics
from backtest.errors import EngineUnavailable
from backtest.strategy import STRATEGIES
from tests.architecture.source_tree import ROOT
from tests.backtest.markets import random_panel

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")


def run_cases(marked: str, **environment: str) -> None:
    """Run the cases in a process of their own: an interpreter is chosen on importing Triton."""
    cases = ROOT / "tests" / "differential" / "device_cases.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", marked, str(cases)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout


@needs_triton
def test_kernels_equal_the_cpu_in_tritons_interpreter():
    run_cases("not slow", TRITON_INTERPRET="1")


@needs_triton
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kernels_equal_the_cpu_on_many_markets_in_tritons_interpreter():
    run_cases("slow", TRITON_INTERPRET="1")


@needs_triton
def test_kernels_equal_the_cpu_on_a_gpu():
    if device.lacking() is not None:
        pytest.skip(device.lacking())
    run_cases("slow or not slow")


@needs_triton
@pytest.mark.skipif(sys.platform != "linux", reason="Triton compiles on Linux")
@pytest.mark.parametrize("shorts", [False, True])
def test_kernels_compile_for_a_card_that_is_not_here(shorts: bool):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from backtest.engine import device_accounts, device_books

    kernels = {
        device_accounts._accounts: (1, {"BLOCK": device_accounts.BLOCK}),
        device_books._hold: (1, {"BLOCK": device_books.BLOCK}),
        device_books._scale: (4, {"SETS": device_books.SETS, "TIME": device_books.TIME}),
        device_books._add: (4, {"SETS": device_books.SETS, "TIME": device_books.TIME}),
    }
    bits, counts = {"columns", "planes"}, {"sides", "bars", "group", "counted", "inside", "members"}
    counts |= {"decides", "decided", "since"}
    sizes = {"width", "words", "longest", "levels", "sets", "plane", "count", "least", "step"}
    sizes |= {"sessions"}
    for kernel, (warps, constants) in kernels.items():
        constants = constants | {"SHORTS": shorts}
        signature = {}
        for name in kernel.arg_names:
            kind = "*i64" if name in bits else "*i32" if name in counts else "*fp64"
            kind = "i32" if name in sizes else kind
            signature[name] = "constexpr" if name in constants else kind
        built = triton.compile(
            ASTSource(kernel, signature, constexprs=constants),
            target=GPUTarget("cuda", 90, 32),
            options={"num_warps": warps, "enable_fp_fusion": False},
        )
        code = built.asm["ptx"]
        assert "fma.rn.f64" not in code, "products and sums are rounded one by one, as on the CPU"
        assert "atom." not in code, "sums do not depend on who comes first"


def test_without_a_gpu_the_cpu_says_so_in_one_line_and_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    panel, rule = random_panel(6, 90, seed=1), STRATEGIES.get("rsi_swing")
    grid, terms = rule.candidates().take(np.arange(5)), {"cost": 0.001}
    with caplog.at_level(logging.WARNING):
        asked = list(stream_metrics(panel, rule, grid, device="cuda", **terms))
    assert len(caplog.messages) == 1
    assert "runs on the CPU instead" in caplog.messages[0]
    plain = list(stream_metrics(panel, rule, grid, **terms))
    np.testing.assert_array_equal(np.stack(asked), np.stack(plain))
    terms |= {"kind": "dollar-neutral"}
    asked, plain = (
        sweep_book(panel, rule, grid, device="cuda", **terms),
        sweep_book(panel, rule, grid, **terms),
    )
    np.testing.assert_array_equal(asked.net_return, plain.net_return)


def test_without_triton_the_line_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    assert device.chosen_device("cuda") == "cpu"
    assert caplog.messages == [
        "device cuda cannot be used (Triton is not installed): the sweep runs on the CPU instead"
    ]
    assert device.chosen_device("cpu") == "cpu"
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("name", ["gpu", "cuda:1", ""])
def test_an_unknown_device(name: str):
    with pytest.raises(EngineUnavailable, match=f"E_DEVICE: no engine here for device '{name}'"):
        device.chosen_device(name)


@pytest.mark.parametrize(
    ("count", "each", "limit", "sizes"),
    [(5, 10, 25, [2, 2, 1]), (4, 10, 20, [2, 2]), (3, 100, 10, [1, 1, 1]), (3, 1, 100, [3])],
)
def test_parts_fit_the_memory_or_hold_one(count: int, each: int, limit: int, sizes: list[int]):
    parts = device.parts_of(count, each, limit)
    assert [len(part) for part in parts] == sizes
    assert [i for part in parts for i in part] == list(range(count))


def test_the_sweep_loads_neither_torch_nor_triton_until_a_gpu_is_asked_for():
    code = (
        "import sys, backtest.engine.sweep; from backtest.engine.device import chosen_device;"
        "chosen_device('cpu'); sys.exit(bool({'torch', 'triton'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
