"""Edits: rules that change a kept document's text. They write what they change; WRITE applies it.

    EditRule(name="javascript_line", pattern=r"\\bjavascript\\b", source="C4, arXiv 1910.10683")
    EditRule(name="nfc", scope="form", pattern="nfc")

Rules run one after the other, each on the text that the rules before it leave. Positions count code points in
`documents.text`, the text as it was read, and the edits of one document never overlap: where a rule changes what an
earlier one put there, the two become one edit, which bears the name of the rule that took more of the text.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache, partial
from itertools import accumulate, groupby
from typing import Literal, NamedTuple

from catalog.config import Config
from catalog.errors import BadInput, near
from data.text.cues import cues_of, small
from data.text.han_forms import compared_forms
from data.text.normalize import FORMS, Change


class EditRule(Config):
    """Take out a line that matches, replace a span that matches, or bring the text into a normal form."""

    name: str
    pattern: str
    """A Python regular expression, searched in each line or in the whole text; for a form, its name in `FORMS`."""
    scope: Literal["line", "span", "form"] = "line"
    replacement: str = ""
    """For spans; may use groups, as `\\1`. A line goes with its line break, and with the blank lines after it where
    one stands before it too. A line of code stays."""
    most_chars: int | None = None
    """Lines longer than this are left alone: a sentence may well say what a button says."""
    simplified: bool = False
    """The pattern is in simplified Chinese characters; short lines in traditional ones are read as if they were too."""
    cues: tuple[str, ...] = ()
    """Strings in small letters, one of which every match holds: a text without them is not searched. Where none are
    given, they are taken from the pattern."""
    languages: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    except_domains: tuple[str, ...] = ()
    source: str = ""
    enabled: bool = True

    def __hash__(self) -> int:
        return hash((self.name, self.pattern))

    def applies(self, lang: str, domain: str) -> bool:
        """Whether this rule looks at a document of this language and domain."""
        return (
            self.enabled
            and (not self.languages or lang in self.languages)
            and (not self.domains or domain in self.domains)
            and domain not in self.except_domains
        )


class Edit(NamedTuple):
    """Replace `length` code points from `start` on."""

    rule: str
    start: int
    length: int
    replacement: str


def check_edits(rules: tuple[EditRule, ...]) -> None:
    """Raise BadInput for a pattern that is no regular expression, or no form."""
    for rule in rules:
        if rule.scope == "form":
            if rule.pattern not in FORMS:
                raise BadInput(f"edit rule {rule.name}: no form {rule.pattern!r}. {near(rule.pattern, FORMS)}")
            continue
        try:
            re.compile(rule.pattern)
        except re.error as error:
            raise BadInput(f"edit rule {rule.name}: {error} in {rule.pattern!r}.") from error


def find_edits(text: str, lang: str, domain: str, rules: tuple[EditRule, ...]) -> list[Edit]:
    """The edits of one document in order of position, none overlapping.

    Forms that follow one another in `rules` are taken again until the text rests in all of them.
    """
    draft = Draft(text)
    for step in _steps(rules, lang, domain):
        step(draft)
    return draft.edits


def apply_edits(text: str, edits: Iterable[Edit | Change]) -> str:
    """The text with its edits, which are in order and do not overlap."""
    pieces, at = [], 0
    for edit in edits:
        pieces += [text[at : edit.start], edit.replacement]
        at = edit.start + edit.length
    return "".join([*pieces, text[at:]])


def add_edits(edits: list[Edit], more: Iterable[Edit]) -> list[Edit]:
    """Both, in order of position. `more` are edits of the text as read too, one by one.

    One that holds some earlier edits whole takes their place: a paragraph that goes takes its repaired quotes along.
    One that overlaps an earlier edit otherwise is left out.
    """
    taken = list(edits)
    for edit in more:
        end = _end(edit)
        first = bisect_right(taken, edit.start, key=_end)
        last = bisect_left(taken, end, key=lambda other: other.start)
        inner = taken[first:last]
        if not inner or (inner[0].start >= edit.start and _end(inner[-1]) <= end and _extent(inner) < edit.length):
            taken[first:last] = [edit]
    return taken


def _end(edit: Edit) -> int:
    return edit.start + edit.length


def _extent(edits: list[Edit]) -> int:
    return _end(edits[-1]) - edits[0].start


class Draft:
    """A text under change: what it is now, and the edits that lead there from what it was."""

    def __init__(self, text: str) -> None:
        self.original, self.text = text, text
        self.edits: list[Edit] = []

    def change(self, rule: str, changes: list[Change]) -> None:
        """Take changes of the text as it is now: in order, disjoint, none of length 0."""
        if changes:
            self.edits = list(_composed(self.original, self.text, self.edits, [Edit(rule, *each) for each in changes]))
            self.text = apply_edits(self.text, changes)
            for derived in ("lines", "simplified_lines", "small", "fences"):
                self.__dict__.pop(derived, None)

    @cached_property
    def lines(self) -> "ShortLines":
        """Short lines that are not empty, with their starts."""
        found, start = [], 0
        for line in self.text.split("\n"):
            if 0 < len(line) <= SHORT_LINE:
                found.append((start, line))
            start += len(line) + 1
        return ShortLines(found)

    @cached_property
    def simplified_lines(self) -> "ShortLines":
        """The same in simplified Chinese characters, one for one."""
        text = _traditional().sub(lambda run: run[0].translate(compared_forms()), self.lines.text)
        if text == self.lines.text:
            return self.lines
        starts = (start for start, _ in self.lines.found)
        return ShortLines(list(zip(starts, text.split("\n"), strict=True)))

    @cached_property
    def small(self) -> str:
        """The text in small letters."""
        return small(self.text)

    @cached_property
    def fences(self) -> list[int]:
        """Where lines start that open and close blocks of code, in turn."""
        return [fence.start() for fence in _FENCE.finditer(self.text)] if "```" in self.text else []

    def is_fenced(self, at: int) -> bool:
        """Does a fenced block of code hold this position?"""
        number = bisect_right(self.fences, at)
        return number % 2 == 1 and number < len(self.fences)

    def is_code(self, start: int, line: str) -> bool:
        """Is this line code, by its look or its place?"""
        return bool(_CODE.search(line)) or self.is_fenced(start)


class ShortLines:
    """Lines of a text with their starts."""

    def __init__(self, found: list[tuple[int, str]]) -> None:
        self.found = found

    @cached_property
    def text(self) -> str:
        """One after the other."""
        return "\n".join([line for _, line in self.found])

    @cached_property
    def small(self) -> str:
        """The same in small letters."""
        return small(self.text)

    @cached_property
    def small_starts(self) -> list[int]:
        """Where each of them starts in `small`, and their end."""
        return list(accumulate((len(line) + 1 for line in self.small.split("\n")), initial=0))

    def holding(self, cues: tuple[str, ...]) -> list[tuple[int, str]]:
        """Those that hold one of these strings; all of them where there are none."""
        if not cues:
            return self.found
        text, numbers = self.small, set[int]()
        for cue in [cue for cue in cues if cue in text]:
            at = text.find(cue)
            while at >= 0:
                number = bisect_right(self.small_starts, at) - 1
                numbers.add(number)
                at = text.find(cue, self.small_starts[number + 1])
        return [self.found[number] for number in sorted(numbers)]


_FENCE = re.compile(r"^ {0,3}```", re.MULTILINE)
_CODE = re.compile(r"^\s*(?://|/\*|<!--|#include\b|#define\b|\$ |import \w|from \S+ import )|[{};]\s*$")
"""What a line of code begins or ends with. Indented lines are often none: list items, in some extractors' text."""


