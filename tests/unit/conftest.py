"""The published payments, simulated once for all unit tests that look at them."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.simulate.offline import Floats, offline_features
from app.simulate.payments import Payments, simulate


@pytest.fixture(scope="session")
def payments_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `payments` was kept in."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def payments(payments_cache: Path) -> Payments:
    return simulate(cache=payments_cache)


@pytest.fixture(scope="session")
def features(payments: Payments) -> dict[str, Floats]:
    return offline_features(payments)


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder with what was taken from the published data set."""
    return Path(__file__).parents[1] / "data"
