"""How a recommendation model is judged: the split and the measure that the published tables of MovieLens-100k use.

Owns who is trained on what and what is tested. Promises the published numbers of rows, so that the published figures
can stand beside ours. The measure takes items by user, wherever they come from: a model's own, or answers of a topic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.simulate.interactions import Interactions

SEED = 42
TRAIN_SHARE = 0.75
TEN = 10


@dataclass(frozen=True, slots=True)
class Split:
    """Three quarters of each person's interactions to train on, the others to test on; both in the file's order."""

    train: Interactions
    test: Interactions


def split(interactions: Interactions, seed: int = SEED) -> Split:
    """Split each person's interactions at random; by default this is the published split (74,992 and 25,008)."""
    drawn = np.random.RandomState(seed).rand(len(interactions))
    order = np.lexsort((drawn, interactions.user))
    _, counts = np.unique(interactions.user, return_counts=True)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = place < np.repeat(np.round(counts * TRAIN_SHARE), counts)
    train = np.zeros(len(order), bool)
    train[order[first]] = True
    return Split(interactions.taken(train), interactions.taken(~train))


def items_by_user(interactions: Interactions) -> dict[str, list[str]]:
    """Each person's items, in the order of the interactions."""
    found: dict[str, list[str]] = {}
    for user, item in zip(interactions.user.tolist(), interactions.item.tolist(), strict=True):
        found.setdefault(str(user), []).append(str(item))
    return found


def ndcg_at_10(recommended: Mapping[str, Sequence[str]], test: Interactions) -> float:
    """Normalised discounted gain of the first ten items recommended to each person, the mean over all who are tested.

    An item is relevant or not. Who was recommended nothing counts as nought.
    """
    gains = 1 / np.log2(np.arange(TEN) + 2)
    total = 0.0
    relevant = items_by_user(test)
    for user, items in relevant.items():
        wanted = set(items)
        hits = np.array([item in wanted for item in recommended.get(user, ())[:TEN]], bool)
        total += float(gains[: len(hits)][hits].sum() / gains[: len(wanted)].sum())
    return total / len(relevant)


def multi_hot(interactions: Interactions, items: NDArray[np.int64]) -> NDArray[np.float64]:
    """A row for each person in ascending order, a column for each of `items` (ascending): 1 where they met."""
    users, row = np.unique(interactions.user, return_inverse=True)
    known = np.isin(interactions.item, items)
    matrix = np.zeros((len(users), len(items)))
    matrix[row[known], np.searchsorted(items, interactions.item[known])] = 1.0
    return matrix
