"""What is told from logits: probabilities in any precision, and not what looks like them by chance."""

from __future__ import annotations

import pytest
import torch

from deepunlearn.archs.shares import are_shares, end_in_softmax

LOGITS = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_probabilities_are_told_from_logits_in_any_precision(dtype: torch.dtype) -> None:
    assert are_shares(LOGITS.softmax(1).to(dtype))
    for logits in (LOGITS, LOGITS.log_softmax(1), LOGITS.sigmoid(), torch.zeros(4, 10), 2 * LOGITS.softmax(1)):
        assert not are_shares(logits.to(dtype))


def test_one_row_says_nothing_and_what_is_not_finite_is_none() -> None:
    assert not are_shares(LOGITS[:1].softmax(1)) and not are_shares(torch.full((4, 10), torch.nan))


def test_the_last_step_is_known_without_numbers() -> None:
    logits = torch.empty(2, 10, device="meta", requires_grad=True)
    assert end_in_softmax(logits.softmax(1)) and end_in_softmax(logits[:, :, None].softmax(1).squeeze(2))
    assert not end_in_softmax(logits.softmax(1).log()) and not end_in_softmax(logits)
