"""`just generate`: answers of a model to a file of prompts, by vLLM; the same command goes on after a kill.

just generate tiny-sft questions.jsonl                    answers in questions.answers.jsonl
just generate tiny prompts.jsonl temperature=0 max_tokens=64 out=greedy.jsonl
just generate tiny-lora@2 questions.jsonl                 an adapter, over its parent
just generate tiny-sft questions.jsonl --dry-run          the whole config and what would be done

Rows are {"id": "q1", "prompt": "Once upon"} or {"id": "q1", "messages": [{"role": "user", "content": "What is …?"}]};
answers are {"id", "prompt_tokens", "answer", "tokens", "finish_reason"}, in the order of the prompts.
"""

import sys

from catalog.commands import Parser
from catalog.config import set_fields
from catalog.home import Home
from serving.generate import GenerateConfig, Job, generate, plan


def main(argv: list[str]) -> int:
    """Answer a file, or say what would be done."""
    parser = Parser(
        prog="just generate",
        usage="just generate MODEL PROMPTS.jsonl [field=value …] [--dry-run]",
        description=f"{__doc__}\nFields and their values: just generate MODEL PROMPTS.jsonl --dry-run.",
    )
    parser.add_model()
    parser.add_argument("prompts", metavar="PROMPTS.jsonl", help="a file of rows")
    parser.add_fields("temperature, max_tokens, out, precision, …")
    arguments = parser.parse_args(argv)
    config = set_fields(GenerateConfig(model=arguments.model, prompts=arguments.prompts), arguments.words)
    job = plan(config, Home.open(arguments.home))
    if arguments.dry_run:
        print(config.model_dump_json(indent=1))
    print("\n".join(_described(job)), flush=True)
    if job.warning:
        print(f"warning: {job.warning}", file=sys.stderr)
    if arguments.dry_run:
        return 0
    done = generate(job)
    if not done.fresh:
        print("answered already: nothing to do.")
    print(f"{done.rows:,} rows, {done.rows - done.failed:,} answered, {done.failed:,} too long for the context")
    print(f"answers  {done.out}")
    return 0


def _described(job: Job) -> list[str]:
    there = sum(part.exists() for part, _ in job.chunks)
    over = f", an adapter over {job.target.base.ref}" if job.target.adapter else ""
    return [
        f"model    {job.target.model.ref}{over}",
        f"engine   {job.settings}",
        *job.settings.notes,
        f"rows     {len(job.prompts):,} in {len(job.chunks):,} parts, {there:,} there already",
    ]
