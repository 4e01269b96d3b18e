"""An extended tokenizer, and the model with its new rows, as artifacts of one name and version.

>>> made = make_extension(config, home)
>>> made.tokenizer.folder, made.model and made.model.folder      # <home>/tokenizers/…, <home>/models/…
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue
from tokenizers import Tokenizer

from catalog.errors import BadInput, NotFound
from catalog.home import Home
from catalog.index import put_into_catalog, split_input
from catalog.locks import remove
from catalog.records import RECORD, Record, file_entry, find, fingerprint, load_record, version_for
from catalog.wanted import Wanted
from training.tokenizers.artifact import FERTILITY, KIND, Made, Plan, write_text
from training.tokenizers.config import ExtendConfig
from training.tokenizers.extend import Extended, check_cuts, extend
from training.tokenizers.fertility import Report, measure
from training.tokenizers.load import FILE, load_peer
from training.tokenizers.texts import Document, Sample, find_texts

MODELS = "models"
_KEPT_FILES = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
_TEXTS, _TEXT_CHARS = 16, 600
"""How much held-out text the model is tried on."""


@dataclass(frozen=True)
class ExtensionMade:
    """What was made, or was there."""

    tokenizer: Made
    model: Made | None


@dataclass(frozen=True)
class _Old:
    """What is extended."""

    tokenizer: Tokenizer
    folder: Path
    model: Path | None
    inputs: tuple[str, ...]
    """Those of its parts that are artifacts of the home."""
    keys: tuple[str, ...]


def plan_extension(config: ExtendConfig, home: Home) -> Plan[ExtendConfig]:
    """The version that a config means. Raises BadInput, NotFound, or Conflict where that version is another one."""
    return _planned(config, home)[0]


def make_extension(config: ExtendConfig, home: Home, on_text: Callable[[], None] = lambda: None) -> ExtensionMade:
    """Learn, check and register the tokenizer, then the model. What is there already is not made again."""
    planned, old = _planned(config, home)
    with planned.wanted.making() as found:
        record = found or _make_tokenizer(planned, old, on_text)
        tokenizer = Made(record, planned.wanted.folder, fresh=not found)
        return ExtensionMade(tokenizer, _make_model(planned, old) if old.model else None)


def _planned(config: ExtendConfig, home: Home) -> tuple[Plan[ExtendConfig], _Old]:
    config.check()
    inputs, old = find_texts(home, config.texts), _find_old(config, home)
    key = fingerprint(KIND, config.identity(), (*inputs.keys, *old.keys))
    version = version_for(home, KIND, config.name, config.version, key)
    wanted = Wanted(home, KIND, config.name, version, (*inputs.refs, *old.inputs), config.identity(), key)
    wanted.found()  # raises Conflict
    return Plan(config, inputs, wanted), old


def _find_old(config: ExtendConfig, home: Home) -> _Old:
    """The tokenizer and model to extend. Raises NotFound, BadInput."""
    model, inputs, keys = None, [], []
    if config.model:
        model = Path(config.model)
        if not model.is_dir():
            if "/" in config.model:
                raise NotFound(f"no folder {config.model}. Give a Hugging Face model folder, or a model of the home.")
            record = find(home, MODELS, config.model)
            model = home.artifact(MODELS, record.name, record.version)
            inputs.append(f"{MODELS}/{record.ref}")
        if not (model / "config.json").is_file():
            raise NotFound(f"no config.json in {model}: give a Hugging Face model folder.")
        keys.append(f"model {_digest(model)}")
    base = config.base or str(model)
    folder = Path(base)
    if not folder.is_dir() and "/" not in base:
        record = find(home, KIND, base)
        folder = home.artifact(KIND, record.name, record.version)
        inputs.append(f"{KIND}/{record.ref}")
    tokenizer = load_peer(home, base)
    keys.append(f"tokenizer {hashlib.sha256(tokenizer.to_str().encode()).hexdigest()}")
    return _Old(tokenizer, folder, model, tuple(inputs), tuple(keys))


def _digest(model: Path) -> str:
    """The content of a model folder: its config and weights."""
    files = sorted(path for path in model.iterdir() if path.suffix in (".json", ".safetensors") and path.name != RECORD)
    return fingerprint(MODELS, [file_entry(model, path).model_dump() for path in files], ())


def _make_tokenizer(planned: Plan[ExtendConfig], old: _Old, on_text: Callable[[], None]) -> Record:
    config, wanted = planned.config, planned.wanted
    with Sample(planned.inputs, config.texts) as sample:

        def texts() -> Iterator[str]:
            for text in sample.learnt():
                on_text()
                yield text

        extended = extend(old.tokenizer, config, texts)
        held = list(sample.held_out())
    peers = {name: load_peer(wanted.home, name) for name in config.against}
    report = measure({config.name: extended.tokenizer, "before": old.tokenizer, **peers}, held)
    untouched = check_cuts(old.tokenizer, extended, [document.text for document in held])
    _write_tokenizer(wanted.folder, old, extended, report)
    vocab, new = extended.tokenizer.get_vocab_size(), len(extended.pieces)
    return wanted.publish({"vocab": vocab, "new": new, "untouched": untouched})


def _write_tokenizer(folder: Path, old: _Old, extended: Extended, report: Report) -> None:
    write_text(folder / FILE, extended.tokenizer.to_str(pretty=True))
    for name in _KEPT_FILES:
        if (old.folder / name).is_file():
            write_text(folder / name, (old.folder / name).read_text(encoding="utf-8").rstrip("\n"))
    write_text(folder / FERTILITY, report.model_dump_json(indent=1))
    pieces = {str(token_id): list(whole) for token_id, whole in sorted(extended.pieces.items())}
    write_text(folder / "pieces.json", json.dumps(pieces))


def _make_model(planned: Plan[ExtendConfig], old: _Old) -> Made:
    """The model with its new rows, tried on held-out text before it is registered."""
    config, tokenizer = planned.config, planned.wanted
    key = fingerprint(MODELS, config.identity(), (tokenizer.fingerprint, *old.keys))
    inputs = (f"{KIND}/{tokenizer.ref}", *(text for text in old.inputs if split_input(text).kind == MODELS))
    wanted = Wanted(tokenizer.home, MODELS, config.name, tokenizer.version, inputs, config.identity(), key)
    folder = wanted.folder
    if (folder / RECORD).exists():
        record = load_record(folder / RECORD)
        if record.fingerprint != key:
            raise BadInput(f"models/{wanted.ref} is another model: give another name or version.")
        put_into_catalog(wanted.home, record)
        return Made(record, folder, fresh=False)
    with Sample(planned.inputs, config.texts) as sample:
        held = [document for document, _ in zip(sample.held_out(), range(_TEXTS), strict=False)]
    remove(folder)
    return Made(wanted.publish(_write_model(old, config, held, tokenizer.folder, folder)), folder, fresh=True)


def _write_model(
    old: _Old, config: ExtendConfig, held: list[Document], tokenizer: Path, folder: Path
) -> dict[str, JsonValue]:
    from training.tokenizers.rows import extend_model  # torch and transformers take seconds to import

    pieces = {int(key): tuple(ids) for key, ids in json.loads((tokenizer / "pieces.json").read_text()).items()}
    extended = Extended(Tokenizer.from_file(str(tokenizer / FILE)), pieces)
    extended.tokenizer.encode_special_tokens = old.tokenizer.encode_special_tokens
    texts = [document.text[:_TEXT_CHARS] for document in held]
    assert old.model is not None
    counts = extend_model(old.model, old.tokenizer, extended, texts, config.worst, folder)
    for name in (FILE, *_KEPT_FILES):
        if (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, folder / name)
    return counts
