"""Training of `data/page/main_text.npz`, in NumPy, on pages whose main text is known.

    python -m data.page.train ../shared/data/html-gold

Made from three sets of real pages: `articles` (scrapinghub/article-extraction-benchmark, full text written down by
people), `segments` (the evaluation pages of trafilatura, a few strings each that belong in or not) and `zh-news`
(GeneralNewsExtractor, text of one extractor). A block's label is the share of its words that a sequence alignment finds
in the full text; on `segments` the strings say it where they reach, and elsewhere three settings of trafilatura vote,
at a smaller weight.
"""

import gzip
import json
import re
import sys
from ast import literal_eval
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from catalog.errors import NotFound
from data.page.main_text import WEIGHTS, Blocks, cut
from data.page.net import LIMIT, REACH, Net
from data.text.decode import decode

SEEDS = (0, 1, 2)
EPOCHS = 22
HIDDEN = (32, 24)
DROPOUT = 0.2
INPUT_DROPOUT = 0.05
"""Of traits, a page at a time: no single hint may decide."""
RATE = 3e-3
PAGES_A_STEP = 24
SET_WEIGHTS = {"articles": 5.0, "segments": 1.0, "zh-news": 1.5}
_WORD = re.compile(r"[\u3040-\u9fff\uac00-\ud7af]|[^\W\u3040-\u9fff\uac00-\ud7af]+")


class Gold(NamedTuple):
    """A page with what is known of its main text: all of it, or strings that belong in it and strings that do not."""

    set: str
    key: str
    host: str
    html: str
    text: str = ""
    inside: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


class One(NamedTuple):
    """Weights of one network while it is trained; names as in `net.Net`."""

    mean: np.ndarray
    spread: np.ndarray
    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    w3: np.ndarray
    b3: np.ndarray


class Example(NamedTuple):
    """A page's blocks for training: traits, labels from 0 to 1, weights."""

    gold: Gold
    page: Blocks
    y: np.ndarray
    weight: np.ndarray


def read_gold(folder: Path) -> list[Gold]:
    """The three sets under `html-gold`; a page of `zh-news` without a reference has neither text nor strings."""
    if not folder.is_dir():
        raise NotFound(f"no such folder: {folder}. Name the folder html-gold of the shared sample data.")
    articles = json.loads((folder / "articles" / "ground-truth.json").read_text("utf-8"))
    segments = json.loads((folder / "segments" / "segments.json").read_text("utf-8"))
    chinese = json.loads((folder / "zh-news" / "reference.json").read_text("utf-8"))
    found = []
    for key, row in sorted(articles.items()):
        found.append(Gold("articles", key, _host(row["url"]), _html(folder, "articles", key), row["articleBody"]))
    for key, row in sorted(segments.items()):
        inside, outside = tuple(row["with"]), tuple(row["without"])
        found.append(
            Gold("segments", key, _host(row["url"]), _html(folder, "segments", key), inside=inside, outside=outside)
        )
    for key, row in sorted(chinese.items()):
        reference = row.get("reference") or "{}"
        text = (literal_eval(reference) if isinstance(reference, str) else reference).get("content", "")
        site = row["source_file"].split("/")[1]
        found.append(Gold("zh-news", key, site, _html(folder, "zh-news", key), text))
    return found


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _html(folder: Path, name: str, key: str) -> str:
    return decode(gzip.decompress((folder / name / "html" / f"{key}.html.gz").read_bytes())).text


def example(gold: Gold) -> Example:
    """A page's blocks with their labels."""
    page = cut(gold.html)
    if not page.texts:
        empty = np.zeros(0, dtype=np.float32)
        return Example(gold, page, empty, empty)
    share, sure = (_found_in(page.texts, gold.text), np.ones(len(page.texts))) if gold.text else _voted(page, gold)
    words = np.array([len(_WORD.findall(text)) for text in page.texts])
    weight = sure * np.sqrt(words + 2)
    weight *= SET_WEIGHTS[gold.set] / weight.sum()
    return Example(gold, page, share.astype(np.float32), weight.astype(np.float32))