@lru_cache(maxsize=1)
def _traditional() -> re.Pattern[str]:
    return re.compile(f"[{''.join(map(chr, compared_forms()))}]+")


SHORT_LINE = 200
"""Most characters of a line that a rule with a bound may take out."""
_ROUNDS = 4
"""Forms settle in two rounds; real text has not been seen to need three."""


@lru_cache(maxsize=1024)
def _steps(rules: tuple[EditRule, ...], lang: str, domain: str) -> list[Callable[[Draft], None]]:
    """What is to be done to documents of a language and domain, ready to run."""
    steps: list[Callable[[Draft], None]] = []
    for scope, group in groupby((rule for rule in rules if rule.applies(lang, domain)), lambda rule: rule.scope):
        these = list(group)
        steps += [_settling(these)] if scope == "form" else map(_searching, these)
    return steps


def _settling(rules: list[EditRule]) -> Callable[[Draft], None]:
    """Bring a draft into every one of some forms at once."""
    forms = [(rule.name, FORMS[rule.pattern]) for rule in rules]
    classes = "".join(form.suspects() for _, form in forms if form.suspects)
    suspects = re.compile(f"[{classes}]") if classes else None

    def step(draft: Draft) -> None:
        for _ in range(_ROUNDS):
            before, suspected = draft.text, suspects and suspects.search(draft.text)
            for name, form in forms:
                if suspected or not form.suspects:
                    changes = list(form.changes(draft.text))
                    if not form.in_code and changes and draft.fences:
                        changes = [change for change in changes if not draft.is_fenced(change.start)]
                    draft.change(name, changes)
            if draft.text == before:
                return

    return step


