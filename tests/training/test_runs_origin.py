"""A run on a corpus that was really built: every token leads to a URL and to a record of the crawl."""

import subprocess

import pytest
from run_forks import ask, counts, words
from tokens_toys import write_tokenizer
from toys import millrace, write_crawl

from catalog.home import Home

pytestmark = pytest.mark.slow
UNTRACED = """
FROM consumed ANTI JOIN (
    SELECT doc_id FROM documents JOIN sources USING (source_id) WHERE url <> '' AND record_offset IS NOT NULL
) USING (doc_id)
WHERE run = 'traced'
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory, forks) -> Home:
    """A home with a crawl, a corpus, tokens, a mixture and a run of them, each made by its verb."""
    folder = tmp_path_factory.mktemp("origin")
    home = Home.open(folder / "lake")
    write_crawl(folder / "crawl.warc.gz", 0, 40)
    write_tokenizer(folder / "tokenizer")
    fields = (f"tokenizer={folder / 'tokenizer'}", "sequence_length=64", "workers=1")
    for line in (  # not as forks: a build starts a server of its own, which a process with torch in it cannot fork
        ("build-corpus", "raw", f"input={folder / 'crawl.warc.gz'}", "workers=1"),
        ("tokenize", "raw", *fields),
        ("mixture", "m", "tokens=raw"),
    ):
        subprocess.run([*millrace(*line), "--home", str(home.root)], check=True, capture_output=True)
    done = forks.run(*words(home, "traced", "max_steps=0", "checkpoint.every_steps=100"), home=home)
    assert done.status == 0, done.err
    return home


def test_every_token_leads_to_a_url_and_a_record(home):
    assert ask(home, UNTRACED) == []
    ((spans, tokens),) = ask(home, "SELECT count(*), sum(length) FROM consumed WHERE run = 'traced'")
    ((padding,),) = ask(
        home, "SELECT coalesce(sum(64 - s.n), 0) FROM (SELECT sum(length) n FROM consumed GROUP BY sample_id) s"
    )
    assert spans > 40
    assert tokens + padding == counts(home, "traced")["tokens"] == ask(home, "SELECT count(*) * 64 FROM batches")[0][0]
    (url, source, offset), *_ = ask(home, "SELECT url, source, record_offset FROM batch_documents('traced', 2)")
    assert url.startswith("https://example.org/page/")
    assert source.endswith("crawl.warc.gz")
    assert offset > 0


def test_what_saw_a_host_is_known_and_what_leads_nowhere_is_seen(home):
    assert ask(home, "SELECT model, run FROM models_that_saw('example.org')") == [("traced", "traced")]
    assert ask(home, "SELECT host, share FROM run_sources('traced')")[0] == ("example.org", 1.0)
    hidden = UNTRACED.replace("url <> ''", "url NOT LIKE '%/page/7'")
    ((rows, documents),) = ask(home, f"SELECT count(*), count(DISTINCT doc_id) FROM ({hidden})")
    assert rows >= 1
    assert documents == 1
