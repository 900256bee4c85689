"""Batches of similar length: every row as often as before, and less padding."""

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st
from support_texts import texts

from autoopt.strategies.learning.batch_size import batches
from autoopt.strategies.learning.bucketing import Bucketing, regrouped
from autoopt.strategies.learning.source import TensorSource


def shuffled(rows: int, seed: int) -> torch.Tensor:
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed))


@given(
    lengths=st.lists(st.integers(0, 60), min_size=2, max_size=300),
    size=st.integers(2, 40),
    window=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_every_row_is_seen_exactly_once(lengths: list[int], size: int, window: int, seed: int) -> None:
    tokens = torch.tensor(lengths)
    groups = list(batches(shuffled(len(lengths), seed), size))
    found = list(regrouped(iter(groups), tokens, window))
    assert sorted(torch.cat([rows for rows, _ in found]).tolist()) == sorted(torch.cat(groups).tolist())
    assert sorted(len(rows) for rows, _ in found) == sorted(len(rows) for rows in groups)
    assert all(longest == max(int(tokens[rows].max()), 1) for rows, longest in found)
    padded = sum(len(rows) * longest for rows, longest in found)
    assert padded <= sum(len(rows) * max(int(tokens[rows].max()), 1) for rows in groups)


@given(rows=st.integers(2, 200), size=st.integers(2, 32), seed=st.integers(0, 99))
def test_the_source_gives_each_text_whole_with_its_own_target(rows: int, size: int, seed: int) -> None:
    codes = torch.from_numpy(texts(rows, seed))
    plain = TensorSource((codes,), torch.arange(rows))
    source = Bucketing().source(plain, (codes != 0).sum(1))
    groups = list(batches(shuffled(rows, seed), size))
    seen = []
    for batch in source.batches(iter(groups)):
        given_codes = batch.inputs[0]
        assert given_codes.shape[1] == max(int((given_codes != 0).sum(1).max()), 1)
        for row, text in zip(batch.target.tolist(), given_codes, strict=True):
            assert text[text != 0].tolist() == codes[row][codes[row] != 0].tolist()
            seen.append(row)
    assert sorted(seen) == sorted(torch.cat(groups).tolist())
    assert (len(source), source.classifies, source.device) == (len(plain), True, plain.device)


def test_batches_do_not_come_in_the_order_of_their_lengths() -> None:
    lengths = torch.randint(1, 100, (6400,), generator=torch.Generator().manual_seed(1))
    longest = [length for _, length in regrouped(batches(shuffled(6400, 2), 100), lengths)]
    ups = sum(a < b for a, b in pairwise(longest))
    assert 16 < ups < 48
    assert longest != [length for _, length in regrouped(batches(shuffled(6400, 3), 100), lengths)]


def test_most_of_the_padding_is_not_computed() -> None:
    lengths = torch.randint(1, 101, (6400,), generator=torch.Generator().manual_seed(1))
    found = regrouped(batches(shuffled(6400, 2), 100), lengths)
    assert sum(len(rows) * longest for rows, longest in found) < 1.1 * int(lengths.sum())


def test_none_leaves_the_batches_as_they_are() -> None:
    plain = TensorSource((torch.ones(4, 3, dtype=torch.int64),), torch.arange(4))
    assert Bucketing(form="none").source(plain, torch.ones(4)) is plain


def test_closing_it_closes_the_source_behind_it() -> None:
    closed: list[bool] = []

    class Other(TensorSource):
        def close(self) -> None:
            closed.append(True)

    Bucketing().source(Other((torch.ones(2, 3, dtype=torch.int64),), torch.arange(2)), torch.ones(2)).close()
    assert closed == [True]
