"""What every worker needs, brought once: the fork server imports this module, workers are forked from it.

Nothing else imports it. pyarrow imports pandas at its first conversion of Python values, and the tables of characters
and of their folded forms take 0.2 s each to build: once here, not in every worker. Nor does a worker compile, or load
compiled code.
"""

import gc

import pandas  # noqa: F401

import data.dedup.near
import data.read
import data.shards  # noqa: F401
from data.dedup.grams import hash_grams
from data.dedup.minhash import signatures
from data.dedup.tokens import folding
from data.edits import find_edits
from data.intake import text_key
from data.page.main_text import read_page
from data.rule_sets import CLEANING
from data.signals.measures import measure
from data.text.langid import identify

identify(["x"])
text_key("x")
measure(["It's [1]."], ["en"])
read_page("<p>x")
signatures(hash_grams(["x"], 1, fold_han=True), 16)
folding(False)  # by position, as it is asked for: the cache tells the two apart
for lang in ("en", "zh"):
    find_edits("x", lang, "", CLEANING)
gc.freeze()  # what lives for ever is not gone through again and again: 4 % of reading
