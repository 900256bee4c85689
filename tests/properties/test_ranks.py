"""How ranks share a batch: every row is learned from once, and parts add up to the whole."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoopt.strategies.learning.ranks import LEAST_ROWS, Ranks, share

sizes = st.integers(1, 8)


@given(rows=st.integers(1, 300), size=sizes)
def test_shares_are_the_batch_in_its_order(rows: int, size: int) -> None:
    batch = torch.arange(rows) * 7
    shares = [share(batch, number, size) for number in range(size)]
    assert torch.cat([own for own, part in shares if part > 0]).tolist() == batch.tolist()
    assert sum(part for _, part in shares) == pytest.approx(1.0)


@given(rows=st.integers(2, 300), size=sizes)
def test_no_rank_has_a_single_row_and_all_have_about_as_many(rows: int, size: int) -> None:
    shares = [share(torch.arange(rows), number, size) for number in range(size)]
    assert all(len(own) >= LEAST_ROWS for own, _ in shares)
    counted = [len(own) for own, part in shares if part > 0]
    assert max(counted) - min(counted) <= 1
    assert shares[0][1] > 0  # the leader's rate and losses are never of rows that count for nothing


@given(rows=st.integers(2, 60), size=sizes, columns=st.integers(1, 4))
def test_gradients_add_up_to_those_of_the_whole_batch(rows: int, size: int, columns: int) -> None:
    random = torch.Generator().manual_seed(rows)
    inputs = torch.randn(rows, columns, generator=random, dtype=torch.float64)
    target = torch.randn(rows, generator=random, dtype=torch.float64)

    def gradient(chosen: torch.Tensor) -> torch.Tensor:
        weights = torch.zeros(columns, dtype=torch.float64, requires_grad=True)
        ((inputs[chosen] @ weights - target[chosen]) ** 2).mean().backward()
        assert weights.grad is not None
        return weights.grad

    shares = [share(torch.arange(rows), number, size) for number in range(size)]
    together = torch.stack([part * gradient(own) for own, part in shares]).sum(0)
    assert torch.allclose(together, gradient(torch.arange(rows)))


def test_alone_everything_is_ones_own() -> None:
    alone, rows = Ranks(), torch.arange(5)
    assert alone.leads
    assert alone.share(rows) == (rows, 1.0)
    assert alone.agree(lambda: (1, 2)) == (1, 2)
    assert alone.total(1.5, 2) == (1.5, 2)