def _searching(rule: EditRule) -> Callable[[Draft], None]:
    pattern = re.compile(rule.pattern, re.MULTILINE if rule.scope == "line" else 0)
    cues = rule.cues or cues_of(rule.pattern)
    if rule.scope == "line" and rule.most_chars is not None:
        return partial(_take_short_lines, rule.name, pattern, rule.most_chars, rule.simplified, cues)
    find = _spans if rule.scope == "span" else _lines

    def step(draft: Draft) -> None:
        if not cues or any(cue in draft.small for cue in cues):
            draft.change(rule.name, list(find(draft, pattern, rule)))

    return step


def _take_short_lines(
    name: str, pattern: re.Pattern[str], most: int, simplified: bool, cues: tuple[str, ...], draft: Draft
) -> None:
    lines = draft.simplified_lines if simplified else draft.lines
    found = [(start, line) for start, line in lines.holding(cues) if len(line) <= most and pattern.search(line)]
    if found:
        draft.change(name, _removed(draft, found))


def _lines(draft: Draft, pattern: re.Pattern[str], rule: EditRule) -> list[Change]:
    if not pattern.search(draft.text):
        return []
    found, start = [], 0
    for line in draft.text.split("\n"):
        if pattern.search(line):
            found.append((start, line))
        start += len(line) + 1
    return _removed(draft, found)


def _removed(draft: Draft, lines: list[tuple[int, str]]) -> list[Change]:
    """What takes these lines out, and the blank lines after each run of them that has one before it."""
    text, changes, run, end = draft.text, list[Change](), 0, 0
    lines = [(start, line) for start, line in lines if not draft.is_code(start, line)]
    for (start, line), (following, _) in zip(lines, [*lines[1:], (-1, "")], strict=False):
        if start < end:
            continue
        run = run if start == end else start
        end = min(start + len(line) + 1, len(text))
        if following != end and text[max(0, run - 2) : run] in ("", "\n", "\n\n"):
            while text.startswith("\n", end):
                end += 1
        if end > start:
            changes.append(Change(start, end - start, ""))
    return changes


def _spans(draft: Draft, pattern: re.Pattern[str], rule: EditRule) -> Iterator[Change]:
    for match in pattern.finditer(draft.text):
        if match.end() > match.start():
            yield Change(match.start(), match.end() - match.start(), match.expand(rule.replacement))


class _Cluster(NamedTuple):
    """Earlier edits and later ones that overlap; where they lie in the text between the two."""

    start: int
    end: int
    earlier: list[Edit]
    later: list[Edit]


def _composed(original: str, between: str, earlier: list[Edit], later: list[Edit]) -> Iterator[Edit]:
    """One list of edits of `original` for two: `earlier` makes `between` of it, `later` is about `between`."""
    shift = 0
    for cluster in _overlaps(earlier, later):
        start = cluster.start - shift
        shift += sum(len(edit.replacement) - edit.length for edit in cluster.earlier)
        length = cluster.end - shift - start
        moved = [edit._replace(start=edit.start - cluster.start) for edit in cluster.later]
        replacement = apply_edits(between[cluster.start : cluster.end], moved)
        if replacement != original[start : start + length]:
            name = max([*cluster.earlier, *cluster.later], key=lambda edit: edit.length).rule
            yield Edit(name, start, length, replacement)


def _overlaps(earlier: list[Edit], later: list[Edit]) -> Iterator[_Cluster]:
    shift, items = 0, []
    for edit in earlier:
        start = edit.start + shift
        items.append((start, start + len(edit.replacement), 0, edit))
        shift += len(edit.replacement) - edit.length
    items += [(edit.start, edit.start + edit.length, 1, edit) for edit in later]
    items.sort(key=lambda item: item[:2])  # stable: what was deleted stands before what follows it
    cluster: _Cluster | None = None
    for start, end, is_later, edit in items:
        if cluster is None or start >= cluster.end:
            if cluster:
                yield cluster
            cluster = _Cluster(start, end, [], [])
        cluster = cluster._replace(end=max(end, cluster.end))
        (cluster.later if is_later else cluster.earlier).append(edit)
    if cluster:
        yield cluster
