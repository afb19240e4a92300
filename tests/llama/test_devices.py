"""How many layers go to a GPU."""

from __future__ import annotations

import pytest

from ragcli.llama.devices import layers_to_try


@pytest.mark.parametrize(
    ("device", "layers", "can_offload", "expected"),
    [
        ("auto", 32, True, [33, 16, 0]),
        ("gpu", 32, True, [33, 16, 0]),
        ("gpu", 1, True, [2, 1, 0]),
        ("gpu", 0, True, [1, 0]),
        ("cpu", 32, True, [0]),
        ("auto", 32, False, [0]),
        ("gpu", 32, False, [0]),
    ],
)
def test_all_of_them_then_half_then_none(device: str, layers: int, can_offload: bool, expected: list[int]) -> None:
    assert layers_to_try(device, layers, can_offload) == expected
