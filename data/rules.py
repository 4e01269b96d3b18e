"""Rules: named SQL predicates over the columns of an intake, compiled into one expression.

    Rule(name="min_words", measure="n_words", op="<", threshold=50, languages=("en",), source="Gopher")

A rule drops a record when `measure op threshold` holds. The first rule that drops it gives its verdict, with the value
that was measured and the threshold.
"""

from typing import Literal

import duckdb

from catalog.config import Config
from catalog.errors import BadInput, near
from catalog.store import quoted
from data.intake import SCHEMA, empty_rows

VERDICT = "STRUCT(stage VARCHAR, verdict VARCHAR, reason VARCHAR, value DOUBLE, threshold DOUBLE, evidence VARCHAR)"


class Rule(Config):
    """Drop where `measure op threshold`."""

    name: str
    """The reason in the ledger, and the field that sets the threshold: `just build-corpus web min_words=80`."""
    measure: str
    """A SQL expression over the intake's columns, as a number; never null."""
    op: Literal["<", "<=", ">", ">=", "=", "!="] = "<"
    threshold: float
    languages: tuple[str, ...] = ()
    """Only documents in these languages; empty means all."""
    domains: tuple[str, ...] = ()
    """Only documents of these domains; empty means all."""
    except_domains: tuple[str, ...] = ()
    evidence: str = "''"
    """A SQL expression for a word on the case, kept in the ledger."""
    source: str = ""
    """Where the rule was published."""
    published: float | None = None
    """The threshold there; a recipe may ask for another."""
    enabled: bool = True

    def applies(self) -> str:
        """SQL: whether this rule looks at a record at all."""
        parts = []
        for column, values, negate in (
            ("lang", self.languages, ""),
            ("domain", self.domains, ""),
            ("domain", self.except_domains, "NOT "),
        ):
            if values:
                parts.append(f"{column} {negate}IN ({', '.join(quoted(value) for value in values)})")
        return " AND ".join(parts) or "true"

    def predicate(self) -> str:
        """SQL: whether this rule drops a record."""
        return f"({self.applies()}) AND ({self.measure}) {self.op} {self.threshold!r}"


def compile_rules(rules: tuple[Rule, ...]) -> str:
    """One SQL expression: the verdict of the first rule that drops a record (`failed` is always the first), or NULL."""
    cases = [_when("failure <> ''", "read", "failed", "failure", "1.0", 0.0, "detail")]
    for rule in rules:
        if rule.enabled:
            value = f"({rule.measure})::DOUBLE"
            cases.append(
                _when(rule.predicate(), "rules", "dropped", quoted(rule.name), value, rule.threshold, rule.evidence)
            )
    return "CASE " + " ".join(cases) + f" ELSE NULL::{VERDICT} END"


def _when(predicate: str, stage: str, verdict: str, reason: str, value: str, threshold: float, evidence: str) -> str:
    return (
        f"WHEN {predicate} THEN struct_pack(stage := {quoted(stage)}, verdict := {quoted(verdict)}, "
        f"reason := {reason}, value := {value}, threshold := {threshold!r}::DOUBLE, evidence := ({evidence})::VARCHAR)"
    )


def check_rules(rules: tuple[Rule, ...]) -> None:
    """Raise BadInput for a name given twice or a measure that is no SQL over the intake's columns."""
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"two rules are named {name!r}: a reason must name one rule.")
    con = empty_rows()
    for rule in rules:
        try:
            con.execute(f"SELECT {rule.predicate()}, ({rule.measure})::DOUBLE, {rule.evidence} FROM intake_rows")
        except duckdb.Error as error:
            words = near(rule.measure, SCHEMA.names)
            raise BadInput(f"rule {rule.name}: {str(error).splitlines()[0]} in {rule.measure!r}. {words}") from error
