"""`just serve`: a model of the home behind vLLM's OpenAI API, on record while it answers. Ctrl-C stops it.

just serve tiny-sft                              on http://127.0.0.1:8000
just serve tiny-lora@2 port=8001 context=1024    an adapter, over its parent
just serve tiny-lora@2 adapters=other-lora       two adapters, and their parent
MILLRACE_API_KEY=… just serve tiny-sft host=0.0.0.0
just serve tiny-sft --dry-run                    the whole config, and what would be started

`just sql "FROM endpoints"` says what is up.
"""

import json
import shlex
import signal
import sys
from types import FrameType

from catalog.commands import Parser
from catalog.config import set_fields
from catalog.home import Home
from serving.chat import check_template
from serving.endpoint import KEY, Job, ServeConfig, command, plan, running
from serving.engine import check_machine


def main(argv: list[str]) -> int:
    """Serve until Ctrl-C or SIGTERM, or say what would be done."""
    parser = Parser(
        prog="just serve",
        usage="just serve MODEL [field=value …] [--dry-run]",
        description=f"{__doc__}\nFields and their values: just serve MODEL --dry-run.",
    )
    parser.add_model()
    parser.add_fields("port, host, name, context, precision, …", dry_run="the config and what would be started")
    arguments = parser.parse_args(argv)
    config = set_fields(ServeConfig(model=arguments.model), arguments.words)
    job = plan(config, Home.open(arguments.home))
    warnings = [warning for warning in (check_template(job.chat), job.warning) if warning]
    if arguments.dry_run:
        print(config.model_dump_json(indent=1))
    else:
        check_machine(job.home.root)
    print("\n".join([f"engine   {job.settings}", *job.settings.notes]), flush=True)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if job.others:
        print(f"adapters {', '.join(job.loras)}")
    if arguments.dry_run:
        print(f"runs     {shlex.join(command(job))}")
        return 0
    print(f"starting {job.target.model.ref}, which takes half a minute or more", flush=True)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with running(job) as endpoint:
            print(f"ready    {job.url}, as endpoint {job.name}; log {endpoint.log}\ntry      {curl(job)}", flush=True)
            endpoint.wait()
    except KeyboardInterrupt:
        print("stopped")
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def curl(job: Job) -> str:
    """A command that gets an answer."""
    asked: dict[str, object] = {"model": job.name, "max_tokens": 64}
    if job.chat.template:
        path, asked["messages"] = "chat/completions", [{"role": "user", "content": "What is this?"}]
    else:
        path, asked["prompt"] = "completions", "This is"
    key = f' -H "Authorization: Bearer ${KEY}"' if job.api_key else ""
    said = shlex.quote(json.dumps(asked))
    return f"curl -s {job.url}/v1/{path}{key} -H 'Content-Type: application/json' -d {said}"
