"""A tiny model that knows nothing, and datasets that are learnt in seconds (`from tuning_toys import make_home`)."""

import json
import random
from pathlib import Path

from mixture_toys import toy_tokens
from run_forks import ask
from tokens_toys import write_tokenizer

from catalog.home import Home
from catalog.index import put_into_catalog
from catalog.records import Record, file_entry, now, write_record
from configs.tune import hands
from data.instructions.config import DatasetConfig
from data.instructions.prepare import prepare
from training.mixtures.build import build as plan_mixture
from training.mixtures.config import MixtureConfig
from training.models.build import build
from training.models.config import ModelConfig
from training.models.export import export
from training.runs.pretrain import Trained
from training.tokenizers.load import load_tokenizer
from training.tuning.config import TuneConfig
from training.tuning.tune import tune

SHAPE = ModelConfig(
    family="llama", layers=2, hidden_size=128, heads=2, kv_heads=2, mlp_size=256, context=128, vocab_size=700
)
NAMES = ["mill", "race", "wheel", "stone", "river", "grain", "flour", "dam", "weir", "sluice"]
PLACES = ["north", "south", "east", "west"]


def make_home(folder: Path) -> Home:
    """Tokens, the mixture m, the models base@1 and wide@1, and a dataset of each kind."""
    home = Home.open(folder / "lake")
    tokenizer = write_tokenizer(folder / "tokenizer", special=("<|im_start|>", "<|im_end|>"))
    (tokenizer / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"})
    )
    toy_tokens(home, folder, count=120)
    plan_mixture(MixtureConfig(name="m", tokens=("toy",)), home)
    add_model(home, "base", tokenizer, SHAPE)
    add_model(home, "wide", tokenizer, SHAPE.variant(hidden_size=256, mlp_size=512), seed=3)
    for name, rows in rows_by_name().items():
        add_dataset(home, folder, name, rows)
    return home


def add_model(home: Home, name: str, tokenizer: Path, shape: ModelConfig, seed: int = 1) -> Record:
    """A model with weights of a seed."""
    loaded = load_tokenizer(home, str(tokenizer))
    shape = shape.variant(vocab_size=loaded.vocab_size)
    hf = build(shape, seed=seed, eos_id=loaded.eos_id, pad_id=loaded.pad_id)
    folder = home.artifact("models", name, "1")
    folder.parent.mkdir(parents=True)
    export(hf, folder, tokenizer=tokenizer, precision="fp32")
    record = Record(
        kind="models",
        name=name,
        version="1",
        config={"run": "", "parent": "", "kind": "base", "parameters": 1, "model": shape.model_dump(mode="json")},
        fingerprint=f"{name}-{seed}",
        files=tuple(file_entry(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()),
        created=now(),
    )
    write_record(home, record)
    put_into_catalog(home, record)
    return record


def add_dataset(home: Home, folder: Path, name: str, rows: list[dict]) -> Record:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return prepare(DatasetConfig(name=name, input=(str(path),), held_out=0.2), home).record


def rows_by_name(count: int = 240) -> dict[str, list[dict]]:
    """What is asked is always another thing; what is right can be told from it."""
    chosen = random.Random(5)
    things = [f"{chosen.choice(NAMES)} {chosen.choice(NAMES)} {number}" for number in range(count)]
    places = [chosen.choice(PLACES) for _ in things]
    asked = [f"Where is the {thing}, which lies {place}?" for thing, place in zip(things, places, strict=True)]
    others = [chosen.choice([p for p in PLACES if p != place]) for place in places]
    return {
        "asked": [{"prompt": a, "response": f"In the {p}."} for a, p in zip(asked, places, strict=True)],
        "liked": [
            {"prompt": a, "chosen": f"It lies {p}, sir.", "rejected": f"Who cares about {o}!"}
            for a, p, o in zip(asked, places, others, strict=True)
        ],
        "votes": [
            {"prompt": a, "completion": f"It lies {p}, sir." if good else "Who cares!", "label": good}
            for a, p, good in zip(asked, places, [at % 2 == 0 for at in range(count)], strict=True)
        ],
        "said": [{"prompt": a, "response": "no" if at % 5 < 3 else "yes"} for at, a in enumerate(asked)],
        "wanted": [{"prompt": a, "response": "yes"} for a in asked],
        "topics": [{"text": a, "label": p} for a, p in zip(asked, places, strict=True)],
        "plain": [{"text": f"{a} In the {p}."} for a, p in zip(asked, places, strict=True)],
    }


def tuned(home: Home, **fields) -> Trained:
    """Tune with settings that suit the toys."""
    config = {"parent": "base", "max_length": 96, "batch_rows": 8, "learning_rate": 3e-3, "max_steps": 8}
    replay = {"replay": {"share": 0.0}, "forgetting_rows": 0, "heldout_rows": 32}
    return tune(TuneConfig.model_validate({**config, **replay, **fields}), home, hands(), "test")


def measured(home: Home, run: str, name: str) -> list[float]:
    """The values of a metric by step."""
    query = f"SELECT value FROM metrics WHERE run = '{run}' AND name = '{name}' ORDER BY step"
    return [value for (value,) in ask(home, query)]
