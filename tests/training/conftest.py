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
    """A home with the mixtures m, other (another order of the same samples) and long (samples of 128)."""
    from training.mixtures.build import build
    from training.mixtures.config import MixtureConfig

    folder = tmp_path_factory.mktemp("runs")
    home = Home.open(folder / "lake")
    write_tokenizer(folder / "tokenizer", special=("<mask>", *(f"<extra_id_{number}>" for number in range(20))))
    toy_tokens(home, folder, count=120)
    toy_tokens(home, folder, "twice", count=40, length=128)
    for name, tokens, seed in (("m", "toy", 17), ("other", "toy", 5), ("long", "twice", 17)):
        build(MixtureConfig(name=name, tokens=(tokens,), seed=seed), home)
    return home
