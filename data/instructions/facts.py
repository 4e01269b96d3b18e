"""Questions with true answers, taken by rule from pages of the default corpus: the answer stands in the page's text.

>>> list(facts(Page("d:1", "docs.millrace.example", "en", "", "h11.Data.size(self)\\n\\nThe size in bytes.")))
[Fact(kind='purpose', question='What does h11.Data.size do?', answer='The size in bytes.', …), …]
"""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple


class Page(NamedTuple):
    """A document of a corpus."""

    doc_id: str
    host: str
    lang: str
    title: str
    text: str


class Fact(NamedTuple):
    """A question about a page, with its answer."""

    kind: str
    question: str
    answer: str
    doc_id: str
    lang: str


MOST_CHARS = 160
"""Of an answer."""
_SIGNATURE = re.compile(r"(class )?((?:[A-Za-z]\w*\.)(?:\w+\.)*)([A-Za-z]\w*)(\(.*\))?( -> .+)?")
_OPERATION = re.compile(r"[A-Z][a-z]+[A-Za-z0-9]{4,40}")
_CHINESE_SIGNATURE = re.compile(r"([a-z]\w+)(\(.*\))")
_VERSION_LINE = re.compile(r"^([\w.-]+) \| (\d+(?:\.\d+)+) \| .+$", re.M)
_LICENCES = {
    "MIT License": r"Permission is hereby granted, free of charge, to any person obtaining a copy of this software",
    "Apache License 2.0": r"Apache License\s+Version 2\.0, January 2004",
    "Mozilla Public License 2.0": r"Mozilla Public License Version 2\.0|Mozilla Public License, version 2\.0",
    "Boost Software License 1.0": r"Boost Software License - Version 1\.0",
    "GNU Lesser General Public License 3": r"GNU LESSER GENERAL PUBLIC LICENSE\s+Version 3",
    "Python Software Foundation License 2": r"PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2",
    "BSD License": r"Redistribution and use in source and binary forms, with or without",
}
"""Licences by words that only they have."""


def facts(page: Page) -> Iterator[Fact]:
    """What can be asked about a page; nothing where no rule knows its kind."""
    rule = _RULES.get(page.host.partition(".")[0])
    if rule:
        yield from (fact for fact in rule(page) if fact.answer)


def _documentation(page: Page) -> Iterator[Fact]:
    """Functions, methods and classes of a module: purpose, package, signature, defaults, base class."""
    for line, said in pairwise([*(part.strip() for part in page.text.split("\n\n")), ""]):
        match = _SIGNATURE.fullmatch(line)
        if not match or not (match[1] or match[4]):  # a name alone is a title or a reference
            continue
        is_class, path, name, arguments, result = match.groups()
        whole = f"{path}{name}"
        yield _fact(page, "purpose", f"What does {whole} do?", sentence(said))
        yield _fact(page, "package", f"Which package does {whole} belong to?", whole.partition(".")[0])
        if is_class:
            bases = (arguments or "")[1:-1]
            simple = re.fullmatch(r"[\w.]+(, [\w.]+)*", bases)
            yield _fact(page, "base", f"What is the base class of {whole}?", bases if simple else "")
            continue
        signature = f"{name}{arguments}{result or ''}" if arguments else ""
        yield _fact(page, "signature", f"What is the signature of {whole}?", signature if len(signature) <= 100 else "")
        for parameter, value in defaults(arguments or "()"):
            question = f"What is the default value of {parameter} in {whole}?"
            yield _fact(page, "default", question, value)


def _cloud(page: Page) -> Iterator[Fact]:
    """Operations of a service."""
    service = page.title.removesuffix(" - API Guide").strip()
    for name, said in pairwise(part.strip() for part in page.text.split("\n\n")):
        if service and _OPERATION.fullmatch(name):
            yield _fact(page, "operation", f"What does the operation {name} of {service} do?", sentence(said))


def _package(page: Page) -> Iterator[Fact]:
    """Summaries of packages, and the versions in lists of them."""
    match = re.match(r"\s*pip install (\S+)\n\n([^\n]+)\n\nProject description", page.text)
    if match:
        said = match[2].strip().rstrip(".") + "."
        yield _fact(page, "summary", f"What is the Python package {match[1]}?", said if len(said) <= MOST_CHARS else "")
    for name, version in _VERSION_LINE.findall(page.text):
        yield _fact(page, "version", f"Which version of the package {name} is listed?", version)


def _licence(page: Page) -> Iterator[Fact]:
    """The licence in a package's file, where its text is that of one licence only."""
    match = re.match(r"(\S+) of (\S+) \| ", page.title)
    held = [name for name, words in _LICENCES.items() if re.search(words, page.text)]
    if match and len(held) == 1:
        yield _fact(page, "licence", f"Which licence is in the file {match[1]} of {match[2]}?", f"The {held[0]}.")


def _chinese(page: Page) -> Iterator[Fact]:
    """Functions documented in Chinese: purpose, signature, parameters, defaults."""
    parts = [part.strip() for part in page.text.split("\n\n")]
    name = ""
    for line, said in pairwise([*parts, ""]):
        if match := _CHINESE_SIGNATURE.fullmatch(line):
            name = match[1]
            yield _fact(page, "purpose", f"函数 {name} 有什么作用？", _chinese_sentence(said))
            yield _fact(page, "signature", f"函数 {name} 的签名是什么？", line if len(line) <= 100 else "")
            for parameter, value in defaults(match[2]):
                yield _fact(page, "default", f"函数 {name} 的参数 {parameter} 的默认值是什么？", value)
        elif name and line.startswith("param "):
            question = f"函数 {name} 的参数 {line[6:].strip()} 是什么？"
            yield _fact(page, "parameter", question, _chinese_sentence(said))


_RULES = {"docs": _documentation, "cloud": _cloud, "packages": _package, "licences": _licence, "zh": _chinese}
"""By the first label of the page's host."""


def _fact(page: Page, kind: str, question: str, answer: str) -> Fact:
    lang = "zh" if re.search(r"[\u4e00-\u9fff]", question) else "en"
    return Fact(kind, question, answer, page.doc_id, lang)


def sentence(text: str) -> str:
    """The first sentence of a paragraph where it is one that can be an answer, else nothing."""
    first = re.split(r"(?<=[a-z\d)\]'\"]{2}\.) (?=[A-Z])", " ".join(text.split()))[0]
    if not re.fullmatch(r"[A-Z].*[^.]\.", first) or re.search(r"¶|::|[<>{}|]|^(Parameters|Returns|Examples?)\b", first):
        return ""
    return first if 15 <= len(first) <= MOST_CHARS else ""


def _chinese_sentence(text: str) -> str:
    first = re.split(r"(?<=。)|\n|::", text.strip())[0].strip()
    return first if 2 <= len(first) <= 80 and re.search(r"[\u4e00-\u9fff]", first) else ""


def defaults(arguments: str) -> Iterator[tuple[str, str]]:
    """Parameters with a default that is one plain value, as `("strict", "True")`, from a signature's brackets."""
    try:
        tree = ast.parse(f"def f{arguments}: ...").body[0]
    except (SyntaxError, ValueError):
        return
    if not isinstance(tree, ast.FunctionDef):
        return
    given = tree.args
    positional = [*given.posonlyargs, *given.args]
    pairs = [*zip(positional[len(positional) - len(given.defaults) :], given.defaults, strict=True)]
    pairs += [(name, value) for name, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value]
    for name, value in pairs:
        text = ast.unparse(value)
        if isinstance(value, ast.Constant | ast.UnaryOp) and text != "..." and len(text) <= 24:
            yield name.arg, text
