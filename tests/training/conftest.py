"""A toy tokenizer, a toy home with a mixture, and a server of forks, each made once."""

import pytest
from mixture_toys import toy_tokens
from run_forks import Forks
from tokens_toys import write_tokenizer

from catalog.home import Home


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer") / "toy")


@pytest.fixture(scope="session")
def forks():
    """Runs as real processes."""
    with Forks() as server:
        yield server


@pytest.fixture(scope="session")
def toy_runs(tmp_path_factory) -> Home:
    """A home with the mixtures m and other, another order of the same samples."""
    from training.mixtures.build import build
    from training.mixtures.config import MixtureConfig

    folder = tmp_path_factory.mktemp("runs")
    home = Home.open(folder / "lake")
    toy_tokens(home, folder, count=120)
    build(MixtureConfig(name="m", tokens=("toy",)), home)
    build(MixtureConfig(name="other", tokens=("toy",), seed=5), home)
    return home
