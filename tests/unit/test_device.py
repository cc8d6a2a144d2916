"""Precision: bf16 where a processor computes in it, and a word where it only emulates it."""

import pytest
import torch

from planewise.device import choose_precision

EMULATES = {"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}


@pytest.mark.parametrize(
    ("capabilities", "training", "predicting"),
    [
        (EMULATES, "32", "32"),
        (EMULATES | {"avx512_bf16": True}, "32", "bf16"),
        (EMULATES | {"amx_bf16": True}, "32", "bf16"),
        ({"architecture": "aarch64"}, "32", "32"),
    ],
)
def test_auto_is_bf16_on_a_cpu_only_to_predict_and_if_it_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object], training: str, predicting: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_precision("auto", "cpu") == training
    assert choose_precision("auto", "cpu", predicting=True) == predicting


@pytest.mark.parametrize(
    ("name", "capabilities", "said"),
    [
        ("bf16", EMULATES, True),
        ("bf16", EMULATES | {"avx512_bf16": True}, False),
        ("bf16", {"architecture": "aarch64"}, False),  # whether it computes in bf16 is not known
        ("32", EMULATES, False),
    ],
)
def test_bf16_that_a_cpu_only_emulates_is_obeyed_and_said_to_be_slow(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    capabilities: dict[str, object],
    said: bool,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_precision(name, "cpu") == name  # type: ignore[arg-type]
    assert ("only emulates" in capsys.readouterr().err) is said
