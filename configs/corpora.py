"""Recipes of corpora. Each returns one CorpusConfig; a variant is a copy with fields changed.

just build-corpus RECIPE field=value …
"""

from collections.abc import Callable, Mapping

from catalog.config import set_fields
from data.corpus import CorpusConfig
from data.dedup.config import DedupConfig, NearConfig
from data.dedup.repeats import RepeatRule
from data.domains import DomainRule
from data.read import ReadConfig
from data.rule_sets import CHINESE, CLEANING, ENGLISH, FORM, LANGUAGES
from data.sources.inputs import common_crawl_paths

WEB_RULES = (*FORM, *LANGUAGES, *ENGLISH, *CHINESE)


REPEATS = (
    RepeatRule(name="repeated_paragraph", unit="paragraph", min_chars=80, except_domains=("code", "licences")),
    RepeatRule(name="repeated_span", unit="span", tokens=60, except_domains=("code", "licences")),
    RepeatRule(
        name="common_line", unit="line", scope="corpus", most=100, min_chars=30, except_domains=("code", "licences")
    ),
)
"""Code and licences repeat themselves with reason."""

DOCUMENTATION_BOUNDS = (
    *(
        "language=0.3",
        "alpha_words=0.6",
        "zh_alpha_words=0.6",
        "min_sentences=2",
        "short_lines=0.9",
        "line_punctuation=0.05",
    ),
    *("newlines=0.6", "zh_newlines=0.6", "zh_line_punctuation=0.02", "line_dup_chars=0.1", "curly_bracket=100"),
    *(f"{prefix}top_{n}grams=0.3" for prefix in ("", "zh_") for n in (2, 3, 4)),
    *(f"{prefix}dup_{n}grams=0.4" for prefix in ("", "zh_") for n in range(5, 11)),
)
"""Reference pages are lists of names and signatures: by the bounds for prose, 24 of 25 of them would go."""


def docs() -> CorpusConfig:
    """The default: documentation, code and licences of the installed packages, crawled on loopback."""
    return set_fields(web(), DOCUMENTATION_BOUNDS).variant(
        name="docs",
        input=("docs@1",),
        domain="documentation",
        read=ReadConfig(
            domains=(
                DomainRule(domain="code", hosts=("code.*",)),
                DomainRule(domain="licences", hosts=("licences.*",)),
                DomainRule(domain="reference", hosts=("zh.*", "cidian.*", "translate.*")),
            )
        ),
    )


def web() -> CorpusConfig:
    """Web pages in English and Chinese, by the rules of Gopher, C4, FineWeb and FineWeb-2; give input=…"""
    return CorpusConfig(name="web", rules=WEB_RULES, edits=CLEANING, repeats=REPEATS)


def strict() -> CorpusConfig:
    """The same, but near-duplicates only from a similarity of 0.9 on; give input=…"""
    return web().variant(name="strict", dedup=DedupConfig(near=NearConfig(similarity=0.9)))


def raw() -> CorpusConfig:
    """Everything that has text, in every language, as it was read: no rule of quality; give input=…"""
    return CorpusConfig(name="raw", rules=FORM)


def docs_raw() -> CorpusConfig:
    """The default crawl as it was read, under the name raw: what `just ablate` holds docs against"""
    return raw().variant(input=docs().input, domain=docs().domain, read=docs().read)


def common_crawl(crawl: str = "CC-MAIN-2025-05", files: int = 1) -> CorpusConfig:
    """The first files of a Common Crawl snapshot, streamed: crawl=CC-MAIN-2026-10 files=4"""
    return web().variant(name="common-crawl", input=tuple(common_crawl_paths(crawl, files, "warc")))


CORPORA: Mapping[str, Callable[..., CorpusConfig]] = {
    "docs": docs,
    "web": web,
    "strict": strict,
    "raw": raw,
    "docs-raw": docs_raw,
    "common-crawl": common_crawl,
}
