"""Vocabulary extension: old ids stay, new rows are means, and a model that could not be trained is refused."""

import json
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizer_toys import CODE, plain, toy_config, write_model
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from toys import chinese, english
from transformers import AutoModelForCausalLM, AutoTokenizer

from catalog.errors import BadInput, Damaged
from catalog.home import Home
from training.tokenizers.artifact import make, write_tokenizer
from training.tokenizers.config import ExtendConfig, TextsConfig, TokenizerConfig
from training.tokenizers.extend import check_cuts, extend
from training.tokenizers.extension import make_extension
from training.tokenizers.fertility import ALL, Report
from training.tokenizers.train import train

CHINESE = [plain(chinese(seed, 6)) for seed in range(60)]
ENGLISH = [plain(english(seed)) for seed in range(30)]
CONFIG = ExtendConfig(name="zh", base="old", texts=TextsConfig(corpus=("zh",)), new=150, min_frequency=2)


def old_tokenizer(**fields) -> Tokenizer:
    return train(TokenizerConfig(**{"name": "old", "vocab": 500, **fields}), lambda: ENGLISH)


@pytest.fixture(scope="module")
def pair():
    old = old_tokenizer()
    return old, extend(old, CONFIG, lambda: CHINESE)


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from("水磨坊river the,，。\n  12") | st.characters(exclude_categories=["Cs"]), max_size=80))
def test_new_ids_apart_are_the_old_ids(pair, text):
    old, extended = pair
    check_cuts(old, extended, [text])
    assert extended.tokenizer.decode(extended.tokenizer.encode(text).ids) == old.decode(old.encode(text).ids)


def test_texts_of_the_old_language_are_cut_as_before(pair):
    old, extended = pair
    texts = [re.sub(r"\d", "", text) for text in [*ENGLISH, CODE]]  # the Chinese texts have numbers of their own
    assert check_cuts(old, extended, texts) == len(texts)
    fewer = [len(extended.tokenizer.encode(text).ids) / len(old.encode(text).ids) for text in CHINESE]
    assert max(fewer) < 0.5
    assert (min(extended.pieces), len(extended.pieces)) == (500, 150)


def test_a_special_token_in_a_text_stays_text_if_it_was():
    old = old_tokenizer()
    old.encode_special_tokens = True  # as tokenizers of the home are loaded
    extended = extend(old, CONFIG, lambda: CHINESE)
    assert check_cuts(old, extended, ['default "<|endoftext|>" of the river']) == 1


def test_guaranteed_characters_come_first(pair):
    old, _ = pair
    extended = extend(old, CONFIG.variant(chinese=30, new=80), lambda: CHINESE)
    assert sum(len(extended.tokenizer.encode(letter).ids) == 1 for letter in "水流经过古老的磨坊人们在清晨把粮") >= 12
    assert len(extended.pieces) <= 80


def test_special_tokens_outside_the_vocabulary_keep_their_ids():
    """As Llama 3 and Qwen keep them: added tokens whose ids follow the vocabulary."""
    plain_old = json.loads(old_tokenizer().to_str())
    plain_old["model"]["vocab"] = {
        token: number for token, number in plain_old["model"]["vocab"].items() if number < 499
    }
    plain_old["model"]["merges"] = plain_old["model"]["merges"][:-1]
    old = Tokenizer.from_str(json.dumps(plain_old))
    old.add_special_tokens(["<|user|>", "<|tool|>"])
    extended = extend(old, CONFIG, lambda: CHINESE)
    assert [extended.tokenizer.token_to_id(token) for token in ("<|user|>", "<|tool|>")] == [499, 500]
    assert min(extended.pieces) == 501
    assert extended.tokenizer.encode("<|tool|>the").ids == old.encode("<|tool|>the").ids


def test_a_tokenizer_without_words_as_llama_2_is_extended_within_words():
    old = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    old.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    old.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "</s>"], show_progress=False)
    old.train_from_iterator((word for text in ENGLISH + CHINESE for word in text.split()), trainer)
    extended = extend(old, CONFIG, lambda: CHINESE + ENGLISH)
    check_cuts(old, extended, CHINESE + ENGLISH)
    assert not any("▁" in token[1:] for token, number in extended.tokenizer.get_vocab().items() if number >= 300)


def test_only_byte_pairs_are_extended():
    with pytest.raises(BadInput, match="Unigram tokenizer cannot be extended"):
        extend(old_tokenizer(kind="unigram", vocab=600), CONFIG, lambda: CHINESE)


