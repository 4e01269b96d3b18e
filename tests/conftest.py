"""Fixtures that every room's tests share."""

import os
from pathlib import Path

import pytest

from catalog.home import Home

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("OMP_NUM_THREADS", "1")  # toy models are four times as fast without threads


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    return Home(tmp_path / "lake")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real sample data beside the checkout; tests that want it are skipped where it is absent."""
    path = Path(os.environ.get("MILLRACE_SHARED", ROOT.parent / "shared")) / "data"
    if not path.is_dir():
        pytest.skip("the shared sample data is not beside this checkout")
    return path
