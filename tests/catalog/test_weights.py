"""What a model's folder says before it is loaded: a file that is cut is named, with what to do next."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from catalog.errors import BadInput, Damaged
from catalog.home import Home
from catalog.records import Record, now, write_record
from catalog.room import GIB, check_room
from catalog.weights import check_whole, config_of, heads_of, parameters_of, weight_bytes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of a home, on record."""
    record = Record(kind="models", name="base", version="1", created=now())
    folder = write_record(Home(tmp_path / "lake"), record).parent
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    save_file({"a.weight": np.ones((4, 8), np.float32), "b": np.ones(3, np.float16)}, folder / "model.safetensors")
    return folder


def test_heads_say_names_and_shapes(folder: Path):
    check_whole(folder)
    assert {name: entry["shape"] for name, entry in heads_of(folder).items()} == {"a.weight": [4, 8], "b": [3]}
    assert parameters_of(folder) == 35
    assert weight_bytes(folder) == (folder / "model.safetensors").stat().st_size
    assert config_of(folder) == {"model_type": "llama"}


@pytest.mark.parametrize("left", [0, 7, 20, -1])
def test_weights_that_are_cut_are_named(folder: Path, left: int):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(Damaged, match=r"model\.safetensors .*`just verify models/base@1`\.$") as error:
        check_whole(folder)
    assert ("is cut: it has" in str(error.value)) == (left == -1)


@pytest.mark.parametrize("said", ["{", "{}", "[]", "", '"llama"', "\udcff"])
def test_a_config_that_says_nothing_is_named(folder: Path, said: str):
    (folder / "config.json").write_bytes(said.encode("utf-8", "surrogateescape"))
    with pytest.raises(
        Damaged, match=r"config\.json (cannot be read|says nothing of the model): `just verify models/ba"
    ):
        check_whole(folder)


def test_a_folder_that_is_no_artifact_has_nothing_to_verify(tmp_path: Path):
    with pytest.raises(Damaged, match=r"config\.json cannot be read: copy the model again"):
        config_of(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(Damaged, match="has no weights"):
        check_whole(tmp_path)


def test_room_is_asked_of_disk_and_memory(tmp_path: Path):
    check_room(tmp_path, 1, 1)
    with pytest.raises(BadInput, match=r"no space: .* MB are free in .*, 1,100,000,200 MB are needed"):
        check_room(tmp_path, 10**15, 1)
    with pytest.raises(BadInput, match=r"not enough memory: 1,?024.0 GiB are needed"):
        check_room(tmp_path, 1, 1024 * GIB)