@pytest.fixture
def setting(home: Home, tmp_path: Path):
    """A home with an English tokenizer, a model folder for it, and Chinese texts."""
    config = toy_config(home, name="old", vocab=500, texts=TextsConfig(corpus=("toy",), shares=("en=1",)))
    made = make(config, home)
    (tmp_path / "zh.jsonl").write_text("".join(json.dumps({"text": text, "lang": "zh"}) + "\n" for text in CHINESE))
    extension = CONFIG.variant(texts=TextsConfig(input=(str(tmp_path / "zh.jsonl"),), held_out=0.2))

    def model(name: str, **fields) -> ExtendConfig:
        folder = write_model(tmp_path / name, **{"vocab": 500, **fields})
        write_tokenizer(folder, Tokenizer.from_file(str(made.folder / "tokenizer.json")), config)
        return extension.variant(name=name, base="", model=str(folder))

    return home, model


@pytest.mark.parametrize(
    ("name", "fields"),
    [("tied", {"tied": True}), ("untied", {}), ("half", {"dtype": torch.bfloat16}), ("padded", {"vocab": 576})],
)
def test_a_model_gets_rows_that_are_means_and_its_old_logits_stay(setting, name: str, fields: dict):
    home, model = setting
    config = model(name, **fields)
    made = make_extension(config, home)
    assert made.model
    old = AutoModelForCausalLM.from_pretrained(config.model, dtype="auto")
    new = AutoModelForCausalLM.from_pretrained(made.model.folder, dtype="auto")
    assert new.dtype == old.dtype
    assert new.config.tie_word_embeddings == fields.get("tied", False)
    pieces = json.loads((made.tokenizer.folder / "pieces.json").read_text())
    for side in ("get_input_embeddings", "get_output_embeddings"):
        before, after = getattr(old, side)().weight, getattr(new, side)().weight
        assert torch.equal(after[:500], before[:500])
        for token_id, whole in pieces.items():
            assert torch.equal(after[int(token_id)], before[whole].float().mean(0).to(before.dtype))
    assert new.config.vocab_size == len(new.get_input_embeddings().weight) == max(650, fields.get("vocab", 0))
    counts = made.model.record.counts
    assert counts["logits_apart"] < 1e-5
    assert 0 < counts["loss_byte_after"] < 1.5 * counts["loss_byte_before"]
    tokenizer = AutoTokenizer.from_pretrained(made.model.folder)
    assert tokenizer.decode(tokenizer(CHINESE[0])["input_ids"]) == CHINESE[0]
    report = Report.model_validate_json((made.tokenizer.folder / "fertility.json").read_bytes())
    fertile = {row.tokenizer: row.bytes_per_token for row in report.rows if (row.domain, row.lang) == (ALL, "zh")}
    assert fertile[name] > 1.5 * fertile["before"]
    again = make_extension(config, home)
    assert (again.tokenizer.fresh, again.model and again.model.fresh) == (False, False)


def test_training_goes_on_from_the_extended_model(setting):
    """The loss is a number above 0, near what it was, and falls: not the 0 of a loss that is none."""
    home, model = setting
    made = make_extension(model("base"), home)
    assert made.model
    torch.manual_seed(0)
    new = AutoModelForCausalLM.from_pretrained(made.model.folder)
    tokenizer = AutoTokenizer.from_pretrained(made.model.folder)
    batch = tokenizer([text[:150] for text in CHINESE[:8]], return_tensors="pt", padding=True)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer, losses = torch.optim.AdamW(new.parameters(), lr=3e-3), []
    for _ in range(12):
        loss = new(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
        losses.append(loss.item())
        loss.backward()
        assert new.get_input_embeddings().weight.grad[500:].abs().sum() > 0
        optimizer.step()
        optimizer.zero_grad()
    assert 0 < losses[-1] < losses[0] - 0.3


def damage(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("zeros", lambda t: t["lm_head.weight"].zero_(), "a new row is zero or not finite"),
        ("nan", lambda t: t["model.embed_tokens.weight"].fill_(float("nan")), "a new row is zero or not finite"),
        ("huge", lambda t: t["lm_head.weight"].mul_(3000), "worse than guessing"),
    ],
)
def test_what_would_train_to_a_loss_of_0_is_refused(setting, name: str, change, said: str):
    home, model = setting
    config = model(name)
    damage(Path(config.model), change)
    with pytest.raises(Damaged, match=said):
        make_extension(config, home)
    assert not list(home.root.glob("models/*/*/record.json"))


def test_a_model_with_too_few_rows_for_its_tokenizer_is_refused(setting):
    home, model = setting
    with pytest.raises(BadInput, match="only 400 rows: they do not fit"):
        make_extension(model("short", vocab=400), home)
