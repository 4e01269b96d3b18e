"""A toy tokenizer, made once."""

import pytest
from tokens_toys import write_tokenizer


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer") / "toy")
