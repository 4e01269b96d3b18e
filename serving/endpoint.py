"""An endpoint: vLLM's OpenAI server as a child of this process, on record while it answers.

>>> job = plan(ServeConfig(model="tiny-sft"), home)
>>> with running(job) as endpoint:      # minutes later at most
...     endpoint.wait()

The child dies with this process, in whatever way that ends; `catalog/endpoints.py` says whether both are well.
"""

import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import Field, JsonValue

from catalog.config import Config
from catalog.endpoints import answers, healthy
from catalog.errors import BadInput, Busy, MillraceError
from catalog.home import Home
from catalog.ids import parse_ref
from catalog.index import put_into_catalog
from catalog.locks import hold, lock_of
from catalog.records import Record, fingerprint, next_version, now, write_record
from serving.apart import die_with_parent, last_words
from serving.engine import EngineConfig, Settings, arguments, check_disk, check_machine, environment, settings_for
from serving.schemes import machine
from serving.target import Target, check_scheme, resolve, shape_of

KEY = "MILLRACE_API_KEY"
STOP_S = 30.0
"""Seconds for the server to finish; then it is killed."""
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Every address of the machine, and one that it answers on itself."""


class ServeConfig(Config):
    """What `just serve` is asked for."""

    model: str
    name: str = ""
    """Of the endpoint and of the model in requests; by default the model's."""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    adapters: tuple[str, ...] = ()
    """More adapters over the same parent, each a model of its own in requests."""
    start_s: float = Field(default=900.0, gt=0, allow_inf_nan=False)
    """Seconds after which a start has failed."""
    engine: EngineConfig = EngineConfig()


@dataclass(frozen=True)
class Job:
    """A checked request."""

    config: ServeConfig
    home: Home
    target: Target
    settings: Settings
    api_key: str
    others: tuple[Target, ...] = ()
    """The adapters that are served besides."""
    warning: str = ""
    """That the machine has no kernels for the model."""

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.config.name or self.target.model.name

    @property
    def loras(self) -> dict[str, Target]:
        """Every adapter, by its name in requests."""
        own = {self.name: self.target} if self.target.adapter else {}
        return own | {other.model.name: other for other in self.others}

    @property
    def chat(self) -> Target:
        """The model whose chat template counts: a base that knows none talks as its first adapter does."""
        return next((one for one in (self.target, *self.others) if one.template), self.target)

    @property
    def url(self) -> str:
        """Where it is reached."""
        return self._at(socket.gethostname() if self.config.host in ANY else self.config.host)

    @property
    def local_url(self) -> str:
        """Where this machine reaches it, whose own name may lead nowhere."""
        return self._at(ANY.get(self.config.host, self.config.host))

    def _at(self, host: str) -> str:
        return f"http://{f'[{host}]' if ':' in host else host}:{self.config.port}"


@dataclass(frozen=True)
class Endpoint:
    """A server that answers."""

    job: Job
    record: Record
    process: subprocess.Popen
    log: Path

    def wait(self) -> None:
        """Return when the server ends by itself: raises MillraceError, since nobody asked for that."""
        status = self.process.wait()
        raise MillraceError(f"the server of {self.job.name} ended by itself, status {status}: see {self.log}")


def plan(config: ServeConfig, home: Home) -> Job:
    """Check everything that can be checked without an engine. Raises BadInput, NotFound, Damaged or Busy."""
    target = resolve(home, config.model)
    settings, warning = settings_for(config.engine, shape_of(target)), check_scheme(target, machine())
    parse_ref(f"{config.name or target.model.name}@1")
    api_key = os.environ.get(KEY, "")
    if not _loopback(config.host) and not api_key:
        raise BadInput(f"host={config.host} can be reached from outside: set {KEY} to a secret, or serve on 127.0.0.1.")
    others = tuple(resolve(home, ref) for ref in config.adapters)
    job = Job(config, home, target, settings, api_key, others, warning)
    _check_adapters(job)
    if answers(home, job.name):
        raise Busy(f"the endpoint {job.name} is up already: give another name=…, or stop it.")
    check_port(config)
    check_disk(home.root)
    return job