def _found_in(texts: list[str], gold: str) -> np.ndarray:
    """The share of each block's words that an alignment in order finds in the gold text."""
    words = [_WORD.findall(text.lower()) for text in texts]
    owner = [block for block, block_words in enumerate(words) for _ in block_words]
    counts = np.array([len(block_words) for block_words in words])
    found = np.zeros(len(texts))
    flat = [word for block_words in words for word in block_words]
    for start, _, size in SequenceMatcher(
        None, flat, _WORD.findall(gold.lower()), autojunk=False
    ).get_matching_blocks():
        whole = size and owner[start] == owner[start + size - 1] and size >= 0.8 * counts[owner[start]]
        if size >= 3 or whole:  # shorter ones are words that every text has
            np.add.at(found, owner[start : start + size], 1)
    return found / np.maximum(counts, 1)


def _voted(page: Blocks, gold: Gold) -> tuple[np.ndarray, np.ndarray]:
    """Labels and how sure they are, from trafilatura, overruled by the strings that people wrote down."""
    import trafilatura

    settings: tuple[dict[str, Any], ...] = ({"favor_precision": True}, {}, {"favor_recall": True})
    said = [
        trafilatura.extract(gold.html, include_comments=False, deduplicate=False, **setting) or ""
        for setting in settings
    ]
    label = np.mean([_found_in(page.texts, text) > 0.5 for text in said], axis=0)
    sure = np.where((label == 0) | (label == 1), 0.5, 0.25)
    for strings, value in ((gold.inside, 1), (gold.outside, 0)):
        for wanted in (" ".join(string.split()) for string in strings):
            for block, text in enumerate(page.texts):
                if wanted in text and (value or len(text) < 4 * len(wanted) + 20):
                    label[block], sure[block] = value, 3
    return label, sure


