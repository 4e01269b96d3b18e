"""Random texts with everything that rules for prose look at (`from prose_toys import english_texts, chinese_texts`)."""

import random
from collections.abc import Iterator

STOP_WORDS = ["the", "be", "to", "of", "and", "that", "have", "with", "a", "in", "it", "is", "was", "as"]
HAN_STOP_WORDS = list("的年在是和月日了於為有被人中他與後也而由")
HAN = "天地玄黃宇宙洪荒盈昃辰宿列張寒來暑往秋收冬藏山水火土木金石田心手足口目耳"
PHRASES = [
    "lorem ipsum",
    "Lorem Ipsum dolor",
    "please enable JavaScript",
    "javascript",
    "our privacy policy",
    "the Terms of Use",
    "this site uses cookies",
    "the use of cookies",
    "Cookie Policy",
]
CITATIONS = ["[1]", "[23]", "[]", "[edit]", "[citation needed]", "[a]"]
ODD = [
    "{",
    "}",
    "{ x: 1 }",
    "#",
    "##",
    "#tag",
    "…",
    "...",
    "&",
    "§ 4",
    "3,5",
    "2019",
    "e.g.",
    "U.S.",
    "x@y.org",
    "“so”",
    "—",
]
BULLETS = ["• ", "- ", "-", "  • ", "* ", "– "]
LINE_BREAKS = ["\r\n", "\u2028", "\x0b", "\x85", "\x0c", "\x1e"]


class Writer:
    """One text: which words and oddities are in it, and how often, is drawn once: texts differ more than lines do."""

    def __init__(self, seed: int, words: list[str], stop_words: list[str], gap: str, ends: list[str]) -> None:
        self.chance = random.Random(seed)
        long = sorted(words, key=len)
        self._words = self.chance.choice((words, words, words, long[:60], long[-60:]))
        self._stop_words, self._stop_share = stop_words, self.chance.choice((0.4, 0.4, 0.3, 0.0))
        self._odd = self.chance.choices(ODD, k=self.chance.choice((1, 2, 4, 8)))
        self._gap, self._ends = gap, ends
        self._between = gap or self.chance.choice(("", " ", " "))
        self._often: dict[str, float] = {}

    def _is(self, what: str, usually: float, seldom: float = 0.25) -> bool:
        """Whether it happens here: in most texts never, in a share `seldom` of them more or less often."""
        if what not in self._often:
            self._often[what] = self.chance.uniform(0, usually) if self.chance.random() < seldom else 0.0
        return self.chance.random() < self._often[what]

    def _sentence(self, words: int) -> str:
        said = []
        for _ in range(words):
            word = self.chance.choice(self._stop_words if self.chance.random() < self._stop_share else self._words)
            if self._is("odd", 0.3):
                word = self.chance.choice(self._odd)
            elif self._is("phrase", 0.03):
                word = self.chance.choice(PHRASES)
            elif self._is("long word", 0.004, 0.1):
                word = "w" * self.chance.choice((999, 1000, 1001, 1500))
            elif self._is("number", 0.6):
                word = str(self.chance.randrange(10_000))
            said.append(word + (self.chance.choice(CITATIONS) if self._is("citation", 0.1) else ""))
            if self._is("comma", 0.2, 0.9):
                said[-1] += "," if self._gap else "，"
        text = self._gap.join(said)
        end = self.chance.choice(self._ends)
        if self._is("no end", 1.0, 0.3):
            end = ""
        if self._is("ellipsis", 0.7, 0.3):
            end = self.chance.choice(("...", "…", " ...", "....", "…"))
        return text[:1].upper() + text[1:] + end

    def _line(self) -> str:
        if self._is("short line", 1.0, 0.3):
            line = self._sentence(self.chance.randrange(1, 5))
        else:
            sentences = self.chance.randrange(1, 5)
            line = self._between.join(self._sentence(self.chance.randrange(2, 25)) for _ in range(sentences))
        if self._is("bullet", 1.3):
            line = self.chance.choice(BULLETS) + line
        if self._is("space around", 0.3):
            line = self.chance.choice((" ", "\t", "\u3000", "")) + line + self.chance.choice((" ", "  ", "\t", ""))
        if self._is("odd line break", 0.2, 0.1):
            line += self.chance.choice(LINE_BREAKS) + self._sentence(6)
        return line

    def text(self) -> str:
        """Paragraphs of lines, some of them said before; now and then one or none."""
        paragraphs: list[str] = []
        lines: list[str] = []
        for _ in range(self.chance.choice((1, 1, 2, 3, 6))):
            mine = []
            for _ in range(self.chance.randrange(1, 7)):
                repeats = lines and self._is("repeated line", 0.6, 0.2)
                mine.append(self.chance.choice(lines) if repeats else self._line())
            lines += mine
            repeats = paragraphs and self._is("repeated paragraph", 0.6, 0.15)
            paragraphs.append(self.chance.choice(paragraphs) if repeats else "\n".join(mine))
        gap = self.chance.choice(("\n\n", "\n\n", "\n", "\n\n\n", "\n \n"))
        around = self.chance.choice(("", "", "", "\n", " \n\n"))
        return around + gap.join(paragraphs) + around


def english_texts(count: int, seed: int = 0) -> Iterator[str]:
    """Texts of English stop words and made-up words, the same for the same seed."""
    chance = random.Random("words")
    words = ["".join(chance.choices("aeioubcdfglmnprst", k=chance.randrange(1, 16))) for _ in range(600)]
    for number in range(count):
        yield Writer(seed + number, words, STOP_WORDS, " ", [".", ".", ".", "?", "!", '."', "'", ":", ";", ")"]).text()


def chinese_texts(count: int, seed: int = 0) -> Iterator[str]:
    """Texts of Chinese characters, the same for the same seed."""
    chance = random.Random("words")
    words = ["".join(chance.choices(HAN, k=chance.randrange(1, 4))) for _ in range(600)]
    for number in range(count):
        yield Writer(
            seed + number, words, HAN_STOP_WORDS, "", ["。", "。", "？", "！", "」", ".", ".", "!", '"']
        ).text()