def _check_adapters(job: Job) -> None:
    """Raises BadInput where models cannot be served together: other parents, one name twice, other templates."""
    base = job.target.base
    names = [job.name, str(base.ref)]
    for other in job.others:
        ref = other.model.ref
        if not other.adapter:
            raise BadInput(f"adapters: {ref} is no adapter, it has weights of its own. Serve it by itself.")
        if other.base.ref != base.ref:
            raise BadInput(f"adapters: {ref} is over {other.base.ref}, not over {base.ref}. Serve it by itself.")
        if other.model.name in names:
            raise BadInput(f"adapters: the name {other.model.name} is there twice. Leave one out, or give name=….")
        names.append(other.model.name)
        if other.template and job.chat.template and other.template.read_bytes() != job.chat.template.read_bytes():
            raise BadInput(f"adapters: {ref} has another chat template than {job.chat.model.ref}. Serve it by itself.")


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_port(config: ServeConfig) -> None:
    """Raises BadInput where the address is not this machine's or the port is taken."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise BadInput(
            f"port {config.port} of {config.host} cannot be had ({error.strerror}): give another port=… or host=…."
        ) from error


@contextmanager
def running(job: Job) -> Iterator[Endpoint]:
    """Start the server and give it when it answers; on leaving, stop it. Raises Busy for a name that is in use."""
    check_machine(job.home.root)
    place = job.home.root / "endpoints" / job.name
    with hold(lock_of(place)):
        version = next_version(job.home, "endpoints", job.name)
        log = job.home.root / "endpoints" / f".{job.name}.log"
        with log.open("wb") as out:
            process = _child(job, out.fileno())
        try:
            _wait_until_ready(job, process, log)
            record = _record(job, version)
            write_record(job.home, record)
            put_into_catalog(job.home, record)
            yield Endpoint(job, record, process, log)
        finally:
            _stop(process)


def _child(job: Job, out: int) -> subprocess.Popen:
    own = environment(job.settings) | {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}  # no third process for one worker
    if job.api_key:
        own["VLLM_API_KEY"] = job.api_key  # not among the arguments, which everybody on the machine can read
    return subprocess.Popen(
        command(job),
        env={**os.environ, **own},
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        start_new_session=True,
        preexec_fn=partial(die_with_parent, os.getpid()),
    )


def command(job: Job) -> list[str]:
    """The server's command line; `vllm serve` asks for the package's name, and the CPU build has another."""
    given = arguments(job.target, job.settings) | {"host": job.config.host, "port": job.config.port}
    if loras := job.loras:
        ranks = max(one.rank for one in loras.values())
        given |= {"enable_lora": True, "max_lora_rank": ranks, "max_loras": len(loras)}
    own = job.name if not job.target.adapter else str(job.target.base.ref)
    words = [sys.executable, "-P", "-m", "vllm.entrypoints.openai.api_server", "--served-model-name", own]
    for name, value in given.items():
        flag = name.replace("_", "-")
        words += [f"--{flag}" if value else f"--no-{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    if loras:
        words += ["--lora-modules", *(f"{name}={one.adapter}" for name, one in loras.items())]
    if job.chat.template:
        words += ["--chat-template", str(job.chat.template)]
    return words


def _wait_until_ready(job: Job, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + job.config.start_s
    while not healthy(job.local_url):
        if (status := process.poll()) is not None:
            raise MillraceError(f"the server did not start, status {status}: {last_words(log)} ({log})")
        if time.monotonic() > deadline:
            raise MillraceError(f"the server did not answer within {job.config.start_s:g} s: see {log}")
        time.sleep(0.2)


def _record(job: Job, version: str) -> Record:
    model, base = job.target.model, job.target.base
    others = [str(other.model.ref) for other in job.others]
    inputs = tuple(dict.fromkeys(f"models/{ref}" for ref in (model.ref, base.ref, *others)))
    config: dict[str, JsonValue] = {"model": model.name, "version": model.version, "precision": job.settings.precision}
    config |= {"context": job.settings.context, "compile": job.settings.compile}
    if others:
        config["adapters"] = [*others]
    return Record(
        kind="endpoints",
        name=job.name,
        version=version,
        inputs=inputs,
        config=config,
        fingerprint=fingerprint("endpoints", config, inputs),
        counts={"url": job.url, "local_url": job.local_url, "device": job.settings.device},
        created=now(),
    )


def _stop(process: subprocess.Popen) -> None:
    """Ask the server to end, and end it with all its processes where it does not."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