def train(examples: Sequence[Example], seed: int = 0, epochs: int = EPOCHS) -> One:
    """One network, by Adam with a cosine schedule on weighted cross-entropy with soft labels."""
    examples = [example for example in examples if len(example.y)]
    rng = np.random.default_rng(seed)
    net = _start(np.concatenate([example.page.x for example in examples]), rng)
    learned = {name: getattr(net, name) for name in ("w1", "b1", "w2", "b2", "w3", "b3")}
    first = {name: np.zeros_like(value) for name, value in learned.items()}
    second = {name: np.zeros_like(value) for name, value in learned.items()}
    steps, step = epochs * (len(examples) // PAGES_A_STEP), 0
    for _ in range(epochs):
        order = rng.permutation(len(examples))
        for at in range(0, len(order) - PAGES_A_STEP + 1, PAGES_A_STEP):
            batch = [examples[i] for i in order[at : at + PAGES_A_STEP]]
            step += 1
            rate = RATE * 0.5 * (1 + np.cos(np.pi * step / steps)) + 1e-5
            for name, slope in _gradient(net, batch, rng).items():
                first[name] += 0.1 * (slope - first[name])
                second[name] += 0.001 * (slope**2 - second[name])
                change = first[name] / (1 - 0.9**step) / (np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8)
                decay = 1e-3 * learned[name] if name[0] == "w" else 0
                learned[name] -= (rate * (change + decay)).astype(np.float32)
    return One(*(value.astype(np.float16).astype(np.float32) for value in net))


def _start(x: np.ndarray, rng: np.random.Generator) -> One:
    one, two = HIDDEN
    wide = one * (2 * REACH + 1)

    def normal(*shape: int, gain: float = 2) -> np.ndarray:
        return (rng.normal(size=shape) * np.sqrt(gain / shape[0])).astype(np.float32)

    def zeros(n: int) -> np.ndarray:
        return np.zeros(n, dtype=np.float32)

    # as they will be stored, so that training sees the inputs that extraction will
    mean, spread = (value.astype(np.float16).astype(np.float32) for value in (x.mean(0), np.maximum(x.std(0), 1e-3)))
    return One(
        mean,
        spread,
        normal(x.shape[1], one),
        zeros(one),
        normal(wide, two),
        zeros(two),
        normal(two, 1, gain=1),
        zeros(1),
    )


def _gradient(net: One, batch: list[Example], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Of the weights, over pages laid end to end with blank rows between, which keep them out of each other's sight."""
    gap = np.zeros((REACH, batch[0].page.x.shape[1]), dtype=np.float32)
    none = gap[:, 0]
    seen = (rng.random((len(batch), batch[0].page.x.shape[1]), dtype=np.float32) >= INPUT_DROPOUT) / np.float32(
        1 - INPUT_DROPOUT
    )
    x = np.concatenate(
        [part for page, s in zip(batch, seen, strict=True) for part in (_standard(net, page.page.x) * s, gap)]
    )
    y = np.concatenate([part for page in batch for part in (page.y, none)])
    weight = np.concatenate([part for page in batch for part in (page.weight, none)])
    real = np.concatenate([part for page in batch for part in (np.ones(len(page.y), np.float32), none)])[:, None]
    keep1 = _dropout(rng, len(x), HIDDEN[0]) * real
    keep2 = _dropout(rng, len(x), HIDDEN[1])
    h1 = np.maximum(x @ net.w1 + net.b1, 0) * keep1
    near = _side_by_side(h1)
    h2 = np.maximum(near @ net.w2 + net.b2, 0) * keep2
    p = 1 / (1 + np.exp(-(h2 @ net.w3 + net.b3)[:, 0]))
    d3 = ((p - y) * weight / weight.sum())[:, None].astype(np.float32)
    d2 = (d3 @ net.w3.T) * (h2 > 0) * keep2
    d1 = _apart(d2 @ net.w2.T, HIDDEN[0]) * (h1 > 0) * keep1
    return {"w1": x.T @ d1, "b1": d1.sum(0), "w2": near.T @ d2, "b2": d2.sum(0), "w3": h2.T @ d3, "b3": d3.sum(0)}


def _dropout(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return (rng.random((rows, columns), dtype=np.float32) > DROPOUT) / np.float32(1 - DROPOUT)


def _apart(slope: np.ndarray, columns: int) -> np.ndarray:
    """The transpose of `_side_by_side`."""
    rows = len(slope)
    padded = np.zeros((rows + 2 * REACH, columns), dtype=np.float32)
    for shift in range(2 * REACH + 1):
        padded[shift : shift + rows] += slope[:, shift * columns : (shift + 1) * columns]
    return padded[REACH : REACH + rows]


def _standard(net: One, x: np.ndarray) -> np.ndarray:
    return np.clip((x - net.mean) / net.spread, -LIMIT, LIMIT)


def _side_by_side(h: np.ndarray) -> np.ndarray:
    """Each row with the rows around it, zeros beyond the ends: (n, k) to (n, k · (2 · REACH + 1))."""
    rows, columns = h.shape
    padded = np.zeros((rows + 2 * REACH, columns), dtype=h.dtype)
    padded[REACH : REACH + rows] = h
    return np.concatenate([padded[shift : shift + rows] for shift in range(2 * REACH + 1)], axis=1)


def together(nets: Sequence[One]) -> Net:
    """Networks of one training as one, whose answer is their mean."""
    w1, b1 = (np.concatenate([getattr(net, name) for net in nets], axis=-1) for name in ("w1", "b1"))
    w2, b2, w3, b3 = (np.stack([getattr(net, name) for net in nets]) for name in ("w2", "b2", "w3", "b3"))
    count, (one, two) = len(nets), HIDDEN
    w2 = (
        w2.reshape(count, -1, one, two)[:, ::-1].transpose(0, 2, 1, 3).reshape(count, one, -1)
    )  # by block, not by place
    return Net(nets[0].mean, nets[0].spread, w1, b1, w2, b2, w3[..., 0], b3[..., 0])


def save(net: Net, path: Path = WEIGHTS) -> None:
    """The same weights give the same bytes."""
    np.savez_compressed(path, **{name: value.astype(np.float16) for name, value in net._asdict().items()})


def folds(golds: Iterable[Gold], count: int) -> list[int]:
    """A fold for each page, the same for all pages of a host."""
    golds = list(golds)
    hosts = sorted({gold.host for gold in golds})
    fold = dict(zip(hosts, (np.random.default_rng(0).permutation(len(hosts)) % count).tolist(), strict=True))
    return [fold[gold.host] for gold in golds]


def main(arguments: list[str]) -> None:
    if len(arguments) != 1:
        raise SystemExit("usage: python -m data.page.train <html-gold>")
    examples = [example(gold) for gold in read_gold(Path(arguments[0]))]
    save(together([train(examples, seed) for seed in SEEDS]))
    print(f"{WEIGHTS.name}: {WEIGHTS.stat().st_size} bytes from {len(examples)} pages")


if __name__ == "__main__":
    main(sys.argv[1:])
