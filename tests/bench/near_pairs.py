"""Labelled near-duplicates: real documents edited in known ways, with the true similarity of every pair.

    python -m tests.bench.near_pairs FOLDER_OF_SHARED_DATA DOCUMENTS

The similarity is counted on sets of strings, apart from the engine: 5-grams of lower-case words, or of single
characters of Chinese.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from random import Random

import opencc

SOURCES = {
    "en": ("text/en/books-gutenberg", "text/en/academic-arxiv-latex", "text/en/web-c4", "text/en/web-redpajama"),
    "zh": ("text/zh/books-hongloumeng", "text/zh/books-xiyouji", "text/zh/academic-abstracts",
           "text/zh/web-app-descriptions", "text/zh/encyclopedia-wikipedia"),
}  # fmt: skip
_TOKEN = re.compile(r"[㐀-鿿豈-﫿぀-ヿ]|[^\W㐀-鿿豈-﫿぀-ヿ]+")
BOILERPLATE = {
    "en": "Home | About us | Contact. Share this article with your friends. All rights reserved. Subscribe to our "
    "newsletter for the latest stories every morning, and follow us for more. Advertisement continues below this line.",
    "zh": "首页 关于我们 联系方式。分享这篇文章给朋友。版权所有，未经许可不得转载。"
    "订阅我们的邮件，每天早晨获取最新消息。广告在下方继续。",
}


TRANSLATED = "traditional"


@dataclass(frozen=True)
class Labelled:
    """A document, the family that it comes from and how it was made."""

    text: str
    family: int
    edit: str
    lang: str


def grams(text: str, n: int = 5) -> set[tuple[str, ...]]:
    """The n-grams of a text, by the plainest means."""
    tokens = _TOKEN.findall(text.lower())
    return {tuple(tokens[at : at + n]) for at in range(max(1, len(tokens) - n + 1))} if tokens else set()


def jaccard(left: set, right: set) -> float:
    """The Jaccard similarity of two sets; 0.0 of two that are empty."""
    return len(left & right) / len(left | right) if left or right else 0.0


def passages(shared: Path, lang: str) -> Iterator[str]:
    """Real text in passages of 60 to 400 words, or 80 to 900 characters of Chinese, each once."""
    cut = Random(lang)
    for name in SOURCES[lang]:
        for line in (shared / f"{name}.jsonl").read_text(encoding="utf-8").strip().split("\n"):
            pieces = [piece for piece in re.split(r"(?<=[.!?。！？\n])", json.loads(line)["text"]) if piece.strip()]
            taken, size, want = [], 0, cut.randint(60, 400)
            for piece in pieces:
                taken.append(piece)
                size += len(_TOKEN.findall(piece)) / (2.2 if lang == "zh" else 1)
                if size >= want:
                    yield "".join(taken).strip()
                    taken, size, want = [], 0, cut.randint(60, 400)


def typos(text: str, chosen: Random, share: float) -> str:
    """This share of the characters replaced by others of the text."""
    letters = list(text)
    for at in chosen.sample(range(len(letters)), int(share * len(letters))):
        letters[at] = chosen.choice(text)
    return "".join(letters)


def reordered(text: str, chosen: Random) -> str:
    """The same sentences in blocks, in another order."""
    pieces = [piece for piece in re.split(r"(?<=[.!?。！？\n])", text) if piece]
    cuts = sorted(chosen.sample(range(1, len(pieces)), min(2, len(pieces) - 1))) if len(pieces) > 1 else []
    blocks = [pieces[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
    return "".join(piece for block in reversed(blocks) for piece in block)


@cache
def converter(name: str) -> opencc.OpenCC:
    """OpenCC's converter between written forms of Chinese: its phrase tables, not the engine's characters."""
    return opencc.OpenCC(name)


def translated(text: str, chosen: Random) -> str:
    """The text as Taiwan or Hong Kong would write it, in two of five with a word of their own here and there."""
    return converter(chosen.choice(("s2t", "s2tw", "s2hk", "s2twp", "s2hkp"))).convert(text)


def simplified(text: str) -> str:
    """The text in simplified characters, from whichever of the forms."""
    for name in ("t2s", "tw2s", "hk2s"):
        text = converter(name).convert(text)
    return text


def edits(text: str, lang: str, chosen: Random) -> list[tuple[str, str]]:
    """(kind, text) of some edits of a passage."""
    around = BOILERPLATE[lang]
    makers: list[tuple[str, Callable[[], str]]] = [
        ("typos", lambda: typos(text, chosen, chosen.choice((0.0005, 0.001, 0.002, 0.004, 0.01, 0.03)))),
        ("reordered", lambda: reordered(text, chosen)),
        ("boilerplate", lambda: f"{around[: chosen.randint(20, 90)]}\n{text}\n{around[-chosen.randint(20, 60) :]}"),
        ("cut", lambda: text[: int(len(text) * chosen.uniform(0.6, 1.0))]),
        ("case", lambda: text.upper().replace(",", " ,") if lang == "en" else text.replace("，", ",")),
    ]  # fmt: skip
    if lang == "zh":
        makers.append((TRANSLATED, lambda: translated(text, chosen)))
    return [(kind, make()) for kind, make in chosen.sample(makers, chosen.randint(1, 3))]


def labelled(shared: Path, documents: int, seed: int = 0) -> list[Labelled]:
    """At most so many documents in random order, half English: a part in families, an eighth of one template."""
    chosen, made, family = Random(seed), [], 0
    for lang in ("en", "zh"):
        wanted = len(made) + documents // 2
        seen: set[str] = set()
        for text in passages(shared, lang):
            if len(made) >= wanted:
                break
            if text in seen:
                continue
            seen.add(text)
            family += 1
            if family % 8 == 0:  # one template with other content: alike, and no duplicates
                made.append(Labelled(_in_template(text, lang), family, "template", lang))
                continue
            made.append(Labelled(text, family, "original", lang))
            if family % 2 == 0:
                made += [Labelled(copy, family, kind, lang) for kind, copy in edits(text, lang, chosen)]
    chosen.shuffle(made)
    return made


def _in_template(text: str, lang: str) -> str:
    about = BOILERPLATE[lang]
    return f"{about}\n{text[: len(about)]}\n{about[::-1]}"


def pairs(documents: list[Labelled], least: float = 0.3) -> list[tuple[int, int, float]]:
    """(left, right, Jaccard) of every pair of one family, and of the templates among themselves, of this similarity.

    Chinese is compared in simplified characters, as OpenCC makes them.
    """
    families: dict[object, list[int]] = {}
    for at, document in enumerate(documents):
        families.setdefault(document.family if document.edit != "template" else document.lang, []).append(at)
    found = []
    for members in families.values():
        sets = {at: grams(simplified(documents[at].text)) for at in members}
        for left, right in combinations(members, 2):
            if (value := jaccard(sets[left], sets[right])) >= least:
                found.append((left, right, value))
    return found


def main(argv: list[str]) -> None:
    """Say what the set is made of."""
    made = labelled(Path(argv[0]), int(argv[1]))
    print(Counter(document.edit for document in made), Counter(document.lang for document in made))
    print(Counter(round(value, 1) for _, _, value in pairs(made)))


if __name__ == "__main__":
    main(sys.argv[1:])
