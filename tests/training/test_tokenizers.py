"""Tokenizers: learnt from corpora and files, lossless, the same bytes for any threads, loaded by name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizer_toys import CODE, rows, toy_config
from toys import millrace
from transformers import AutoTokenizer

from catalog.errors import BadInput, Conflict, Damaged, NotFound
from catalog.home import Home
from catalog.index import registered
from catalog.store import Catalog
from training.tokenizers.artifact import make
from training.tokenizers.config import AlphabetConfig, CutConfig, SpecialConfig, TextsConfig, TokenizerConfig
from training.tokenizers.fertility import ALL, Report
from training.tokenizers.load import load_peer, load_tokenizer
from training.tokenizers.texts import Sample, find_texts, shared_out
from training.tokenizers.train import train

KINDS = ("bpe", "wordpiece", "unigram")
BYTE_LEVEL = {
    "ours": {},
    "single digits": {"cut": CutConfig(digits="single", indent=0)},
    "gpt2": {"cut": CutConfig(pattern="gpt2", digits="none", indent=0)},
    "gpt4": {"cut": CutConfig(pattern="gpt4", indent=0)},
    "chinese": {"alphabet": AlphabetConfig(chinese=60)},
}


def toy_texts() -> list[str]:
    return [row[3] for row in rows()]


def trained(**fields):
    return train(TokenizerConfig(**{"name": "x", "vocab": 700, **fields}), toy_texts)


@pytest.fixture(scope="module")
def byte_level():
    return {name: trained(**fields) for name, fields in BYTE_LEVEL.items()}


@settings(deadline=None, max_examples=150)
@given(st.text())
@example("  \t\t \r\n\n 　\u00a0x  ")
@example("don't DON'T 1234567 ٣٤ 磨坊，。 カタカナ é é 🏳️‍🌈 \x00 ▁Ġ <0x41> <|endoftext|>")
def test_byte_level_loses_nothing(byte_level, text):
    for name, tokenizer in byte_level.items():
        tokenizer.encode_special_tokens = True
        assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text, name


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁")))
@example("a  b\n\tc 磨 🙂 <0x41>")
def test_unigram_with_bytes_loses_nothing_but_its_own_space_sign(unigram, text):
    unigram.encode_special_tokens = True
    assert unigram.decode(unigram.encode(text).ids) == text


@pytest.fixture(scope="module")
def unigram():
    return trained(kind="unigram", vocab=900)


def test_word_pieces_lose_white_space_and_say_what_is_unknown():
    tokenizer = trained(kind="wordpiece", vocab=600)
    assert tokenizer.decode(tokenizer.encode("the  river\n wheel").ids) == "the river wheel"
    assert tokenizer.encode("the ☃ river").tokens[1] == "<unk>"


@pytest.mark.parametrize("kind", KINDS)
def test_training_twice_gives_the_same_tokenizer(kind: str):
    assert trained(kind=kind, vocab=600).to_str() == trained(kind=kind, vocab=600).to_str()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS, "chinese"])
def test_the_same_bytes_for_any_number_of_threads(kind: str, home: Home):
    """Each in a process of its own, where hash maps are seeded anew."""
    toy_config(home)
    fields = ["kind=bpe", "chinese=50"] if kind == "chinese" else [f"kind={kind}"]
    made = []
    for threads in (1, 2, 4):
        words = millrace("train-tokenizer", f"t{threads}", "corpus=toy", "vocab=700", *fields, "--home", str(home.root))
        environment = os.environ | {"RAYON_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(threads)}
        done = subprocess.run(words, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        folder = home.artifact("tokenizers", f"t{threads}", "1")
        made.append((folder / "tokenizer.json").read_bytes())
        assert b'"all"' in (folder / "fertility.json").read_bytes()
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize(
    ("digits", "expected"), [("single", ["1", "2", "3", "4"]), ("groups", ["123", "4"]), ("none", ["1234"])]
)
def test_digits_are_cut_as_asked(digits: str, expected: list[str]):
    words = trained(cut=CutConfig(digits=digits)).pre_tokenizer.pre_tokenize_str("1234")
    assert [word for word, _ in words] == expected


def test_indents_of_any_length_are_one_token(byte_level):
    tokenizer = byte_level["ours"]
    for length in range(2, 17):
        cut = tokenizer.encode("\n" + " " * length + " x").tokens
        assert "Ġ" * length in cut, (length, cut)
    assert tokenizer.encode("\n\t\t\tx").tokens == ["Ċ", "ĉĉĉ", "x"]


def test_so_many_chinese_characters_are_single_tokens_also_rare_ones(byte_level):
    text = "水磨啊阿"  # the last two stand in no text: GB 2312 begins with them
    assert len(byte_level["chinese"].encode(text).ids) == 4
    assert len(byte_level["ours"].encode(text).ids) > 4
    more = trained(kind="unigram", vocab=900, alphabet=AlphabetConfig(chinese=60, byte_fallback=False))
    assert "<unk>" not in more.encode(text).tokens


def test_a_vocabulary_is_as_large_as_asked_and_special_tokens_come_first():
    tokenizer = trained(special=SpecialConfig(mask=True, sentinels=2, more=("<note>",)))
    wanted = [
        "<|endoftext|>",
        "<|pad|>",
        "<|im_start|>",
        "<|im_end|>",
        "<mask>",
        "<extra_id_0>",
        "<extra_id_1>",
        "<note>",
    ]
    assert [tokenizer.token_to_id(token) for token in wanted] == list(range(8))
    assert tokenizer.get_vocab_size() == 700
    assert tokenizer.encode("a<mask>b").ids[1] == 4


def test_a_tokenizer_is_an_artifact_that_is_loaded_by_name_folder_and_transformers(home: Home):
    made = make(toy_config(home), home)
    loaded = load_tokenizer(home, "small")
    assert (loaded.ref, loaded.eos_id, loaded.pad_id, loaded.vocab_size) == ("small@1", 0, 1, 700)
    assert (loaded.bos_id, loaded.mask_id) == (None, None)
    assert load_tokenizer(home, str(made.folder)).fingerprint == loaded.fingerprint
    assert 0 not in loaded.tokenizer.encode("a text that writes <|endoftext|> does not end").ids
    other = AutoTokenizer.from_pretrained(made.folder)
    assert (other.eos_token_id, other.pad_token_id, len(other)) == (0, 1, 700)
    text = "The river , and  the\n    mill ."
    assert other.decode(other(text)["input_ids"]) == text
    assert made.record.inputs == ("corpora/toy@1",)
    with Catalog.open(home) as catalog:
        assert ("tokenizers", "small", "1") in {tuple(key) for key in registered(catalog)}


def test_the_chat_template_trains_the_end_of_a_turn(home: Home):
    made = make(toy_config(home), home)
    turns = [{"role": "user", "content": "mill?"}, {"role": "assistant", "content": "river"}]
    other = AutoTokenizer.from_pretrained(made.folder)
    given = other.apply_chat_template(turns, return_assistant_tokens_mask=True, return_dict=True)
    learnt = [token for token, mask in zip(given["input_ids"], given["assistant_masks"], strict=True) if mask]
    assert other.decode(learnt) == "river<|im_end|>"


def test_a_second_run_makes_nothing_and_another_config_is_another_version(home: Home):
    config = toy_config(home)
    assert make(config, home).fresh
    assert not make(config, home).fresh
    assert make(config.variant(vocab=600), home).record.version == "2"
    with pytest.raises(Conflict, match="vocab was 700, now 650"):
        make(config.variant(vocab=650, version="1"), home)


def test_bad_input_is_named(home: Home, tmp_path: Path):
    config = toy_config(home)
    make(config, home)
    with pytest.raises(NotFound, match="small"):
        load_tokenizer(home, "smal")
    with pytest.raises(NotFound, match="toy"):
        make(config.variant(texts=TextsConfig(corpus=("toi",))), home)
    with pytest.raises(BadInput, match=r"'fr', of which there are no texts. There are: code/en, web/en, web/zh"):
        make(config.variant(texts=TextsConfig(corpus=("toy",), shares=("fr=0.5",))), home)
    with pytest.raises(BadInput, match="more than half of vocab"):
        make(config.variant(alphabet=AlphabetConfig(chinese=600)), home)
    (tmp_path / "bad.jsonl").write_text('{"content": "no text"}\n')
    with pytest.raises(BadInput, match="no column text"):
        make(config.variant(texts=TextsConfig(input=(str(tmp_path / "bad.jsonl"),))), home)
    (tmp_path / "bad.jsonl").write_text('{"text": 5}\n')
    with pytest.raises(BadInput, match=r"column text of .*bad.jsonl is not text but BIGINT"):
        make(config.variant(texts=TextsConfig(input=(str(tmp_path / "bad.jsonl"),))), home)
    with pytest.raises(BadInput, match=r"vocab=400 is too small: special tokens and bytes alone take 560"):
        make(config.variant(vocab=400, special=SpecialConfig(sentinels=300)), home)
    path = home.artifact("tokenizers", "small", "1") / "tokenizer.json"
    path.write_text(path.read_text().replace("river", "rivet"))
    with pytest.raises(Damaged, match="not what its record says"):
        load_tokenizer(home, "small")


def sampled(home: Home, **fields) -> tuple[list[str], list[str]]:
    config = TextsConfig(corpus=("toy",), **fields)
    with Sample(find_texts(home, config), config) as sample:
        return sorted(sample.learnt()), sorted(document.text for document in sample.held_out())


def test_a_sample_holds_the_smaller_one_and_nothing_that_is_measured_on(home: Home):
    toy_config(home)
    texts = {row[3] for row in rows()}
    whole, held = sampled(home)
    part, held_too = sampled(home, chars=8000)
    assert set(part) < set(whole)
    assert held == held_too
    assert set(whole) | set(held) == texts
    assert 6000 < sum(map(len, part)) < 14_000
    assert sampled(home, seed=1)[1] != held


def test_shares_are_kept_as_far_as_texts_go():
    sizes = {("web", "en"): 1000, ("web", "zh"): 100, ("code", "en"): 300}
    assert shared_out(sizes, 400, {"zh": 0.25, "code": 0.5}) == {
        ("web", "en"): 100,
        ("web", "zh"): 100,
        ("code", "en"): 200,
    }
    assert shared_out(sizes, 10_000, {"web/zh": 0.5})["web", "zh"] == 100
    with pytest.raises(BadInput, match="add up to 1"):
        TextsConfig(shares=("zh=0.7", "en=0.5")).asked_shares()


def test_files_of_any_kind_give_texts(home: Home, tmp_path: Path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "one", "lang": "en", "domain": "web"}) + "\n")
    (tmp_path / "b.txt").write_text("two")
    config = TextsConfig(input=(str(tmp_path / "*.jsonl"), str(tmp_path / "b.txt")), held_out=0)
    with Sample(find_texts(home, config), config) as sample:
        assert sorted(sample.learnt()) == ["one", "two"]
        assert {(group.domain, group.lang) for group in sample.groups} == {("web", "en"), ("unknown", "unknown")}


def test_fertility_counts_by_language_and_domain_beside_another(home: Home):
    make(toy_config(home), home)
    made = make(toy_config(home, name="better", vocab=1200, against=("small",)), home)
    report = Report.model_validate_json((made.folder / "fertility.json").read_bytes())
    found = {(row.tokenizer, row.domain, row.lang): row for row in report.rows}
    whole = found["better", ALL, ALL]
    parts = [found["better", *group] for group in (("web", "en"), ("web", "zh"), ("code", "en"))]
    assert whole.tokens == sum(part.tokens for part in parts)
    assert whole.bytes_per_token == round(whole.bytes / whole.tokens, 4) > found["small", ALL, ALL].bytes_per_token
    tokenizer = load_tokenizer(home, "better").tokenizer
    _, held = sampled(home)
    assert whole.tokens == sum(len(tokenizer.encode(text).ids) for text in held)
    assert "bytes/token small" in report.table()


def test_a_folder_as_gpt_2_has_it_is_measured_beside(home: Home, tmp_path: Path):
    model = json.loads(trained(**BYTE_LEVEL["gpt2"]).to_str())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"]))
    peer = load_peer(home, str(tmp_path))
    text = "don't  mill 1234"
    assert peer.encode(text).ids == trained(**BYTE_LEVEL["gpt2"]).encode(text).ids
    with pytest.raises(NotFound, match=r"no tokenizer.json in nobody/nothing"):
        load_peer(home, "nobody/nothing")


def test_code_keeps_its_lines_apart(byte_level):
    assert any(token.startswith("Ċ") and set(token) == {"Ċ"} for token in byte_level["ours"].encode(CODE).tokens)
    assert not any("Ċ" in token and set(token) != {"Ċ"} for token in byte_level["ours"].encode(CODE).tokens)


@pytest.mark.slow
def test_commands_say_what_there_is(home: Home):
    toy_config(home)

    def run(*words: str) -> subprocess.CompletedProcess:
        done = subprocess.run(millrace(*words, "--home", str(home.root)), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    words = ("train-tokenizer", "small", "corpus=toy", "vocab=700")
    assert "small@1: to make" in run(*words, "--dry-run").stdout
    assert not home.artifact("tokenizers", "small", "1").exists()
    assert "bytes/token small" in run(*words).stdout
    assert "there already" in run(*words).stdout
    assert "he| river" in run("tokenizer", "small", "the river").stdout
    done = subprocess.run(
        [sys.executable, "-m", "configs", "train-tokenizer", "small", "vocabulary=9"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "vocab" in done.stderr
