"""What every worker needs, brought once: the fork server imports this module, workers are forked from it.

Nothing else imports it. pyarrow imports pandas at its first conversion of Python values, and the table of character
classes takes 0.2 s to build: once here, not in every worker. Nor does a worker compile, or load compiled code.
"""

import pandas  # noqa: F401

import data.read
import data.shards  # noqa: F401
from data.page.main_text import read_page
from data.signals.characters import classes

classes()
read_page("<p>x")
